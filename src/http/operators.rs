//! Where operators' routes are, and who may use them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{FORWARDED, HOST, ORIGIN, VIA};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::address::FORWARDED_FOR;
use super::error::{HttpError, no_route};
use super::listen::parse_host;
use super::sign_in::{refuse, token};
use crate::auth::AdminToken;
use crate::error::Error;
use crate::limits::{ClientAddress, Limits};

const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What proxies add to the requests that they forward.
const MARKS_OF_PROXIES: [HeaderName; 4] = [FORWARDED_FOR, FORWARDED, REAL_IP, VIA];

/// Settings of operators' routes.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Operators")]
pub struct Config {
    /// Token that operators bring to /metrics and /admin: 16 to 1024 letters, digits and signs
    /// without spaces, as openssl rand -base64 24 makes them
    #[arg(long, value_name = "TEXT")]
    pub admin_token: Option<AdminToken>,
    /// Address of /metrics and /admin, if not the main one: an IP address, or localhost; 127.0.0.1
    /// where only ADMIN_PORT is given
    #[arg(long, value_name = "ADDRESS", value_parser = parse_host)]
    pub admin_host: Option<IpAddr>,
    /// TCP port of /metrics and /admin, if not the main one, 0 to 65535; 0 takes any that is free
    #[arg(long, value_name = "NUMBER")]
    pub admin_port: Option<u16>,
}

/// Why operators' routes can't be where the settings put them; the text is meant to be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misplaced {
    /// Everybody could ban everybody.
    #[error(
        "ADMIN_HOST is {0}, which other machines can reach, but ADMIN_TOKEN is not given.\n  \
         Set ADMIN_TOKEN to let operators in by it, or ADMIN_HOST=127.0.0.1 to let in who is on \
         this machine."
    )]
    Reachable(IpAddr),
    /// One of the two could not listen.
    #[error(
        "ADMIN_HOST and ADMIN_PORT are {own}, which the main address has already (HOST and PORT: \
         {main}).\n  Give another ADMIN_PORT, or neither of the two to have everything on the main \
         address."
    )]
    Taken {
        /// What operators should have.
        own: SocketAddr,
        /// What users have.
        main: SocketAddr,
    },
}

impl Config {
    /// Where operators' routes are, if not on the main address.
    pub fn own_address(&self, main: SocketAddr) -> Option<SocketAddr> {
        if self.admin_host.is_none() && self.admin_port.is_none() {
            return None;
        }
        let host = self.admin_host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        Some(SocketAddr::new(host, self.admin_port.unwrap_or(main.port())))
    }

    /// Holds these settings against the main address.
    ///
    /// # Errors
    /// The routes would be open to other machines, or have no place.
    pub fn check(&self, main: SocketAddr) -> Result<(), Misplaced> {
        let Some(own) = self.own_address(main) else { return Ok(()) };
        if self.admin_token.is_none() && !own.ip().is_loopback() {
            return Err(Misplaced::Reachable(own.ip()));
        }
        let holds_all = own.ip().is_unspecified() || main.ip().is_unspecified();
        if own.port() != 0 && own.port() == main.port() && (holds_all || own.ip() == main.ip()) {
            return Err(Misplaced::Taken { own, main });
        }
        Ok(())
    }

    /// Who may use the routes.
    pub fn access(&self, main: SocketAddr) -> Access {
        match &self.admin_token {
            Some(token) => Access::Token(token.clone()),
            None if self.own_address(main).unwrap_or(main).ip().is_loopback() => Access::Local,
            None => Access::Nobody,
        }
    }
}

/// Who may use operators' routes.
#[derive(Debug, Clone)]
pub enum Access {
    /// Who brings this token.
    Token(AdminToken),
    /// Who is on this machine.
    Local,
    /// Nobody: others reach the server, and nothing tells them from operators.
    Nobody,
}

/// Middleware around operators' routes.
pub(super) async fn guard(
    State((access, limits)): State<(Access, Arc<Limits>)>,
    request: Request,
    next: Next,
) -> Response {
    match access {
        Access::Token(expected) => match check_token(&expected, &limits, &request) {
            Ok(()) => next.run(request).await,
            Err(HttpError::Chat(error)) => refuse(error),
            Err(error) => error.into_response(),
        },
        Access::Local if is_local(&request) => next.run(request).await,
        // As if they were not there.
        Access::Local | Access::Nobody => no_route().await,
    }
}

/// Wrong tokens use up the address's tries to sign in; without one left the right one is refused,
/// too, or whoever goes on guessing would still learn when it was right.
fn check_token(expected: &AdminToken, limits: &Limits, request: &Request) -> Result<(), HttpError> {
    let Some(brought) = token(request.headers()) else {
        let how = "For operators: send ADMIN_TOKEN as Authorization: Bearer";
        return Err(Error::Unauthorized(how.into()).into());
    };
    let client = request.extensions().get().map(|&ClientAddress(address)| address);
    client.map_or(Ok(()), |address| limits.may_sign_in(address))?;
    if expected.is(brought) {
        return Ok(());
    }
    client.map_or(Ok(()), |address| limits.check_sign_in(address))?;
    let client = client.map(tracing::field::display);
    tracing::warn!(client, "a wrong ADMIN_TOKEN was brought to an operators' route");
    Err(Error::Forbidden("The token is not the operators'".into()).into())
}

/// Whether somebody on this machine asks, rather than somebody whom a proxy on this machine brings,
/// or a page of another site in a browser on it: that would have an `Origin`, or, where the site
/// has given its own name this machine's address, that name as `Host`.
fn is_local(request: &Request) -> bool {
    let client = request.extensions().get::<ClientAddress>();
    let headers = request.headers();
    client.is_some_and(|address| address.0.is_loopback())
        && !MARKS_OF_PROXIES.iter().any(|mark| headers.contains_key(mark))
        && !headers.contains_key(ORIGIN)
        && names_this_machine(headers)
}

fn names_this_machine(headers: &HeaderMap) -> bool {
    headers.get_all(HOST).iter().all(|host| {
        let host = host.to_str().unwrap_or_default();
        let has_port = |(_, port): &(&str, &str)| port.bytes().all(|byte| byte.is_ascii_digit());
        let without_port = || host.rsplit_once(':').filter(has_port).map_or(host, |(name, _)| name);
        // As a whole first: the last group of a bare IPv6 address looks like a port.
        let named = parse_host(host).or_else(|_| parse_host(without_port()));
        named.is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(peer: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = Request::builder().uri("/metrics");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(ClientAddress(peer.parse().unwrap()));
        request
    }

    #[test]
    fn who_is_on_this_machine_is_local() {
        for host in ["127.0.0.1", "127.0.0.1:8001", "localhost:8001", "[::1]:8001", "[::1]", "::1"]
        {
            assert!(is_local(&request("127.0.0.1", &[("host", host)])), "{host}");
        }
        assert!(is_local(&request("::1", &[])));
    }

    #[test]
    fn who_is_elsewhere_or_may_be_is_not() {
        assert!(!is_local(&request("192.0.2.1", &[])));
        for header in [
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-for", ""),
            ("forwarded", "for=127.0.0.1"),
            ("x-real-ip", "127.0.0.1"),
            ("via", "1.1 proxy"),
            ("origin", "http://127.0.0.1:8001"),
            ("origin", "null"),
            ("host", "chat.example.com"),
            ("host", "chat.example.com:8001"),
            ("host", "127.0.0.1.example.com"),
            ("host", "192.0.2.1:8001"),
            ("host", ""),
        ] {
            assert!(!is_local(&request("127.0.0.1", &[header])), "{header:?}");
        }
        let two = [("host", "127.0.0.1"), ("host", "chat.example.com")];
        assert!(!is_local(&request("127.0.0.1", &two)));
        let unknown = Request::new(Body::empty());
        assert!(!is_local(&unknown));
    }
}
