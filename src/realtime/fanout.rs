//! Events on their way to the sockets, in the order in which they were committed.

use serde_json::value::RawValue;
use socketioxide::extract::SocketRef;
use socketioxide::{SendError, SocketError, SocketIo};
use tokio::sync::mpsc;

use super::metrics::Metrics;
use crate::buffer::Delivery;
use crate::model::{Audience, Dispatch, Event, GroupId, UserId};
use crate::wire::events::{Payload, name};

/// The room of all sockets of a user.
pub(super) fn user_room(user: &UserId) -> String {
    format!("user_{user}")
}

/// The room of the sockets that listen to a group.
pub(super) fn group_room(group: GroupId) -> String {
    format!("group_{group}")
}

/// Tells each event to its audience, then lets whoever waits for it know. Ends with its queue.
pub(super) async fn run(io: SocketIo, mut deliveries: mpsc::Receiver<Delivery>, metrics: Metrics) {
    while let Some(delivery) = deliveries.recv().await {
        if let Some(dispatch) = &delivery.dispatch {
            tell(&io, dispatch, &metrics);
        }
        delivery.done();
    }
}

fn tell(io: &SocketIo, dispatch: &Dispatch, metrics: &Metrics) {
    let audience = audience(io, &dispatch.to);
    match dispatch.event {
        Event::Left { group } => {
            for socket in &audience {
                socket.leave(group_room(group));
            }
        }
        _ => emit(&audience, &dispatch.event, metrics),
    }
}

fn audience(io: &SocketIo, to: &Audience) -> Vec<SocketRef> {
    // Once the server has closed its sockets, there is no namespace and nobody to tell.
    let Some(namespace) = io.of("/") else { return Vec::new() };
    match to {
        Audience::Group(group) => namespace.within(group_room(*group)).sockets(),
        Audience::Users(users) => {
            namespace.within(users.iter().map(user_room).collect::<Vec<_>>()).sockets()
        }
    }
}

/// Queues an event for some sockets. It is encoded once, however many they are.
pub(super) fn emit(sockets: &[SocketRef], event: &Event, metrics: &Metrics) {
    let Some(name) = name(event) else { return };
    metrics.went_out(name);
    if sockets.is_empty() {
        return;
    }
    let payload = match serde_json::value::to_raw_value(&Payload(event)) {
        Ok(payload) => payload,
        Err(error) => {
            tracing::error!(event = name, %error, "an event could not be encoded");
            return;
        }
    };
    let queued = sockets.iter().filter(|socket| queue(socket, name, &payload, metrics)).count();
    metrics.delivered(queued as u64);
}

fn queue(socket: &SocketRef, name: &str, payload: &RawValue, metrics: &Metrics) -> bool {
    match socket.emit(name, payload) {
        Ok(()) => true,
        Err(SendError::Socket(SocketError::InternalChannelFull)) => {
            metrics.dropped();
            tracing::warn!(socket = %socket.id, "a client reads too slowly and lost an event");
            false
        }
        // It has just disconnected.
        Err(_) => false,
    }
}
