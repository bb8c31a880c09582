//! What is kept of a user, as lines of JSON.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::attach::RevisionRow;
use super::{iso, message};
use crate::model::{Account, Group, Invitation, Kept, LoginSession, Role, Timestamp, UserId};

/// The form of an export, which its first line names. A field or a kind that is new does not change
/// it.
const FORMAT: u32 = 1;

/// The first line.
#[derive(Debug)]
pub struct About<'a> {
    /// Whose export it is.
    pub user: &'a UserId,
    /// When it began.
    pub at: Timestamp,
}

impl Serialize for About<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut row = to.serialize_map(Some(4))?;
        row.serialize_entry("kind", "about")?;
        row.serialize_entry("format", &FORMAT)?;
        row.serialize_entry("user_id", self.user.as_str())?;
        row.serialize_entry("exported_at", &iso(self.at))?;
        row.end()
    }
}

/// The last line, with the number of lines of each kind between it and the first one. Without it an
/// export was cut off.
#[derive(Debug, Default)]
pub struct End(BTreeMap<&'static str, u64>);

impl End {
    /// Counts a line.
    pub fn count(&mut self, kept: &Kept) {
        *self.0.entry(kind(kept)).or_default() += 1;
    }
}

impl Serialize for End {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut row = to.serialize_map(Some(2))?;
        row.serialize_entry("kind", "end")?;
        row.serialize_entry("counts", &self.0)?;
        row.end()
    }
}

/// A line between them.
#[derive(Debug)]
pub struct KeptRow<'a>(pub &'a Kept);

fn kind(kept: &Kept) -> &'static str {
    match kept {
        Kept::Account(_) => "account",
        Kept::Session(_) => "session",
        Kept::Presence(_) => "presence",
        Kept::Block(_) => "block",
        Kept::Mute(..) => "mute",
        Kept::Group(..) => "group",
        Kept::Cursor(..) => "read_cursor",
        Kept::Invitation(_) => "invitation",
        Kept::Sent(_) => "message",
        Kept::Received(_) => "received",
    }
}

impl Serialize for KeptRow<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut row = to.serialize_map(None)?;
        row.serialize_entry("kind", kind(self.0))?;
        match self.0 {
            Kept::Account(kept) => account(kept, &mut row)?,
            Kept::Session(kept) => session(kept, &mut row)?,
            Kept::Presence(kept) => {
                row.serialize_entry("last_seen", &kept.last_seen.map(iso))?;
            }
            Kept::Block(block) => {
                row.serialize_entry("user_id", block.user.as_str())?;
                row.serialize_entry("blocked_at", &iso(block.at))?;
            }
            Kept::Mute(group, until) => {
                row.serialize_entry("group_id", &group.to_string())?;
                row.serialize_entry("muted_until", &until.to_stored().map(iso))?;
            }
            Kept::Group(kept, role) => group(kept, *role, &mut row)?,
            Kept::Cursor(group, (at, message)) => {
                row.serialize_entry("group_id", &group.to_string())?;
                row.serialize_entry("up_to", &message.to_string())?;
                row.serialize_entry("sent_at", &iso(*at))?;
            }
            Kept::Invitation(kept) => invitation(kept, &mut row)?,
            Kept::Received(kept) => message::fields(kept, &mut row)?,
            Kept::Sent(kept) => {
                message::fields(kept, &mut row)?;
                if !kept.revisions.is_empty() {
                    let revisions: Vec<_> = kept.revisions.iter().map(RevisionRow).collect();
                    row.serialize_entry("revisions", &revisions)?;
                }
            }
        }
        row.end()
    }
}

/// Never the hash of the password.
fn account<M: SerializeMap>(account: &Account, row: &mut M) -> Result<(), M::Error> {
    row.serialize_entry("user_id", account.id.as_str())?;
    row.serialize_entry("username", account.username.as_str())?;
    row.serialize_entry("email", account.email.as_str())?;
    row.serialize_entry("created_at", &iso(account.created_at))
}

/// Never what a refresh token is held against.
fn session<M: SerializeMap>(session: &LoginSession, row: &mut M) -> Result<(), M::Error> {
    row.serialize_entry("created_at", &iso(session.created_at))?;
    row.serialize_entry("refreshed_at", &iso(session.rotated_at))?;
    row.serialize_entry("expires_at", &iso(session.expires_at))
}

/// Not who else is in it.
fn group<M: SerializeMap>(group: &Group, role: Role, row: &mut M) -> Result<(), M::Error> {
    row.serialize_entry("group_id", &group.id.to_string())?;
    row.serialize_entry("name", &group.name)?;
    row.serialize_entry("role", role.as_str())?;
    row.serialize_entry("created_at", &iso(group.created_at))
}

/// Never the link, which lets in whoever has it.
fn invitation<M: SerializeMap>(made: &Invitation, row: &mut M) -> Result<(), M::Error> {
    row.serialize_entry("group_id", &made.group.to_string())?;
    row.serialize_entry("created_at", &iso(made.created_at))?;
    row.serialize_entry("expires_at", &iso(made.expires_at))?;
    row.serialize_entry("max_uses", &made.max_uses)?;
    row.serialize_entry("uses", &made.uses)
}
