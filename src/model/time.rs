//! Wall-clock time as both stores keep it.

/// Milliseconds since 1970-01-01T00:00:00Z, the precision of a BSON date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Milliseconds since the Unix epoch.
    pub fn as_millis(self) -> i64 {
        self.0
    }
}
