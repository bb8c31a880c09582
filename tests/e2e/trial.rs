//! A server that is killed under load, and what must be true afterwards.

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::load::{Counts, Load};
use crate::server::Server;
use crate::stored;
use crate::verdict::{End, Faults};

/// Where to say what seed a run shall have; else each has its own.
const SEED: &str = "CRASH_SEED";

/// How long the load runs before the next thing happens, in milliseconds.
const RUN_MS: RangeInclusive<u64> = 200..=800;

/// Messages that are acknowledged in that time, at the least: on a busy machine it takes longer.
const RUN_MESSAGES: usize = 20;

/// A server and its load. What the server said, and the seed, are told when a test fails.
pub(crate) struct Trial {
    /// The server.
    pub(crate) server: Server,
    /// Its users; none once they were told to stop.
    load: Option<Load>,
    rng: StdRng,
    seed: u64,
    /// For each kill, how many sends were in flight.
    in_flight: Vec<usize>,
}

impl Trial {
    /// Lets users loose on a server, with settings of `crash_load.mjs`.
    pub(crate) fn start(server: Server, settings: &[(&str, &str)]) -> Self {
        let seed =
            std::env::var(SEED).map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
        let load = Some(Load::start("crash_load.mjs", &server, settings));
        Self { server, load, rng: StdRng::seed_from_u64(seed), seed, in_flight: Vec::new() }
    }

    /// The users.
    pub(crate) fn load(&mut self) -> &mut Load {
        self.load.as_mut().expect("the load was not stopped yet")
    }

    /// Lets the load run for a moment, in which more messages are accepted and arrive.
    pub(crate) async fn goes_on(&mut self) -> Counts {
        let time = Duration::from_millis(self.rng.random_range(RUN_MS));
        self.load().goes_on_for(time, RUN_MESSAGES).await
    }

    /// Kills the server, `times` times in a row, and starts it again; then the load goes on.
    pub(crate) async fn crash(&mut self, times: usize) {
        let before = self.load().counts().await;
        for _ in 0..times {
            self.server.kill().await;
            self.server.restart().await;
        }
        let after = self.goes_on().await;
        self.in_flight.push(after.interrupted - before.interrupted);
    }

    /// Lets everything outstanding be acknowledged and stored, and looks whether all is well.
    pub(crate) async fn ends_well(mut self) {
        let end: End = self.load.take().unwrap().stop().await;
        self.server.drained().await;
        let rows = stored::messages(&self.server).await;
        let faults = Faults::find(&end, &rows);
        let report = self.report(&end, rows.len());
        assert!(faults.is_empty(), "{report}\n{faults}");
        assert!(self.has_tested_something(&end), "{report}\nthis has tested too little");
        eprintln!("{report}");
        self.server.stop().await;
    }

    fn busy_kills(&self) -> usize {
        self.in_flight.iter().filter(|in_flight| **in_flight > 0).count()
    }

    fn has_tested_something(&self, end: &End) -> bool {
        let lives = self.in_flight.len() + 1;
        end.messages.len() >= RUN_MESSAGES * lives
            && end.heard() >= end.messages.len()
            && end.edits >= lives
            && end.deletions >= lives
            // Most kills met sends in flight, and these were sent again.
            && self.busy_kills() * 2 >= self.in_flight.len()
            && end.repeats >= self.busy_kills()
    }

    fn report(&self, end: &End, rows: usize) -> String {
        format!(
            "{SEED}={}: {} kills, {} of them with sends in flight ({} in all); {} messages, {} \
             edits and {} deletions acknowledged, {} of these after repeating; {} messages heard, \
             {rows} stored",
            self.seed,
            self.in_flight.len(),
            self.busy_kills(),
            self.in_flight.iter().sum::<usize>(),
            end.messages.len(),
            end.edits,
            end.deletions,
            end.repeats,
            end.heard(),
        )
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{SEED}={}; the server said:\n{}", self.seed, self.server.log_tail());
        }
    }
}
