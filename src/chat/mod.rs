//! The rules of a conversation: who may send, read, change and delete what, and who is told.
//!
//! Nothing here knows a wire format, HTTP or Socket.IO. Each method takes typed input, checks the
//! rules, hands an op to the write buffer and names the event that goes out once the op is
//! durable. Where a method returns [`Accepted`], the order of acts is settled when it returns, and
//! the act is durable when [`Accepted::durable`] does.

mod attach;
mod blocks;
mod changes;
mod circles;
mod dedup;
mod erasing;
mod export;
mod gate;
mod groups;
mod hints;
mod history;
mod invitations;
mod last_seen;
mod leftovers;
mod locks;
mod messages;
mod mutes;
mod nodes;
mod people;
mod people_elsewhere;
mod presence;
mod readers;
mod receipts;
mod roles;
mod rooms;
mod search;
mod spam;
mod stamp;
mod sync;
mod threads;
mod typing;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::buffer::{Buffer, Delivery, Receipt};
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::media::MediaStore;
use crate::model::{
    Audience, Dispatch, Event, Message, MessageRef, Position, Target, Timestamp, UserId,
};
use crate::store::Store;

pub use export::Export;
pub use history::Page;
pub use rooms::RoomMember;
pub use threads::Thread;

use blocks::Blocks;
use dedup::Looks;
use erasing::Erasing;
use export::Exporting;
use gate::Gate;
use hints::Hints;
use leftovers::Leftovers;
use locks::Locks;
use presence::Watch;
use readers::Readers;
use spam::Spam;

pub use search::{Found, Search};

/// How large the parts of a conversation may be.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Conversations")]
pub struct Config {
    /// Largest content of a message, with its metadata, in bytes (1 to 1000000)
    #[arg(long, value_name = "BYTES", default_value_t = 65_536,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_content_size: u32,

    /// Most members of a group (1 to 100000)
    #[arg(long, value_name = "USERS", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_group_members: u32,

    /// Most members of a group in which all are told who is online and who has read what (1 to
    /// 100000)
    #[arg(long, value_name = "USERS", default_value_t = 256,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub receipt_group_limit: u32,

    /// Messages with the same content that one user may send in a minute, 0 (no limit) to 1000000
    #[arg(long, value_name = "NUMBER", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub spam_repeats: u32,

    /// Users to whom one user may write for the first time in an hour, 0 (no limit) to 1000000
    #[arg(long, value_name = "USERS", default_value_t = 60,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub spam_strangers: u32,
}

/// The rules, and what they stand on; one per server.
pub struct Chat {
    config: Config,
    store: Arc<dyn Store>,
    buffer: Buffer,
    media: MediaStore,
    clock: Arc<dyn Clock>,
    deliveries: mpsc::Sender<Delivery>,
    /// The other nodes.
    cluster: Cluster,
    /// Whether something that they have said was missed, of which users have not been told.
    has_gap: AtomicBool,
    gate: Gate,
    /// Changes to one message wait for each other.
    locks: Locks,
    /// So do sends of one user under one client id.
    sends: Locks,
    /// So do pins in one conversation.
    pins: Locks,
    /// And sends that name a file, with its end.
    files: Locks,
    leftovers: Leftovers,
    looks: Looks,
    hints: Hints,
    watch: Watch,
    readers: Readers,
    blocks: Blocks,
    spam: Spam,
    exporting: Exporting,
    erasing: Erasing,
}

/// An act whose place in the order of all acts is settled.
#[derive(Debug)]
#[must_use = "an act is durable only once `durable` returns"]
pub struct Accepted<T> {
    value: T,
    receipt: Option<Receipt>,
    /// Of an act in several parts: those before the last.
    earlier: Vec<Receipt>,
}

impl<T> Accepted<T> {
    /// An act that leaves nothing to wait for.
    pub fn settled(value: T) -> Self {
        Self { value, receipt: None, earlier: Vec::new() }
    }

    /// An act that is durable with its op.
    fn with(value: T, receipt: Receipt) -> Self {
        Self { value, receipt: Some(receipt), earlier: Vec::new() }
    }

    /// The same act with another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Accepted<U> {
        Accepted { value: f(self.value), receipt: self.receipt, earlier: self.earlier }
    }

    /// The act has one more part.
    fn add(&mut self, receipt: Receipt) {
        self.earlier.extend(self.receipt.replace(receipt));
    }

    /// Waits until the act is durable and its event is with the sockets.
    pub async fn durable(self) -> Result<T, Error> {
        for receipt in self.earlier.into_iter().chain(self.receipt) {
            receipt.durable().await?;
        }
        Ok(self.value)
    }
}

impl Chat {
    /// Sets up the rules over a store and the buffer in front of it. Notices that no op causes go
    /// out through `deliveries`, the same queue that the buffer's events take.
    pub fn new(
        config: Config,
        store: Arc<dyn Store>,
        buffer: Buffer,
        media: MediaStore,
        clock: Arc<dyn Clock>,
        deliveries: mpsc::Sender<Delivery>,
        cluster: Cluster,
    ) -> Self {
        let gate = Gate::new(buffer.floor(), cluster.process());
        let (locks, sends, pins) = (Locks::default(), Locks::default(), Locks::default());
        let watch = Watch::new(config.receipt_group_limit as usize);
        for (a, b) in buffer.direct_conversations() {
            watch.wrote(&a, &b);
        }
        let (files, leftovers) = (Locks::default(), Leftovers::default());
        let spam = Spam::new(config.spam_repeats, config.spam_strangers);
        let (hints, looks) = (Hints::default(), Looks::default());
        Self {
            config,
            store,
            buffer,
            media,
            clock,
            deliveries,
            cluster,
            has_gap: AtomicBool::new(false),
            gate,
            locks,
            sends,
            pins,
            files,
            leftovers,
            looks,
            hints,
            watch,
            readers: Readers::default(),
            blocks: Blocks::default(),
            spam,
            exporting: Exporting::default(),
            erasing: Erasing::default(),
        }
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The present place in the order of all messages: after every one that was accepted, before
    /// every one that will be.
    pub fn place(&self) -> Position {
        let (id, at) = self.gate.enter(|inside| inside.stamp().next(self.now()));
        (at, id)
    }

    /// A message as it is after everything accepted so far. One that another node has just accepted
    /// may not have been heard of, nor stored: it is waited for.
    async fn find(&self, id: &MessageRef) -> Result<Message, Error> {
        let mut wait = self.wait_for_others(id);
        loop {
            if let Some(message) = self.buffer.message(id).await? {
                return Ok(message);
            }
            sleep(wait.next_pause(|process| self.cluster.words_of(process))?).await;
        }
    }

    /// Refuses who is neither the sender nor a recipient of a message, as if it were not there:
    /// that two others have talked, and when, is theirs to know.
    async fn check_party(&self, message: &Message, user: &UserId) -> Result<(), Error> {
        let is_party = match &message.target {
            Target::User(to) => message.from == *user || to == user,
            Target::Group(group) => self.is_member(*group, user).await?,
        };
        if is_party { Ok(()) } else { Err(no_message()) }
    }

    /// Sends a notice that no op causes.
    async fn notify(&self, to: Audience, event: Event) {
        // The queue's other end lives as long as the server accepts requests.
        let _ = self.deliveries.send(Delivery::of(Dispatch { to, event })).await;
    }
}

/// Everyone who sees a message: its group, or those of both its users who have not hidden it.
fn parties(message: &Message) -> Audience {
    let is_shown = |user: &UserId| !message.is_hidden_for(user);
    match &message.target {
        Target::Group(group) => Audience::Group(*group),
        Target::User(to) if *to == message.from => Audience::Users(vec![to.clone()]),
        Target::User(to) if !is_shown(to) => Audience::Users(vec![message.from.clone()]),
        Target::User(to) => Audience::Users(vec![to.clone(), message.from.clone()]),
    }
}

fn no_message() -> Error {
    Error::NotFound("Message not found".into())
}

fn not_a_member() -> Error {
    Error::Forbidden("You are not a member of this group".into())
}
