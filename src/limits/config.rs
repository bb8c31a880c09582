//! Settings of the limits.

use super::Networks;

/// Settings of the limits. `Config::default()` limits nothing; the command line's defaults do.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Limits")]
pub struct Config {
    /// HTTP requests in a window from one address, and of one signed-in user, 0 (no limit) to
    /// 1000000
    #[arg(long, value_name = "NUMBER", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub rate_limit_requests: u32,

    /// That window, in seconds (1 to 86400)
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub rate_limit_window: u32,

    /// Tries to sign in or register a minute from one address, and ten times as many to one account,
    /// 0 (no limit) to 1000000
    #[arg(long, value_name = "NUMBER", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub sign_in_rate: u32,

    /// Uploads a minute from one address, and of one signed-in user, 0 (no limit) to 1000000
    #[arg(long, value_name = "NUMBER", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub upload_rate: u32,

    /// Events a second from one socket, in the long run, 0 (no limit) to 1000000
    #[arg(long, value_name = "NUMBER", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub event_rate: u32,

    /// Events from one socket at once (1 to 1000000)
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub event_burst: u32,

    /// New connections of sockets a second from one address, 0 (no limit) to 1000000
    #[arg(long, value_name = "NUMBER", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub handshake_rate: u32,

    /// The most open connections of one address, 0 (no limit) to 1000000
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub connections_per_address: u32,

    /// The most open sockets of one user, 0 (no limit) to 1000000
    #[arg(long, value_name = "NUMBER", default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub connections_per_user: u32,

    /// The most groups that one socket may have joined, 0 (no limit) to 1000000
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub rooms_per_socket: u32,

    /// Proxies whose X-Forwarded-For is believed: a comma-separated list of addresses and networks
    /// such as 10.0.0.0/8
    #[arg(long, value_name = "NETWORKS")]
    pub trusted_proxies: Option<Networks>,

    /// Who is not limited: a comma-separated list of addresses and networks such as 127.0.0.0/8
    #[arg(long, value_name = "NETWORKS")]
    pub limit_exempt: Option<Networks>,
}
