//! What each client event does.

use std::sync::Arc;

use socketioxide::extract::SocketRef;

use super::connect::Session;
use super::incoming::{AckTo, Incoming};
use super::outlet::{Outlet, Packet};
use super::{Hub, fanout, leases, log, outlet};
use crate::auth::SignIn;
use crate::chat::{Accepted, Chat};
use crate::correlation;
use crate::error::Error;
use crate::limits::{Verdict, What};
use crate::model::{EndReason, GroupId, UserId};
use crate::wire::accounts::{Hidden, Renewal};
use crate::wire::ack::{Ack, Notice};
use crate::wire::events::{ClientEvent, DeleteFor};

/// Takes an event its turn and returns the work that remains: do it, and answer. Must be called in
/// the order of the socket's frames.
pub(super) fn handle(
    hub: Arc<Hub>,
    socket: SocketRef,
    incoming: Incoming,
) -> impl Future<Output = ()> + Send + 'static {
    let Incoming { verdict, name, event, bytes, ack } = incoming;
    hub.metrics.came_in(name);
    hub.traffic.came_in(bytes);
    let session = Session::of(&socket);
    // What the server does not know, or does not read, has nothing to wait for.
    let acts = session.as_ref().filter(|_| event.is_some());
    let turn = acts.map(|session| session.turns.take(bytes));
    let in_flight = hub.in_flight.token();
    let request = session.as_ref().map(|session| session.next_request());
    correlation::scope(request, async move {
        let _in_flight = in_flight;
        let Some(session) = session else { return };
        if verdict != Verdict::Taken {
            return refuse(&hub, &socket, &session, name, ack, verdict);
        }
        let (Some(event), Some(turn)) = (event, turn) else {
            // A client that repeats what is not acknowledged would wait for this for ever.
            let unknown = Ack::Failed(Error::Invalid("There is no such event".into()));
            return acknowledge(&hub, &session.outlet, name, ack, &unknown);
        };
        let answer = |outcome| answer(&hub, &session.outlet, name, ack, outcome);
        let Some(turn) = turn else {
            let busy = "Too many of your events are waiting; send more slowly";
            return answer(Err(Error::RateLimited(busy.into())));
        };
        turn.begin().await;
        if session.has_ended() {
            return answer(Err(Error::Unauthorized("You have been signed out".into())));
        }
        // A question changes nothing, and may wait for the store: what comes after it need not.
        let turn = Some(turn).filter(|_| !matches!(event, Ok(ClientEvent::Sync(..))));
        let settled = match event {
            Ok(ClientEvent::SendMessage(draft)) => {
                hub.chat.send(&session.user, draft).await.map(|sent| sent.map(Ack::Sent))
            }
            // In a place of their own: a task is as large as the largest thing that it may do, and is
            // copied as a whole when it begins and ends.
            Ok(event) => Box::pin(act(&hub, &socket, &session, event)).await,
            Err(error) => Err(error),
        };
        drop(turn);
        let outcome = match settled {
            Ok(accepted) => accepted.durable().await,
            Err(error) => Err(error),
        };
        answer(outcome);
    })
}

/// Answers an event of a socket that sends too fast, and closes one that does so on and on.
fn refuse(
    hub: &Arc<Hub>,
    socket: &SocketRef,
    session: &Session,
    name: &'static str,
    ack: Option<AckTo>,
    verdict: Verdict,
) {
    hub.limits.refused(What::Events);
    let too_fast = "You send events too fast; send more slowly, and this one again";
    let refusal = Err(Error::RateLimited(too_fast.into()));
    answer(hub, &session.outlet, name, ack, refusal);
    // Where the library's queue is full it can't be closed yet; the next event tries again.
    if verdict == Verdict::Flood && socket.connected() && socket.clone().disconnect().is_ok() {
        log::too_fast_and_cut(log::name(socket), &session.user);
    }
}

/// Does what an event asks for, up to the point where its order among all acts is settled.
async fn act(
    hub: &Arc<Hub>,
    socket: &SocketRef,
    session: &Session,
    event: ClientEvent,
) -> Result<Accepted<Ack>, Error> {
    let (chat, user) = (&hub.chat, &session.user);
    Ok(match event {
        ClientEvent::JoinGroup(group) => {
            check_rooms(hub, socket, session, &fanout::group_room(group))?;
            chat.join(user, group, || enter_group(hub, socket, session, group)).await?;
            Accepted::settled(Ack::Done)
        }
        ClientEvent::LeaveGroup(group) => {
            leave_group(hub, socket, session, group);
            Accepted::settled(Ack::Done)
        }
        ClientEvent::RefreshToken(renewal) => {
            Accepted::settled(renew(hub, socket, session, renewal).await?)
        }
        event => ask(chat, user, event).await?,
    })
}

/// Does what an event asks for that any kind of connection may send.
pub(super) async fn ask(
    chat: &Chat,
    user: &UserId,
    event: ClientEvent,
) -> Result<Accepted<Ack>, Error> {
    let done = |accepted: Accepted<()>| accepted.map(|()| Ack::Done);
    Ok(match event {
        ClientEvent::SendMessage(draft) => chat.send(user, draft).await?.map(Ack::Sent),
        ClientEvent::Typing(to, is_typing) => {
            chat.typing(user, to, is_typing).await?;
            Accepted::settled(Ack::Done)
        }
        ClientEvent::MarkRead(message) => done(chat.mark_read(user, &message).await?),
        ClientEvent::MarkManyRead(messages) => done(chat.mark_many_read(user, &messages).await?),
        ClientEvent::MarkReadUpTo(message) => {
            chat.mark_read_up_to(user, &message).await?.map(Ack::ReadBackTo)
        }
        ClientEvent::MarkDelivered(messages) => done(chat.mark_delivered(user, &messages).await?),
        ClientEvent::EditMessage(message, content) => {
            done(chat.edit(user, &message, content).await?)
        }
        ClientEvent::DeleteMessage(message, delete_for) => {
            let accepted = match delete_for {
                DeleteFor::Everyone => chat.delete_for_everyone(user, &message).await?,
                DeleteFor::Me => chat.delete_for_me(user, &message).await?,
            };
            accepted.map(|()| Ack::Success("Message deleted successfully"))
        }
        ClientEvent::React(message, emoji, on) => {
            done(chat.react(user, &message, emoji, on).await?)
        }
        ClientEvent::Pin(message, pinned) => done(chat.pin(user, &message, pinned).await?),
        ClientEvent::Sync(cursor, limit) => {
            let page = chat.sync(user, cursor, limit.unwrap_or(Chat::SYNC_PAGE)).await?;
            Accepted::settled(Ack::Synced(user.clone(), Box::new(page)))
        }
        ClientEvent::JoinGroup(_) | ClientEvent::LeaveGroup(_) | ClientEvent::RefreshToken(_) => {
            return Err(Error::Invalid("This is for Socket.IO connections".into()));
        }
    })
}

/// Lets a socket live on, with another token of the same user.
async fn renew(
    hub: &Arc<Hub>,
    socket: &SocketRef,
    session: &Session,
    renewal: Renewal,
) -> Result<Ack, Error> {
    let SignIn::Tokens(auth) = &hub.sign_in else {
        return Err(Error::Invalid("Sign-in is open on this server: there are no tokens".into()));
    };
    let (access, tokens) = match renewal {
        Renewal::Access(Hidden(access)) => (access, None),
        Renewal::Refresh(Hidden(refresh)) => {
            let next = auth.refresh(&refresh).await?;
            let tokens = (Hidden(next.access_token.clone()), Hidden(next.refresh_token));
            (next.access_token, Some(tokens))
        }
    };
    let claims = auth.verify(&access).await?;
    if claims.user != session.user {
        return Err(Error::Forbidden("The token is another user's".into()));
    }
    let expires_at = claims.expires_at;
    session.renew(claims.clone());
    // What has voided it meanwhile looked for sockets that live on it, and did not find this one.
    if auth.is_void(&claims) {
        leases::end(hub, socket, EndReason::SignedOut);
        return Err(Error::Unauthorized("The token has been revoked; sign in again".into()));
    }
    Ok(Ack::Renewed { expires_at, tokens })
}

/// Whether a socket may enter one more room, or is in this one.
pub(super) fn check_rooms(
    hub: &Hub,
    socket: &SocketRef,
    session: &Session,
    room: &str,
) -> Result<(), Error> {
    let Some(limit) = session.rooms else { return Ok(()) };
    // One of its rooms is its user's.
    let rooms = socket.rooms();
    if rooms.len() <= limit || rooms.iter().any(|entered| entered == room) {
        return Ok(());
    }
    hub.limits.refused(What::Rooms);
    let full = format!("One socket can join {limit} groups; leave_group one of them first");
    Err(Error::TooLarge(full.into()))
}

/// Lets a socket into a group's room, where it hears what the group is told.
pub(super) fn enter_group(hub: &Hub, socket: &SocketRef, session: &Session, group: GroupId) {
    hub.rooms.enter(session.seat, group);
    enter(socket, &fanout::group_room(group), || session.is_over(socket));
}

/// Has a socket leave a group's room.
pub(super) fn leave_group(hub: &Hub, socket: &SocketRef, session: &Session, group: GroupId) {
    hub.rooms.leave(session.seat, group);
    socket.leave(fanout::group_room(group));
}

/// Lets a socket into a room of the library's. The library forgets a socket's rooms when it ends; a room
/// that it enters later would hold it for ever.
pub(super) fn enter(socket: &SocketRef, room: &str, is_over: impl Fn() -> bool) {
    socket.join(room.to_owned());
    if is_over() {
        socket.leave_all();
    }
}

/// Answers an event: by its acknowledgement, and by `error` or `success` for clients that listen
/// to those instead.
fn answer(
    hub: &Arc<Hub>,
    outlet: &Outlet,
    name: &'static str,
    ack: Option<AckTo>,
    outcome: Result<Ack, Error>,
) {
    let outcome = Ack::from(outcome);
    let said = match &outcome {
        Ack::Failed(error) => {
            error.log(name);
            hub.metrics.refused(name);
            Some(("error", error.to_string()))
        }
        Ack::Success(text) => Some(("success", (*text).to_owned())),
        Ack::Renewed { .. } | Ack::Done | Ack::Sent(_) | Ack::ReadBackTo(_) | Ack::Synced(..) => {
            None
        }
    };
    if let Some((event, message)) = said
        && let Some(notice) = Packet::event(event, &Notice { message })
    {
        outlet.send(hub, &notice);
    }
    acknowledge(hub, outlet, name, ack, &outcome);
}

/// Answers an event by its acknowledgement, where the client wants one.
fn acknowledge(
    hub: &Arc<Hub>,
    outlet: &Outlet,
    name: &'static str,
    ack: Option<AckTo>,
    outcome: &Ack,
) {
    if let Some(to) = ack
        && let Some(outcome) = outlet::encode(name, outcome)
    {
        outlet.send(hub, &Packet::Ack(to, outcome.into()));
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use socketioxide::SocketIo;
    use tower::{Layer, ServiceExt};

    use super::*;

    /// A socket that has connected, by long polling.
    async fn connected() -> SocketRef {
        let (layer, io) = SocketIo::builder().build_layer();
        io.ns("/", async || ());
        let service = layer.layer(Router::new());
        let ask = async |request: axum::http::request::Builder, body: &'static str| {
            let answer = service.clone().oneshot(request.body(Body::from(body)).unwrap());
            let body = to_bytes(Body::new(answer.await.unwrap().into_body()), 1_000).await;
            String::from_utf8(body.unwrap().to_vec()).unwrap()
        };
        let url = "/socket.io/?EIO=4&transport=polling";
        let open = ask(Request::get(url), "").await;
        let open: serde_json::Value = serde_json::from_str(&open[1..]).unwrap();
        let url = format!("{url}&sid={}", open["sid"].as_str().unwrap());
        ask(Request::post(&url), "40{}").await;
        ask(Request::get(&url), "").await;
        io.sockets().remove(0)
    }

    #[tokio::test]
    async fn a_socket_that_has_ended_enters_no_room() {
        let socket = connected().await;
        enter(&socket, "group_x", || !socket.connected());
        assert_eq!(socket.rooms().len(), 1);
        socket.clone().disconnect().unwrap();
        enter(&socket, "group_x", || !socket.connected());
        assert!(socket.rooms().is_empty());
    }
}
