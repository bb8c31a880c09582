//! Three servers behind nginx, with the configuration of deploy/. They don't know of each other: a
//! session that comes to another server than its own fails.

use std::net::SocketAddr;

use tokio::process::Command;

use crate::balancer::Nginx;
use crate::server::{Server, Store};
use crate::suite::{node, succeed};

/// Three servers, and nginx in front of them.
async fn start() -> (Vec<Server>, Nginx) {
    let settings = [("AUTH_MODE", "open"), ("TRUSTED_PROXIES", "127.0.0.1")];
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(Server::start_with(Store::Sqlite, &settings).await);
    }
    let address = |at: usize| -> SocketAddr {
        nodes[at].url().strip_prefix("http://").unwrap().parse().unwrap()
    };
    let nginx = Nginx::start([address(0), address(1), address(2)]).await;
    (nodes, nginx)
}

/// The suite, which is told which nodes there are.
fn suite(nginx: &Nginx, nodes: &[Server]) -> Command {
    let urls: Vec<_> = nodes.iter().map(Server::url).collect();
    let mut command = node("balanced.test.mjs");
    command.env("BANTER_URL", nginx.url()).env("NODES", urls.join(" "));
    command
}

#[tokio::test]
async fn sessions_stay_on_their_node_behind_nginx_and_websockets_go_to_any() {
    let (mut nodes, nginx) = start().await;
    succeed(suite(&nginx, &nodes), &nodes[0]).await;
    for secret in ["a-token-in-a-query", "an-invitation"] {
        let log = nginx.access_log();
        assert!(!log.contains(secret), "{secret} is in the access log:\n{log}");
    }
    // The same with a node that is not there.
    nodes[0].kill().await;
    nodes.remove(0);
    succeed(suite(&nginx, &nodes), &nodes[0]).await;
    for node in &mut nodes {
        node.stop().await;
    }
}
