//! Where a request comes from.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::Response;

use crate::limits::{ClientAddress, Limits};

pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Middleware that finds a request's [`ClientAddress`] and makes it an extension of the request.
pub(super) async fn find(
    State(limits): State<Arc<Limits>>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        let address = client(peer.ip(), request.headers(), |address| limits.trusts(address));
        request.extensions_mut().insert(ClientAddress(address));
    }
    next.run(request).await
}

/// Each proxy adds the address of who has connected to it at the end of `X-Forwarded-For`, so the
/// last one that is not a trusted proxy's is the last that somebody trusted has seen; what stands
/// before it anybody can make up. The peer counts when it is no trusted proxy, and when the header
/// names nobody.
fn client(peer: IpAddr, headers: &HeaderMap, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_trusted(peer) {
        return peer;
    }
    let values = headers.get_all(FORWARDED_FOR).iter().rev();
    let hops = values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
    for hop in hops {
        match parse(hop.trim()) {
            None => return peer,
            Some(address) if is_trusted(address) => {}
            Some(address) => return address,
        }
    }
    peer
}

/// An address, with or without a port: `192.0.2.7`, `192.0.2.7:1234`, `2001:db8::7`,
/// `[2001:db8::7]:1234`.
fn parse(text: &str) -> Option<IpAddr> {
    let without_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    Some(text.parse().ok().or_else(without_port)?.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::Networks;

    fn found(peer: &str, headers: &[(&str, &str)]) -> String {
        let trusted: Networks = "10.0.0.0/8,::1".parse().unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, value.parse().unwrap());
        }
        client(peer.parse().unwrap(), &map, |address| trusted.contains(address)).to_string()
    }

    fn forwarded(peer: &str, value: &str) -> String {
        found(peer, &[("x-forwarded-for", value)])
    }

    #[test]
    fn whom_nobody_trusted_has_seen_is_not_believed() {
        assert_eq!(forwarded("192.0.2.1", "203.0.113.9"), "192.0.2.1");
        assert_eq!(forwarded("11.0.0.1", "10.0.0.1"), "11.0.0.1");
        assert_eq!(forwarded("10.0.0.1", "1.1.1.1, 203.0.113.9"), "203.0.113.9");
        assert_eq!(
            forwarded("10.0.0.1", "127.0.0.1,10.0.0.9, 203.0.113.9 ,10.2.3.4"),
            "203.0.113.9"
        );
    }

    #[test]
    fn all_lines_of_the_header_are_one_list() {
        let lines = [("x-forwarded-for", "1.1.1.1,203.0.113.9"), ("x-forwarded-for", "10.0.0.2")];
        assert_eq!(found("10.0.0.1", &lines), "203.0.113.9");
        let lines = [("x-forwarded-for", "10.0.0.2"), ("x-forwarded-for", "203.0.113.9")];
        assert_eq!(found("::1", &lines), "203.0.113.9");
    }

    #[test]
    fn a_proxy_that_names_nobody_counts_itself() {
        assert_eq!(found("10.0.0.1", &[]), "10.0.0.1");
        for nobody in ["", "unknown", "203.0.113.9, garbage", "10.0.0.2", "203.0.113.9,", "é"] {
            assert_eq!(forwarded("10.0.0.1", nobody), "10.0.0.1", "{nobody}");
        }
        // What stands before an address that counts is not even looked at.
        assert_eq!(forwarded("10.0.0.1", "garbage, 203.0.113.9"), "203.0.113.9");
    }

    #[test]
    fn other_headers_count_for_nothing() {
        let others = [
            ("forwarded", "for=203.0.113.9"),
            ("x-real-ip", "203.0.113.9"),
            ("cf-connecting-ip", "203.0.113.9"),
        ];
        assert_eq!(found("10.0.0.1", &others), "10.0.0.1");
    }

    #[test]
    fn addresses_are_read_in_every_form() {
        for (text, address) in [
            ("203.0.113.9:1234", "203.0.113.9"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]:1234", "2001:db8::7"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
        ] {
            assert_eq!(forwarded("10.0.0.1", text), address);
        }
        assert_eq!(forwarded("::ffff:10.0.0.1", "203.0.113.9"), "203.0.113.9");
        assert_eq!(forwarded("::ffff:192.0.2.1", "203.0.113.9"), "192.0.2.1");
    }

    proptest! {
        #[test]
        fn whatever_stands_before_what_the_proxy_has_seen_changes_nothing(made_up in "[ -~]{0,60}") {
            let header = format!("{made_up},203.0.113.9");
            prop_assert_eq!(forwarded("10.0.0.1", &header), "203.0.113.9");
        }
    }
}
