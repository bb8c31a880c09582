//! The list of rooms: the groups that are public, and a user's own.
//!
//! Each kind comes in the order of its own index, and the two are merged here.

use bson::{Document, RawDocumentBuf, doc};

use super::indexes::{Index, MEMBER_GROUPS, PUBLIC_GROUPS};
use super::queries::{self, Count, Find};
use super::reads::readable;
use super::{GROUPS, MongoStore, documents};
use crate::model::{GroupId, Room, Timestamp, UserId};
use crate::store::{Result, rooms};

/// Where a group stands in a list: when it was made, and its id.
type Place = (Timestamp, GroupId);

/// The public groups with `member_count` and `is_member`, without their members, newest first.
pub fn public_rooms(viewer: &UserId, before: Option<Place>, limit: usize) -> Count {
    page(PUBLIC_GROUPS, doc! {"is_public": true}, viewer, before, limit)
}

/// The same of the groups that a user is in.
pub fn rooms_of(viewer: &UserId, before: Option<Place>, limit: usize) -> Count {
    page(MEMBER_GROUPS, doc! {"member_ids": viewer.as_str()}, viewer, before, limit)
}

fn page(
    index: Index,
    mut filter: Document,
    viewer: &UserId,
    before: Option<Place>,
    limit: usize,
) -> Count {
    if let Some((at, id)) = before {
        let at = documents::date(at);
        filter.insert("created_at", doc! {"$lte": at});
        queries::leave_out(&mut filter, vec![doc! {"created_at": at, "_id": {"$gte": id.0}}]);
    }
    let all = all_members();
    let seen = doc! {
        "member_count": {"$size": all.clone()},
        "is_member": {"$in": [{"$literal": viewer.as_str()}, all]},
        "member_ids": [],
    };
    Count {
        collection: GROUPS,
        pipeline: vec![
            doc! {"$match": filter},
            doc! {"$sort": newest_first()},
            doc! {"$limit": i64::try_from(limit).unwrap_or(i64::MAX)},
            doc! {"$set": seen},
        ],
        hint: index.keys(),
    }
}

/// Public groups whose name contains a text, newest first: their names are looked at until there
/// are enough.
pub fn public_groups_named(text: &str, limit: usize) -> Find {
    let filter = doc! {"is_public": true, "name": queries::name_with(text)};
    Find::ordered(PUBLIC_GROUPS, filter, newest_first(), limit)
}

/// The members of a group in an expression; none, where the field is no list.
pub(super) fn all_members() -> Document {
    doc! {"$cond": [{"$isArray": "$member_ids"}, "$member_ids", []]}
}

fn newest_first() -> Document {
    doc! {"created_at": -1, "_id": -1}
}

impl MongoStore {
    pub(super) async fn find_rooms(
        &self,
        viewer: &UserId,
        before: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Room>> {
        // The server takes no limit of 0.
        if limit == 0 {
            return Ok(Vec::new());
        }
        let public = self.aggregate(public_rooms(viewer, before, limit)).await?;
        let own = self.aggregate(rooms_of(viewer, before, limit)).await?;
        let (own, public) = (readable(&own, to_room), readable(&public, to_room));
        Ok(rooms::newest(own, public, |room| &room.group, limit))
    }
}

fn to_room(row: &RawDocumentBuf) -> Option<Room> {
    let count = row.get_i32("member_count").ok()?;
    Some(Room {
        group: documents::to_group(row)?,
        member_count: usize::try_from(count).ok()?,
        is_member: row.get_bool("is_member").ok()?,
    })
}
