//! What operators do with sockets, under the rules that hold for everybody: a socket gets into a
//! group's room only where its user is a member, and ends as any other.

use std::convert::Infallible;
use std::sync::Arc;

use socketioxide::adapter::LocalAdapter;
use socketioxide::extract::SocketRef;
use socketioxide::handler::{FromMessageParts, Value};
use socketioxide::socket::{Sid, Socket};

use super::{AdminUi, AdminUiMode, NAMESPACE, address};
use crate::error::Error;
use crate::model::GroupId;
use crate::realtime::connect::Session;
use crate::realtime::incoming::AckTo;
use crate::realtime::outlet::{Packet, Told};
use crate::realtime::{handlers, leases, outlet};
use crate::wire::ack::Ack;
use crate::wire::admin_ui::{Action, Command, Done, NoCommand};

/// What an operator asks for, as it came in.
pub(super) struct Asked {
    command: Result<Command, NoCommand>,
    ack: Option<AckTo>,
}

impl FromMessageParts<LocalAdapter> for Asked {
    type Error = Infallible;

    fn from_message_parts(
        socket: &Arc<Socket>,
        value: &mut Value,
        ack_id: &Option<i64>,
    ) -> Result<Self, Infallible> {
        let frame = match value {
            Value::Str(frame, _) => frame.as_str(),
            Value::Bytes(_) => "",
        };
        Ok(Self { command: Command::decode(frame), ack: AckTo::of(socket, *ack_id) })
    }
}

/// Does what an operator asks for, notes it in the log, and answers where the UI wants that.
pub(super) async fn answer(ui: Arc<AdminUi>, socket: SocketRef, Asked { command, ack }: Asked) {
    let _in_flight = ui.hub.in_flight.token();
    let outcome = match &command {
        Ok(command) => act(&ui, command).await,
        Err(error) => Err(Error::Invalid(error.to_string().into())),
    };
    note(&socket, command.ok().as_ref(), &outcome);
    let Some(ack) = ack else { return };
    let answer = match outcome {
        Ok(sockets) => outlet::encode("admin ui", &Done { ok: true, sockets }),
        Err(error) => outlet::encode("admin ui", &Ack::Failed(error)),
    };
    if let Some(answer) = answer {
        // An operator who does not hear it is cut off with the next news.
        let _ = ack.send(&answer);
    }
}

fn note(socket: &SocketRef, command: Option<&Command>, outcome: &Result<usize, Error>) {
    let client = address(socket).map(tracing::field::display);
    let (sockets, error) = (outcome.as_ref().ok(), outcome.as_ref().err());
    tracing::info!(
        client,
        action = command.map(|command| command.action.name()),
        object = command.and_then(|command| command.action.object()),
        namespace = command.map(|command| command.nsp.as_str()),
        filter = command.and_then(|command| command.filter.as_deref()),
        sockets,
        error = error.map(tracing::field::display),
        "an operator's request by the admin UI"
    );
}

/// Does it; with how many sockets.
async fn act(ui: &AdminUi, command: &Command) -> Result<usize, Error> {
    if ui.mode == AdminUiMode::Readonly {
        let readonly = "The admin UI is read-only on this server (ADMIN_UI_MODE)";
        return Err(Error::Forbidden(readonly.into()));
    }
    let busy = |_| Error::RateLimited("Another request is still being done; try again".into());
    let _alone = ui.acts.try_acquire().map_err(busy)?;
    let sockets = targets(ui, command)?;
    match (&*command.nsp, &command.action) {
        ("/" | NAMESPACE, Action::Disconnect) => {
            sockets.iter().for_each(|socket| leases::disconnect(&ui.hub, socket));
            Ok(sockets.len())
        }
        ("/", Action::Join(room)) => join(ui, &sockets, room).await,
        ("/", Action::Leave(room)) => leave(ui, &sockets, room),
        ("/", Action::Emit(event, arguments)) => {
            let told = Told::new(event.clone(), arguments.clone());
            Ok(emit(ui, &sockets, &Packet::Told(Arc::new(told))))
        }
        _ => Err(Error::Forbidden("In this namespace sockets can be disconnected alone".into())),
    }
}

/// The sockets that a command concerns.
fn targets(ui: &AdminUi, command: &Command) -> Result<Vec<SocketRef>, Error> {
    let namespace = Some(&*command.nsp).filter(|name| ["/", NAMESPACE].contains(name));
    let namespace = namespace.and_then(|name| ui.io.of(name));
    let Some(namespace) = namespace else {
        return Err(Error::NotFound("There is no such namespace".into()));
    };
    let Some(filter) = &command.filter else { return Ok(namespace.sockets()) };
    let by_id = filter.parse::<Sid>().ok().and_then(|id| namespace.get_socket(id));
    Ok(match by_id {
        Some(socket) => vec![socket],
        None => namespace.within(filter.clone()).sockets(),
    })
}

/// Has sockets join a room, under the rules that hold when they ask for it themselves.
async fn join(ui: &AdminUi, sockets: &[SocketRef], room: &str) -> Result<usize, Error> {
    refuse_rooms_of_users(sockets, room)?;
    let group = group_of(room).transpose()?;
    let (mut joined, mut refused) = (0, None);
    for socket in sockets {
        match join_one(ui, socket, room, group).await {
            Ok(()) => joined += 1,
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if joined == 0 => Err(error),
        _ => Ok(joined),
    }
}

async fn join_one(
    ui: &AdminUi,
    socket: &SocketRef,
    room: &str,
    group: Option<GroupId>,
) -> Result<(), Error> {
    let gone = || Error::NotFound("The socket is not there any more".into());
    let session = Session::of(socket).ok_or_else(gone)?;
    handlers::check_rooms(&ui.hub, socket, &session, room)?;
    match group {
        Some(group) => {
            let enter = || handlers::enter_group(&ui.hub, socket, &session, group);
            ui.hub.chat.join(&session.user, group, enter).await
        }
        None => {
            handlers::enter(socket, room, || session.is_over(socket));
            Ok(())
        }
    }
}

/// The group whose room it is, if it is a group's.
fn group_of(room: &str) -> Option<Result<GroupId, Error>> {
    room.strip_prefix("group_").map(|id| Ok(GroupId::parse(id)?))
}

/// The room of a user is who its sockets are: it is neither entered nor left.
fn refuse_rooms_of_users(sockets: &[SocketRef], room: &str) -> Result<(), Error> {
    let is_own = sockets.iter().any(|socket| socket.id.as_str() == room);
    if is_own || room.starts_with("user_") {
        return Err(Error::Forbidden("The room of a user is its sockets' for good".into()));
    }
    Ok(())
}

fn leave(ui: &AdminUi, sockets: &[SocketRef], room: &str) -> Result<usize, Error> {
    refuse_rooms_of_users(sockets, room)?;
    let group = group_of(room).transpose()?;
    let is_there = |socket: &&SocketRef| socket.rooms().iter().any(|entered| entered == room);
    let there: Vec<_> = sockets.iter().filter(is_there).collect();
    for socket in &there {
        match (group, Session::of(socket)) {
            (Some(group), Some(session)) => {
                handlers::leave_group(&ui.hub, socket, &session, group);
            }
            _ => socket.leave(room.to_owned()),
        }
    }
    Ok(there.len())
}

/// Tells sockets an event, after all that waits for them; to how many.
fn emit(ui: &AdminUi, sockets: &[SocketRef], packet: &Packet) -> usize {
    let sent = sockets.iter().filter(|socket| {
        Session::of(socket).is_some_and(|session| session.outlet.send(&ui.hub, packet))
    });
    sent.count()
}
