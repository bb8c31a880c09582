//! `banter load direct`: direct messages between the two users of each pair.

use super::group::pace;
use super::member::Member;
use super::options::{Common, Direct, Speed};
use super::report::Asked;
use super::sender::{Sender, To};
use super::stage::{Scenario, Stage};

/// Users in pairs: 0 and 1, 2 and 3, and so on; each writes to its partner.
#[derive(Debug)]
pub(super) struct Pairs {
    users: u32,
    speed: Speed,
    /// By their senders.
    streams: Vec<u32>,
}

impl Pairs {
    /// # Errors
    /// Somebody would be without a partner.
    pub(super) fn new(asked: &Direct) -> anyhow::Result<Self> {
        let Direct { users, speed, .. } = *asked;
        anyhow::ensure!(users.is_multiple_of(2), "--users are pairs: {users} is an odd number");
        Ok(Self { users, speed, streams: Vec::new() })
    }
}

/// Whom a user writes to.
pub(super) fn partner(user: u32) -> u32 {
    user ^ 1
}

impl Scenario for Pairs {
    const NAME: &'static str = "direct";

    fn asked(&self, common: &Common) -> Asked {
        let Speed { rate, window } = self.speed;
        let window = rate.is_none().then_some(window);
        Asked { senders: Some(self.users), rate, window, ..Asked::of(common, self.users) }
    }

    fn users(&self) -> u32 {
        self.users
    }

    async fn prepare(&mut self, stage: &Stage) -> anyhow::Result<()> {
        let mut tally = stage.board.tally.borrow_mut();
        // A sender gets a copy of its own.
        self.streams = (0..self.users).map(|user| tally.stream([user, partner(user)])).collect();
        Ok(())
    }

    fn cast(&self, stage: &Stage, user: u32, member: &mut Member) {
        let to = stage.user_id(partner(user));
        let (pace, stream) = (pace(self.speed, self.users, user), self.streams[user as usize]);
        member.follow(Sender::new(&stage.board, stream, To::User(&to), pace, stage.acks));
    }
}
