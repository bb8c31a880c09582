//! How the nodes are that work as one.

use axum::Json;
use axum::extract::State;

use crate::cluster::{Cluster, Node, NodeReport};
use crate::wire::iso;
use crate::wire::nodes::{NodeRow, NodesRow, ReportRow};

/// How all nodes are
///
/// Each says so every three seconds.
#[utoipa::path(
    get, path = "/admin/nodes", tag = "operators", operation_id = "list_nodes",
    responses(
        (status = 200, description = "All nodes, the one that answers first", body = NodesRow),
    ),
)]
pub(super) async fn list(State(cluster): State<Cluster>) -> Json<NodesRow> {
    let nodes = cluster.nodes().into_iter().map(row).collect();
    Json(NodesRow { connected: cluster.is_connected(), nodes })
}

fn row(node: Node) -> NodeRow {
    let Node { id, boot, report, silence, words: _ } = node;
    NodeRow {
        node_id: id.to_string(),
        run: boot.to_string(),
        silent_ms: u64::try_from(silence.as_millis()).unwrap_or(u64::MAX),
        report: report.map(report_row),
    }
}

fn report_row(report: NodeReport) -> ReportRow {
    ReportRow {
        version: report.version,
        started_at: iso(report.started_at),
        stopping: report.is_stopping,
        users_online: report.users,
        unstored: report.unstored_ops,
        unstored_elsewhere: report.unstored_elsewhere,
        dead_letters: report.dead_letters,
        journal: report.journal,
        breaker: report.breaker,
    }
}
