//! The settings of the write buffer.

use std::time::Duration;

use clap::builder::RangedU64ValueParser;

use super::journal::SyncMode;
use crate::cluster::History;

/// Settings of the write buffer.
#[derive(Debug, Clone, PartialEq, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Buffer")]
pub struct Config {
    /// Ops in a batch to the store at the start; it grows and shrinks from there (1 to 10000)
    #[arg(long, value_name = "OPS", default_value_t = Self::BATCH_SIZE,
          value_parser = RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    pub batch_size: usize,

    /// Longest wait for a batch to fill, in seconds (above 0, up to 60)
    #[arg(long, value_name = "SECONDS", default_value = "1.0",
          value_parser = |text: &str| seconds(text, 60.0))]
    pub flush_interval: Duration,

    /// Times that a failed batch is sent again before the store is left alone for a while (0 to
    /// 100)
    #[arg(long, value_name = "TIMES", default_value_t = Self::MAX_RETRIES,
          value_parser = clap::value_parser!(u32).range(0..=100))]
    pub max_retries: u32,

    /// Ops that are held until they are stored; further ones are refused (1 to 10000000)
    #[arg(long, value_name = "OPS", default_value_t = Self::BUFFER_CAPACITY,
          value_parser = RangedU64ValueParser::<usize>::new().range(1..=10_000_000))]
    pub buffer_capacity: usize,

    /// Bytes that these may hold; further ops are refused (1048576, a mebibyte, or more)
    #[arg(long, value_name = "BYTES", default_value_t = Self::BUFFER_BYTES,
          value_parser = RangedU64ValueParser::<usize>::new().range(1_048_576..))]
    pub buffer_bytes: usize,

    /// When an accepted message is on the disk: always, before it is acknowledged; interval, within
    /// 100 ms; os, when the system writes it. All survive the process, the first the machine, too
    #[arg(long, value_name = "MODE", default_value = "always")]
    pub journal_sync: SyncMode,

    /// Failures in a row after which the store is left alone (1 to 1000)
    #[arg(long, value_name = "TIMES", default_value_t = Self::BREAKER_FAILURES,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub breaker_failures: u32,

    /// How long the store is left alone before it is tried again, in seconds (above 0, up to 3600)
    #[arg(long, value_name = "SECONDS", default_value = "60",
          value_parser = |text: &str| seconds(text, 3_600.0))]
    pub breaker_open: Duration,

    /// Whether other nodes write into the store, too: one may take over a message of another.
    #[arg(skip)]
    pub is_shared: bool,

    /// Where nodes keep the history that they share; none: nobody else looks there.
    #[arg(skip)]
    pub history: Option<History>,
}

/// The defaults. The first three and the breaker's are those of the old server.
impl Config {
    const BATCH_SIZE: usize = 25;
    const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
    const MAX_RETRIES: u32 = 2;
    /// At 1,000 ops per second, 100 s of a database that is away.
    const BUFFER_CAPACITY: usize = 100_000;
    /// 256 MiB: room for 100,000 messages of 2 KiB.
    const BUFFER_BYTES: usize = 256 * 1024 * 1024;
    const BREAKER_FAILURES: u32 = 3;
    const BREAKER_OPEN: Duration = Duration::from_secs(60);
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch_size: Self::BATCH_SIZE,
            flush_interval: Self::FLUSH_INTERVAL,
            max_retries: Self::MAX_RETRIES,
            buffer_capacity: Self::BUFFER_CAPACITY,
            buffer_bytes: Self::BUFFER_BYTES,
            journal_sync: SyncMode::Always,
            breaker_failures: Self::BREAKER_FAILURES,
            breaker_open: Self::BREAKER_OPEN,
            is_shared: false,
            history: None,
        }
    }
}

/// Reads a number of seconds with a fraction, above 0 (a nanosecond at least) and up to `max`.
fn seconds(text: &str, max: f64) -> Result<Duration, String> {
    let time = text.parse().ok().and_then(|number| Duration::try_from_secs_f64(number).ok());
    time.filter(|time| !time.is_zero() && time.as_secs_f64() <= max)
        .ok_or_else(|| format!("allowed are seconds above 0, up to {max}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        buffer: Config,
    }

    fn parse(flags: &[&str]) -> Option<Config> {
        let flags = ["banter"].iter().chain(flags);
        Flags::try_parse_from(flags).ok().map(|flags| flags.buffer)
    }

    #[test]
    fn the_defaults_of_the_code_are_those_of_the_command_line() {
        assert_eq!(parse(&[]), Some(Config::default()));
    }

    #[test]
    fn values_are_read_in_the_unit_that_the_help_names() {
        let config = parse(&["--flush-interval", "0.25", "--buffer-bytes", "2000000"]).unwrap();
        assert_eq!(config.flush_interval, Duration::from_millis(250));
        assert_eq!(config.buffer_bytes, 2_000_000);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let refused = [
            ("--batch-size", "0"),
            ("--batch-size", "10001"),
            ("--flush-interval", "0"),
            ("--flush-interval", "60.1"),
            ("--flush-interval", "NaN"),
            ("--max-retries", "101"),
            ("--buffer-capacity", "0"),
            ("--buffer-bytes", "1000"),
            ("--journal-sync", "never"),
            ("--breaker-failures", "0"),
            ("--breaker-open", "1e-30"),
            ("--breaker-open", "3601"),
        ];
        for (flag, value) in refused {
            assert_eq!(parse(&[flag, value]), None, "{flag} {value}");
        }
    }
}
