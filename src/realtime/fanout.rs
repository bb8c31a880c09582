//! Events on their way to the sockets, in the order in which they were committed.

use std::slice;
use std::sync::Arc;

use futures_util::future::OptionFuture;
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::Hub;
use super::connect::Session;
use super::outlet::{Burst, Outlet, Packet, Queued};
use super::pace::Pace;
use super::receipts::Receipts;
use crate::buffer::{Delivery, Sequence};
use crate::cluster::{News, Told, Written};
use crate::model::{Audience, Dispatch, Event, GroupId, Op, UserId};
use crate::wire::told::{Payload, name};

/// The room of all sockets of a user.
pub(super) fn user_room(user: &UserId) -> String {
    format!("user_{user}")
}

/// The room of the sockets that listen to a group.
pub(super) fn group_room(group: GroupId) -> String {
    format!("group_{group}")
}

/// Deliveries that are told together: a socket that hears of several is written to once.
const AT_ONCE: usize = 256;

/// Tells each event to its audience, then lets whoever waits for it know. Ends with its queue.
pub(super) async fn run(hub: Arc<Hub>, io: SocketIo, mut deliveries: mpsc::Receiver<Delivery>) {
    let (receipts, pace) = (Receipts::default(), Pace::new(Instant::now()));
    let mut telling =
        Telling { hub, io, receipts, held: None, unflushed: Vec::new(), frames: 0, pace };
    let mut batch = Vec::with_capacity(AT_ONCE);
    loop {
        let due = telling.receipts.next_due();
        let flush_at = telling.flush_at();
        tokio::select! {
            count = deliveries.recv_many(&mut batch, AT_ONCE) => {
                if count == 0 {
                    break;
                }
                batch.drain(..).for_each(|delivery| telling.deliver(delivery));
                telling.tell_held();
            }
            Some(()) = OptionFuture::from(due.map(sleep_until)) => {}
            Some(()) = OptionFuture::from(flush_at.map(sleep_until)) => {}
        }
        if due.is_some() {
            let gathered = telling.receipts.due(Instant::now());
            telling.tell_gathered(gathered);
        }
        telling.flush_if_due();
    }
    let gathered = telling.receipts.rest();
    telling.tell_gathered(gathered);
    telling.flush();
}

struct Telling {
    hub: Arc<Hub>,
    io: SocketIo,
    receipts: Receipts,
    held: Option<Held>,
    /// Sockets for which packets are queued that nobody writes yet.
    unflushed: Vec<(Arc<Session>, SocketRef)>,
    /// How many packets these are.
    frames: u64,
    pace: Pace,
}

/// Messages to one group, one right after the other: who hears them is looked up once, and each of
/// their sockets is given all at once.
struct Held {
    group: GroupId,
    messages: Vec<Event>,
    /// Those whose messages they are, and others that have come since; and what each told.
    deliveries: Vec<(Delivery, Vec<Dispatch>)>,
}

impl Telling {
    /// Tells those on this node, then the other nodes, and last who waits for it; or all of that
    /// once the messages before it are told.
    fn deliver(&mut self, mut delivery: Delivery) {
        let more = std::mem::take(&mut delivery.more);
        let mut told = Vec::new();
        for dispatch in delivery.dispatch.take().into_iter().chain(more) {
            if delivery.is_heard() {
                self.tell_with_follow_up(&dispatch);
            } else if let Some(dispatch) = self.receipts.pass(dispatch, Instant::now()) {
                self.tell_with_follow_up(&dispatch);
                if !self.hub.cluster.is_alone() {
                    told.push(dispatch);
                }
            }
        }
        match &mut self.held {
            Some(held) => held.deliveries.push((delivery, told)),
            None => self.finish(delivery, told),
        }
    }

    /// Those on this node have been told: tells the other nodes, and who waits for it.
    fn finish(&self, delivery: Delivery, told: Vec<Dispatch>) {
        if !delivery.is_heard() {
            publish(&self.hub, delivery.written(), told);
        }
        delivery.done();
    }

    fn tell_gathered(&mut self, gathered: Vec<Dispatch>) {
        for dispatch in gathered {
            self.tell(&dispatch);
            publish(&self.hub, None, vec![dispatch]);
        }
    }

    fn tell_with_follow_up(&mut self, dispatch: &Dispatch) {
        self.tell(dispatch);
        if let Some(next) = dispatch.follow_up() {
            self.tell(&next);
        }
    }

    fn tell(&mut self, dispatch: &Dispatch) {
        self.hub.metrics.delivered(self.hub.plain.tell(&self.hub, dispatch));
        if let (Audience::Group(group), Event::Sent(_)) = (&dispatch.to, &dispatch.event) {
            return self.hold(*group, dispatch.event.clone());
        }
        self.tell_held();
        let audience = audience(&self.io, &dispatch.to);
        match dispatch.event {
            Event::Left { group } => {
                for socket in &audience {
                    socket.leave(group_room(group));
                }
            }
            _ => {
                self.frames +=
                    emit_unflushed(&self.hub, &audience, &dispatch.event, &mut self.unflushed);
            }
        }
    }

    /// Keeps a message until something else is to be told.
    fn hold(&mut self, group: GroupId, message: Event) {
        if self.held.as_ref().is_some_and(|held| held.group != group) {
            self.tell_held();
        }
        let new = || Held { group, messages: Vec::new(), deliveries: Vec::new() };
        self.held.get_or_insert_with(new).messages.push(message);
    }

    /// Tells the messages that were kept.
    fn tell_held(&mut self) {
        let Some(Held { group, messages, deliveries }) = self.held.take() else { return };
        let audience = audience(&self.io, &Audience::Group(group));
        self.frames += emit_all_unflushed(&self.hub, &audience, &messages, &mut self.unflushed);
        for (delivery, told) in deliveries {
            self.finish(delivery, told);
        }
    }

    fn flush_at(&self) -> Option<Instant> {
        (!self.unflushed.is_empty()).then_some(self.pace.next())
    }

    fn flush_if_due(&mut self) {
        let began = Instant::now();
        if self.flush_at().is_some_and(|at| at <= began) {
            let (sockets, frames) = (self.unflushed.len(), self.frames);
            self.flush();
            self.pace.wrote(began, Instant::now(), sockets, frames);
        }
    }

    /// Writes what is queued.
    fn flush(&mut self) {
        self.frames = 0;
        for (session, socket) in self.unflushed.drain(..) {
            session.outlet.flush(&self.hub, &socket);
        }
    }
}

/// Tells the other nodes what this one has made durable, and whom it has told of what.
fn publish(hub: &Hub, written: Option<(Sequence, &Arc<Op>)>, told: Vec<Dispatch>) {
    if hub.cluster.is_alone() {
        return;
    }
    let told: Vec<_> =
        told.into_iter().filter_map(|dispatch| elsewhere(dispatch, written)).collect();
    let written = written.map(|(sequence, op)| Written { sequence, op: Arc::clone(op) });
    if written.is_some() || !told.is_empty() {
        hub.cluster.publish(News::Done { written, told });
    }
}

/// A dispatch as it is told on other nodes, where there may be somebody to tell.
fn elsewhere(dispatch: Dispatch, written: Option<(Sequence, &Arc<Op>)>) -> Option<Told> {
    let Dispatch { to, event } = dispatch;
    let event = match event {
        // Each node tells its own users of these, by what it knows itself.
        Event::Presence(_) => return None,
        // The op says it.
        Event::Sent(_) if written.is_some() => None,
        event => Some(event),
    };
    Some(Told { to, event })
}

fn audience(io: &SocketIo, to: &Audience) -> Vec<SocketRef> {
    // Once the server has closed its sockets, there is no namespace and nobody to tell.
    let Some(namespace) = io.of("/") else { return Vec::new() };
    match to {
        Audience::Group(group) => namespace.within(group_room(*group)).sockets(),
        Audience::Others { group, than } => {
            let is_other = |socket: &SocketRef| {
                Session::of(socket).is_none_or(|session| session.user != *than)
            };
            let mut sockets = namespace.within(group_room(*group)).sockets();
            sockets.retain(is_other);
            sockets
        }
        Audience::Everybody => namespace.sockets(),
        // To the library no room at all means everybody.
        Audience::Users(users) if users.is_empty() => Vec::new(),
        Audience::Users(users) => {
            namespace.within(users.iter().map(user_room).collect::<Vec<_>>()).sockets()
        }
    }
}

/// Sends an event to one socket.
pub(super) fn emit(hub: &Arc<Hub>, socket: &SocketRef, event: &Event) {
    let mut unflushed = Vec::new();
    emit_unflushed(hub, slice::from_ref(socket), event, &mut unflushed);
    for (session, socket) in unflushed {
        session.outlet.flush(hub, &socket);
    }
}

/// Queues messages for some sockets, and says how many packets that are. Each is encoded once, however
/// many they are.
fn emit_all_unflushed(
    hub: &Arc<Hub>,
    sockets: &[SocketRef],
    messages: &[Event],
    unflushed: &mut Vec<(Arc<Session>, SocketRef)>,
) -> u64 {
    let packets = messages.iter().filter_map(|message| packet(hub, sockets, message));
    let queue = |burst| {
        let queue = |outlet: &Outlet, socket: &_| outlet.queue_burst(hub, socket, &burst);
        queue_for(hub, sockets, unflushed, queue)
    };
    Burst::of(packets).into_iter().map(queue).sum()
}

/// The same for one event of any kind.
fn emit_unflushed(
    hub: &Arc<Hub>,
    sockets: &[SocketRef],
    event: &Event,
    unflushed: &mut Vec<(Arc<Session>, SocketRef)>,
) -> u64 {
    let Some(packet) = packet(hub, sockets, event) else { return 0 };
    queue_for(hub, sockets, unflushed, |outlet, socket| {
        let queued = if event.is_ephemeral() {
            outlet.queue_ephemeral(hub, socket, &packet)
        } else {
            outlet.queue(hub, socket, &packet)
        };
        (queued, usize::from(queued != Queued::No))
    })
}

/// What clients are told of an event, unless there are none.
fn packet(hub: &Hub, sockets: &[SocketRef], event: &Event) -> Option<Packet> {
    let name = name(event)?;
    hub.metrics.went_out(name);
    if sockets.is_empty() { None } else { Packet::event(name, &Payload(event)) }
}

/// Queues something for each socket, which says what became of it and how many packets it was.
fn queue_for(
    hub: &Hub,
    sockets: &[SocketRef],
    unflushed: &mut Vec<(Arc<Session>, SocketRef)>,
    queue: impl Fn(&Outlet, &SocketRef) -> (Queued, usize),
) -> u64 {
    let mut packets = 0;
    for socket in sockets {
        let Some(session) = Session::of(socket) else { continue };
        let (outcome, count) = queue(&session.outlet, socket);
        packets += count as u64;
        if outcome == Queued::Unflushed {
            unflushed.push((session, socket.clone()));
        }
    }
    hub.metrics.delivered(packets);
    packets
}
