//! What is kept of one user, and a user's end.

use rand::TryRng;
use rand::rngs::{SysError, SysRng};

use super::{
    Account, Block, Group, GroupId, Invitation, LoginSession, Message, Position, Presence, Role,
    Target, Timestamp, Until, UserId,
};

/// One thing that is kept of a user.
#[derive(Debug, Clone, PartialEq)]
pub enum Kept {
    /// The account.
    Account(Account),
    /// A sign-in.
    Session(LoginSession),
    /// When the user was last there.
    Presence(Presence),
    /// Somebody whom the user has blocked.
    Block(Block),
    /// A group that the user has muted.
    Mute(GroupId, Until),
    /// A group, without its members, and what the user is in it.
    Group(Box<Group>, Role),
    /// How far the user has read in a group.
    Cursor(GroupId, Position),
    /// An invitation that the user has made.
    Invitation(Invitation),
    /// A message that the user has sent.
    Sent(Box<Message>),
    /// A direct message to the user.
    Received(Box<Message>),
}

/// What is kept of a user apart from messages, groups and accounts, and is not found otherwise.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Traces {
    /// How far the user has read in groups.
    pub cursors: Vec<(GroupId, Position)>,
    /// Invitations that the user has made and that are still stored, the newest first.
    pub invitations: Vec<Invitation>,
}

/// A user's end that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Who.
    pub user: UserId,
    /// What stands in the user's place from then on.
    pub alias: UserId,
    /// When it began.
    pub begun_at: Timestamp,
}

impl Erasure {
    /// Of a user, under a new alias: 64 random bits, which say nothing of the user.
    ///
    /// # Errors
    /// When the operating system has no randomness.
    pub fn of(user: &UserId, now: Timestamp) -> Result<Self, SysError> {
        let mut bits = [0; 8];
        SysRng.try_fill_bytes(&mut bits)?;
        let alias = format!("deleted_{:016x}", u64::from_be_bytes(bits));
        Ok(Self { user: user.clone(), alias: UserId::from_stored(&alias), begun_at: now })
    }
}

impl Message {
    /// Whether it is a note of a user to themselves, which concerns nobody else.
    pub fn is_note_of(&self, user: &UserId) -> bool {
        self.from == *user && self.target == Target::User(user.clone())
    }

    /// Puts the alias wherever the message names the user; what it says stays. The sender's own
    /// name for it goes: it could come again from a new user of the same id.
    pub fn anonymise(&mut self, Erasure { user, alias, .. }: &Erasure) {
        let rename = |name: &mut UserId| {
            if name == user {
                *name = alias.clone();
            }
        };
        if self.from == *user {
            self.client_id = None;
        }
        rename(&mut self.from);
        if let Target::User(to) = &mut self.target {
            rename(to);
        }
        self.read_by.iter_mut().for_each(rename);
        self.deleted_for.iter_mut().for_each(rename);
        self.mentions.iter_mut().for_each(rename);
        self.reactions.iter_mut().for_each(|reaction| rename(&mut reaction.user));
        if let Some(pin) = &mut self.pin {
            rename(&mut pin.by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_says_nothing_of_its_user_and_is_another_one_each_time() {
        let ann = UserId::parse("ann").unwrap();
        let [one, other] = [(); 2].map(|()| Erasure::of(&ann, Timestamp(0)).unwrap().alias);
        assert_ne!(one, other);
        let digits = one.as_str().strip_prefix("deleted_").unwrap();
        assert!(digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{one}");
    }
}
