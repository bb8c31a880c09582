//! Who is blocked.

use super::{Timestamp, UserId};

/// A user who is blocked by another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Who is blocked.
    pub user: UserId,
    /// Since when.
    pub at: Timestamp,
}
