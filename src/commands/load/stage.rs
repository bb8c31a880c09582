//! The course of a run, the same for all scenarios that send: connect, warm up, measure, wait for
//! what is under way, report.

use std::fs::File;
use std::future::Future;
use std::io::Write;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{StreamExt, stream};
use tokio::select;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Interval, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};

use super::board::{Board, Plan};
use super::client::Server;
use super::files;
use super::link::Brake;
use super::member::Member;
use super::options::{Common, Transport};
use super::pace::Schedule;
use super::progress::Progress;
use super::report::{Asked, Facts, Report};
use super::watch::Watch;
use crate::commands::Outcome;

/// How often to look whether what is waited for has happened.
const LOOK: Duration = Duration::from_millis(10);
/// For what comes though all is there: second copies. In µs.
const GRACE_US: u64 = 100_000;
/// Between two samples of memory, and two lines of progress.
const SECOND: Duration = Duration::from_secs(1);
/// How long members may take to enter their rooms.
const ROOM_PATIENCE: Duration = Duration::from_secs(30);

/// Who takes part, and who says what to whom.
pub(super) trait Scenario {
    /// Its name on the command line.
    const NAME: &'static str;

    /// What was asked for.
    fn asked(&self, common: &Common) -> Asked;

    /// Connections.
    fn users(&self) -> u32;

    /// Connections at the same time, where that is another number.
    fn connections(&self) -> u32 {
        self.users()
    }

    /// How many of them are to be in a room before the start.
    fn in_rooms(&self) -> u64 {
        0
    }

    /// How fast the user reads, if not at once.
    fn brake(&self, _user: u32) -> Option<Brake> {
        None
    }

    /// What goes on beside the users once all have started.
    fn errand(&self, _stage: &Stage) -> Option<Errand> {
        None
    }

    /// The measured time is over.
    fn end(&self) {}

    /// Whether all has come that the books don't wait for.
    fn is_drained(&self, _stage: &Stage) -> bool {
        true
    }

    /// Makes what must be there before anybody connects.
    ///
    /// # Errors
    /// The server refuses.
    async fn prepare(&mut self, stage: &Stage) -> anyhow::Result<()>;

    /// Gives a user that has just connected something to do.
    fn cast(&self, stage: &Stage, user: u32, member: &mut Member);
}

/// Something that goes on for the whole run.
pub(super) type Errand = Pin<Box<dyn Future<Output = ()>>>;

/// What scenarios build on.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) board: Rc<Board>,
    pub(super) server: Server,
    pub(super) acks: bool,
    run: u32,
}

impl Stage {
    /// What a user of this run is called; no other run has it.
    pub(super) fn user_id(&self, user: u32) -> String {
        format!("load-{:x}-{user}", self.run)
    }

    /// Makes so many groups of these users; their ids.
    pub(super) async fn make_groups<M: Iterator<Item = u32>>(
        &self,
        count: u32,
        members: impl Fn(u32) -> M,
    ) -> anyhow::Result<Vec<String>> {
        let mut ids = Vec::new();
        for group in 0..count {
            let name = format!("load {:x} {group}", self.run);
            let members: Vec<_> = members(group).map(|user| self.user_id(user)).collect();
            ids.push(self.server.make_group(&name, &members).await?);
        }
        Ok(ids)
    }
}

/// Plays a scenario, and tells what came of it.
///
/// # Errors
/// It could not be begun: the server refuses or is not there, or this machine has too few files or
/// ports.
pub(super) async fn play(
    scenario: impl Scenario,
    common: &Common,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    // A file that can't be written is told before the run, not after it.
    let json = Json::open(common)?;
    let report = LocalSet::new().run_until(Play::run(scenario, common)).await?;
    json.write(&report, out)?;
    Ok(if report.is_clean() { Outcome::Done } else { Outcome::Left })
}

/// Where the JSON goes.
enum Json {
    Nowhere,
    StandardOutput,
    File(File),
}

impl Json {
    fn open(common: &Common) -> anyhow::Result<Self> {
        Ok(match &common.json {
            None => Self::Nowhere,
            Some(path) if path.as_os_str() == "-" => Self::StandardOutput,
            Some(path) => Self::File(
                File::create(path)
                    .with_context(|| format!("--json: {} can't be written", path.display()))?,
            ),
        })
    }

    fn write(self, report: &Report, out: &mut dyn Write) -> anyhow::Result<()> {
        if let Self::StandardOutput = self {
            return report.write_json(out);
        }
        if let Self::File(mut file) = self {
            report.write_json(&mut file)?;
        }
        Ok(report.write_table(out)?)
    }
}

/// A run under way.
struct Play<'a, S> {
    scenario: Rc<S>,
    common: &'a Common,
    stage: Stage,
    members: JoinSet<()>,
    watch: Watch,
    progress: Progress,
    interrupt: Interrupt,
}

/// Resolves when the user presses Ctrl-C.
type Interrupt = Pin<Box<dyn Future<Output = std::io::Result<()>>>>;

/// The user has pressed Ctrl-C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interrupted;

impl<'a, S: Scenario> Play<'a, S> {
    async fn run(mut scenario: S, common: &'a Common) -> anyhow::Result<Report> {
        let (users, connections) = (scenario.users(), scenario.connections());
        // Polling takes two connections a user.
        let each = if common.transport == Transport::Polling { 2 } else { 1 };
        files::make_room(u64::from(connections) * each)?;
        let watch = Watch::begin(&common.pids)?;
        let server = Server::find(&common.url, common.transport, connections).await?;
        let run = rand::random();
        let board =
            Rc::new(Board::new(run, users as usize, common.payload as usize, common.exact)?);
        let stage = Stage { board, server, acks: common.acks, run };
        scenario.prepare(&stage).await?;
        let interrupt: Interrupt = Box::pin(tokio::signal::ctrl_c());
        let scenario = Rc::new(scenario);
        let (members, progress) = (JoinSet::new(), Progress::new(common));
        let mut play = Self { scenario, common, stage, members, watch, progress, interrupt };
        let outcome = play.go().await;
        play.progress.end();
        Ok(play.report(outcome?.is_err()))
    }

    /// Everything up to the report; what is inside says whether it was cut short.
    async fn go(&mut self) -> anyhow::Result<Result<(), Interrupted>> {
        let board = Rc::clone(&self.stage.board);
        self.connect().await?;
        self.enter_rooms().await?;
        self.watch.connected();
        let start_us = board.now_us();
        let from_us = start_us + self.common.warm_up.as_micros() as u64;
        let to_us = from_us + self.common.time.as_micros() as u64;
        board.start(Plan { start_us, from_us, to_us });
        if let Some(errand) = self.scenario.errand(&self.stage) {
            self.members.spawn_local(errand);
        }
        let mut outcome = self.wait(until_end(&board, from_us)).await;
        self.watch.measure();
        if outcome.is_ok() {
            outcome = self.wait(until_end(&board, to_us)).await;
        }
        self.watch.measured();
        board.stop();
        self.scenario.end();
        let drained = self.drained();
        Ok(outcome.and(self.wait(drained).await))
    }

    /// Resolves when all is there, or nothing has come for as long as is waited.
    fn drained(&self) -> impl Future<Output = ()> + use<S> {
        let (stage, scenario) = (self.stage.clone(), Rc::clone(&self.scenario));
        let (ended_us, scheduled) = (stage.board.now_us(), self.scheduled());
        let drain_us = self.common.drain.as_micros() as u64;
        until(move || {
            let board = &stage.board;
            let waited_us = board.quiet_us().min(board.now_us() - ended_us);
            let is_all_there = board.under_way() == 0 && board.left.get() >= scheduled;
            let needed_us =
                if is_all_there && scenario.is_drained(&stage) { GRACE_US } else { drain_us };
            waited_us >= needed_us.min(drain_us)
        })
    }

    /// Sends of the open loop's schedule, as far as the plan goes.
    fn scheduled(&self) -> u64 {
        let rate = self.scenario.asked(self.common).rate;
        let (Some(rate), Some(plan)) = (rate, self.stage.board.plan()) else { return 0 };
        Schedule::new(rate, 1, 0).due_before(plan.to_us.saturating_sub(plan.start_us))
    }

    async fn connect(&mut self) -> anyhow::Result<()> {
        let (users, at_once) = (self.scenario.users(), self.common.at_once as usize);
        let stage = &self.stage;
        let scenario = &self.scenario;
        let connections = stream::iter(0..users).map(|user| async move {
            let began = Instant::now();
            let link = stage.server.connect(&stage.user_id(user), scenario.brake(user)).await;
            (user, link, began.elapsed())
        });
        let mut connections = pin!(connections.buffer_unordered(at_once));
        let mut second = every_second();
        loop {
            select! {
                connection = connections.next() => {
                    let Some((user, link, took)) = connection else { return Ok(()) };
                    let board = &stage.board;
                    let connected = board.connected.get();
                    let link = link.with_context(|| format!(
                        "{} can't be driven: connection {} of {users} fails",
                        self.common.url, connected + 1
                    ))?;
                    board.connect.record(took.as_micros() as u64);
                    board.connected.add(1);
                    let mut member = Member::new(board, user, link);
                    scenario.cast(stage, user, &mut member);
                    self.members.spawn_local(member.run());
                }
                _ = second.tick() => {
                    self.progress.show(S::NAME, &stage.board);
                    self.watch.sample();
                }
                _ = &mut self.interrupt => anyhow::bail!("interrupted before it was measured"),
            }
        }
    }

    /// Waits until all have heard something in their rooms: nothing else says that they are there.
    async fn enter_rooms(&mut self) -> anyhow::Result<()> {
        let (board, wanted) = (Rc::clone(&self.stage.board), self.scenario.in_rooms());
        let entered = timeout(ROOM_PATIENCE, until(|| board.in_rooms.get() >= wanted));
        let mut is_entered = false;
        let waited = self.wait(async { is_entered = entered.await.is_ok() }).await;
        anyhow::ensure!(waited.is_ok(), "interrupted before it was measured");
        anyhow::ensure!(
            is_entered,
            "{} of {wanted} members hear nothing of their group {} s after join_group: {}",
            wanted - board.in_rooms.get(),
            ROOM_PATIENCE.as_secs(),
            board.complaint().unwrap_or_else(|| "the server says nothing about it".to_owned())
        );
        Ok(())
    }

    /// Waits, and shows meanwhile how it goes.
    async fn wait(&mut self, until: impl Future<Output = ()>) -> Result<(), Interrupted> {
        let mut until = pin!(until);
        let mut second = every_second();
        loop {
            select! {
                biased;
                () = &mut until => return Ok(()),
                _ = &mut self.interrupt => {
                    // The next one cuts short what comes after this.
                    self.interrupt = Box::pin(tokio::signal::ctrl_c());
                    return Err(Interrupted);
                }
                _ = second.tick() => {
                    self.progress.show(S::NAME, &self.stage.board);
                    self.watch.sample();
                }
            }
        }
    }

    fn report(self, is_interrupted: bool) -> Report {
        let unsent = self.scheduled().saturating_sub(self.stage.board.left.get());
        let own_cpu_seconds = self.watch.own_cpu_seconds;
        let facts = Facts {
            scenario: S::NAME,
            url: self.common.url.to_string(),
            asked: self.scenario.asked(self.common),
            connections: self.scenario.connections(),
            do_they_stay: self.scenario.users() > 0,
            servers: self.watch.end(),
            own_cpu_seconds,
            unsent,
            is_interrupted,
        };
        Report::new(&self.stage.board, facts)
    }
}

/// A tick each second, the first one in a second.
fn every_second() -> Interval {
    let mut second = interval_at(tokio::time::Instant::now() + SECOND, SECOND);
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    second
}

/// Resolves when this is so.
async fn until(is: impl Fn() -> bool) {
    while !is() {
        sleep(LOOK).await;
    }
}

/// Resolves at this time of the run, or when nobody is connected any more.
async fn until_end(board: &Board, at_us: u64) {
    let connected = board.connected.get();
    let is_alone = || connected > 0 && board.disconnected.get() >= connected;
    select! {
        () = sleep_until(board.instant(at_us)) => {}
        () = until(is_alone) => {}
    }
}
