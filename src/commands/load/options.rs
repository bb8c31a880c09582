//! What may be asked for on the command line.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

/// How connections are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Engine.IO 4 over WebSocket, from the start
    Websocket,
    /// Engine.IO 4 over HTTP long polling, for good
    Polling,
}

/// What all scenarios take.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Any scenario")]
pub struct Common {
    /// Where the server is: http://host:port
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8001", value_parser = parse_url)]
    pub url: Url,
    /// How to connect
    #[arg(long, value_name = "NAME", value_enum, default_value_t = Transport::Websocket)]
    pub transport: Transport,
    /// How long to measure, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_time)]
    pub time: Duration,
    /// How long to send before that, in seconds; not measured, but nothing may get lost in it
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = parse_seconds)]
    pub warm_up: Duration,
    /// How long to wait at the end for what has not come, after the last that did, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = parse_time)]
    pub drain: Duration,
    /// Bytes of a message's content; the mark that it begins with needs about 30
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub payload: u32,
    /// A process of the server on this machine, whose CPU time and memory are measured; its children
    /// are not. For several, give the option several times
    #[arg(long = "pid", value_name = "PID")]
    pub pids: Vec<u32>,
    /// How many connections to open at once
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub at_once: u32,
    /// Ask for acknowledgements, and measure how long they take
    #[arg(long)]
    pub acks: bool,
    /// With a rate: wait for the time of each send awake. Sends then leave to some microseconds on time,
    /// instead of up to two milliseconds late, which latencies include; it takes a core of its own
    #[arg(long)]
    pub exact: bool,
    /// Write what was measured to this file as JSON; - prints it instead of the table
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// What chance there is in a scenario, so that a run can be repeated
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Show no progress, also on a terminal
    #[arg(long)]
    pub quiet: bool,
    /// Show the progress also where there is no terminal
    #[arg(long, conflicts_with = "quiet")]
    pub progress: bool,
}

/// How fast to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "How fast")]
pub struct Speed {
    /// Messages a second, over all senders, on a schedule that is fixed beforehand (an open loop):
    /// latency counts from when a message was to be sent
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: Option<u32>,
    /// Without --rate: messages that each sender has under way; its own copy of one lets it send the
    /// next (a closed loop)
    #[arg(long, value_name = "NUMBER", default_value_t = 1, conflicts_with = "rate", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub window: u32,
}

/// `banter load group`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Group {
    /// Members of the groups, in all; each is a connection, and the senders are among them
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = users())]
    pub users: u32,
    /// How many of the members send
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = users())]
    pub senders: u32,
    /// Groups that the members are spread over, each in one
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = users())]
    pub groups: u32,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would replace the help of the command")]
    pub speed: Speed,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would replace the help of the command")]
    pub common: Common,
}

/// `banter load direct`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Direct {
    /// Users, in pairs; each is a connection and writes to its partner
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = users())]
    pub users: u32,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would replace the help of the command")]
    pub speed: Speed,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would replace the help of the command")]
    pub common: Common,
}

/// `banter load idle`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Idle {
    /// Connections that say nothing
    #[arg(long, value_name = "NUMBER", default_value_t = 5_000, value_parser = users())]
    pub users: u32,
    /// Direct messages a second between further users; without it, all are silent
    #[arg(long, value_name = "NUMBER", value_parser = users())]
    pub rate: Option<u32>,
    /// With --rate: pairs of further users who write these
    #[arg(long, value_name = "NUMBER", default_value_t = 100, requires = "rate", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub active: u32,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would replace the help of the command")]
    pub common: Common,
}

/// `banter load storm`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Storm {
    /// Users in a wave: when all are connected, all leave, and the next wave comes
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = users())]
    pub users: u32,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would replace the help of the command")]
    pub common: Common,
}

/// `banter load slow`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Slow {
    /// Members that read slowly: the last of the --users
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = users())]
    pub slow: u32,
    /// How many bytes a second each of these reads
    #[arg(long, value_name = "BYTES", default_value_t = 2_000, value_parser = users())]
    pub slow_rate: u32,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would replace the help of the command")]
    pub group: Group,
}

/// `banter load day`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Day {
    /// Users; each is in one group and writes to one partner
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = users())]
    pub users: u32,
    /// What all do together in a second, on a schedule that is fixed beforehand
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = users())]
    pub rate: u32,
    /// Members of a group
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = users())]
    pub group_size: u32,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would replace the help of the command")]
    pub common: Common,
}

fn users() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=1_000_000)
}

fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; such as http://host:8001"))?;
    match url.scheme() {
        "http" if url.host().is_some() => Ok(url),
        "https" | "wss" => Err("TLS is not for here: measure the server behind it, by http".into()),
        _ => Err("such as http://host:8001".into()),
    }
}

/// Seconds from 0 to a day.
fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "seconds, such as 10 or 0.5".to_owned())?;
    if (0.0..=86_400.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("seconds from 0 to 86400".to_owned())
    }
}

/// The same, and not 0.
fn parse_time(text: &str) -> Result<Duration, String> {
    match parse_seconds(text)? {
        Duration::ZERO => Err("more than 0 seconds".to_owned()),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_url_is_of_a_server_without_tls() {
        assert_eq!(parse_url("http://[::1]:9").unwrap().port(), Some(9));
        for wrong in ["", "localhost:8001", "ftp://host", "http://", "127.0.0.1"] {
            assert!(parse_url(wrong).is_err(), "{wrong}");
        }
        assert!(parse_url("https://host").unwrap_err().contains("TLS"));
    }

    #[test]
    fn a_time_is_a_number_of_seconds() {
        assert_eq!(parse_time("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_seconds("0"), Ok(Duration::ZERO));
        for wrong in ["0", "-1", "x", "NaN", "inf", "1e9"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}
