//! Events on their way to the sockets, in the order in which they were committed.

use std::sync::Arc;

use futures_util::future::OptionFuture;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::Hub;
use super::connect::Session;
use super::outlet::Packet;
use super::receipts::Receipts;
use crate::buffer::Delivery;
use crate::model::{Audience, Dispatch, Event, GroupId, UserId};
use crate::wire::told::{Payload, name};

/// The room of all sockets of a user.
pub(super) fn user_room(user: &UserId) -> String {
    format!("user_{user}")
}

/// The room of the sockets that listen to a group.
pub(super) fn group_room(group: GroupId) -> String {
    format!("group_{group}")
}

/// Tells each event to its audience, then lets whoever waits for it know. Ends with its queue.
pub(super) async fn run(hub: Arc<Hub>, io: SocketIo, mut deliveries: mpsc::Receiver<Delivery>) {
    let mut receipts = Receipts::default();
    loop {
        let due = receipts.next_due();
        tokio::select! {
            delivery = deliveries.recv() => {
                let Some(mut delivery) = delivery else { break };
                let more = std::mem::take(&mut delivery.more);
                for dispatch in delivery.dispatch.take().into_iter().chain(more) {
                    if let Some(dispatch) = receipts.pass(dispatch, Instant::now()) {
                        tell(&hub, &io, &dispatch);
                        if let Some(next) = dispatch.follow_up() {
                            tell(&hub, &io, &next);
                        }
                    }
                }
                delivery.done();
            }
            Some(()) = OptionFuture::from(due.map(sleep_until)) => {}
        }
        if due.is_some() {
            receipts.due(Instant::now()).iter().for_each(|dispatch| tell(&hub, &io, dispatch));
        }
    }
    receipts.rest().iter().for_each(|dispatch| tell(&hub, &io, dispatch));
}

fn tell(hub: &Arc<Hub>, io: &SocketIo, dispatch: &Dispatch) {
    hub.metrics.delivered(hub.plain.tell(hub, dispatch));
    let audience = audience(io, &dispatch.to);
    match dispatch.event {
        Event::Left { group } => {
            for socket in &audience {
                socket.leave(group_room(group));
            }
        }
        _ => emit(hub, &audience, &dispatch.event),
    }
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
        // To the library no room at all means everybody.
        Audience::Users(users) if users.is_empty() => Vec::new(),
        Audience::Users(users) => {
            namespace.within(users.iter().map(user_room).collect::<Vec<_>>()).sockets()
        }
    }
}

/// Queues an event for some sockets. It is encoded once, however many they are.
pub(super) fn emit(hub: &Arc<Hub>, sockets: &[SocketRef], event: &Event) {
    let Some(name) = name(event) else { return };
    hub.metrics.went_out(name);
    if sockets.is_empty() {
        return;
    }
    let Some(payload) = encode(name, &Payload(event)) else { return };
    let packet = Packet::Event(name, payload);
    let is_ephemeral = event.is_ephemeral();
    let queued = sockets.iter().filter(|socket| queue(hub, socket, &packet, is_ephemeral)).count();
    hub.metrics.delivered(queued as u64);
}

fn queue(hub: &Arc<Hub>, socket: &SocketRef, packet: &Packet, is_ephemeral: bool) -> bool {
    let Some(session) = Session::of(socket) else { return false };
    let packet = packet.clone();
    if is_ephemeral {
        session.outlet.send_ephemeral(hub, socket, packet)
    } else {
        session.outlet.send(hub, socket, packet)
    }
}

/// A payload as JSON. Ours can always be encoded; should one not be, it is left out and logged.
pub(super) fn encode(name: &'static str, payload: &impl Serialize) -> Option<Arc<RawValue>> {
    match to_raw_value(payload) {
        Ok(payload) => Some(payload.into()),
        Err(error) => {
            tracing::error!(event = name, %error, "an event could not be encoded");
            None
        }
    }
}
