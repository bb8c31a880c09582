//! `banter load storm`: all connect as fast as the server takes them, leave, and come again.

use futures_util::{StreamExt, stream};

use super::client::ConnectError;
use super::link::Link;
use super::member::Member;
use super::options::{Common, Storm};
use super::report::Asked;
use super::stage::{Errand, Scenario, Stage};

/// Users who come and go all at once.
#[derive(Debug)]
pub(super) struct Waves {
    users: u32,
    at_once: usize,
}

impl Waves {
    pub(super) fn new(asked: &Storm) -> Self {
        Self { users: asked.users, at_once: asked.common.at_once as usize }
    }
}

impl Scenario for Waves {
    const NAME: &'static str = "storm";

    fn asked(&self, common: &Common) -> Asked {
        Asked::of(common, self.users)
    }

    /// Nobody stays.
    fn users(&self) -> u32 {
        0
    }

    fn connections(&self) -> u32 {
        self.users
    }

    async fn prepare(&mut self, stage: &Stage) -> anyhow::Result<()> {
        // Where not even one can connect, there is nothing to measure.
        stage.server.connect(&stage.user_id(0), None).await?.close().await;
        Ok(())
    }

    fn cast(&self, _stage: &Stage, _user: u32, _member: &mut Member) {}

    fn errand(&self, stage: &Stage) -> Option<Errand> {
        let (stage, users, at_once) = (stage.clone(), self.users, self.at_once);
        Some(Box::pin(async move {
            while !is_over(&stage) {
                let all = stream::iter(0..users).map(|user| enter(&stage, user));
                // Each stays until the last of them is in.
                let all: Vec<_> = all.buffer_unordered(at_once).collect().await;
                let leaving = stream::iter(all.into_iter().flatten()).map(Link::close);
                leaving.buffer_unordered(at_once).for_each(|()| async {}).await;
            }
        }))
    }
}

fn is_over(stage: &Stage) -> bool {
    stage.board.plan().is_none_or(|plan| stage.board.now_us() >= plan.to_us)
}

/// One of a wave connects, unless the time is over.
async fn enter(stage: &Stage, user: u32) -> Option<Link> {
    let board = &stage.board;
    if is_over(stage) {
        return None;
    }
    let began_us = board.now_us();
    let connected: Result<Link, ConnectError> =
        stage.server.connect(&stage.user_id(user), None).await;
    let is_measured = board.plan().is_some_and(|plan| plan.measures(began_us));
    match connected {
        Ok(link) => {
            board.connected.add(1);
            if is_measured {
                board.connects_measured.add(1);
                board.connect.record(board.now_us() - began_us);
            }
            Some(link)
        }
        Err(error) => {
            board.refused.add(1);
            board.complain(|| error.to_string());
            None
        }
    }
}
