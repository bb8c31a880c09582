//! Addresses and networks, as settings name them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Addresses and networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    /// How many of the address's first bits all have that belong to the network.
    prefix: u32,
}

/// Why a text is no list of networks.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is no address and no network: allowed is a comma-separated list of addresses, such as \
     192.0.2.7 or ::1, and networks, such as 10.0.0.0/8, whose bits behind the prefix are 0"
)]
pub struct InvalidNetwork(String);

/// An address as a number, its first bit the number's highest.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The first bits of a number, and zeros.
fn first_bits(bits: u128, count: u32) -> u128 {
    bits & u128::MAX.checked_shl(128 - count).unwrap_or(0)
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(width), |prefix| prefix.parse().ok())?;
        if prefix > width || first_bits(bits(address), prefix) != bits(address) {
            return None;
        }
        // What comes in by IPv4 is seen as IPv4.
        let canonical = address.to_canonical();
        let narrower = if canonical == address { 0 } else { 96 };
        Some(Self { address: canonical, prefix: prefix.checked_sub(narrower)? })
    }

    fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && first_bits(bits(address), self.prefix) == bits(self.address)
    }
}

impl Networks {
    /// Whether an address is one of these, or in one of these.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }
}

impl FromStr for Networks {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let parse = |text: &str| Network::parse(text).ok_or_else(|| InvalidNetwork(text.into()));
        text.split(',').map(|network| parse(network.trim())).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Whom an address counts as: an IPv6 host has a whole /64 to choose addresses from.
pub(super) fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(first_bits(v6.to_bits(), 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_found_in_its_network_and_in_no_other() {
        let networks: Networks =
            "10.0.0.0/8, 192.0.2.7,2001:db8::/32 ,::1,::ffff:172.16.0.0/108".parse().unwrap();
        for inside in [
            "10.0.0.0",
            "10.255.255.255",
            "192.0.2.7",
            "::ffff:192.0.2.7",
            "2001:db8:ffff::1",
            "::1",
            "172.31.255.255",
        ] {
            assert!(networks.contains(ip(inside)), "{inside}");
        }
        for outside in ["11.0.0.0", "9.255.255.255", "192.0.2.6", "2001:db9::", "::2", "172.32.0.0"]
        {
            assert!(!networks.contains(ip(outside)), "{outside}");
        }
        assert!(!Networks::default().contains(ip("127.0.0.1")));
    }

    #[test]
    fn everything_is_in_a_network_without_a_prefix_of_its_own_kind() {
        let all: Networks = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains(ip("203.0.113.9")) && !all.contains(ip("2001:db8::1")));
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_is_allowed() {
        for wrong in [
            "",
            "localhost",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.1/8",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "10.0.0.0/8,",
            "10.0.0",
            "[::1]",
            "::ffff:0:0/90",
        ] {
            let refused = wrong.parse::<Networks>().expect_err(wrong);
            assert!(refused.to_string().contains("10.0.0.0/8"), "{refused}");
        }
    }

    #[test]
    fn addresses_of_one_host_count_as_one() {
        assert_eq!(counted(ip("2001:db8:0:1::1")), counted(ip("2001:db8:0:1:ffff::2")));
        assert_ne!(counted(ip("2001:db8:0:1::1")), counted(ip("2001:db8:0:2::1")));
        assert_ne!(counted(ip("192.0.2.1")), counted(ip("192.0.2.2")));
        assert_eq!(counted(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }
}
