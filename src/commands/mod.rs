//! What the program does besides serving: tools for operators, which print for people.
//!
//! A family of commands is a file here. To add one, add its words to [`Command`] and its arm to
//! [`run`]; settings reach it as they reach the server.

pub mod dead_letter;
mod drain;
mod health;
pub mod journal;
pub mod load;

use std::io::Write;
use std::process::ExitCode;

use crate::config::Config;

/// What the command line may ask for, besides serving.
#[derive(Debug, Clone, PartialEq, Eq, clap::Subcommand)]
pub enum Command {
    /// Look at the writes that the store refused, or try them again
    #[command(subcommand, after_help = dead_letter::AFTER_HELP)]
    DeadLetter(dead_letter::Command),
    /// Look at a journal, mend one, or store what a dead server has left in its own
    #[command(subcommand, after_help = journal::AFTER_HELP)]
    Journal(journal::Command),
    /// Ask the server of these settings whether users may be sent to it
    #[command(after_help = health::AFTER_HELP)]
    Health,
    /// Drive a server with made-up users, and measure how fast it is and whether anything gets lost
    #[command(subcommand, after_help = load::AFTER_HELP)]
    Load(Box<load::Command>),
}

/// How a command ended that could do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is left to do.
    Done,
    /// Something is left; what was printed says what.
    Left,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Left => Self::FAILURE,
        }
    }
}

/// Does what was asked for; `out` is where people read what became of it.
///
/// # Errors
/// The work could not be begun, or its outcome not be printed.
pub fn run(command: &Command, config: &Config, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    // One thread is enough for an operator's tool, and what `load` is meant to have.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::DeadLetter(command) => dead_letter::run(command, config, out).await,
            Command::Journal(command) => journal::run(command, config, out).await,
            Command::Health => health::run(config, out).await,
            Command::Load(command) => load::run(command, out).await,
        }
    })
}

/// A text as one line of a terminal: a line break or an escape sequence in what a client sent
/// would else forge another.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// `1 letter`, `2 letters`.
fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_control_characters_is_still_one_line() {
        assert_eq!(one_line("a\nb\u{1b}[31m ж"), "a\\nb\\u{1b}[31m ж");
    }
}
