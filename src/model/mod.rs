//! Pure data: what a conversation is made of, and the operations that change it.
//!
//! Nothing here does I/O, reads a clock or knows a wire format. What nodes tell each other can be
//! serialized as it is (`crate::cluster`); what clients see is shaped in `crate::wire`.

mod account;
mod batch;
mod block;
mod content;
mod cursor;
mod draft;
mod event;
mod group;
mod ids;
mod invitation;
mod message;
mod op;
mod privacy;
mod reaction;
mod sync;
#[cfg(test)]
pub(crate) mod testing;
mod time;

pub use account::{
    Account, AccountKey, Email, EndReason, InvalidAccount, LoginSession, PasswordHash, Revocation,
    SecretHash, Username,
};
pub use batch::{Batch, Deletion, MessageChange, ReadCursor};
pub use block::Block;
pub use content::{Content, ContentError, MAX_JSON_DEPTH, check_object};
pub use cursor::{InvalidCursor, Next, Place, SyncCursor};
pub use draft::Draft;
pub use event::{Audience, Dispatch, Event, GroupNotice, Happened, Presence, Reading};
pub use group::{Group, GroupChange, GroupSummary, Role, Room, Silence, Unread, Until};
pub use ids::{ClientId, GroupId, InvalidId, MessageId, MessageRef, SessionId, UserId};
pub use invitation::{Invitation, Token};
pub use message::{ContentType, Conversation, Message, Position, Status, Target};
pub use op::Op;
pub use privacy::{Erasure, Kept, Traces};
pub use reaction::{Emoji, InvalidEmoji, Pin, Reaction, Revision};
pub use sync::{Chat, News, SyncPage};
pub use time::Timestamp;

/// A JSON object as clients send it (media metadata, structured content).
pub type JsonObject = serde_json::Map<String, serde_json::Value>;
