//! Limits hold over all nodes.

use reqwest::StatusCode;

use crate::nodes::{Nodes, until};

/// Far more than are made while the word of them is under way.
const LIMIT: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_on_one_node_is_missing_on_another() {
    let limit = LIMIT.to_string();
    let settings = [
        ("RATE_LIMIT_REQUESTS", limit.as_str()),
        ("RATE_LIMIT_WINDOW", "3600"),
        ("LIMIT_EXEMPT", "192.0.2.1"),
    ];
    let nodes = Nodes::start_with(2, &settings).await;
    let status = async |node: usize| nodes.nodes[node].get("/presence?user_ids=ann").await.0;
    for _ in 0..LIMIT {
        assert_eq!(status(0).await, StatusCode::OK);
    }
    assert_eq!(status(0).await, StatusCode::TOO_MANY_REQUESTS);
    let asked = std::cell::Cell::new(0);
    until(async || {
        asked.set(asked.get() + 1);
        status(1).await == StatusCode::TOO_MANY_REQUESTS
    })
    .await;
    assert!(
        asked.get() < LIMIT / 2,
        "{} requests were taken from a budget of its own",
        asked.get()
    );
}
