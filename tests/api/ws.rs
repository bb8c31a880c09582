//! A client of plain WebSockets.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// How long something that is to come may take; only a failure waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection.
pub(crate) struct Plain {
    socket: WebSocketStream<TcpStream>,
    /// The subprotocol that the server has agreed to.
    pub(crate) protocol: Option<String>,
    /// How many pings have come.
    pub(crate) pings: usize,
}

impl Plain {
    /// Connects to a path.
    pub(crate) async fn open(addr: SocketAddr, path: &str) -> Self {
        match Self::try_open(addr, path, &[]).await {
            Ok(plain) => plain,
            Err(status) => panic!("{path}: the handshake is answered with {status}"),
        }
    }

    /// Connects with these headers, or gives the status of what answers instead.
    pub(crate) async fn try_open(
        addr: SocketAddr,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let mut request = format!("ws://{addr}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        match client_async(request, stream).await {
            Ok((socket, response)) => {
                let protocol = response.headers().get("sec-websocket-protocol");
                let protocol = protocol.map(|name| name.to_str().unwrap().to_owned());
                Ok(Self { socket, protocol, pings: 0 })
            }
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// Sends a text.
    pub(crate) async fn send(&mut self, text: impl ToString) {
        self.send_message(Message::text(text.to_string())).await;
    }

    /// Sends a text, unless the server has closed the connection already.
    pub(crate) async fn try_send(&mut self, text: &str) {
        let _ = self.socket.send(Message::text(text)).await;
    }

    pub(crate) async fn send_message(&mut self, message: Message) {
        self.socket.send(message).await.expect("the connection is there");
    }

    async fn next_message(&mut self) -> Option<Message> {
        let next = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Ping(_))) => self.pings += 1,
                    Some(Ok(Message::Pong(_))) => {}
                    Some(Ok(message)) => return Some(message),
                    Some(Err(_)) | None => return None,
                }
            }
        };
        timeout(PATIENCE, next).await.expect("nothing comes")
    }

    /// The next text.
    pub(crate) async fn text(&mut self) -> String {
        self.text_or_end().await.unwrap_or_else(|code| panic!("no text but the end: {code}"))
    }

    /// The next text, or the code with which the connection ends.
    pub(crate) async fn text_or_end(&mut self) -> Result<String, u16> {
        match self.next_message().await {
            Some(Message::Text(text)) => Ok(text.as_str().to_owned()),
            Some(Message::Close(Some(frame))) => Err(frame.code.into()),
            other => panic!("no text and no code but {other:?}"),
        }
    }

    /// Reads until a text begins like this, or the connection ends; whether it came.
    pub(crate) async fn hears(&mut self, beginning: &str) -> bool {
        loop {
            match self.next_message().await {
                Some(Message::Text(text)) if text.starts_with(beginning) => return true,
                Some(Message::Close(_)) | None => return false,
                Some(_) => {}
            }
        }
    }

    /// The next JSON.
    pub(crate) async fn json(&mut self) -> Value {
        let text = self.text().await;
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
    }

    /// The next JSON of a type; what comes before it is skipped.
    pub(crate) async fn of_type(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.json().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// Waits for the connection's end, whatever comes before it; its code.
    pub(crate) async fn closed(&mut self) -> u16 {
        self.closed_with().await.0
    }

    /// The same with the reason.
    pub(crate) async fn closed_with(&mut self) -> (u16, String) {
        loop {
            match self.next_message().await {
                Some(Message::Close(Some(frame))) => {
                    return (frame.code.into(), frame.reason.as_str().to_owned());
                }
                Some(Message::Close(None)) | None => panic!("the connection ends without a code"),
                Some(_) => {}
            }
        }
    }

    /// Waits until a ping has come, and answers it.
    pub(crate) async fn pinged(&mut self) {
        let before = self.pings;
        while self.pings == before {
            match timeout(PATIENCE, self.socket.next()).await.expect("no ping comes") {
                Some(Ok(Message::Ping(_))) => self.pings += 1,
                Some(Ok(_)) => {}
                other => panic!("no ping but {other:?}"),
            }
        }
    }

    /// Says goodbye, and waits until the server has, too.
    pub(crate) async fn close(mut self) {
        self.socket.close(None).await.expect("the connection is there");
        while self.next_message().await.is_some() {}
    }
}
