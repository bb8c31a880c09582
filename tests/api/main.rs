//! The whole server in this process, driven through its real port: the rules of every event and
//! route, each on both stores.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

#[path = "../support/faulty.rs"]
mod faulty;
#[path = "../support/make.rs"]
mod make;
#[path = "../support/mongod.rs"]
mod mongod;
#[path = "../support/schemas.rs"]
mod schemas;
#[path = "../support/sio.rs"]
mod sio;
#[path = "../support/sources.rs"]
mod sources;
#[path = "../support/web.rs"]
mod web;

mod abuse;
mod access;
mod accounts;
mod admin;
mod admin_ui;
mod app;
mod away;
mod binary;
mod blocks;
mod changes;
mod connecting;
mod edits;
mod erasure;
mod follow;
mod group_life;
mod groups;
mod health;
mod history;
mod hostile;
mod invitations;
mod journal;
mod leftovers;
mod letters;
mod limits;
mod load;
mod log;
mod log_files;
mod mentions;
mod old_server;
mod openapi;
mod order;
mod paging;
mod pins;
mod plain;
mod plain_limits;
mod presence;
mod privacy;
mod reactions;
mod reading;
mod receipts;
mod repeating;
mod rooms;
mod search;
mod sending;
mod slow;
mod spam;
mod stopping;
mod sync;
mod threads;
mod tokens;
mod typing;
mod ws;

/// Runs each test on each store; `with` settings, where the tests need some.
macro_rules! on_both_stores {
    (with $settings:expr; $($test:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::app::TestApp::with($settings).await).await;
            })*
        }

        mod on_mongodb {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::app::TestApp::on_mongodb_with($settings).await).await;
            })*
        }
    };
    ($($test:ident),* $(,)?) => {
        crate::on_both_stores! { with &[]; $($test),* }
    };
}
pub(crate) use on_both_stores;
