//! Settings of the bus.

use std::fmt;
use std::fs;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Settings of a node among others.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Nodes")]
pub struct Config {
    /// The Redis server through which several nodes work as one, redis://host:port; none: this node
    /// is alone
    #[arg(long, value_name = "URL")]
    pub redis_url: Option<RedisUrl>,

    /// Streams over which what nodes tell each other is spread, the same number on all of them (1 to
    /// 64)
    #[arg(long, value_name = "NUMBER", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=64))]
    pub cluster_shards: u16,

    /// The name of this node, its own among all (1 to 64 letters, digits, dots, dashes or
    /// underscores; none: the host's name)
    #[arg(long, value_name = "NAME")]
    pub node_id: Option<NodeId>,
}

impl Config {
    /// The node's name.
    pub fn node_id(&self) -> NodeId {
        self.node_id.clone().unwrap_or_else(NodeId::of_host)
    }
}

/// The name of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(Arc<str>);

/// Why a text is no name of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a node's name is 1 to 64 letters, digits, dots, dashes or underscores")]
pub struct InvalidNodeId;

impl NodeId {
    /// Longest name.
    const MAX_BYTES: usize = 64;

    /// The host's name, or `banter` where it can't be read or is none.
    pub(super) fn of_host() -> Self {
        let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        name.trim().parse().unwrap_or_else(|_| Self("banter".into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeId {
    type Err = InvalidNodeId;

    fn from_str(text: &str) -> Result<Self, InvalidNodeId> {
        let fits = (1..=Self::MAX_BYTES).contains(&text.len());
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if fits && text.bytes().all(plain) { Ok(Self(text.into())) } else { Err(InvalidNodeId) }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where Redis is. Its password shows nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    text: String,
    shown: String,
}

/// Why a text is no address of a Redis server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is written redis://[user:password@]host[:port][/number]; TLS is not built in")]
pub struct InvalidRedisUrl;

impl RedisUrl {
    /// The address, with its password.
    pub(super) fn secret(&self) -> &str {
        &self.text
    }
}

impl FromStr for RedisUrl {
    type Err = InvalidRedisUrl;

    fn from_str(text: &str) -> Result<Self, InvalidRedisUrl> {
        let client = redis::Client::open(text).map_err(|_| InvalidRedisUrl)?;
        let info = client.get_connection_info();
        match info.addr() {
            redis::ConnectionAddr::Tcp(..) | redis::ConnectionAddr::Unix(_) => {}
            _ => return Err(InvalidRedisUrl),
        }
        Ok(Self { text: text.to_owned(), shown: info.addr().to_string() })
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_name_is_short_and_plain() {
        for good in ["a", "node-1", "banter_2.example"] {
            assert_eq!(good.parse::<NodeId>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a\n", "ж", &"x".repeat(65)] {
            assert_eq!(bad.parse::<NodeId>(), Err(InvalidNodeId), "{bad:?}");
        }
        assert!(!NodeId::of_host().as_str().is_empty());
    }

    #[test]
    fn an_address_is_read_and_its_password_is_not_shown() {
        let url: RedisUrl = "redis://ann:secret@cache:6380/2".parse().unwrap();
        assert_eq!(
            (url.to_string(), format!("{url:?}")),
            ("cache:6380".into(), "cache:6380".into())
        );
        assert!(url.secret().contains("secret"));
        for bad in ["", "cache:6379", "http://cache", "rediss://cache"] {
            assert!(bad.parse::<RedisUrl>().is_err(), "{bad:?}");
        }
    }
}
