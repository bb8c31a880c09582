//! `banter load day`: people who write, read, type, change their minds and come back.

use super::direct::partner;
use super::member::Member;
use super::options::{Common, Day};
use super::pace::Schedule;
use super::person::{Person, Surroundings};
use super::report::Asked;
use super::stage::{Scenario, Stage};

/// Users, each in one group and with one partner.
#[derive(Debug)]
pub(super) struct People {
    users: u32,
    groups: u32,
    rate: u32,
    seed: u64,
    ids: Vec<String>,
    /// For each user the streams to the partner and to the group.
    streams: Vec<(u32, u32)>,
}

impl People {
    /// # Errors
    /// Somebody would be without a partner.
    pub(super) fn new(asked: &Day) -> anyhow::Result<Self> {
        let Day { users, rate, group_size, .. } = *asked;
        anyhow::ensure!(users.is_multiple_of(2), "--users are pairs: {users} is an odd number");
        let (groups, seed) = (users.div_ceil(group_size), asked.common.seed);
        Ok(Self { users, groups, rate, seed, ids: Vec::new(), streams: Vec::new() })
    }

    fn members(&self, group: u32) -> impl Iterator<Item = u32> {
        (group..self.users).step_by(self.groups as usize)
    }
}

impl Scenario for People {
    const NAME: &'static str = "day";

    fn asked(&self, common: &Common) -> Asked {
        Asked {
            senders: Some(self.users),
            groups: Some(self.groups),
            rate: Some(self.rate),
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
        for user in 0..self.users {
            let direct = tally.stream([user, partner(user)]);
            self.streams.push((direct, tally.stream(self.members(user % self.groups))));
        }
        Ok(())
    }

    fn cast(&self, stage: &Stage, user: u32, member: &mut Member) {
        let group_id = &self.ids[(user % self.groups) as usize];
        member.join(group_id);
        let (direct, group) = self.streams[user as usize];
        let surroundings = Surroundings {
            user,
            user_id: stage.user_id(user),
            partner_id: stage.user_id(partner(user)),
            group_id: group_id.clone(),
            direct,
            group,
            seed: self.seed,
            probes: user < self.groups,
        };
        let schedule = Schedule::new(self.rate, self.users, user);
        member.follow(Person::new(stage, schedule, surroundings));
    }
}
