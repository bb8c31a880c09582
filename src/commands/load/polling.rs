//! Engine.IO 4 over HTTP long polling: one GET waits for what the server has to say, and a POST
//! carries what has gathered since the one before.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use reqwest::{Client, Method};

use super::http::{fetch, whole};

/// Between packets in a body.
const SEPARATOR: u8 = 0x1e;
/// Longest body that is sent, unless one packet is longer: servers refuse more than 1 MB.
const MAX_POST_BYTES: usize = 100_000;
/// Packets that wait for their POST before the sender is told to wait.
const MAX_WAITING: usize = 1_024;

type Request = Pin<Box<dyn Future<Output = Result<Bytes, String>>>>;

/// A session over polling.
pub(super) struct Polling {
    http: Client,
    /// With the session's id.
    url: String,
    get: Request,
    post: Option<Request>,
    came: VecDeque<Bytes>,
    waiting: VecDeque<String>,
}

impl Polling {
    /// A session that is open: `url` has its id.
    pub(super) fn new(http: Client, url: String) -> Self {
        let get = request(&http, Method::GET, &url, String::new());
        let (came, waiting) = (VecDeque::new(), VecDeque::new());
        Self { http, url, get, post: None, came, waiting }
    }

    pub(super) fn poll_packet(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, String>> {
        loop {
            if let Some(packet) = self.came.pop_front() {
                return Poll::Ready(Ok(packet));
            }
            match self.get.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(body)) => {
                    self.came.extend(packets(&body));
                    self.get = request(&self.http, Method::GET, &self.url, String::new());
                }
            }
            self.poll_flush(cx);
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.waiting.len() < MAX_WAITING
    }

    pub(super) fn send(&mut self, packet: String) {
        self.waiting.push_back(packet);
    }

    /// Whether all has gone.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            if let Some(post) = &mut self.post {
                // A session that is gone is told by the GET.
                if post.as_mut().poll(cx).is_pending() {
                    return false;
                }
                self.post = None;
            }
            let Some(mut body) = self.waiting.pop_front() else { return true };
            while let Some(next) = self.waiting.front()
                && body.len() + next.len() < MAX_POST_BYTES
            {
                body.push(char::from(SEPARATOR));
                body.push_str(next);
                self.waiting.pop_front();
            }
            self.post = Some(request(&self.http, Method::POST, &self.url, body));
        }
    }
}

/// The packets of a body.
fn packets(body: &Bytes) -> impl Iterator<Item = Bytes> {
    let parts = body.split(|byte| *byte == SEPARATOR).filter(|part| !part.is_empty());
    parts.map(|part| body.slice_ref(part))
}

fn request(http: &Client, method: Method, url: &str, body: String) -> Request {
    let mut request = http.request(method, url);
    if !body.is_empty() {
        request = request.header("content-type", "text/plain;charset=UTF-8").body(body);
    }
    Box::pin(async move {
        let answer = fetch(request).await.map_err(|error| whole(&error))?;
        match answer.status {
            200 => Ok(answer.body),
            status => Err(format!("the server answers {status}")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_holds_packets_between_separators() {
        let body = Bytes::from_static(b"2\x1e42[\"a\"]\x1e\x1e3");
        let found: Vec<_> = packets(&body).collect();
        assert_eq!(found, ["2", "42[\"a\"]", "3"]);
        assert_eq!(packets(&Bytes::new()).count(), 0);
    }
}
