//! `banter load`: drives a server, and measures how fast it is and whether anything gets lost.
//!
//! It needs of a server what `docs/WIRE.md` has of the old server's contract, so that others than
//! Banter can be driven too. All connections are tasks of one thread: the generator is meant to have
//! one core of its own beside the server's, and on one thread nothing that they share needs a lock.
//! docs/decisions/0039-load-generator.md has the reasons.
//!
//! A connection is a `Member`, with a `Sender` where it sends, on a `Link`. `Stage` has the course of
//! a run, `Board` what is counted, `Tally` what was lost.

mod acts;
mod board;
mod client;
mod day;
mod direct;
mod files;
mod group;
mod http;
mod idle;
mod link;
mod marker;
mod member;
mod options;
mod pace;
mod person;
mod polling;
mod process;
mod progress;
mod report;
mod sender;
mod slow;
mod stage;
mod storm;
mod tally;
mod timing;
mod watch;

use std::io::Write;

use super::Outcome;
pub use options::{Common, Day, Direct, Group, Idle, Slow, Speed, Storm, Transport};

/// What the help of the family ends with.
pub const AFTER_HELP: &str = "\
Examples:
  banter load group                             8 senders, 200 members, as fast as it goes
  banter load group --rate 200 --pid 4711       40,000 deliveries a second, and what they cost
  banter load direct --users 200 --json -       100 pairs, for a program to read

It drives any server that speaks the Socket.IO events of docs/WIRE.md and believes a user_id. Give
it a core of its own (taskset), or it measures itself. A Banter limits how often one address may ask:
start it with LIMIT_EXEMPT=127.0.0.0/8 SPAM_REPEATS=0 HANDSHAKE_RATE=0. What is sent stays in the
server's store: take one that can be thrown away.

The exit code is 0 when nothing was lost, doubled, reordered or sent astray, else 1.";

const GROUP_HELP: &str = "\
Examples:
  banter load group                            how many deliveries a second it can make
  banter load group --rate 1000 --acks         latency of deliveries and acks at 200,000 a second
  banter load group --users 10000 --senders 1  a large group
  banter load group --users 500 --groups 50 --senders 50 --transport polling";

const DIRECT_HELP: &str = "\
Examples:
  banter load direct                           100 pairs, one message of each user under way
  banter load direct --window 16               the most that it does
  banter load direct --rate 5000 --pid 4711    latency and CPU time at 5,000 a second
  banter load direct --rate 1000 --acks --exact
                                               how long an ack takes, without the generator's own timer";

const IDLE_HELP: &str = "\
Examples:
  banter load idle --pid 4711                  memory of a connection, of 5,000
  banter load idle --users 10000 --rate 1000 --time 600 --json idle.json
                                               memory over ten minutes (memory_samples), with 100
                                               pairs of further users who write";

const STORM_HELP: &str = "\
Examples:
  banter load storm                            1,000 come, go and come again, 100 at a time
  banter load storm --users 5000 --at-once 1000

connect ms counts from the first packet of TCP to the answer of the namespace.";

const SLOW_HELP: &str = "\
Examples:
  banter load slow                             10 of 200 members read 2,000 bytes a second
  banter load group                            the same without slow ones, to compare the latencies
  banter load slow --rate 500 --slow-rate 500 --time 60

Nothing is owed to a slow reader but the truth: what it has not got when it has read all that waits
for it counts as lost, unless it was told to sync or its connection was ended.";

const DAY_HELP: &str = "\
Examples:
  banter load day                              200 users who do 200 things a second
  banter load day --users 5000 --rate 2000 --time 300 --acks

Of a hundred things 30 are direct messages, 20 messages to groups, 25 read receipts, 15 typing, 4
pages of history, 3 edits, 2 deletions and 1 a second device that comes for a moment. A few refusals
are normal: what is marked as read may have been deleted. Servers of the first contract ignore typing.";

/// The scenarios.
#[derive(Debug, Clone, PartialEq, Eq, clap::Subcommand)]
pub enum Command {
    /// Messages to groups: each goes out to all members
    #[command(after_help = GROUP_HELP)]
    Group(Group),
    /// Direct messages between the two users of each pair
    #[command(after_help = DIRECT_HELP)]
    Direct(Direct),
    /// Connections that say nothing: what each costs, over time
    #[command(after_help = IDLE_HELP)]
    Idle(Idle),
    /// All connect as fast as the server takes them, leave, and come again
    #[command(after_help = STORM_HELP)]
    Storm(Storm),
    /// A group some of whose members read slowly: what they cost the others, and what they are told
    #[command(after_help = SLOW_HELP)]
    Slow(Slow),
    /// People who write, read, type, change their minds and come back
    #[command(after_help = DAY_HELP)]
    Day(Day),
}

/// Plays a scenario, and says what came of it.
///
/// # Errors
/// It could not be begun.
pub(super) async fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    match command {
        Command::Group(asked) => stage::play(group::Groups::new(asked)?, &asked.common, out).await,
        Command::Direct(asked) => stage::play(direct::Pairs::new(asked)?, &asked.common, out).await,
        Command::Idle(asked) => stage::play(idle::Silence::new(asked), &asked.common, out).await,
        Command::Storm(asked) => stage::play(storm::Waves::new(asked), &asked.common, out).await,
        Command::Slow(asked) => {
            stage::play(slow::SlowGroup::new(asked)?, &asked.group.common, out).await
        }
        Command::Day(asked) => stage::play(day::People::new(asked)?, &asked.common, out).await,
    }
}
