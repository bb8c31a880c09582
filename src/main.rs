//! Reads the settings, does what the command line asks for (without a command: serves), and turns
//! what happens into an exit code.

use std::path::Path;
use std::process::ExitCode;

use banter::commands::{self, Command};
use banter::config::{Config, ConfigError};
use banter::telemetry::{init_log, init_log_of_command};
use mimalloc::MiMalloc;

/// A message is a few dozen small pieces of memory, taken by one thread and freed by another: the
/// system's allocator takes a quarter more of the processor for that (decision 0042).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let loaded = Config::load_with(std::env::args_os(), std::env::vars_os(), Path::new("."));
    let (config, command) = match loaded {
        Ok(loaded) => loaded,
        Err(answer) => return say(&answer),
    };
    match command {
        None => serve(&config),
        Some(command) => obey(&command, &config),
    }
}

fn serve(config: &Config) -> ExitCode {
    let _log = match init_log(&config.log) {
        Ok(log) => log,
        Err(error) => return complain(&error.into()),
    };
    match banter::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn obey(command: &Command, config: &Config) -> ExitCode {
    if let Err(error) = init_log_of_command(&config.log) {
        return complain(&error.into());
    }
    match commands::run(command, config, &mut std::io::stdout().lock()) {
        Ok(outcome) => outcome.into(),
        Err(error) => complain(&error),
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

/// Prints why something could not be done to whoever has asked for it.
#[expect(clippy::print_stderr, reason = "a person waits for the answer, not for a log")]
fn complain(error: &anyhow::Error) -> ExitCode {
    eprintln!("banter: {error:#}");
    ExitCode::FAILURE
}
