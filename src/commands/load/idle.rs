//! `banter load idle`: connections that say nothing, perhaps beside some that do.

use super::direct::partner;
use super::group::pace;
use super::member::Member;
use super::options::{Common, Idle, Speed};
use super::report::Asked;
use super::sender::{Sender, To};
use super::stage::{Scenario, Stage};

/// Silent users, and behind them pairs that write to each other.
#[derive(Debug)]
pub(super) struct Silence {
    silent: u32,
    /// Users of pairs.
    active: u32,
    speed: Speed,
    /// By the place of an active user behind the silent ones.
    streams: Vec<u32>,
}

impl Silence {
    pub(super) fn new(asked: &Idle) -> Self {
        let active = if asked.rate.is_some() { asked.active * 2 } else { 0 };
        let speed = Speed { rate: asked.rate, window: 1 };
        Self { silent: asked.users, active, speed, streams: Vec::new() }
    }
}

impl Scenario for Silence {
    const NAME: &'static str = "idle";

    fn asked(&self, common: &Common) -> Asked {
        let senders = (self.active > 0).then_some(self.active);
        Asked { senders, rate: self.speed.rate, ..Asked::of(common, self.silent) }
    }

    fn users(&self) -> u32 {
        self.silent + self.active
    }

    async fn prepare(&mut self, stage: &Stage) -> anyhow::Result<()> {
        let (first, mut tally) = (self.silent, stage.board.tally.borrow_mut());
        let audience = |place| [first + place, first + partner(place)];
        self.streams = (0..self.active).map(|place| tally.stream(audience(place))).collect();
        Ok(())
    }

    fn cast(&self, stage: &Stage, user: u32, member: &mut Member) {
        let Some(place) = user.checked_sub(self.silent) else { return };
        let to = stage.user_id(self.silent + partner(place));
        let pace = pace(self.speed, self.active, place);
        let stream = self.streams[place as usize];
        member.follow(Sender::new(&stage.board, stream, To::User(&to), pace, stage.acks));
    }
}
