//! Sign-ins. The queries are data, as those in [`queries`](super::queries) are; all of them ask the
//! primary, since who refreshes a token comes right after the one who has done so before.

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, RawBsonRef, RawDocumentBuf, doc};
use mongodb::Collection;

use super::indexes::{SESSION_END, USER_SESSIONS};
use super::queries::Find;
use super::{MongoStore, SESSIONS, documents, errors, reads};
use crate::model::{LoginSession, SecretHash, SessionId, Timestamp, UserId};
use crate::store::Result;

/// One sign-in, live or not.
pub fn session(id: SessionId) -> Find {
    Find::by_id(SESSIONS, id.0)
}

/// The `_id` of a user's live sign-ins, the newest first.
pub fn live_sessions(user: &UserId, now: Timestamp) -> Find {
    Find {
        sort: Some(doc! {"created_at": -1, "_id": -1}),
        projection: Some(doc! {"_id": 1}),
        ..Find::all(USER_SESSIONS, live(of_user(user), now))
    }
}

/// The `_id` and `user` of the sign-ins that were ended at `since` or later and have not expired.
pub fn ended_sessions(since: Timestamp, now: Timestamp) -> Find {
    let filter = doc! {
        "ended_at": {"$gte": documents::date(since)},
        "expires_at": {"$gt": documents::date(now)},
    };
    Find { projection: Some(doc! {"user": 1}), ..Find::all(SESSION_END, filter) }
}

/// All sign-ins of a user, as a filter.
pub fn of_user(user: &UserId) -> Document {
    doc! {"user": user.as_str()}
}

/// Adds to a filter that the sign-in is live ([`LoginSession::is_live`]).
pub fn live(mut filter: Document, now: Timestamp) -> Document {
    filter.insert("ended_at", Bson::Null);
    filter.insert("expires_at", doc! {"$gt": documents::date(now)});
    filter
}

fn end_at(now: Timestamp) -> Document {
    doc! {"$set": {"ended_at": documents::date(now)}}
}

fn from_secret(secret: &SecretHash) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: secret.0.to_vec() }
}

fn from_session(session: &LoginSession) -> Document {
    let mut document = doc! {
        "user": session.user.as_str(),
        "secret": from_secret(&session.secret),
        "rotated_at": documents::date(session.rotated_at),
        "created_at": documents::date(session.created_at),
        "expires_at": documents::date(session.expires_at),
    };
    if let Some(previous) = &session.previous {
        document.insert("previous", from_secret(previous));
    }
    if let Some(ended_at) = session.ended_at {
        document.insert("ended_at", documents::date(ended_at));
    }
    document
}

/// A stored sign-in. One with a field that says something else than this server writes is none: to
/// leave the field out could make it live.
fn to_session(row: &RawDocumentBuf) -> Option<LoginSession> {
    let at = |field| row.get_datetime(field).ok().map(documents::timestamp);
    let secret = |field| {
        let bytes = row.get_binary(field).ok()?.bytes;
        bytes.try_into().ok().map(SecretHash)
    };
    let is_there = |field| !matches!(row.get(field), Ok(None | Some(RawBsonRef::Null)));
    Some(LoginSession {
        id: SessionId(row.get_object_id("_id").ok()?),
        user: UserId::from_stored(row.get_str("user").ok()?),
        secret: secret("secret")?,
        previous: if is_there("previous") { Some(secret("previous")?) } else { None },
        rotated_at: at("rotated_at")?,
        created_at: at("created_at")?,
        expires_at: at("expires_at")?,
        ended_at: if is_there("ended_at") { Some(at("ended_at")?) } else { None },
    })
}

impl MongoStore {
    /// Stores a sign-in, then ends those that are one too many with it. One that is there, of an
    /// earlier try, stays as it is.
    pub(super) async fn sign_in(&self, session: &LoginSession, most: usize) -> Result<()> {
        let statement = doc! {
            "q": {"_id": session.id.0},
            "u": {"$setOnInsert": from_session(session)},
            "upsert": true,
        };
        self.update(SESSIONS, &[statement], errors::class_of_upsert).await?;
        // Of two at once, each may find the other's: all go by one order, so that the same ones
        // end.
        let now = session.created_at;
        let rows = self.find_on_primary(&live_sessions(&session.user, now)).await?;
        let old: Vec<_> = rows.iter().filter_map(documents::to_id).skip(most).collect();
        if !old.is_empty() {
            let filter = doc! {"_id": {"$in": old}, "ended_at": Bson::Null};
            self.write(self.session_rows().await?.update_many(filter, end_at(now))).await?;
        }
        Ok(())
    }

    pub(super) async fn find_session(&self, id: SessionId) -> Result<Option<LoginSession>> {
        let rows = self.find_on_primary(&session(id)).await?;
        Ok(reads::readable(&rows, to_session).pop())
    }

    pub(super) async fn find_live(
        &self,
        user: &UserId,
        now: Timestamp,
    ) -> Result<Vec<LoginSession>> {
        let query = Find { projection: None, ..live_sessions(user, now) };
        Ok(reads::readable(&self.find_on_primary(&query).await?, to_session))
    }

    /// Changes the secret, in one step with the look whether it may be changed.
    pub(super) async fn rotate(
        &self,
        id: SessionId,
        [from, to]: [&SecretHash; 2],
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<bool> {
        let filter = live(doc! {"_id": id.0, "secret": from_secret(from)}, now);
        let change = doc! {"$set": {
            "secret": from_secret(to),
            "previous": from_secret(from),
            "rotated_at": documents::date(now),
            "expires_at": documents::date(expires_at),
        }};
        let rotated = self.write(self.session_rows().await?.update_one(filter, change)).await?;
        Ok(rotated.matched_count > 0)
    }

    pub(super) async fn end_one(&self, id: SessionId, now: Timestamp) -> Result<()> {
        let filter = doc! {"_id": id.0, "ended_at": Bson::Null};
        self.write(self.session_rows().await?.update_one(filter, end_at(now))).await?;
        Ok(())
    }

    pub(super) async fn end_all_of(&self, user: &UserId, now: Timestamp) -> Result<()> {
        let filter = live(of_user(user), now);
        self.write(self.session_rows().await?.update_many(filter, end_at(now))).await?;
        Ok(())
    }

    pub(super) async fn find_ended(
        &self,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<(SessionId, UserId)>> {
        let rows = self.find_on_primary(&ended_sessions(since, now)).await?;
        let ended = |row: &RawDocumentBuf| {
            Some((
                SessionId(documents::to_id(row)?),
                UserId::from_stored(row.get_str("user").ok()?),
            ))
        };
        Ok(reads::readable(&rows, ended))
    }

    /// Removes all sign-ins of a user.
    pub(super) async fn remove_sessions(&self, user: &UserId) -> Result<()> {
        self.write(self.session_rows().await?.delete_many(of_user(user))).await?;
        Ok(())
    }

    async fn session_rows(&self) -> Result<Collection<RawDocumentBuf>> {
        Ok(self.place().await?.database.collection(SESSIONS))
    }
}
