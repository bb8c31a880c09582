//! The indexes: the old server's, which stay as they are, and those that serve our queries.

use std::time::Duration;

use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
use mongodb::options::IndexOptions;
use mongodb::{Collection, IndexModel};

use super::{
    ACCOUNTS, BLOCKS, CLAIMS, GROUP_CHANGES_LOG, GROUPS, INVITATIONS, MESSAGES, MUTES, MongoStore,
    READ_CURSORS, REVOCATIONS, SEARCH, SESSIONS, claims, errors, privacy,
};
use crate::store::{Result, TOMBSTONE_LIFE};

/// An index that the store wants.
#[derive(Debug, Clone, Copy)]
pub struct Index {
    /// The collection it is on.
    pub collection: &'static str,
    /// Its name, unless the database has it under another one.
    pub name: &'static str,
    keys: &'static [(&'static str, i32)],
    kind: Kind,
}

/// What an index does beside finding documents.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Nothing; every document is in it.
    Plain,
    /// It refuses a second document with the same keys; every document is in it.
    Unique,
    /// It refuses a second document with the same keys. In it are those documents in which this
    /// field is a text.
    UniqueWhereText(&'static str),
    /// In it are those documents that have one of its fields.
    WhereThere,
    /// In it are those documents that this filter finds, which is part of every query it serves.
    Only(fn() -> Document),
    /// It lets a document go this long after the date in its one field. In it are those documents
    /// that have the field.
    Expiring(Duration),
}

/// An index that lets a document go so long after the date in its one field.
pub(super) const fn expiring(
    collection: &'static str,
    name: &'static str,
    keys: &'static [(&'static str, i32)],
    life: Duration,
) -> Index {
    Index { kind: Kind::Expiring(life), ..index(collection, name, keys) }
}

impl Index {
    /// Its fields and their directions (1 or -1), in order.
    pub fn keys(&self) -> Document {
        self.keys.iter().map(|(field, order)| ((*field).to_owned(), Bson::Int32(*order))).collect()
    }
}

pub(super) const fn index(
    collection: &'static str,
    name: &'static str,
    keys: &'static [(&'static str, i32)],
) -> Index {
    Index { collection, name, keys, kind: Kind::Plain }
}

/// A direct conversation in order, each direction by itself.
pub const DIRECT_ORDER: Index = index(
    MESSAGES,
    "direct_order",
    &[("from_user_id", 1), ("to_user_id", 1), ("timestamp", -1), ("_id", -1)],
);
/// A group's conversation in order.
pub const GROUP_ORDER: Index =
    index(MESSAGES, "group_order", &[("group_id", 1), ("timestamp", -1), ("_id", -1)]);
/// Direct messages to a user by sender, in order.
pub const DIRECT_RECEIVED: Index = index(
    MESSAGES,
    "direct_received",
    &[("to_user_id", 1), ("from_user_id", 1), ("timestamp", -1), ("_id", -1)],
);
/// Direct messages to a user by status, and by sender.
pub const DIRECT_UNREAD: Index =
    index(MESSAGES, "direct_unread", &[("to_user_id", 1), ("status", 1), ("from_user_id", 1)]);
/// Messages by the old server's `id`.
pub const MESSAGE_ID: Index = index(MESSAGES, "message_id", &[("id", 1)]);
/// Messages, and stubs of deleted ones, by what their sender's client has named them.
pub const CLIENT_ID: Index = Index {
    kind: Kind::UniqueWhereText("client_id"),
    ..index(MESSAGES, "message_client_id", &[("from_user_id", 1), ("client_id", 1)])
};
/// The stubs of deleted messages, which go by themselves when they are old.
pub const TOMBSTONE: Index =
    expiring(MESSAGES, "message_tombstone", &[("tombstone", 1)], TOMBSTONE_LIFE);
/// Messages, and stubs of deleted ones, by whose they are and when they were last changed.
pub const MESSAGE_CHANGES: Index = Index {
    kind: Kind::WhereThere,
    ..index(MESSAGES, "message_changes", &[("parties", 1), ("version", 1), ("_id", 1)])
};
/// The replies to a message, in order.
pub const REPLIES: Index = Index {
    kind: Kind::Only(|| doc! {"reply_to": {"$exists": true}}),
    ..index(MESSAGES, "message_replies", &[("reply_to", 1), ("timestamp", -1), ("_id", -1)])
};
/// The pinned messages of a direct conversation, each direction by itself.
pub const DIRECT_PINS: Index = Index {
    kind: Kind::Only(pinned),
    ..index(
        MESSAGES,
        "direct_pins",
        &[("from_user_id", 1), ("to_user_id", 1), ("pin.at", -1), ("_id", -1)],
    )
};
/// The pinned messages of a group.
pub const GROUP_PINS: Index = Index {
    kind: Kind::Only(pinned),
    ..index(MESSAGES, "group_pins", &[("group_id", 1), ("pin.at", -1), ("_id", -1)])
};
/// Messages by the files that they name.
pub const MEDIA: Index = Index {
    kind: Kind::Only(|| where_text("media_url")),
    ..index(MESSAGES, "message_media", &[("media_url", 1)])
};
/// Read cursors by when they were last moved.
pub const CURSOR_CHANGES: Index =
    index(READ_CURSORS, "cursor_changes", &[("user", 1), ("version", 1), ("_id", 1)]);
/// Read cursors of a group, in order.
pub const CURSOR_PLACES: Index =
    index(READ_CURSORS, "cursor_places", &[("_id.group", 1), ("position", -1)]);
/// Whom a user has blocked, the last one first.
pub const USER_BLOCKS: Index =
    index(BLOCKS, "user_blocks", &[("user", 1), ("at", -1), ("other", -1)]);
/// Who has entered or left which group, and which groups are others, by when that was.
pub const GROUP_CHANGES: Index =
    index(GROUP_CHANGES_LOG, "group_changes", &[("party", 1), ("version", 1), ("_id", 1)]);
/// Nobody catches up on what is longer ago than the stubs of deleted messages last.
const GROUP_CHANGE_TIME: Index =
    expiring(GROUP_CHANGES_LOG, "group_change_time", &[("at", 1)], TOMBSTONE_LIFE);
/// The groups of a user, newest first.
pub const MEMBER_GROUPS: Index =
    index(GROUPS, "member_groups", &[("member_ids", 1), ("created_at", -1), ("_id", -1)]);
/// The groups that everybody may see, newest first.
pub const PUBLIC_GROUPS: Index = Index {
    kind: Kind::Only(|| doc! {"is_public": true}),
    ..index(GROUPS, "public_groups", &[("created_at", -1), ("_id", -1)])
};
/// Groups by name.
pub const GROUP_NAME: Index = index(GROUPS, "group_name", &[("name", 1)]);
/// The invitations into a group, the newest first.
pub const GROUP_INVITATIONS: Index =
    index(INVITATIONS, "group_invitations", &[("group_id", 1), ("created_at", -1), ("_id", -1)]);
/// For a while it can be told of an invitation that has ended whose it was.
const INVITATION_END: Index =
    expiring(INVITATIONS, "invitation_end", &[("expires_at", 1)], TOMBSTONE_LIFE);
/// What a user has muted and unmuted, by when that was.
pub const MUTE_CHANGES: Index =
    index(MUTES, "mute_changes", &[("user", 1), ("version", 1), ("_id", 1)]);
/// Accounts by name, one of each, in any case.
pub const ACCOUNT_USERNAME: Index =
    Index { kind: Kind::Unique, ..index(ACCOUNTS, "account_username", &[("username_key", 1)]) };
/// Accounts by address, one of each, in any case.
pub const ACCOUNT_EMAIL: Index =
    Index { kind: Kind::Unique, ..index(ACCOUNTS, "account_email", &[("email_key", 1)]) };
/// The sign-ins of a user, the newest first.
pub const USER_SESSIONS: Index =
    index(SESSIONS, "user_sessions", &[("user", 1), ("created_at", -1), ("_id", -1)]);
/// The sign-ins that were ended, by when that was.
pub const SESSION_END: Index = Index {
    kind: Kind::Only(|| doc! {"ended_at": {"$exists": true}}),
    ..index(SESSIONS, "session_end", &[("ended_at", 1), ("expires_at", 1), ("_id", 1), ("user", 1)])
};
/// Ended or not, a sign-in goes when it expires.
const SESSION_EXPIRY: Index =
    expiring(SESSIONS, "session_expiry", &[("expires_at", 1)], Duration::ZERO);
/// The users that are banned.
pub const BANNED: Index = Index {
    kind: Kind::Only(|| doc! {"banned": true}),
    ..index(REVOCATIONS, "banned", &[("banned", 1)])
};
/// Revocations by their time.
pub const REVOCATION_TIME: Index = index(REVOCATIONS, "revocation_time", &[("void_until", 1)]);
/// A revocation that is no ban goes at the time that it names.
const REVOCATION_EXPIRY: Index =
    expiring(REVOCATIONS, "revocation_expiry", &[("forget_at", 1)], Duration::ZERO);
/// Messages by the words that a party may search for.
pub const SEARCH_KEYS: Index = index(SEARCH, "search_keys", &[("keys", 1)]);
/// What is filed of a party in order.
pub const SEARCH_ORDER: Index =
    index(SEARCH, "search_order", &[("parties", 1), ("timestamp", -1), ("_id", -1)]);

/// Every index that [`crate::store::Store::prepare`] makes: the old server's eight, then ours.
pub const ALL: [Index; 40] = [
    index(MESSAGES, "user_messages", &[("from_user_id", 1), ("to_user_id", 1)]),
    index(MESSAGES, "group_messages", &[("group_id", 1)]),
    index(MESSAGES, "message_timestamp", &[("timestamp", -1)]),
    index(MESSAGES, "message_type_status", &[("type", 1), ("status", 1)]),
    index(MESSAGES, "message_read_by", &[("read_by", 1)]),
    index(GROUPS, "group_members", &[("member_ids", 1)]),
    index(GROUPS, "group_creation_time", &[("created_at", -1)]),
    GROUP_NAME,
    DIRECT_ORDER,
    GROUP_ORDER,
    DIRECT_RECEIVED,
    DIRECT_UNREAD,
    MESSAGE_ID,
    CLIENT_ID,
    TOMBSTONE,
    MESSAGE_CHANGES,
    REPLIES,
    DIRECT_PINS,
    GROUP_PINS,
    MEDIA,
    CURSOR_CHANGES,
    CURSOR_PLACES,
    USER_BLOCKS,
    GROUP_CHANGES,
    GROUP_CHANGE_TIME,
    MEMBER_GROUPS,
    PUBLIC_GROUPS,
    GROUP_INVITATIONS,
    INVITATION_END,
    MUTE_CHANGES,
    ACCOUNT_USERNAME,
    ACCOUNT_EMAIL,
    USER_SESSIONS,
    SESSION_END,
    SESSION_EXPIRY,
    BANNED,
    REVOCATION_TIME,
    REVOCATION_EXPIRY,
    SEARCH_KEYS,
    SEARCH_ORDER,
];

/// These, and those for the sake of one user's privacy.
fn all() -> impl Iterator<Item = &'static Index> {
    ALL.iter().chain(&privacy::INDEXES).chain([&claims::CLAIM_TIME])
}

impl Kind {
    fn options(self, name: &str) -> IndexOptions {
        let options = IndexOptions::builder().name(name.to_owned());
        match self {
            Self::Plain => options.build(),
            Self::Unique => options.unique(true).build(),
            Self::UniqueWhereText(field) => {
                options.unique(true).partial_filter_expression(where_text(field)).build()
            }
            Self::WhereThere => options.sparse(true).build(),
            Self::Only(filter) => options.partial_filter_expression(filter()).build(),
            Self::Expiring(life) => options.sparse(true).expire_after(life).build(),
        }
    }

    /// Whether an index with these options does the same. One that leaves documents out, or
    /// compares texts by another rule, does not. How soon documents go is the operator's choice.
    fn is_served_with(self, found: &IndexOptions) -> bool {
        let only = found.partial_filter_expression.as_ref();
        let kind_fits = match self {
            Self::Plain => found.sparse != Some(true) && only.is_none(),
            Self::Unique => {
                found.unique == Some(true) && found.sparse != Some(true) && only.is_none()
            }
            Self::UniqueWhereText(field) => {
                found.unique == Some(true) && only == Some(&where_text(field))
            }
            Self::WhereThere => found.sparse == Some(true) && only.is_none(),
            Self::Only(filter) => only == Some(&filter()),
            Self::Expiring(_) => found.expire_after.is_some() && only.is_none(),
        };
        kind_fits && found.collation.is_none()
    }
}

fn where_text(field: &str) -> Document {
    doc! {field: {"$type": "string"}}
}

fn pinned() -> Document {
    doc! {"pin.pinned": true}
}

impl MongoStore {
    /// Makes the indexes that are not there. One at a time, and without the limit of other calls:
    /// on a large collection each takes a while, during which reads and writes go on.
    pub(super) async fn make_indexes(&self) -> Result<()> {
        let place = self.place().await?;
        let ours = [
            READ_CURSORS,
            GROUP_CHANGES_LOG,
            BLOCKS,
            INVITATIONS,
            MUTES,
            ACCOUNTS,
            SESSIONS,
            REVOCATIONS,
            SEARCH,
            CLAIMS,
        ]
        .map(|name| place.database.collection(name));
        for collection in [&place.messages, &place.groups].into_iter().chain(&ours) {
            self.make_missing(collection).await?;
        }
        Ok(())
    }

    pub(super) async fn make_missing(
        &self,
        collection: &Collection<bson::RawDocumentBuf>,
    ) -> Result<()> {
        let present = self.present(collection).await?;
        for wanted in all().filter(|index| index.collection == collection.name()) {
            if !is_there(wanted, &present) {
                make(wanted, collection).await?;
            }
        }
        Ok(())
    }

    /// The indexes of a collection; none where the collection is not there.
    pub(super) async fn present(
        &self,
        collection: &Collection<bson::RawDocumentBuf>,
    ) -> Result<Vec<IndexModel>> {
        let listing = async { collection.list_indexes().await?.try_collect().await };
        match self.timed(super::READ_LIMIT, listing).await? {
            Err(error) if errors::is_missing_collection(&error) => Ok(Vec::new()),
            listed => listed.map_err(errors::classify),
        }
    }
}

/// Whether one of these indexes serves as the wanted one.
pub(super) fn is_there(wanted: &Index, present: &[IndexModel]) -> bool {
    let same = |index: &&IndexModel| {
        let options = index.options.clone().unwrap_or_default();
        fields(index) == wanted.keys && wanted.kind.is_served_with(&options)
    };
    let Some(found) = present.iter().find(same) else {
        return false;
    };
    let name = found.options.as_ref().and_then(|options| options.name.as_deref());
    if name != Some(wanted.name) {
        tracing::debug!(wanted = wanted.name, found = name, "the index has another name");
    }
    true
}

async fn make(wanted: &Index, collection: &Collection<bson::RawDocumentBuf>) -> Result<()> {
    let options = wanted.kind.options(wanted.name);
    let model = IndexModel::builder().keys(wanted.keys()).options(options).build();
    match collection.create_index(model).await {
        Ok(_) => Ok(()),
        // What is there stays. Queries find another way, slower perhaps.
        Err(error) if errors::is_index_conflict(&error) => {
            tracing::warn!(
                collection = wanted.collection,
                index = wanted.name,
                %error,
                "an index is not made: another one, or documents that share a key, are in the way"
            );
            Ok(())
        }
        Err(error) => Err(errors::classify(error)),
    }
}

/// An index's fields and directions. Other kinds of keys (`text`) count as ascending; a direction
/// may be stored as any type of number.
pub(super) fn fields(index: &IndexModel) -> Vec<(&str, i32)> {
    let descends = |order: &Bson| match order {
        Bson::Int32(order) => *order < 0,
        Bson::Int64(order) => *order < 0,
        Bson::Double(order) => *order < 0.0,
        _ => false,
    };
    let direction = |order| if descends(order) { -1 } else { 1 };
    index.keys.iter().map(|(field, order)| (field.as_str(), direction(order))).collect()
}
