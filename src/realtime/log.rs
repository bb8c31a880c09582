//! The log's lines about sockets: who has come and gone, who was refused, and who is too slow or too
//! fast. Those that come and go are below what is logged by default: `websocket.log` has them, and
//! standard output for who wants them.

use std::time::Duration;

use socketioxide::extract::SocketRef;
use socketioxide::socket::DisconnectReason;
use socketioxide::{ProtocolVersion, TransportType};

use crate::correlation::{RequestId, SocketName};
use crate::error::Error;
use crate::limits::ClientAddress;
use crate::model::UserId;

const WEBSOCKET: &str = "banter::websocket";

/// Where a connection comes from, and the request that opened it.
pub(super) struct From {
    pub(super) client: Option<ClientAddress>,
    pub(super) handshake: Option<RequestId>,
}

impl From {
    pub(super) fn of(socket: &SocketRef) -> Self {
        let extensions = &socket.req_parts().extensions;
        Self { client: extensions.get().copied(), handshake: extensions.get().cloned() }
    }
}

/// The name under which the log knows a Socket.IO socket.
pub(super) fn name(socket: &SocketRef) -> SocketName {
    SocketName::of(socket.id.as_str())
}

/// What a Socket.IO socket speaks.
pub(super) fn spoken(socket: &SocketRef) -> &'static str {
    match (socket.protocol(), socket.transport_type()) {
        (ProtocolVersion::V4, TransportType::Websocket) => "socket.io v2 websocket",
        (ProtocolVersion::V4, TransportType::Polling) => "socket.io v2 polling",
        (ProtocolVersion::V5, TransportType::Websocket) => "socket.io websocket",
        (ProtocolVersion::V5, TransportType::Polling) => "socket.io polling",
    }
}

pub(super) fn connected(socket: SocketName, from: &From, user: &UserId, spoken: &str) {
    tracing::debug!(
        target: WEBSOCKET,
        %socket,
        client = from.client.map(|address| tracing::field::display(address.0)),
        user = user.as_str(),
        spoken,
        handshake = from.handshake.as_ref().map(tracing::field::display),
        "connected"
    );
}

pub(super) fn refused(socket: SocketName, from: &From, spoken: &str, error: &Error) {
    tracing::debug!(
        target: WEBSOCKET,
        %socket,
        client = from.client.map(|address| tracing::field::display(address.0)),
        spoken,
        handshake = from.handshake.as_ref().map(tracing::field::display),
        code = error.code().as_str(),
        reason = %error,
        "refused"
    );
}

pub(super) fn disconnected(socket: SocketName, user: &UserId, stayed: Duration, reason: &str) {
    tracing::debug!(
        target: WEBSOCKET,
        %socket,
        user = user.as_str(),
        stayed_ms = stayed.as_millis() as u64,
        reason,
        "disconnected"
    );
}

/// Why a Socket.IO socket has gone.
pub(super) fn reason(reason: DisconnectReason) -> &'static str {
    match reason {
        DisconnectReason::TransportClose => "the client closed the connection",
        DisconnectReason::MultipleHttpPollingError => "the client polled twice at once",
        DisconnectReason::PacketParsingError => "the client sent what can't be read",
        DisconnectReason::TransportError => "the connection was lost",
        DisconnectReason::HeartbeatTimeout => "the client did not answer in time",
        DisconnectReason::ClientNSDisconnect => "the client left",
        DisconnectReason::ServerNSDisconnect => "the server ended it",
        DisconnectReason::ClosingServer => "the server stops",
    }
}

/// A client does not read what it is sent.
pub(super) fn too_slow(socket: SocketName, user: &UserId) {
    tracing::warn!(
        target: WEBSOCKET,
        %socket,
        user = user.as_str(),
        "a client reads too slowly and loses events"
    );
}

/// The same, of a plain WebSocket, which is closed for it.
pub(super) fn too_slow_and_cut(socket: SocketName, user: &UserId, lost: usize) {
    tracing::warn!(
        target: WEBSOCKET,
        %socket,
        user = user.as_str(),
        lost,
        "a plain WebSocket that reads too slowly is cut off"
    );
}

/// A client went on sending too fast.
pub(super) fn too_fast_and_cut(socket: SocketName, user: &UserId) {
    tracing::warn!(
        target: WEBSOCKET,
        %socket,
        user = user.as_str(),
        "a client that would not send more slowly is cut off"
    );
}
