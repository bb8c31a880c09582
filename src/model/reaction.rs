//! Reactions, pins and earlier contents: what users attach to a message.

use serde::{Deserialize, Serialize};

use std::fmt;
use std::sync::Arc;

use unicode_properties::UnicodeEmoji;
use unicode_segmentation::UnicodeSegmentation;

use super::{Content, Timestamp, UserId};

/// Why a text is no emoji; the text is meant for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an emoji is one character of Unicode's emoji, in at most {} bytes", Emoji::MAX_BYTES)]
pub struct InvalidEmoji;

/// One emoji, with whatever modifiers and joined parts make up its picture.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Emoji(Arc<str>);

impl Emoji {
    /// Longest emoji, in bytes of UTF-8: a family of four with skin tones has 41.
    pub const MAX_BYTES: usize = 64;

    /// Checks a text from outside.
    pub fn parse(text: &str) -> Result<Self, InvalidEmoji> {
        let mut clusters = text.graphemes(true);
        let is_one =
            text.len() <= Self::MAX_BYTES && clusters.next().is_some() && clusters.next().is_none();
        // A digit alone counts as an emoji to Unicode; with the keycap around it, it is a picture.
        let is_picture = !text.is_ascii();
        if is_one && is_picture && text.starts_with(|c: char| c.is_emoji_char()) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidEmoji)
        }
    }

    /// Takes a text that a store already holds.
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The emoji as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Emoji {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// One user's emoji on a message; each user has each emoji once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reaction {
    /// Who.
    pub user: UserId,
    /// With what.
    pub emoji: Emoji,
}

/// The last word on whether a message is pinned in its conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Whether it is pinned.
    pub pinned: bool,
    /// Who pinned or unpinned it.
    pub by: UserId,
    /// When. A store that has a later word keeps that one.
    pub at: Timestamp,
}

/// What a message said before it was edited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// What it said.
    pub content: Content,
    /// Since when it said so.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emoji_is_one_picture() {
        for good in [
            "👍",
            "👍🏽",
            "❤️",
            "👩‍👩‍👧‍👦",
            "🇨🇭",
            "1️⃣",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
        ] {
            assert_eq!(
                Emoji::parse(good).map(|emoji| emoji.as_str().to_owned()).as_deref(),
                Ok(good)
            );
        }
        for bad in ["", "a", "1", "👍👍", "ok", " ", "👍 ", "é", "漢", "$", "\0", "#"] {
            assert_eq!(Emoji::parse(bad), Err(InvalidEmoji), "{bad:?}");
        }
        assert_eq!(Emoji::parse(&format!("👍{}", "\u{1f3fd}".repeat(20))), Err(InvalidEmoji));
    }
}
