//! How often and how many: rates of requests, uploads, sign-ins, handshakes and events, and how
//! many connections and rooms one may have.
//!
//! Who is limited is an address, a user, an account's name or a socket. What is remembered of each
//! is a few bytes, of at the most 100,000 of a kind; counts of what is open end with it.

mod config;
mod events;
mod networks;
mod places;
mod rate;
mod shared;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::error::Error;
use crate::model::UserId;

pub use config::Config;
pub use events::{Events, Verdict};
pub use networks::{InvalidNetwork, Networks};
pub use places::Full;
use places::Places;
use rate::{Quota, Rate};
use shared::Untold;
pub use shared::{Kind, Taken, Whose};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_hours(1);

/// Exports of a user in an hour: each reads all that the user has ever said.
const EXPORTS: u32 = 10;

/// One account may be tried so many times more often than one address may try: else whoever tries
/// wrong passwords from one place keeps its user out of it, too.
const ADDRESSES: u32 = 10;

/// The address that a request comes from, behind the proxies that are trusted: an extension of
/// requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// HTTP requests.
    Requests,
    /// Tries to sign in.
    SignIn,
    /// Uploads.
    Upload,
    /// Exports of what is kept of a user.
    Export,
    /// New Socket.IO connections.
    Handshakes,
    /// Open connections.
    Connections,
    /// Events of a socket.
    Events,
    /// Groups that a socket has joined.
    Rooms,
}

impl What {
    const ALL: [Self; 8] = [
        Self::Requests,
        Self::SignIn,
        Self::Upload,
        Self::Export,
        Self::Handshakes,
        Self::Connections,
        Self::Events,
        Self::Rooms,
    ];

    /// The word that metrics use.
    fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::SignIn => "sign_in",
            Self::Upload => "upload",
            Self::Export => "export",
            Self::Handshakes => "handshakes",
            Self::Connections => "connections",
            Self::Events => "events",
            Self::Rooms => "rooms",
        }
    }

    /// What there is too much of, in words for people.
    fn too_many(self) -> &'static str {
        match self {
            Self::Requests => "Too many requests",
            Self::SignIn => "Too many tries to sign in",
            Self::Upload => "Too many uploads",
            Self::Export => "Too many exports",
            Self::Handshakes | Self::Connections => "Too many connections",
            Self::Events => "Too many events",
            Self::Rooms => "Too many rooms",
        }
    }
}

/// What somebody has left of what they may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// How much they may do at once.
    pub limit: u32,
    /// How much of that they may still do now.
    pub remaining: u32,
    /// In how long the whole of it is back.
    pub reset: Duration,
}

/// Somebody has done too much of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    /// Of what.
    pub what: What,
    /// In how long they may do it once more.
    pub retry_after: Duration,
    /// How they stand.
    pub budget: Budget,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = whole_seconds(self.retry_after);
        write!(f, "{}; try again in {seconds} s", self.what.too_many())
    }
}

/// Seconds, rounded up: who waits for so long has waited for long enough.
pub fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Who has a budget.
#[derive(Hash)]
enum Who<'a> {
    Address(IpAddr),
    User(&'a UserId),
    Account(&'a str),
}

/// An open connection, counted until this is dropped.
#[derive(Debug)]
pub struct Connection {
    _address: Option<places::Place<IpAddr>>,
    _user: Option<places::Place<UserId>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WhatLabel {
    what: &'static str,
}

/// All limits, and how everybody stands.
#[derive(Debug)]
pub struct Limits {
    requests: Rate,
    sign_ins: Rate,
    accounts: Rate,
    uploads: Rate,
    exports: Rate,
    handshakes: Rate,
    /// TCP connections by the peer's address.
    streams: Places<IpAddr>,
    /// Socket.IO connections by the client's address.
    sockets: Places<IpAddr>,
    /// Socket.IO connections by their user.
    of_users: Places<UserId>,
    trusted: Networks,
    exempt: Networks,
    config: Config,
    limited: Family<WhatLabel, Counter>,
    /// What other nodes do not know, where there are some.
    untold: Option<Untold>,
}

impl Default for Limits {
    /// None at all.
    fn default() -> Self {
        Self::new(Config::default())
    }
}

impl Limits {
    /// Limits by their settings.
    pub fn new(config: Config) -> Self {
        let window = SECOND * config.rate_limit_window;
        Self {
            requests: Rate::new(What::Requests, Quota::new(config.rate_limit_requests, window)),
            sign_ins: Rate::new(What::SignIn, Quota::new(config.sign_in_rate, MINUTE)),
            accounts: Rate::new(
                What::SignIn,
                Quota::new(config.sign_in_rate.saturating_mul(ADDRESSES), MINUTE),
            ),
            uploads: Rate::new(What::Upload, Quota::new(config.upload_rate, MINUTE)),
            exports: Rate::new(What::Export, Quota::new(EXPORTS, HOUR)),
            handshakes: Rate::new(What::Handshakes, Quota::new(config.handshake_rate, SECOND)),
            streams: Places::new(config.connections_per_address),
            sockets: Places::new(config.connections_per_address),
            of_users: Places::new(config.connections_per_user),
            trusted: config.trusted_proxies.clone().unwrap_or_default(),
            exempt: config.limit_exempt.clone().unwrap_or_default(),
            config,
            limited: Family::default(),
            untold: None,
        }
    }

    /// The same, shared with other nodes.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.untold = Some(Untold::default());
        self
    }

    /// What was taken here since the last time that this was asked, for the other nodes.
    pub fn taken(&self) -> Vec<Taken> {
        self.untold.as_ref().map(Untold::take).unwrap_or_default()
    }

    /// What was taken on another node.
    pub fn hear(&self, taken: &[Taken]) {
        let now = Instant::now();
        for Taken { kind, whose, times } in taken {
            self.rate(*kind).debit(whose.who(), *times, now);
        }
    }

    fn rate(&self, kind: Kind) -> &Rate {
        match kind {
            Kind::Requests => &self.requests,
            Kind::SignIns => &self.sign_ins,
            Kind::Accounts => &self.accounts,
            Kind::Uploads => &self.uploads,
            Kind::Exports => &self.exports,
            Kind::Handshakes => &self.handshakes,
        }
    }

    /// Adds `banter_limited_total` to the registry.
    pub fn register(&self, registry: &mut Registry) {
        // A label shows itself from the start, so that an alert can be made of it.
        for what in What::ALL {
            drop(self.limited.get_or_create(&WhatLabel { what: what.as_str() }));
        }
        let help = "What was refused because somebody did too much of it, or has too many";
        registry.register("banter_limited", help, self.limited.clone());
    }

    /// Whether an address is a proxy's whose word is believed.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.contains(address)
    }

    /// Whether nothing is limited that comes from an address.
    pub fn exempts(&self, address: IpAddr) -> bool {
        self.exempt.contains(address)
    }

    /// Counts a request of an address; `None` where there is no limit.
    ///
    /// # Errors
    /// [`Exceeded`], here as below, when it is one too many.
    pub fn check_request(&self, address: IpAddr) -> Result<Option<Budget>, Exceeded> {
        self.check_address(Kind::Requests, address)
    }

    /// Counts a request of a user who has signed in.
    pub fn check_request_of(&self, user: &UserId) -> Result<Option<Budget>, Exceeded> {
        self.check(Kind::Requests, &Who::User(user))
    }

    /// Counts an upload from an address.
    pub fn check_upload(&self, address: IpAddr) -> Result<Option<Budget>, Exceeded> {
        self.check_address(Kind::Uploads, address)
    }

    /// Counts an upload of a user who has signed in.
    pub fn check_upload_of(&self, user: &UserId) -> Result<Option<Budget>, Exceeded> {
        self.check(Kind::Uploads, &Who::User(user))
    }

    /// Counts an export of what is kept of a user.
    pub fn check_export_of(&self, user: &UserId) -> Result<(), Exceeded> {
        self.check(Kind::Exports, &Who::User(user)).map(drop)
    }

    /// Counts a new Socket.IO connection of an address.
    pub fn check_handshake(&self, address: IpAddr) -> Result<Option<Budget>, Exceeded> {
        self.check_address(Kind::Handshakes, address)
    }

    /// Counts a try to sign in from an address.
    pub fn check_sign_in(&self, address: IpAddr) -> Result<(), Exceeded> {
        self.check_address(Kind::SignIns, address).map(drop)
    }

    /// Whether an address may try to sign in now. Counts nothing.
    pub fn may_sign_in(&self, address: IpAddr) -> Result<(), Exceeded> {
        if self.exempts(address) {
            return Ok(());
        }
        let checked = self.sign_ins.look(Who::Address(networks::counted(address)), Instant::now());
        checked.inspect_err(|exceeded| self.refused(exceeded.what))
    }

    /// Counts a try to sign in to an account, there or not, from wherever it comes.
    pub fn check_sign_in_name(&self, account: &str) -> Result<(), Exceeded> {
        self.check(Kind::Accounts, &Who::Account(account)).map(drop)
    }

    /// A TCP connection of a peer. A trusted proxy brings the connections of many.
    ///
    /// # Errors
    /// [`Full`] when the peer has too many.
    pub fn open_stream(&self, peer: IpAddr) -> Result<Connection, Full> {
        let is_counted = !self.trusts(peer) && !self.exempts(peer);
        let place = is_counted.then(|| self.streams.take(&networks::counted(peer)));
        let address = place.unwrap_or(Ok(None)).inspect_err(|_| self.refused(What::Connections))?;
        Ok(Connection { _address: address, _user: None })
    }

    /// A Socket.IO connection of a user from an address, where that is known.
    ///
    /// # Errors
    /// [`Error::RateLimited`] when the user or the address has too many.
    pub fn open_socket(
        &self,
        address: Option<ClientAddress>,
        user: &UserId,
    ) -> Result<Connection, Error> {
        let too_many = |of: &'static str| {
            self.refused(What::Connections);
            Error::RateLimited(of.into())
        };
        let Some(ClientAddress(ip)) = address.filter(|address| !self.exempts(address.0)) else {
            return Ok(Connection { _address: None, _user: None });
        };
        let address = self.sockets.take(&networks::counted(ip));
        let address = address.map_err(|_| too_many("Too many connections from this address"))?;
        let of_user = self.of_users.take(user);
        let of_user = of_user.map_err(|_| too_many("Too many connections of this user"))?;
        Ok(Connection { _address: address, _user: of_user })
    }

    /// What a new socket may send.
    pub fn events(&self, address: Option<ClientAddress>) -> Events {
        match address {
            Some(address) if !self.exempts(address.0) => {
                Events::new(self.config.event_rate, self.config.event_burst)
            }
            _ => Events::default(),
        }
    }

    /// How many groups a socket may have joined; `None` where there is no limit.
    pub fn rooms(&self, address: Option<ClientAddress>) -> Option<usize> {
        let is_exempt = address.is_none_or(|address| self.exempts(address.0));
        let limit = self.config.rooms_per_socket as usize;
        Some(limit).filter(|limit| *limit > 0 && !is_exempt)
    }

    /// Counts a refusal for the metrics.
    pub fn refused(&self, what: What) {
        self.limited.get_or_create(&WhatLabel { what: what.as_str() }).inc();
    }

    fn check_address(&self, kind: Kind, address: IpAddr) -> Result<Option<Budget>, Exceeded> {
        if self.exempts(address) {
            return Ok(None);
        }
        self.check(kind, &Who::Address(networks::counted(address)))
    }

    fn check(&self, kind: Kind, who: &Who<'_>) -> Result<Option<Budget>, Exceeded> {
        let checked = self.rate(kind).take(who, Instant::now());
        if let (Some(untold), Ok(Some(left))) = (&self.untold, &checked) {
            untold.note(kind, who, left.limit, left.remaining);
        }
        checked.inspect_err(|exceeded| self.refused(exceeded.what))
    }
}
