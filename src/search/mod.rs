//! What searching means, for every store alike: the words of a text and of a query, the keys under
//! which an index files a message, whether a message fits, and the excerpt that shows why.
//!
//! A **key** is one word in the sight of one party: `<party><word>`, where the party is a user of a
//! direct conversation or a group, as 16 hexadecimal digits of a hash. So the hits of a word that
//! everybody uses are never read for somebody who may see few of them: an index is asked for the
//! keys that begin with a party and a beginning of a word. Further keys name the parties, the
//! sender and the conversation.
//!
//! Keys lead to **candidates** alone. Words are cut short in them, hashes may meet, and runs of
//! scripts without spaces are filed by pairs of characters. What is answered has passed
//! [`Words::fit`] and the store's own look at who may see it, so an index may hold too much, never
//! too little.

mod excerpt;
mod fold;

use std::collections::HashSet;

use crate::model::{Content, Conversation, Message, Target, UserId};

pub use excerpt::excerpt;
use fold::{Word, words};

/// Characters of a word that are part of its key.
const KEY_CHARS: usize = 32;
/// Different keys of a message's words, for each party. A message with more different words is
/// found by the first of them.
const MAX_KEYS: usize = 1_000;
/// Keys of a query's run without spaces that an index is asked for.
const RUN_KEYS: usize = 4;

/// Why a text is nothing to search for; the text is meant for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWords {
    /// Too short or too long.
    #[error("1 to {max} bytes", max = Words::MAX_BYTES)]
    Size,
    /// There is no letter and no digit in it.
    #[error("at least one word of letters or digits")]
    None,
    /// There are too many words.
    #[error("{max} words at the most", max = Words::MAX)]
    TooMany,
}

/// What is searched for: beginnings of words, all of which have to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(Vec<Word>);

impl Words {
    /// Most words.
    pub const MAX: usize = 8;
    /// Longest text, in bytes.
    pub const MAX_BYTES: usize = 256;

    /// Reads what a client searches for. No sign in it means anything.
    ///
    /// # Errors
    /// It is empty, too long, has no word or too many.
    pub fn parse(text: &str) -> Result<Self, InvalidWords> {
        if !(1..=Self::MAX_BYTES).contains(&text.len()) {
            return Err(InvalidWords::Size);
        }
        let words = words(text);
        match words.len() {
            0 => Err(InvalidWords::None),
            1..=Self::MAX => Ok(Self(words)),
            _ => Err(InvalidWords::TooMany),
        }
    }

    /// The beginnings of keys that a message has to have under one party, longest first.
    pub fn keys(&self, party: &str) -> Vec<String> {
        let mut beginnings: Vec<String> = self.0.iter().flat_map(query_keys).collect();
        beginnings.sort_by_key(|key| std::cmp::Reverse(key.len()));
        beginnings.dedup();
        beginnings.into_iter().map(|key| format!("{party}{key}")).collect()
    }

    /// Whether each word is the beginning of one in the content, or, in a script without spaces, a
    /// part of a run.
    pub fn fit(&self, content: &Content) -> bool {
        let text: Vec<Word> = texts(content).flat_map(words).collect();
        self.0.iter().all(|wanted| text.iter().any(|word| find(wanted, word).is_some()))
    }

    /// How well a message fits, to be compared: words that are there as a whole, then how early
    /// the first hit is.
    pub fn score(&self, content: &Content) -> (usize, std::cmp::Reverse<usize>) {
        let text: Vec<Word> = texts(content).flat_map(words).collect();
        let whole = |wanted: &&Word| text.iter().any(|word| word.folded == wanted.folded);
        let hits = |word: &Word| self.0.iter().any(|wanted| find(wanted, word).is_some());
        let first = text.iter().position(hits).unwrap_or(usize::MAX);
        (self.0.iter().filter(whole).count(), std::cmp::Reverse(first))
    }
}

/// Where a wanted word is in a word of a text, in characters.
fn find(wanted: &Word, word: &Word) -> Option<usize> {
    if !word.is_unspaced {
        return word.folded.starts_with(&wanted.folded).then_some(0);
    }
    let at = word.folded.find(&wanted.folded)?;
    Some(word.folded[..at].chars().count())
}

/// The keys that lead to a wanted word.
fn query_keys(wanted: &Word) -> Vec<String> {
    if wanted.is_unspaced { pairs(wanted, RUN_KEYS, false) } else { vec![cut(wanted)] }
}

fn cut(word: &Word) -> String {
    word.folded.chars().take(KEY_CHARS).collect()
}

/// The overlapping pairs of characters of a run; with `tail` (as it is filed) also the last
/// character alone, so that every single one begins a key.
fn pairs(run: &Word, most: usize, tail: bool) -> Vec<String> {
    let characters: Vec<char> = run.folded.chars().collect();
    let pairs = characters.windows(2).map(|pair| pair.iter().collect());
    let last = characters.last().filter(|_| tail || characters.len() == 1);
    pairs.chain(last.map(char::to_string)).take(most).collect()
}

/// The texts of a content in which words are looked for: a plain text, and of an object the fields
/// `text` and `caption` where they are texts.
fn texts(content: &Content) -> impl Iterator<Item = &str> {
    let (plain, object) = match content {
        Content::Text(text) => (Some(text.as_str()), None),
        Content::Object(object) => (None, Some(object)),
    };
    let fields = ["text", "caption"].into_iter();
    plain.into_iter().chain(fields.filter_map(move |field| object?.get(field)?.as_str()))
}

/// The keys of a message's words, for each of its parties; none for one without words.
pub fn keys(message: &Message) -> Vec<String> {
    let mut seen = HashSet::new();
    for word in texts(&message.content).flat_map(words) {
        if seen.len() >= MAX_KEYS {
            break;
        }
        if word.is_unspaced {
            seen.extend(pairs(&word, MAX_KEYS, true));
        } else {
            seen.insert(cut(&word));
        }
    }
    let parties = parties(message);
    let of_party = |party: &String| seen.iter().map(|key| format!("{party}{key}")).collect();
    parties.iter().flat_map::<Vec<String>, _>(of_party).collect()
}

/// The further keys of a message: its parties, its sender, its conversation.
pub fn further_keys(message: &Message) -> Vec<String> {
    let mut keys = parties(message);
    keys.push(sender_key(&message.from));
    keys.push(conversation_key(&message.conversation()));
    keys
}

fn parties(message: &Message) -> Vec<String> {
    match &message.target {
        Target::Group(_) => vec![conversation_party(&message.conversation())],
        Target::User(to) if *to == message.from => vec![user_party(to)],
        Target::User(to) => vec![user_party(&message.from), user_party(to)],
    }
}

/// A user as a party of direct messages.
pub fn user_party(user: &UserId) -> String {
    format!("{:016x}", hash("user", [user.as_str()]))
}

/// A conversation as a party: a group's messages are filed under it.
pub fn conversation_party(conversation: &Conversation) -> String {
    let hash = match conversation {
        Conversation::Direct(low, high) => hash("direct", [low.as_str(), high.as_str()]),
        Conversation::Group(group) => hash("group", [group.to_string().as_str()]),
    };
    format!("{hash:016x}")
}

/// The key of all messages from one user.
pub fn sender_key(user: &UserId) -> String {
    format!("y{}", user_party(user))
}

/// The key of all messages of one conversation.
pub fn conversation_key(conversation: &Conversation) -> String {
    format!("x{}", conversation_party(conversation))
}

/// FNV-1a in 64 bits (<https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>), of parts that
/// are kept apart. What it answers is stored: it must never change.
fn hash<const N: usize>(kind: &str, parts: [&str; N]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut take = |text: &str| {
        for byte in text.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    take(kind);
    parts.into_iter().for_each(&mut take);
    hash
}

#[cfg(test)]
mod tests;
