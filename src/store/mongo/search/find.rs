//! Looks for messages in the index.
//!
//! The viewer's messages are looked at in order, newest first: where the words are common, enough
//! of the first few hundred fit. Where that is not so, a word that few of the messages have leads
//! to all of these. Where there is no such word, the look goes on in order. Each way has a bound,
//! so that no search takes long: one that comes to the end of it says how far it has looked.

use bson::RawDocument;

use super::super::queries::group_ids_of;
use super::super::reads::readable;
use super::super::{MongoStore, documents};
use super::queries::{self, Slice};
use crate::model::{GroupId, Message, MessageId, Position};
use crate::store::search::MAX_GROUPS;
use crate::store::{Hits, Result, SearchQuery};

/// Messages of the slices that are looked at first. To look at one takes about 15 µs.
const FIRST_SLICES: [usize; 2] = [128, 512];
/// Words that are tried for being rare, the longest first.
const TRIED: usize = 2;
/// A word is rare where at most so many of the viewer's messages have it.
const RARE: usize = 3_000;
/// Messages of the slices that are looked at where no word is rare.
const LAST_SLICES: [usize; 2] = [2_048, 4_096];
/// Candidates that are read beyond those that are wanted: some may be hidden.
const SPARE: usize = 4;
/// Candidates that are read at once at the most.
const LONGEST_LOOK: usize = 1_024;
/// Parties of one query to the server; who is in more groups is asked for several times.
const PARTIES_AT_ONCE: usize = 50;

/// A search on its way.
struct Search<'a> {
    query: &'a SearchQuery,
    groups: Vec<GroupId>,
    /// See [`SearchQuery::parties`].
    parties: Vec<String>,
    /// Everything from this place on has been looked at.
    before: Option<Position>,
    found: Vec<Message>,
}

impl Search<'_> {
    fn has_enough(&self) -> bool {
        self.found.len() >= self.query.limit
    }
}

impl MongoStore {
    pub(in super::super) async fn find_fitting(&self, query: &SearchQuery) -> Result<Hits> {
        let groups = self.find_group_ids(&group_ids_of(&query.viewer, MAX_GROUPS)).await?;
        let parties = query.parties(&groups);
        let mut search = Search { query, groups, parties, before: query.before, found: Vec::new() };
        let is_done = search.parties.is_empty()
            || self.walk(&mut search, &FIRST_SLICES).await?
            || self.by_rare_word(&mut search).await?
            || self.walk(&mut search, &LAST_SLICES).await?;
        let stopped_at = if is_done { None } else { search.before };
        Ok(Hits { messages: search.found, stopped_at })
    }

    /// Looks at slices of the parties' messages, newest first; whether the search is done.
    async fn walk(&self, search: &mut Search<'_>, slices: &[usize]) -> Result<bool> {
        for size in slices {
            let slice =
                Slice { before: search.before, from: self.nth_newest(search, *size).await? };
            let places = self.candidates_in(search, slice).await?;
            self.take_fitting(search, &places).await?;
            if slice.from.is_none() || search.has_enough() {
                return Ok(true);
            }
            search.before = slice.from;
        }
        Ok(false)
    }

    /// Looks at all that have a rare word; whether there is one.
    async fn by_rare_word(&self, search: &mut Search<'_>) -> Result<bool> {
        for word in 0..search.query.words.keys("").len().min(TRIED) {
            if let Some(places) = self.candidates(search, word).await? {
                self.take_fitting(search, &places).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The places of all candidates, newest first, found by one word; none where that word is not
    /// rare.
    async fn candidates(&self, search: &Search<'_>, word: usize) -> Result<Option<Vec<Position>>> {
        let (mut places, mut found) = (Vec::new(), 0);
        for parties in search.parties.chunks(PARTIES_AT_ONCE) {
            let (query, before) = (search.query, search.before);
            let candidates = queries::candidates(query, parties, before, word, RARE + 1);
            let answers = self.aggregate(candidates).await?;
            for answer in &answers {
                let count = rows_of(answer, "found").find_map(|row| row.get_i32("n").ok());
                found += usize::try_from(count.unwrap_or(0)).unwrap_or(0);
                places.extend(rows_of(answer, "candidates").filter_map(to_place));
            }
            if found > RARE {
                return Ok(None);
            }
        }
        places.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Some(places))
    }

    /// The place of the nth newest of all messages of the parties; none where there are fewer.
    /// Parties that are asked for apart may have as many each.
    async fn nth_newest(&self, search: &Search<'_>, n: usize) -> Result<Option<Position>> {
        let mut nth = None;
        for parties in search.parties.chunks(PARTIES_AT_ONCE) {
            let nth_newest = queries::nth_newest(search.query, parties, search.before, n);
            let rows = self.aggregate(nth_newest).await?;
            nth = nth.max(rows.first().and_then(|row| to_place(row)));
        }
        Ok(nth)
    }

    /// The places of the candidates in a slice of the parties' messages, newest first.
    async fn candidates_in(&self, search: &Search<'_>, slice: Slice) -> Result<Vec<Position>> {
        let mut places = Vec::new();
        for parties in search.parties.chunks(PARTIES_AT_ONCE) {
            let rows = self.find(&queries::candidates_in(search.query, parties, slice)).await?;
            places.extend(rows.iter().filter_map(|row| to_place(row)));
        }
        places.sort_unstable_by(|a, b| b.cmp(a));
        Ok(places)
    }

    /// Reads candidates, newest first, until enough messages fit.
    async fn take_fitting(&self, search: &mut Search<'_>, mut places: &[Position]) -> Result<()> {
        let mut look = search.query.limit + SPARE;
        while !places.is_empty() && !search.has_enough() {
            let (next, rest) = places.split_at(look.min(places.len()));
            let mut messages = self.messages(next).await?;
            messages.retain(|message| search.query.admits(&search.groups, message));
            search.found.append(&mut messages);
            (places, look) = (rest, (look * 4).min(LONGEST_LOOK));
        }
        search.found.truncate(search.query.limit);
        Ok(())
    }

    /// Messages in the order of their places, without those that are gone.
    async fn messages(&self, places: &[Position]) -> Result<Vec<Message>> {
        let ids = places.iter().map(|(_, id)| id.0.into()).collect();
        let mut rows = self.find(&queries::messages_by_id(ids)).await?;
        rows.retain(|row| !documents::is_stub(row));
        let mut messages = readable(&rows, documents::to_message);
        messages.sort_by_key(|message| std::cmp::Reverse(message.position()));
        Ok(messages)
    }
}

/// The rows of one facet of an answer.
fn rows_of<'a>(answer: &'a RawDocument, facet: &str) -> impl Iterator<Item = &'a RawDocument> {
    let rows = answer.get_array(facet).ok().into_iter().flatten();
    rows.filter_map(|row| row.ok()?.as_document())
}

fn to_place(row: &RawDocument) -> Option<Position> {
    let at = documents::timestamp(row.get_datetime("timestamp").ok()?);
    Some((at, MessageId(row.get_object_id("_id").ok()?)))
}
