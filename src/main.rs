//! Reads the settings, starts the server, and turns what happens into an exit code.

use std::path::Path;
use std::process::ExitCode;

use banter::config::{Config, ConfigError};
use banter::telemetry::init_logs;

fn main() -> ExitCode {
    let loaded = Config::load(std::env::args_os(), std::env::vars_os(), Path::new("."));
    let config = match loaded {
        Ok(config) => config,
        Err(answer) => return say(&answer),
    };
    match init_logs(&config.log).map_err(Into::into).and_then(|()| banter::run(&config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what was asked for (`--help`, `--version`), or what is wrong with the settings.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the log is not set up yet")]
fn say(answer: &ConfigError) -> ExitCode {
    match answer.exit_code() {
        0 => print!("{answer}"),
        _ => eprint!("{answer}"),
    }
    ExitCode::from(answer.exit_code())
}
