//! Events on their way to the sockets, in the order in which they were committed.

use std::sync::Arc;

use futures_util::future::OptionFuture;
use socketioxide::SocketIo;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::Hub;
use super::outlet::{Burst, Outlet, Packet, Queued};
use super::receipts::Receipts;
use super::rooms::Hearers;
use super::writes::Writes;
use crate::buffer::{Delivery, Sequence};
use crate::cluster::{News, Told, Written};
use crate::model::{Audience, Dispatch, Event, GroupId, Op, UserId};
use crate::wire::told::{Payload, name};

/// The library's room of all sockets of a user.
pub(super) fn user_room(user: &UserId) -> String {
    format!("user_{user}")
}

/// The library's room of the sockets that listen to a group.
pub(super) fn group_room(group: GroupId) -> String {
    format!("group_{group}")
}

/// Deliveries that are told together: a socket that hears of several is written to once.
const AT_ONCE: usize = 256;

/// Tells each event to its audience, then lets whoever waits for it know. Ends with its queue.
pub(super) async fn run(hub: Arc<Hub>, io: SocketIo, mut deliveries: mpsc::Receiver<Delivery>) {
    let (receipts, writes) = (Receipts::default(), Writes::new());
    let mut telling = Telling { hub, io, receipts, held: None, writes, is_due: false };
    let mut batch = Vec::with_capacity(AT_ONCE);
    loop {
        let due = telling.receipts.next_due();
        let flush_at = telling.writes.next_due();
        tokio::select! {
            count = deliveries.recv_many(&mut batch, AT_ONCE) => {
                if count == 0 {
                    break;
                }
                telling.is_due = count > 1 || !batch[0].more.is_empty() || !deliveries.is_empty();
                batch.drain(..).for_each(|delivery| telling.deliver(delivery));
                telling.tell_held();
                telling.is_due = false;
            }
            Some(()) = OptionFuture::from(due.map(sleep_until)) => {}
            Some(()) = OptionFuture::from(flush_at.map(sleep_until)) => {}
        }
        if due.is_some() {
            let gathered = telling.receipts.due(Instant::now());
            telling.tell_gathered(gathered);
        }
        telling.writes.flush_if_due(&telling.hub);
    }
    let gathered = telling.receipts.rest();
    telling.tell_gathered(gathered);
    telling.writes.flush(&telling.hub);
}

struct Telling {
    hub: Arc<Hub>,
    io: SocketIo,
    receipts: Receipts,
    held: Option<Held>,
    writes: Writes,
    /// Whether more is about to be told.
    is_due: bool,
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
        match dispatch.event {
            Event::Left { group } => self.leave(&dispatch.to, group),
            _ => self.emit(&dispatch.to, &dispatch.event),
        }
    }

    /// The sockets of an audience are in a group no more.
    fn leave(&self, whose: &Audience, group: GroupId) {
        let namespace = self.io.of("/");
        for (seat, id) in self.hub.rooms.sockets(whose) {
            self.hub.rooms.leave(seat, group);
            let socket = namespace.as_ref().and_then(|sockets| sockets.get_socket(id));
            socket.inspect(|socket| socket.leave(group_room(group)));
        }
    }

    /// Queues an event for its audience.
    fn emit(&mut self, to: &Audience, event: &Event) {
        let hub = &self.hub;
        let hearers = hub.rooms.hearers(to);
        let Some(packet) = packet(hub, &hearers, event) else { return };
        self.writes.queue(hub, &hearers, self.is_due, |outlet| {
            let queued = if event.is_ephemeral() {
                outlet.queue_ephemeral(hub, &packet)
            } else {
                outlet.queue(hub, &packet)
            };
            (queued, usize::from(queued != Queued::No))
        });
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
        let hub = &self.hub;
        let hearers = hub.rooms.hearers(&Audience::Group(group));
        let packets = messages.iter().filter_map(|message| packet(hub, &hearers, message));
        let bursts = Burst::of(packets);
        let is_due = self.is_due || bursts.len() > 1;
        for burst in bursts {
            self.writes.queue(hub, &hearers, is_due, |outlet| outlet.queue_burst(hub, &burst));
        }
        for (delivery, told) in deliveries {
            self.finish(delivery, told);
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

/// Sends an event to one socket.
pub(super) fn emit(hub: &Arc<Hub>, outlet: &Outlet, event: &Event) {
    let Some(name) = name(event) else { return };
    hub.metrics.went_out(name);
    if let Some(packet) = Packet::event(name, &Payload(event)) {
        hub.metrics.delivered(u64::from(outlet.send(hub, &packet)));
    }
}

/// What clients are told of an event, unless there are none.
fn packet(hub: &Hub, hearers: &Hearers, event: &Event) -> Option<Packet> {
    let name = name(event)?;
    hub.metrics.went_out(name);
    if hearers.is_empty() { None } else { Packet::event(name, &Payload(event)) }
}
