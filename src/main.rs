//! Reads the settings, starts the runtime, and turns what happens into an exit code.

use std::process::ExitCode;

use banter::config::Config;

fn main() -> ExitCode {
    let config = match Config::from_environment() {
        Ok(config) => config,
        Err(answer) => return answer.print(),
    };
    banter::telemetry::init_logs(config.log.format);
    match banter::run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
