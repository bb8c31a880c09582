//! Several nodes on one database with a real Redis between them, all in this process, each driven
//! through its real port.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on fails")]

#[path = "../api/app.rs"]
mod app;
#[path = "../support/make.rs"]
mod make;
#[path = "../support/mongod.rs"]
mod mongod;
#[path = "../support/redis.rs"]
mod redis_server;
#[path = "../support/sio.rs"]
mod sio;
#[path = "../support/web.rs"]
mod web;

mod lost;
mod nodes;

mod away;
mod cache;
mod conversations;
mod groups;
mod history;
mod limits;
mod people;
