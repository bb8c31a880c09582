//! `banter health`: asks the server of the same settings whether users may be sent to it.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Outcome;
use crate::config::Config;

/// What the help of the command ends with.
pub(super) const AFTER_HELP: &str = "\
Examples:
  banter health              ask the server on http://127.0.0.1:8001
  PORT=9000 banter health    ask the one on another port

Settings come from where the server's do (banter --help). The exit code is 0 when it is ready, else 1.";

/// How long the server may take; one that takes longer does not help users either.
const PATIENCE: Duration = Duration::from_secs(5);

/// An answer is far shorter; of one that isn't the rest does not matter.
const MAX_ANSWER_BYTES: u64 = 65_536;

/// Asks, and says what it was answered.
///
/// # Errors
/// Nobody answers, or somebody who is no web server.
pub(super) async fn run(config: &Config, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let address = seen_from_here(config.server.address());
    let asked = timeout(PATIENCE, ask(address)).await;
    let answer = asked.map_err(io::Error::from).flatten();
    let answer = answer.with_context(|| format!("no server answers on http://{address}"))?;
    let status = status(&answer)
        .with_context(|| format!("what answers on http://{address} is no web server"))?;
    if status == 200 {
        writeln!(out, "the server on http://{address} is ready")?;
        return Ok(Outcome::Done);
    }
    writeln!(out, "the server on http://{address} is not ready: it answers {status}")?;
    Ok(Outcome::Left)
}

/// Where a server that listens on this address is reached on its own machine.
fn seen_from_here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn ask(address: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let request =
        format!("GET /health/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// The status in an answer's first line: `HTTP/1.1 200 OK`.
fn status(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.")?;
    std::str::from_utf8(rest.get(2..5)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::net::TcpListener;

    use super::*;

    fn config(port: u16) -> Config {
        let args = ["banter", "--host=0.0.0.0", "--auth-mode=open", &format!("--port={port}")];
        Config::load(args.map(Into::into), [], Path::new("no such folder")).unwrap()
    }

    /// What the command makes of an answer.
    async fn of(answer: &str) -> anyhow::Result<(Outcome, String)> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = config(listener.local_addr().unwrap().port());
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 256];
            let length = stream.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"GET /health/ready HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let mut out = Vec::new();
        let ((), outcome) = tokio::join!(serve, run(&config, &mut out));
        Ok((outcome?, String::from_utf8(out).unwrap()))
    }

    #[tokio::test]
    async fn a_server_that_is_ready_says_so() {
        let (outcome, said) = of("HTTP/1.1 200 OK\r\n\r\n{}").await.unwrap();
        assert_eq!(outcome, Outcome::Done);
        assert!(said.ends_with("is ready\n"), "{said}");
    }

    #[tokio::test]
    async fn one_that_is_not_is_told() {
        let (outcome, said) = of("HTTP/1.1 503 Service Unavailable\r\n\r\n{}").await.unwrap();
        assert_eq!(outcome, Outcome::Left);
        assert!(said.ends_with("is not ready: it answers 503\n"), "{said}");
    }

    #[tokio::test]
    async fn whatever_else_answers_is_no_server() {
        for answer in ["", "HTTP/1.", "HTTP/1.1 ok", "SSH-2.0-x\r\n"] {
            let error = of(answer).await.unwrap_err();
            assert!(error.to_string().contains("no web server"), "{answer}: {error}");
        }
    }
}
