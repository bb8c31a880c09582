//! What `GET /admin/nodes` answers.

use serde::Serialize;
use utoipa::ToSchema;

/// The nodes that work as one.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodesRow {
    /// Whether this node hears the others; true for one that is alone.
    pub connected: bool,
    /// All of which it knows, itself first.
    pub nodes: Vec<NodeRow>,
}

/// A node, and how it was when it said so last.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeRow {
    /// Its `NODE_ID`.
    pub node_id: String,
    /// What names the run from its start to its end.
    pub run: String,
    /// For how long it has said nothing, in milliseconds; without the time in which it could not have
    /// been heard.
    pub silent_ms: u64,
    /// What it has said of itself; null, if that has not been heard yet.
    #[schema(required = true)]
    pub report: Option<ReportRow>,
}

/// What a node says of itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportRow {
    /// Its version.
    pub version: String,
    /// When it was started.
    #[schema(format = DateTime)]
    pub started_at: String,
    /// Whether it has been told to stop.
    pub stopping: bool,
    /// Users who have a connection to it.
    pub users_online: u64,
    /// Ops that it has accepted and that are not stored.
    pub unstored: u64,
    /// Ops of other nodes that are not stored, as far as it has heard.
    pub unstored_elsewhere: u64,
    /// Writes that the database refused since its start.
    pub dead_letters: u64,
    /// How its journal's disk is: `ok`, `full` or `failed`.
    pub journal: String,
    /// How its breaker is: `closed` or `open`.
    pub breaker: String,
}
