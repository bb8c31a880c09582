//! The order in which everything was last changed.
//!
//! A version is a BSON Timestamp that the server gives when a write begins, so it may be given
//! before another one and be seen after it. What is older than ten seconds, and than the write that
//! this server has under way, is settled.

use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Bson, Document, RawDocumentBuf, Timestamp as Version, doc};
use tokio::time::Instant;

use super::indexes::{CURSOR_CHANGES, GROUP_CHANGES, Index, MESSAGE_CHANGES, MUTE_CHANGES};
use super::queries::Find;
use super::{GROUP_CHANGES_LOG, MongoStore, documents, errors, mutes};
use crate::model::{Conversation, GroupId, MessageId, Place, Position, Timestamp, UserId};
use crate::store::changes::merged;
use crate::store::{Change, Changes, ChangesQuery, Result, StoreError};

/// How long a write may take, from the moment at which the server gives it its version to the one
/// at which it can be read. That is milliseconds; a disk that stalls may make it seconds.
const OVERLAP: Duration = Duration::from_secs(10);

/// How far the server's order may be ahead of its clock: another member's clock moves it, too.
const AHEAD: Duration = Duration::from_secs(60);

/// Messages, and stubs of deleted ones, of these owners (user or groups) after a place.
pub fn changed_messages(owners: &[Bson], after: Place, limit: usize) -> Find {
    let filter = after_place(doc! {"parties": among(owners)}, after);
    let mut find = ordered(MESSAGE_CHANGES, filter, limit);
    find.projection = Some(doc! {"revisions": 0});
    find
}

/// How far a user has read in groups, from a place's version on.
pub fn changed_cursors(user: &UserId, after: Place, limit: usize) -> Find {
    let version = doc! {"$gte": to_version(after.version)};
    ordered(CURSOR_CHANGES, doc! {"user": user.as_str(), "version": version}, limit)
}

/// Groups that a user has entered or left, or that are others themselves, from a place's version
/// on.
pub fn changed_groups(owners: &[Bson], after: Place, limit: usize) -> Find {
    let version = doc! {"$gte": to_version(after.version)};
    ordered(GROUP_CHANGES, doc! {"party": among(owners), "version": version}, limit)
}

/// What a user has muted and unmuted, from a place's version on.
pub fn changed_mutes(user: &UserId, after: Place, limit: usize) -> Find {
    let version = doc! {"$gte": to_version(after.version)};
    ordered(MUTE_CHANGES, doc! {"user": user.as_str(), "version": version}, limit)
}

fn ordered(index: Index, filter: Document, limit: usize) -> Find {
    Find::ordered(index, filter, doc! {"version": 1, "_id": 1}, limit)
}

fn among(owners: &[Bson]) -> Bson {
    match owners {
        [one] => one.clone(),
        many => doc! {"$in": many.to_vec()}.into(),
    }
}

fn after_place(mut filter: Document, place: Place) -> Document {
    let version = to_version(place.version);
    filter.insert("version", doc! {"$gte": version});
    filter.insert("$nor", vec![doc! {"version": version, "_id": {"$lte": place.id}}]);
    filter
}

fn to_version(version: u64) -> Version {
    Version { time: (version >> 32) as u32, increment: version as u32 }
}

fn from_version(version: Version) -> u64 {
    u64::from(version.time) << 32 | u64::from(version.increment)
}

/// How far versions are apart that are given in such a time.
fn in_versions(time: Duration) -> u64 {
    u64::from(u32::try_from(time.as_secs()).unwrap_or(u32::MAX)) << 32
}

/// A time of the server's clock as the first version of its second.
fn version_at(time: bson::DateTime) -> u64 {
    u64::try_from(time.timestamp_millis() / 1_000).unwrap_or_default() << 32
}

impl MongoStore {
    /// What has changed for a user.
    pub(super) async fn find_changes(&self, query: &ChangesQuery) -> Result<Changes> {
        // Before anything is read: what is settled then is in what is read.
        let writing = self.writing_for();
        let now = self.server_time().await?;
        let mut found = Vec::new();
        let user = Bson::from(query.user.as_str());
        let groups = query.groups.iter().map(|group| Bson::from(group.0));
        let owners: Vec<Bson> = std::iter::once(user).chain(groups).collect();
        let is_new = |(place, _): &Found| *place > query.after;
        // The last row of the page before is found again where its version alone is asked for.
        let one_more = query.limit + 1;
        for owners in owners.chunks(super::MAX_RANGES) {
            let messages = changed_messages(owners, query.after, query.limit);
            found.extend(self.find(&messages).await?.iter().filter_map(to_message_change));
            let groups = changed_groups(owners, query.after, one_more);
            let groups = self.find(&groups).await?;
            found.extend(groups.iter().filter_map(to_group_change).filter(is_new));
            found = merged(found, query.limit);
        }
        let cursors = self.find(&changed_cursors(&query.user, query.after, one_more)).await?;
        found.extend(cursors.iter().filter_map(to_cursor_change).filter(is_new));
        let mutes = self.find(&changed_mutes(&query.user, query.after, one_more)).await?;
        found.extend(mutes.iter().filter_map(to_mute_change).filter(is_new));
        Ok(Changes {
            rows: merged(found, query.limit),
            settled: now.saturating_sub(in_versions(OVERLAP + writing)),
            latest: now.saturating_add(in_versions(AHEAD)),
        })
    }

    /// The time of the server that takes writes, as a version.
    async fn server_time(&self) -> Result<u64> {
        let hello = self.read(self.place().await?.database.run_command(doc! {"hello": 1})).await?;
        let time = hello.get_datetime("localTime").map_err(|error| {
            StoreError::Transient(anyhow::Error::from(error).context("the server tells no time"))
        })?;
        Ok(version_at(*time))
    }

    /// Since when a batch is being written.
    fn writing_for(&self) -> Duration {
        self.writing_since.lock().map_or(Duration::ZERO, |since: Instant| since.elapsed())
    }

    /// Notes for those who catch up that users have entered or left a group, and that the group is
    /// another one.
    pub(super) async fn note_members(&self, group: GroupId, users: &[UserId]) -> Result<()> {
        let note = |party: Bson| {
            let id = doc! {"group": group.0, "party": party.clone()};
            let fields = doc! {"party": party, "group": group.0};
            let now = doc! {"version": {"$type": "timestamp"}, "at": {"$type": "date"}};
            let change = doc! {"$set": fields, "$currentDate": now};
            doc! {"q": {"_id": id}, "u": change, "upsert": true}
        };
        let members = users.iter().map(|user| note(user.as_str().into()));
        let statements: Vec<_> = members.chain([note(group.0.into())]).collect();
        self.update(GROUP_CHANGES_LOG, &statements, errors::class_of_upsert).await?;
        Ok(())
    }
}

type Found = (Place, Change);

fn place(row: &RawDocumentBuf, id: ObjectId) -> Option<Place> {
    Some(Place { version: from_version(row.get_timestamp("version").ok()?), id })
}

fn to_message_change(row: &RawDocumentBuf) -> Option<Found> {
    let id = documents::to_id(row)?;
    let change = if documents::is_stub(row) {
        let row = Document::try_from(row).ok()?;
        let at = documents::timestamp(*row.get_datetime("tombstone").ok()?);
        let conversation = to_conversation(row.get_array("parties").ok()?)?;
        Change::Deleted { message: MessageId(id), conversation, at }
    } else {
        Change::Message(Box::new(documents::to_message(row)?))
    };
    Some((place(row, id)?, change))
}

fn to_conversation(parties: &[Bson]) -> Option<Conversation> {
    let user = |party: &Bson| party.as_str().map(UserId::from_stored);
    match parties {
        [Bson::ObjectId(group)] => Some(Conversation::Group(GroupId(*group))),
        [one] => user(one).map(|one| Conversation::direct(one.clone(), one)),
        [a, b] => Some(Conversation::direct(user(a)?, user(b)?)),
        _ => None,
    }
}

fn to_group_change(row: &RawDocumentBuf) -> Option<Found> {
    let group = row.get_object_id("group").ok()?;
    let is_of_user = row.get_str("party").is_ok();
    let change = if is_of_user { Change::Membership } else { Change::Group };
    Some((place(row, group)?, change(GroupId(group))))
}

fn to_cursor_change(row: &RawDocumentBuf) -> Option<Found> {
    let (group, up_to) = to_cursor(row)?;
    Some((place(row, group.0)?, Change::Read { group, up_to }))
}

fn to_mute_change(row: &RawDocumentBuf) -> Option<Found> {
    let (group, until) = mutes::to_mute(row)?;
    Some((place(row, group.0)?, Change::Mute { group, until }))
}

/// A stored read cursor.
pub(super) fn to_cursor(row: &RawDocumentBuf) -> Option<(GroupId, Position)> {
    let group = row.get_document("_id").ok()?.get_object_id("group").ok()?;
    let position = row.get_document("position").ok()?;
    let at: Timestamp = documents::timestamp(position.get_datetime("timestamp").ok()?);
    let message = MessageId(position.get_object_id("message_id").ok()?);
    Some((GroupId(group), (at, message)))
}
