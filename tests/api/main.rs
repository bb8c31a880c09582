//! The whole server in this process, driven through its real port: the rules of every event and
//! route, each on both stores.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

#[path = "../support/mongod.rs"]
mod mongod;
#[path = "../support/sio.rs"]
mod sio;

mod app;
mod away;
mod binary;
mod blocks;
mod changes;
mod connecting;
mod edits;
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
mod mentions;
mod old_server;
mod order;
mod paging;
mod pins;
mod presence;
mod reactions;
mod reading;
mod receipts;
mod repeating;
mod search;
mod sending;
mod slow;
mod stopping;
mod sync;
mod threads;
mod typing;

/// Runs each test on each store.
macro_rules! on_both_stores {
    ($($test:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::app::TestApp::on_sqlite().await).await;
            })*
        }

        mod on_mongodb {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::app::TestApp::on_mongodb().await).await;
            })*
        }
    };
}
pub(crate) use on_both_stores;
