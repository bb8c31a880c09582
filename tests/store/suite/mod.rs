//! What a store promises, one file per subject.

pub(crate) mod accounts;
pub(crate) mod attached;
pub(crate) mod blocks;
pub(crate) mod catch_up;
pub(crate) mod changes;
pub(crate) mod chats;
pub(crate) mod client_ids;
pub(crate) mod groups;
pub(crate) mod history;
pub(crate) mod invitations;
pub(crate) mod messages;
mod model;
pub(crate) mod mutes;
pub(crate) mod presence;
pub(crate) mod privacy;
pub(crate) mod random;
pub(crate) mod readers;
pub(crate) mod revocations;
pub(crate) mod roles;
pub(crate) mod rooms;
pub(crate) mod search;
pub(crate) mod sessions;
pub(crate) mod status;
pub(crate) mod tombstones;
pub(crate) mod unread;
