//! What a store promises, one file per subject.

pub(crate) mod catch_up;
pub(crate) mod changes;
pub(crate) mod client_ids;
pub(crate) mod groups;
pub(crate) mod history;
pub(crate) mod messages;
mod model;
pub(crate) mod presence;
pub(crate) mod random;
pub(crate) mod search;
pub(crate) mod status;
pub(crate) mod tombstones;
pub(crate) mod unread;
