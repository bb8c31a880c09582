//! The real server, driven by real clients: JavaScript, Python and a browser, on both stores.
//!
//! Each test starts the `banter` binary on a port of its own and runs a suite beside it, whose
//! output is shown when it fails. `make test` gets what they need.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../support/nginx.rs"]
mod balancer;
mod cluster;
mod crash;
mod full_disk;
mod load;
mod made_up;
#[path = "../support/mongod.rs"]
mod mongod;
#[path = "../support/netns.rs"]
mod netns;
mod nginx;
mod outage;
#[path = "../support/redis.rs"]
mod redis_server;
mod server;
mod stored;
mod suite;
mod trial;
mod verdict;
#[path = "../support/web.rs"]
mod web;

use server::{ADMIN_UI_PASSWORD, Server, SignIn, Store};
use suite::Suite;

async fn contract(store: Store, suite: Suite) {
    let mut server = Server::start_signing_in(store, suite.sign_in()).await;
    suite.run(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn javascript_over_websocket_on_sqlite() {
    contract(Store::Sqlite, Suite::JavaScript { transport: "websocket", client: "4" }).await;
}

#[tokio::test]
async fn javascript_over_polling_on_sqlite() {
    contract(Store::Sqlite, Suite::JavaScript { transport: "polling", client: "4" }).await;
}

#[tokio::test]
async fn javascript_of_protocol_3_on_sqlite() {
    contract(Store::Sqlite, Suite::JavaScript { transport: "websocket", client: "2" }).await;
}

#[tokio::test]
async fn python_on_sqlite() {
    contract(Store::Sqlite, Suite::Python).await;
}

#[tokio::test]
async fn javascript_over_websocket_on_mongodb() {
    contract(Store::Mongodb, Suite::JavaScript { transport: "websocket", client: "4" }).await;
}

#[tokio::test]
async fn javascript_over_polling_on_mongodb() {
    contract(Store::Mongodb, Suite::JavaScript { transport: "polling", client: "4" }).await;
}

#[tokio::test]
async fn javascript_of_protocol_3_on_mongodb() {
    contract(Store::Mongodb, Suite::JavaScript { transport: "websocket", client: "2" }).await;
}

#[tokio::test]
async fn python_on_mongodb() {
    contract(Store::Mongodb, Suite::Python).await;
}

#[tokio::test]
async fn two_people_chat_on_the_page_in_a_browser() {
    contract(Store::Sqlite, Suite::Browser).await;
}

#[tokio::test]
async fn tokens_with_javascript_over_websocket_on_sqlite() {
    contract(Store::Sqlite, Suite::Tokens { transport: "websocket", client: "4" }).await;
}

#[tokio::test]
async fn tokens_with_javascript_over_polling_on_sqlite() {
    contract(Store::Sqlite, Suite::Tokens { transport: "polling", client: "4" }).await;
}

#[tokio::test]
async fn tokens_with_javascript_of_protocol_3_on_sqlite() {
    contract(Store::Sqlite, Suite::Tokens { transport: "websocket", client: "2" }).await;
}

#[tokio::test]
async fn tokens_with_python_on_sqlite() {
    contract(Store::Sqlite, Suite::PythonTokens).await;
}

#[tokio::test]
async fn tokens_with_javascript_over_websocket_on_mongodb() {
    contract(Store::Mongodb, Suite::Tokens { transport: "websocket", client: "4" }).await;
}

#[tokio::test]
async fn tokens_with_javascript_over_polling_on_mongodb() {
    contract(Store::Mongodb, Suite::Tokens { transport: "polling", client: "4" }).await;
}

#[tokio::test]
async fn tokens_with_javascript_of_protocol_3_on_mongodb() {
    contract(Store::Mongodb, Suite::Tokens { transport: "websocket", client: "2" }).await;
}

#[tokio::test]
async fn tokens_with_python_on_mongodb() {
    contract(Store::Mongodb, Suite::PythonTokens).await;
}

#[tokio::test]
async fn people_with_accounts_chat_on_the_page_in_a_browser() {
    contract(Store::Sqlite, Suite::BrowserTokens).await;
}

#[tokio::test]
async fn plain_websockets_in_a_browser() {
    contract(Store::Mongodb, Suite::BrowserSockets).await;
}

#[tokio::test]
async fn the_api_is_shown_in_a_browser() {
    contract(Store::Sqlite, Suite::BrowserDocs).await;
}

#[tokio::test]
async fn operators_use_the_admin_ui() {
    let settings = [("ADMIN_UI_PASSWORD", ADMIN_UI_PASSWORD), ("ADMIN_UI_MODE", "full")];
    let mut server = Server::start_signing_in_with(Store::Sqlite, SignIn::Open, &settings).await;
    Suite::AdminUi.run(&server).await;
    server.stop().await;
}

#[test]
fn the_pages_load_what_their_authors_have_published() {
    for (ours, published) in [
        ("socket.io.min.js", "socket.io-client/dist/socket.io.min.js"),
        ("docs/swagger-ui-bundle.js", "swagger-ui-dist/swagger-ui-bundle.js"),
        (
            "docs/swagger-ui-bundle.js.LICENSE.txt",
            "swagger-ui-dist/swagger-ui-bundle.js.LICENSE.txt",
        ),
        ("docs/swagger-ui.css", "swagger-ui-dist/swagger-ui.css"),
        ("docs/NOTICE.txt", "swagger-ui-dist/NOTICE"),
    ] {
        let published = suite::js_dir().join("node_modules").join(published);
        let published = std::fs::read(published).expect("the JavaScript packages: run `make real`");
        let served = std::fs::read(suite::root().join("static").join(ours)).unwrap();
        assert!(served == published, "static/{ours} is not the package's file");
    }
}
