//! Settings of the MongoDB store, and the driver's options that follow from them.

use std::convert::Infallible;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use anyhow::anyhow;
use mongodb::options::{
    Acknowledgment, ClientOptions, Compressor, ConnectionString, HostInfo, ReadPreference,
    SelectionCriteria, ServerApi, ServerApiVersion, WriteConcern,
};

use super::errors;
use crate::store::{Result, StoreError};

/// How long a call looks for a server that can take it, and a connection for its server. The
/// driver's defaults (30 s and 10 s) would hold up readers while the database is away.
const SELECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the driver looks at each server. A server that hangs without closing its connections
/// is given up after this and [`SELECTION_TIMEOUT`] together, and calls that wait for it fail.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How what goes over the wire is made smaller, if the URL does not say: the first of these that the
/// database knows. Compressing by zlib took a quarter of the processor's time of a message.
const COMPRESSORS: [Compressor; 2] = [Compressor::Snappy, Compressor::Zlib { level: None }];

/// How long a write waits for its write concern: without a limit, a lost majority would hold the
/// caller for ever.
const WRITE_CONCERN_TIMEOUT: Duration = Duration::from_secs(10);

/// Settings of the MongoDB store. What the URL says itself goes before the other settings.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Store")]
pub struct Config {
    /// Where MongoDB is, as a connection string; without it the embedded store is used.
    #[arg(long, value_name = "URL")]
    pub mongo_url: Option<MongoUrl>,
    /// The database that holds messages and groups.
    #[arg(long, value_name = "NAME", default_value = "chatapp")]
    pub mongodb_name: String,
    /// When a write counts as stored: `majority` (and in the journal), or by how many servers.
    #[arg(long, value_name = "majority|N", default_value_t = Durability::Majority)]
    pub write_concern: Durability,
    /// Connections kept open per server.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub min_pool_size: u32,
    /// The most connections per server.
    #[arg(long, value_name = "N", default_value = "50")]
    pub max_pool_size: NonZeroU32,
}

/// A connection string. It may hold a password, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct MongoUrl(String);

impl FromStr for MongoUrl {
    type Err = Infallible;

    /// Takes any text: [`super::MongoStore::connect`] checks it, without repeating it.
    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for MongoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MongoUrl(..)")
    }
}

/// When a write counts as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When most servers of the replica set have it in their journals.
    Majority,
    /// When this many servers have it, perhaps in memory only.
    Servers(NonZeroU32),
}

impl Durability {
    fn write_concern(self) -> WriteConcern {
        match self {
            Self::Majority => WriteConcern::builder()
                .w(Acknowledgment::Majority)
                .journal(true)
                .w_timeout(WRITE_CONCERN_TIMEOUT)
                .build(),
            Self::Servers(count) => WriteConcern::builder()
                .w(Acknowledgment::Nodes(count.get()))
                .w_timeout(WRITE_CONCERN_TIMEOUT)
                .build(),
        }
    }
}

/// The text is neither `majority` nor a number of servers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("allowed are 'majority' and a number of servers from 1")]
pub struct InvalidDurability;

impl FromStr for Durability {
    type Err = InvalidDurability;

    fn from_str(text: &str) -> std::result::Result<Self, InvalidDurability> {
        match text {
            "majority" => Ok(Self::Majority),
            number => number.parse().map(Self::Servers).map_err(|_| InvalidDurability),
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Majority => f.write_str("majority"),
            Self::Servers(count) => count.fmt(f),
        }
    }
}

impl Config {
    /// Checks the settings without asking the network. Errors never repeat the URL.
    pub(super) fn connection_string(&self) -> Result<ConnectionString> {
        let wrong = |reason: anyhow::Error| StoreError::Configuration(reason);
        let url = self.mongo_url.as_ref().ok_or_else(|| wrong(anyhow!("MONGO_URL is not set")))?;
        let (min, max) = (self.min_pool_size, self.max_pool_size.get());
        if min > max {
            let reason = "is above MAX_POOL_SIZE";
            return Err(wrong(anyhow!("MIN_POOL_SIZE ({min}) {reason} ({max})")));
        }
        if !is_database_name(&self.mongodb_name) {
            let name = &self.mongodb_name;
            return Err(wrong(anyhow!("MONGODB_NAME ({name:?}) is no name for a database")));
        }
        ConnectionString::parse(&url.0).map_err(|error| wrong(url.complain(&error)))
    }

    /// The driver's options. Looks up the DNS records of a `mongodb+srv` URL; asks no server.
    pub(super) async fn client_options(&self) -> Result<ClientOptions> {
        let mut options = match ClientOptions::parse(self.connection_string()?).await {
            Ok(options) => options,
            Err(error) if errors::is_lookup(&error) => return Err(errors::classify(error)),
            Err(error) => {
                let url = self.mongo_url.as_ref();
                let reason = url.map_or_else(|| anyhow!("no URL"), |url| url.complain(&error));
                return Err(StoreError::Configuration(reason));
            }
        };
        options.app_name.get_or_insert_with(|| "chatapp".to_owned());
        options.compressors.get_or_insert_with(|| COMPRESSORS.to_vec());
        options.connect_timeout.get_or_insert(SELECTION_TIMEOUT);
        options.server_selection_timeout.get_or_insert(SELECTION_TIMEOUT);
        options.heartbeat_freq.get_or_insert(HEARTBEAT);
        // Where the URL gives one bound alone, it goes before the setting of the other.
        let min = options.min_pool_size;
        let max = *options
            .max_pool_size
            .get_or_insert_with(|| self.max_pool_size.get().max(min.unwrap_or(0)));
        options.min_pool_size.get_or_insert(self.min_pool_size.min(max));
        // While there is a primary, reads go there and see every confirmed write.
        options.selection_criteria.get_or_insert(SelectionCriteria::ReadPreference(
            ReadPreference::PrimaryPreferred { options: None },
        ));
        options.server_api = Some(ServerApi::builder().version(ServerApiVersion::V1).build());
        let write_concern = options.write_concern.take();
        options.write_concern = Some(self.merged_write_concern(write_concern)?);
        Ok(options)
    }

    fn merged_write_concern(&self, from_url: Option<WriteConcern>) -> Result<WriteConcern> {
        let ours = self.write_concern.write_concern();
        let Some(mut merged) = from_url else {
            return Ok(ours);
        };
        if merged.w.is_none() {
            merged.journal = merged.journal.or(ours.journal);
            merged.w = ours.w;
        }
        if merged.w == Some(Acknowledgment::Nodes(0)) {
            let reason = anyhow!("MONGO_URL says w=0: a write has to be acknowledged");
            return Err(StoreError::Configuration(reason));
        }
        merged.w_timeout = merged.w_timeout.or(ours.w_timeout);
        Ok(merged)
    }
}

impl MongoUrl {
    /// Why the driver does not take the URL. Its own words may quote parts of the URL, which are
    /// parts of a password where one is not escaped.
    fn complain(&self, error: &mongodb::error::Error) -> anyhow::Error {
        if self.0.contains('@') {
            anyhow!(
                "MONGO_URL is no connection string that MongoDB's driver takes (are the name and the password percent-encoded?)"
            )
        } else {
            anyhow!("MONGO_URL is no connection string that MongoDB's driver takes: {error}")
        }
    }
}

/// Whether MongoDB takes the name for a database on every platform.
fn is_database_name(name: &str) -> bool {
    let fits = (1..=63).contains(&name.len());
    fits && !name.chars().any(|c| "/\\. \"$*<>:|?\0".contains(c))
}

/// Where the servers are, for people to read: hosts and ports alone.
pub(super) fn hosts(connection: &ConnectionString) -> String {
    match &connection.host_info {
        HostInfo::HostIdentifiers(hosts) => {
            hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        }
        HostInfo::DnsRecord(name) => name.clone(),
        _ => "a server".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        config: Config,
    }

    fn config(flags: &[&str]) -> Config {
        let flags = std::iter::once("banter").chain(flags.iter().copied());
        Cli::try_parse_from(flags).expect("valid flags").config
    }

    async fn options(flags: &[&str]) -> Result<ClientOptions> {
        config(flags).client_options().await
    }

    #[tokio::test]
    async fn defaults_are_durable_and_bounded() {
        let options = options(&["--mongo-url", "mongodb://db.example:27018"]).await.unwrap();
        assert_eq!(options.app_name.as_deref(), Some("chatapp"));
        assert_eq!(options.compressors.as_deref(), Some(&COMPRESSORS[..]));
        assert_eq!((options.min_pool_size, options.max_pool_size), (Some(10), Some(50)));
        assert_eq!(options.server_selection_timeout, Some(SELECTION_TIMEOUT));
        let concern = options.write_concern.unwrap();
        assert_eq!((concern.w, concern.journal), (Some(Acknowledgment::Majority), Some(true)));
        assert_eq!(concern.w_timeout, Some(WRITE_CONCERN_TIMEOUT));
    }

    #[tokio::test]
    async fn what_the_url_says_goes_first() {
        let url = "mongodb://db.example/?maxPoolSize=7&w=1&compressors=snappy&appName=mine";
        let options = options(&["--mongo-url", url]).await.unwrap();
        assert_eq!((options.min_pool_size, options.max_pool_size), (Some(7), Some(7)));
        assert_eq!(options.write_concern.unwrap().w, Some(Acknowledgment::Nodes(1)));
        assert_eq!(options.compressors, Some(vec![Compressor::Snappy]));
        assert_eq!(options.app_name.as_deref(), Some("mine"));
    }

    #[tokio::test]
    async fn a_wrong_setting_is_named_and_no_password_is_repeated() {
        for (flags, named) in [
            (vec![], "MONGO_URL"),
            (vec!["--mongo-url", "mongodb://u:se/c?ret@h/?x=ret&w=secret@"], "MONGO_URL"),
            (vec!["--mongo-url", "postgres://u:secret@h"], "MONGO_URL"),
            (vec!["--mongo-url", "mongodb://h/?w=0"], "MONGO_URL"),
            (vec!["--mongo-url", "mongodb://h", "--min-pool-size", "51"], "MIN_POOL_SIZE"),
            (vec!["--mongo-url", "mongodb://h", "--mongodb-name", "a.b"], "MONGODB_NAME"),
        ] {
            let Err(StoreError::Configuration(reason)) = options(&flags).await else {
                panic!("{flags:?} was taken");
            };
            let text = format!("{reason:?}");
            assert!(text.contains(named) && !text.contains("ret"), "{text}");
        }
        assert!(
            !format!("{:?}", config(&["--mongo-url", "mongodb://u:secret@h"])).contains("secret")
        );
    }

    #[test]
    fn a_write_concern_is_majority_or_a_number_of_servers() {
        assert_eq!("majority".parse(), Ok(Durability::Majority));
        assert_eq!("2".parse::<Durability>().map(|d| d.to_string()), Ok("2".to_owned()));
        for bad in ["0", "", "-1", "most"] {
            assert_eq!(bad.parse::<Durability>(), Err(InvalidDurability), "{bad:?}");
        }
    }
}
