//! Why the server does not start.

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::setting::Settings;

/// Why there is no configuration; its text is meant to be printed as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// `--help` or `--version`: what was asked for. Nothing is wrong.
    #[error("{0}")]
    Shown(String),
    /// The command line can't be read.
    #[error("{0}")]
    Usage(String),
    /// Settings with wrong values: each names the setting, the value, where it came from and what
    /// is allowed.
    #[error("The configuration is wrong.\n\n{}\n", .0.join("\n\n"))]
    Wrong(Vec<String>),
}

impl ConfigError {
    /// What the process exits with: 0 when the text is what was asked for, which belongs on
    /// standard output; 2 otherwise, on standard error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Shown(_) => 0,
            Self::Usage(_) | Self::Wrong(_) => 2,
        }
    }

    /// Reads what clap says of the command line.
    pub(super) fn of_args(error: &clap::Error, settings: &Settings, command: &Command) -> Self {
        let is_value = match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                return Self::Shown(error.render().to_string());
            }
            ErrorKind::InvalidSubcommand => {
                let known = commands_of(command).join(", ");
                return Self::Usage(format!("{}\nCommands: {known}\n", error.render()));
            }
            kind => matches!(kind, ErrorKind::ValueValidation | ErrorKind::InvalidValue),
        };
        let context = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.as_str()),
            _ => None,
        };
        let setting = context(ContextKind::InvalidArg)
            .filter(|_| is_value)
            .and_then(|usage| usage.trim_start_matches("--").split_whitespace().next())
            .and_then(|flag| settings.by_flag(flag));
        match setting {
            Some(setting) => {
                let value = context(ContextKind::InvalidValue).unwrap_or_default();
                Self::Wrong(vec![setting.describe(value, "command line", error)])
            }
            None => Self::Usage(error.render().to_string()),
        }
    }
}

/// The commands that can be asked for, in full: `dead-letter list`.
fn commands_of(command: &Command) -> Vec<String> {
    let mut found = Vec::new();
    for inner in command.get_subcommands() {
        let name = inner.get_name();
        if inner.has_subcommands() {
            found.extend(commands_of(inner).iter().map(|below| format!("{name} {below}")));
        } else {
            found.push(name.to_owned());
        }
    }
    found
}
