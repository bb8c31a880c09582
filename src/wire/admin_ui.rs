//! What the Socket.IO Admin UI (`@socket.io/admin-ui` 0.5) is told, and what it asks for.

use std::fmt;

use serde::ser::SerializeTuple;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::accounts::Hidden;

/// The longest name of an event or a room that an operator may use.
const MAX_NAME: usize = 256;

/// Names that clients of Socket.IO keep for themselves.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// What an operator signs in with: a name and a password, or a session that was given for them.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Credentials {
    /// The operator's name.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Hidden>,
    /// What `session` has told.
    pub session_id: Option<Hidden>,
}

/// What the UI may show and do.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Features {
    /// Words of the UI's protocol.
    pub supported_features: &'static [&'static str],
}

/// A socket, as `all_sockets` lists it and `socket_connected` tells of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SocketRow {
    /// Its id.
    pub id: String,
    /// The connection's.
    pub client_id: String,
    /// `polling` or `websocket`.
    pub transport: &'static str,
    /// Its namespace.
    pub nsp: &'static str,
    /// Whose it is.
    pub data: SocketData,
    /// The request that opened its connection, without what lets somebody in.
    pub handshake: Handshake,
    /// Its rooms, of which its own id is one.
    pub rooms: Vec<String>,
}

/// What is told of the one whose socket it is.
#[derive(Serialize)]
pub struct SocketData {
    /// The user; none for an operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}

/// The request that opened a connection.
#[derive(Serialize)]
pub struct Handshake {
    /// Where it came from.
    pub address: String,
    /// The few headers that tell nothing secret.
    pub headers: serde_json::Map<String, Value>,
    /// The same of its query.
    pub query: serde_json::Map<String, Value>,
    /// When, in milliseconds.
    pub issued: i64,
    /// When, as text.
    pub time: String,
    /// Whether it was encrypted up to this server, which it never is.
    pub secure: bool,
    /// Its path.
    pub url: &'static str,
    /// Whether a page of another origin made it.
    pub xdomain: bool,
}

/// How a server is, every two seconds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerStats<'a> {
    /// Which server.
    pub server_id: &'a str,
    /// On which machine.
    pub hostname: &'a str,
    /// The process.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime: f64,
    /// How many clients are connected.
    pub clients_count: usize,
    /// Of these, by long polling.
    pub polling_clients_count: usize,
    /// What happened since the last time.
    pub aggregated_events: Vec<AggregatedEvent>,
    /// The namespaces.
    pub namespaces: [NamespaceRow; 2],
}

/// How often something happened.
#[derive(Serialize)]
pub struct AggregatedEvent {
    /// Up to when, in milliseconds; a whole second.
    pub timestamp: i64,
    /// What.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// How often, or how many bytes.
    pub count: u64,
}

/// A namespace.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceRow {
    /// Its name.
    pub name: &'static str,
    /// How many sockets are in it.
    pub sockets_count: usize,
}

/// Part of a row that has changed: `socket_updated`.
#[derive(Serialize)]
pub struct SocketUpdate {
    /// The socket.
    pub id: String,
    /// Its namespace.
    pub nsp: &'static str,
    /// What it uses now.
    pub transport: &'static str,
}

/// An event's arguments, each in its own place.
pub struct Arguments<'a>(pub &'a [Value]);

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut tuple = to.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|argument| tuple.serialize_element(argument))?;
        tuple.end()
    }
}

/// What an operator asks for, with the sockets that it concerns: those of a room, the one with this
/// id, or, without a filter, all of the namespace.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// The namespace.
    pub nsp: String,
    /// Which of its sockets.
    pub filter: Option<String>,
    /// What is done with them.
    pub action: Action,
}

/// What an operator does with sockets.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Tells them an event.
    Emit(String, Vec<Value>),
    /// Has them join a room.
    Join(String),
    /// Has them leave a room.
    Leave(String),
    /// Ends them.
    Disconnect,
}

impl Action {
    /// The word for it in the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Emit(..) => "emit",
            Self::Join(_) => "join",
            Self::Leave(_) => "leave",
            Self::Disconnect => "disconnect",
        }
    }

    /// The event's name, or the room's.
    pub fn object(&self) -> Option<&str> {
        match self {
            Self::Emit(name, _) | Self::Join(name) | Self::Leave(name) => Some(name),
            Self::Disconnect => None,
        }
    }
}

/// What was done.
#[derive(Serialize)]
pub struct Done {
    /// True.
    pub ok: bool,
    /// With how many sockets.
    pub sockets: usize,
}

/// Why what came is no command; the text is for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoCommand(pub &'static str);

const FORM: NoCommand = NoCommand("the arguments have the wrong form");

impl fmt::Display for NoCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Command {
    /// Reads an event as it came in: `["join", nsp, room, filter]`.
    ///
    /// # Errors
    /// It is none of the UI's, or has the wrong form.
    pub fn decode(frame: &str) -> Result<Self, NoCommand> {
        let read: Vec<Value> = serde_json::from_str(frame).map_err(|_| FORM)?;
        let mut read = read.into_iter();
        let (name, nsp) = (text(read.next())?, text(read.next())?);
        let (action, filter) = match &*name {
            "emit" => {
                let filter = filter(read.next())?;
                let event = text(read.next())?;
                if RESERVED.contains(&&*event) {
                    return Err(NoCommand("this name of an event is the clients' own"));
                }
                (Action::Emit(event, read.collect()), filter)
            }
            "join" => (Action::Join(text(read.next())?), filter(read.next())?),
            "leave" => (Action::Leave(text(read.next())?), filter(read.next())?),
            "_disconnect" => {
                // Whether the connection is to be closed, too: its client does that.
                if !matches!(read.next(), Some(Value::Bool(_) | Value::Null)) {
                    return Err(FORM);
                }
                (Action::Disconnect, filter(read.next())?)
            }
            _ => return Err(NoCommand("there is no such event")),
        };
        Ok(Self { nsp, filter, action })
    }
}

fn text(argument: Option<Value>) -> Result<String, NoCommand> {
    match argument {
        Some(Value::String(text)) if !text.is_empty() && text.len() <= MAX_NAME => Ok(text),
        Some(Value::String(_)) => Err(NoCommand("a name has 1 to 256 bytes")),
        _ => Err(FORM),
    }
}

fn filter(argument: Option<Value>) -> Result<Option<String>, NoCommand> {
    match argument {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(argument @ Value::String(_)) => text(Some(argument)).map(Some),
        Some(_) => Err(NoCommand("a filter is a room or the id of a socket")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn commands_are_read_as_the_ui_sends_them() {
        let command = |action, filter: Option<&str>| {
            Ok(Command { nsp: "/".into(), filter: filter.map(str::to_owned), action })
        };
        let x = || "x".to_owned();
        for (frame, read) in [
            (json!(["join", "/", "x", "id"]), command(Action::Join(x()), Some("id"))),
            (json!(["leave", "/", "x"]), command(Action::Leave(x()), None)),
            (json!(["leave", "/", "x", null]), command(Action::Leave(x()), None)),
            (json!(["_disconnect", "/", false, "x"]), command(Action::Disconnect, Some("x"))),
            (json!(["_disconnect", "/", true]), command(Action::Disconnect, None)),
            (
                json!(["emit", "/", "", "x", 1, {"a": []}]),
                command(Action::Emit(x(), vec![json!(1), json!({"a": []})]), None),
            ),
        ] {
            assert_eq!(Command::decode(&frame.to_string()), read, "{frame}");
        }
    }

    #[test]
    fn what_is_no_command_is_refused() {
        let long = "x".repeat(257);
        for frame in [
            json!([]),
            json!({}),
            json!(["join"]),
            json!(["join", "/"]),
            json!(["join", "/", ""]),
            json!(["join", "/", long]),
            json!(["join", "/", "x", 7]),
            json!(["join", 7, "x"]),
            json!(["_disconnect", "/"]),
            json!(["_disconnect", "/", "yes"]),
            json!(["emit", "/", null]),
            json!(["emit", "/", null, "disconnect"]),
            json!(["drop", "/"]),
        ] {
            assert!(Command::decode(&frame.to_string()).is_err(), "{frame}");
        }
        assert!(Command::decode("").is_err() && Command::decode("[\"join\"").is_err());
    }

    #[test]
    fn arguments_stand_side_by_side() {
        let arguments = [json!(1), json!([2, 3])];
        assert_eq!(serde_json::to_string(&Arguments(&arguments)).unwrap(), "[1,[2,3]]");
    }
}
