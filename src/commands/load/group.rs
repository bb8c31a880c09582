//! `banter load group`: messages to groups, each of which goes out to all members.

use super::member::Member;
use super::options::{Common, Group, Speed};
use super::pace::Schedule;
use super::report::Asked;
use super::sender::{Pace, Sender, To};
use super::stage::{Scenario, Stage};

/// For each sender and each who hears it a book is kept, of some 60 bytes.
const MAX_BOOKS: u64 = 4_000_000;

/// Members of groups: user `u` is in group `u % groups`; the first `senders` of them send.
#[derive(Debug)]
pub(super) struct Groups {
    users: u32,
    senders: u32,
    groups: u32,
    /// The last of the users, who read slowly.
    slow: u32,
    speed: Speed,
    /// Their ids on the server, and the streams of the senders.
    ids: Vec<String>,
    streams: Vec<u32>,
}

impl Groups {
    /// # Errors
    /// The numbers don't fit each other.
    pub(super) fn new(asked: &Group) -> anyhow::Result<Self> {
        let Group { users, senders, groups, speed, .. } = *asked;
        anyhow::ensure!(senders <= users, "--senders are among the --users: {senders} of {users}");
        anyhow::ensure!(
            groups <= senders,
            "--groups {groups} are more than --senders {senders}: some would hear nothing"
        );
        let books = u64::from(senders) * u64::from(users / groups);
        anyhow::ensure!(
            books <= MAX_BOOKS,
            "--senders {senders} to {} --users in a group are {books} books to keep, of {MAX_BOOKS} at \
             the most: take fewer senders, or more groups",
            users / groups
        );
        Ok(Self { users, senders, groups, slow: 0, speed, ids: Vec::new(), streams: Vec::new() })
    }

    /// The same, where the last so many members read slowly.
    ///
    /// # Errors
    /// There are not so many who don't send.
    pub(super) fn with_slow(self, slow: u32) -> anyhow::Result<Self> {
        let others = self.users - self.senders;
        anyhow::ensure!(
            slow <= others,
            "--slow {slow} are more than the {others} of the --users who are no --senders"
        );
        Ok(Self { slow, ..self })
    }

    /// Whether the user reads slowly.
    pub(super) fn is_slow(&self, user: u32) -> bool {
        user >= self.users - self.slow
    }

    /// The users of a group.
    fn members(&self, group: u32) -> impl Iterator<Item = u32> {
        (group..self.users).step_by(self.groups as usize)
    }
}

impl Scenario for Groups {
    const NAME: &'static str = "group";

    fn asked(&self, common: &Common) -> Asked {
        let Speed { rate, window } = self.speed;
        Asked {
            senders: Some(self.senders),
            groups: Some(self.groups),
            rate,
            window: rate.is_none().then_some(window),
            ..Asked::of(common, self.users)
        }
    }

    fn users(&self) -> u32 {
        self.users
    }

    fn in_rooms(&self) -> u64 {
        self.users.into()
    }

    async fn prepare(&mut self, stage: &Stage) -> anyhow::Result<()> {
        self.ids = stage.make_groups(self.groups, |group| self.members(group)).await?;
        let mut tally = stage.board.tally.borrow_mut();
        for sender in 0..self.senders {
            let members = || self.members(sender % self.groups);
            let stream = tally.stream(members().filter(|user| !self.is_slow(*user)));
            tally.also(stream, members().filter(|user| self.is_slow(*user)));
            self.streams.push(stream);
        }
        Ok(())
    }

    fn cast(&self, stage: &Stage, user: u32, member: &mut Member) {
        let id = &self.ids[(user % self.groups) as usize];
        member.join(id);
        if self.is_slow(user) {
            member.is_slow();
        }
        let Some(stream) = self.streams.get(user as usize) else { return };
        let pace = pace(self.speed, self.senders, user);
        let sender = Sender::new(&stage.board, *stream, To::Group(id), pace, stage.acks);
        let is_first = user < self.groups;
        member.follow(if is_first { sender.probing() } else { sender });
    }
}

/// The pace of one of several senders.
pub(super) fn pace(speed: Speed, senders: u32, turn: u32) -> Pace {
    match speed.rate {
        None => Pace::Closed(speed.window),
        Some(rate) => Pace::Open(Schedule::new(rate, senders, turn)),
    }
}
