//! One plain WebSocket: what is read from it, what is written to it, and how it ends.

use std::convert::Infallible;
use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::{Instant, interval_at, sleep, sleep_until};
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;

use super::admission::Socket;
use super::close_code;
use super::outbox::{Next, Outbox, Pushed};
use crate::auth::{Auth, Claims, SignIn};
use crate::correlation::{RequestId, SocketName};
use crate::error::Error;
use crate::limits::{Events, Verdict, What};
use crate::model::{EndReason, Event, SessionId, Timestamp, UserId};
use crate::realtime::incoming::UNKNOWN;
use crate::realtime::leases::{LONGEST_WAIT, WARNING};
use crate::realtime::{Hub, handlers, log};
use crate::wire::ack::Ack;
use crate::wire::plain::{self, Asked, Dialect, Form};

/// Frames of one connection that may be waiting to become durable; until one has, no further frame
/// is read.
const MAX_ANSWERS: usize = 256;

/// Why connections end.
const BY_SERVER: &str = "the server ended it";
const BROKEN: &str = "the connection was lost, or carried what can't be read";

/// How long a connection that is told that it is closed may take to read that.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// A connection that was let in.
#[derive(Debug)]
pub(super) struct Line {
    /// Under which the log knows it.
    pub(super) name: SocketName,
    pub(super) user: UserId,
    pub(super) dialect: Dialect,
    /// As its first frame has it.
    form: OnceLock<Form>,
    /// The token that it lives on, where users sign in by token.
    lease: Option<Claims>,
    outbox: Outbox,
    events: Mutex<Events>,
    /// How many frames it has sent.
    heard: AtomicU32,
    /// Whether nothing more will be written.
    is_written: CancellationToken,
}

impl Line {
    pub(super) fn new(
        user: UserId,
        dialect: Dialect,
        lease: Option<Claims>,
        events: Events,
    ) -> Self {
        Self {
            name: SocketName::mint(),
            user,
            dialect,
            form: OnceLock::new(),
            lease,
            outbox: Outbox::default(),
            events: Mutex::new(events),
            heard: AtomicU32::new(0),
            is_written: CancellationToken::new(),
        }
    }

    /// The form in which it hears.
    pub(super) fn form(&self) -> Form {
        self.form.get().copied().unwrap_or_else(|| self.dialect.form(""))
    }

    /// Tells it something; whether that waits to be written now.
    pub(super) fn tell(&self, hub: &Hub, frame: Utf8Bytes) -> bool {
        match self.outbox.push(frame) {
            Pushed::Waits => true,
            Pushed::Closing => false,
            Pushed::Overflow(lost) => {
                hub.metrics.dropped(lost as u64);
                hub.metrics.cut_plain();
                log::too_slow_and_cut(self.name, &self.user, lost);
                false
            }
        }
    }

    /// Tells it something that is of the moment alone, unless it is behind.
    pub(super) fn tell_ephemeral(&self, hub: &Hub, frame: Utf8Bytes) -> bool {
        let is_told = !self.outbox.is_behind() && self.tell(hub, frame);
        if !is_told {
            hub.metrics.let_go();
        }
        is_told
    }

    /// Ends it; what it asks from now on is not done.
    pub(super) fn close(&self, code: u16, reason: &str) {
        self.outbox.close(code, reason);
    }

    /// Whether it lives on a token of this sign-in, or, without one, on any token.
    pub(super) fn lives_on(&self, sign_in: Option<SessionId>) -> bool {
        self.lease.as_ref().is_some_and(|claims| sign_in.is_none() || claims.session == sign_in)
    }

    /// Ends it because its token has.
    pub(super) fn sign_out(&self, hub: &Hub, reason: EndReason) {
        if self.outbox.is_closing() {
            return;
        }
        self.tell_event(hub, &Event::SignedOut { reason });
        hub.metrics.signed_out();
        let code = close_code(&Error::Unauthorized("".into()));
        self.close(code, &format!("Signed out: {}", reason.as_str()));
    }

    fn tell_event(&self, hub: &Hub, event: &Event) {
        if let Some(frame) = plain::event(self.form(), event, "") {
            self.tell(hub, frame.into());
        }
    }
}

/// Talks with a connection until it ends; why it does.
pub(super) async fn converse(hub: &Arc<Hub>, line: &Line, socket: Socket) -> &'static str {
    let (to_client, from_client) = socket.split();
    tokio::select! {
        reason = read(hub, line, from_client) => reason,
        never = write(hub, line, to_client) => match never {},
        never = live(hub, line) => match never {},
        () = async { line.outbox.closing().await; sleep(GRACE).await } => BY_SERVER,
    }
}

/// Writes what waits, and asks now and then whether the client is still there. Does not end: the
/// client's answer to the last frame is to be read.
async fn write(hub: &Hub, line: &Line, mut to: SplitSink<Socket, Message>) -> Infallible {
    let every = hub.plain.ping_interval;
    let mut pings = interval_at(Instant::now() + every, every);
    let done = async {
        loop {
            while let Some(next) = line.outbox.next() {
                match next {
                    Next::Frame(frame) => to.feed(Message::Text(frame)).await?,
                    Next::Close(reason) => return to.send(Message::Close(Some(reason))).await,
                }
            }
            to.flush().await?;
            tokio::select! {
                () = line.outbox.changed() => {}
                _ = pings.tick() => to.feed(Message::Ping(Bytes::new())).await?,
            }
        }
    };
    if let Err(error) = done.await {
        tracing::debug!(%error, "a plain WebSocket could not be written to");
    }
    line.is_written.cancel();
    pending().await
}

/// Reads what the client says, until it has gone or says nothing any more; which of them.
async fn read(hub: &Arc<Hub>, line: &Line, mut from: SplitStream<Socket>) -> &'static str {
    let patience = hub.plain.ping_interval + hub.plain.ping_timeout;
    let mut last_heard = Instant::now();
    let mut answers = FuturesUnordered::new();
    let reason = loop {
        tokio::select! {
            Some(()) = answers.next() => {}
            frame = from.next(), if answers.len() < MAX_ANSWERS => {
                last_heard = Instant::now();
                match frame {
                    Some(Ok(frame)) => answers.extend(hear(hub, line, frame).await),
                    Some(Err(error)) => {
                        refuse_broken(line, &error).await;
                        break BROKEN;
                    }
                    None if line.outbox.is_closing() => break BY_SERVER,
                    None => break "the client closed the connection",
                }
            }
            () = sleep_until(last_heard + patience) => break "the client did not answer in time",
        }
    };
    // What was accepted is told to the others before they hear that its sender has gone.
    while answers.next().await.is_some() {}
    reason
}

/// Tells a client why what it sends can't be read, and waits until that is written.
async fn refuse_broken(line: &Line, error: &tungstenite::Error) {
    match error {
        tungstenite::Error::Capacity(_) => line.close(1009, "The frame is too large (MAX_PAYLOAD)"),
        tungstenite::Error::Utf8(_) => line.close(1007, "The frame is not UTF-8"),
        tungstenite::Error::Protocol(_) => line.close(1002, "This is not WebSocket"),
        // Who has gone hears nothing.
        _ => return,
    }
    line.is_written.cancelled().await;
}

/// Does what a frame asks for, up to the point where its order among all acts is settled; what is
/// returned waits until that is durable, and answers.
async fn hear<'a>(
    hub: &'a Arc<Hub>,
    line: &'a Line,
    frame: Message,
) -> Option<impl Future<Output = ()> + use<'a>> {
    if line.outbox.is_closing() {
        return None;
    }
    let verdict = line.events.lock().count(Instant::now());
    match (verdict, frame) {
        (Verdict::Taken, Message::Text(text)) => act(hub, line, &text).await,
        (Verdict::Taken, Message::Binary(_)) => {
            let error = Error::Invalid("A frame must be text; upload files".into());
            answer(hub, line, UNKNOWN, None, Err(error));
            None
        }
        (Verdict::Taken, _) => None,
        (Verdict::TooFast | Verdict::Flood, _) => {
            hub.limits.refused(What::Events);
            let text = "You send frames too fast; send more slowly, and this one again";
            answer(hub, line, UNKNOWN, None, Err(Error::RateLimited(text.into())));
            if verdict == Verdict::Flood {
                log::too_fast_and_cut(line.name, &line.user);
                line.close(close_code(&Error::RateLimited("".into())), text);
            }
            None
        }
    }
}

async fn act<'a>(
    hub: &'a Arc<Hub>,
    line: &'a Line,
    text: &str,
) -> Option<impl Future<Output = ()> + use<'a>> {
    line.form.get_or_init(|| line.dialect.form(text));
    let plain::Frame { name, reference, asked } = line.dialect.read(text);
    let name = name.unwrap_or(UNKNOWN);
    hub.metrics.came_in(name);
    let event = match asked {
        Ok(Asked::Event(event)) => event,
        Ok(Asked::Ping) => {
            line.tell(hub, plain::pong(reference).into());
            return None;
        }
        Err(error) => {
            answer(hub, line, name, reference, Err(error));
            return None;
        }
    };
    let in_flight = hub.in_flight.token();
    let request = RequestId::of_event(line.name, line.heard.fetch_add(1, Ordering::Relaxed));
    let ask = handlers::ask(&hub.chat, &line.user, event);
    let settled = request.clone().scope(ask).await;
    Some(request.scope(async move {
        let outcome = match settled {
            Ok(accepted) => accepted.durable().await,
            Err(error) => Err(error),
        };
        answer(hub, line, name, reference, outcome);
        drop(in_flight);
    }))
}

fn answer(
    hub: &Hub,
    line: &Line,
    name: &'static str,
    reference: Option<Value>,
    outcome: Result<Ack, Error>,
) {
    if let Err(error) = &outcome {
        error.log(name);
        hub.metrics.refused(name);
    }
    if let Some(frame) = plain::answer(line.form(), reference, &Ack::from(outcome)) {
        line.tell(hub, frame.into());
    }
}

/// Warns a connection that its token ends, and ends it then. Does not end itself.
async fn live(hub: &Hub, line: &Line) -> Infallible {
    if let (SignIn::Tokens(auth), Some(claims)) = (&hub.sign_in, &line.lease) {
        let at = claims.expires_at;
        wait_until(auth, at.minus(WARNING)).await;
        line.tell_event(hub, &Event::TokenExpiring { at });
        wait_until(auth, at).await;
        line.sign_out(hub, EndReason::Expired);
    }
    pending().await
}

async fn wait_until(auth: &Auth, at: Timestamp) {
    loop {
        let left = at.since(auth.now());
        if left.is_zero() {
            return;
        }
        sleep(left.min(LONGEST_WAIT)).await;
    }
}
