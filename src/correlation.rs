//! What is done for which request or event: an id that goes along from where it came in to the
//! flush, for the log alone.
//!
//! It travels with the task that serves the request or the event, so that the rules need not hand
//! it on, and with the op through the buffer. Every line that such a task logs has it. For an event
//! of a socket it is two numbers until a line is written: nothing is allocated per message.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use uuid::Uuid;

/// The longest id that a client may give a request; one that some proxies make has 64 characters.
pub const MAX_GIVEN: usize = 128;

tokio::task_local! {
    static CURRENT: Option<RequestId>;
}

/// The id of a request or of a socket's event.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId(Form);

#[derive(Clone, PartialEq, Eq)]
enum Form {
    /// An HTTP request, under the client's id or ours.
    Request(Arc<str>),
    /// An event: of which socket, and its number among all that the socket sent.
    Event(SocketName, u32),
}

impl RequestId {
    /// The id that a client gives a request, if it is one that may stand in a log: up to
    /// [`MAX_GIVEN`] letters, digits and `-_.:+/=@`.
    pub fn given(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(&byte);
        let is_sane = !text.is_empty() && text.len() <= MAX_GIVEN && text.bytes().all(is_plain);
        is_sane.then(|| Self(Form::Request(text.into())))
    }

    /// The id of a request that brings none.
    pub fn mint() -> Self {
        Self(Form::Request(Uuid::new_v4().to_string().into()))
    }

    /// The id of the event with this number of a socket.
    pub fn of_event(socket: SocketName, number: u32) -> Self {
        Self(Form::Event(socket, number))
    }

    /// What the running task serves, where that is a request or an event.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok().flatten()
    }

    /// Runs `work` as what serves this request or event.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        scope(Some(self), work)
    }
}

/// Runs `work` for `id`, or, without one, for nobody.
pub fn scope<F: Future>(id: Option<RequestId>, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(id, work)
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Request(id) => f.write_str(id),
            Form::Event(socket, number) => write!(f, "{socket}.{number}"),
        }
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of a socket in the log: 16 characters of base64url. For a Socket.IO socket it is its
/// id, which its client knows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SocketName([u8; 16]);

impl SocketName {
    /// The name of a socket with this id; what is longer is cut, and what is no ASCII left out.
    pub fn of(id: &str) -> Self {
        let mut name = [b'-'; 16];
        for (place, byte) in name.iter_mut().zip(id.bytes().filter(u8::is_ascii_graphic)) {
            *place = byte;
        }
        Self(name)
    }

    /// A new name, for a socket that has none.
    pub fn mint() -> Self {
        Self::of(&BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 12]>()))
    }
}

impl fmt::Display for SocketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl fmt::Debug for SocketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Ids as a line of the log names them: the first few, and how many there are beyond.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Named {
    few: Vec<RequestId>,
    more: usize,
}

/// So many ids are named in one line.
const NAMED: usize = 8;

impl FromIterator<RequestId> for Named {
    fn from_iter<I: IntoIterator<Item = RequestId>>(ids: I) -> Self {
        let (mut few, mut more, mut last) = (Vec::new(), 0, None);
        for id in ids {
            // A request may have made several ops.
            if last.as_ref() == Some(&id) {
                continue;
            }
            if few.len() < NAMED {
                few.push(id.clone());
            } else {
                more += 1;
            }
            last = Some(id);
        }
        Self { few, more }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, id) in self.few.iter().enumerate() {
            write!(f, "{}{id}", if at == 0 { "" } else { " " })?;
        }
        if self.more > 0 { write!(f, " and {} more", self.more) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_could_forge_or_fill_a_log_is_not_taken() {
        for sane in ["a", "0af7651916cd43dd8448eb211c80319c", "Root=1-5e/x:y+z@h", &"x".repeat(128)]
        {
            assert_eq!(RequestId::given(sane).unwrap().to_string(), sane);
        }
        for other in ["", "a b", "a\nb", "a\"b", "a\u{202e}b", "é", "<x>", &"x".repeat(129)] {
            assert_eq!(RequestId::given(other), None, "{other:?}");
        }
    }

    #[test]
    fn the_id_of_an_event_names_its_socket_and_its_number() {
        let socket = SocketName::of("Zt6qWm1sXe8uRb3y");
        assert_eq!(RequestId::of_event(socket, 7).to_string(), "Zt6qWm1sXe8uRb3y.7");
        assert_eq!(SocketName::of("é\nshort").to_string(), "short-----------");
        assert_ne!(SocketName::mint(), SocketName::mint());
    }

    #[tokio::test]
    async fn an_id_goes_along_with_what_is_done_for_it_and_no_further() {
        let id = RequestId::mint();
        let seen = id.clone().scope(async {
            tokio::task::yield_now().await;
            let nobodys = scope(None, async { RequestId::current() }).await;
            (RequestId::current(), nobodys)
        });
        assert_eq!(seen.await, (Some(id), None));
        assert_eq!(RequestId::current(), None);
    }

    #[test]
    fn a_line_names_a_few_ids_however_many_there_are() {
        let socket = SocketName::of("x");
        let ids = |n| (0..n).map(|n| RequestId::of_event(socket, n)).collect::<Named>().to_string();
        assert_eq!(ids(0), "");
        assert_eq!(ids(2), "x---------------.0 x---------------.1");
        let twice = RequestId::mint();
        let named: Named = [twice.clone(), twice.clone()].into_iter().collect();
        assert_eq!(named.to_string(), twice.to_string());
        assert!(ids(1_000).ends_with(".7 and 992 more"), "{}", ids(1_000));
    }
}
