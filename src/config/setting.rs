//! The names of settings, and how to speak of them.

use std::error::Error as _;

use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command};

/// Settings whose values are never printed: they are, or may hold, a password.
const SECRETS: [&str; 5] =
    ["ADMIN_TOKEN", "ADMIN_UI_PASSWORD", "MONGO_URL", "REDIS_URL", "SECRET_KEY"];

/// Other names that settings are known by.
const ALIASES: [(&str, &str); 1] = [("MONGODB_URL", "MONGO_URL")];

/// One setting.
#[derive(Debug)]
pub(super) struct Setting {
    /// Its name: `BATCH_SIZE`.
    pub(super) name: String,
    /// Its flag without the dashes: `batch-size`.
    pub(super) flag: String,
    /// Its id in clap.
    pub(super) id: String,
    /// What it is for and what is allowed.
    takes: String,
}

impl Setting {
    fn of(arg: &Arg) -> Option<Self> {
        let flag = arg.get_long().filter(|_| takes_value(arg))?;
        let help = arg.get_help().map(StyledStr::to_string).unwrap_or_default();
        let takes = match words(arg) {
            Some(words) => format!("{help} [one of: {words}]"),
            None => help,
        };
        let id = arg.get_id().to_string();
        Some(Self { name: variable(flag), flag: flag.to_owned(), id, takes })
    }

    /// Says what is wrong with a value, and what is allowed.
    pub(super) fn describe(&self, value: &str, source: &str, error: &clap::Error) -> String {
        let (name, takes) = (&self.name, &self.takes);
        if SECRETS.contains(&name.as_str()) {
            // The reason may quote the value.
            return format!("{name} is <hidden> ({source}), which is not allowed\n  {takes}");
        }
        let reason = error.source().map_or("not allowed".into(), ToString::to_string);
        format!("{name} is {value:?} ({source}): {reason}\n  {takes}")
    }
}

/// All settings of a command.
#[derive(Debug)]
pub(super) struct Settings(Vec<Setting>);

impl Settings {
    pub(super) fn of(command: &Command) -> Self {
        Self(command.get_arguments().filter_map(Setting::of).collect())
    }

    /// All names.
    pub(super) fn names(self) -> Vec<String> {
        self.0.into_iter().map(|setting| setting.name).collect()
    }

    /// The setting of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Setting> {
        self.0.iter().find(|setting| setting.name == name)
    }

    /// The setting of this flag (without the dashes).
    pub(super) fn by_flag(&self, flag: &str) -> Option<&Setting> {
        self.0.iter().find(|setting| setting.flag == flag)
    }

    /// The setting of this name or alias, and whether it was an alias.
    pub(super) fn find(&self, name: &str) -> Option<(&Setting, bool)> {
        let target = ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, name)| *name);
        Some((self.get(target.unwrap_or(name))?, target.is_some()))
    }

    /// The name that was most likely meant.
    pub(super) fn nearest(&self, name: &str) -> Option<&str> {
        self.0.iter().map(|s| s.name.as_str()).min_by_key(|known| edit_distance(known, name))
    }
}

/// Gives every setting of a command what all have in common.
pub(super) fn prepare(command: Command) -> Command {
    let prepare = |arg: Arg| match (arg.get_long(), arg.get_help()) {
        (Some(flag), Some(help)) if takes_value(&arg) => {
            let words = words(&arg).map(|words| format!(" [one of: {words}]")).unwrap_or_default();
            let help = format!("{help}{words} [env: {}]", variable(flag));
            // A number below 0 is a wrong value, not an unknown flag.
            arg.help(help).hide_possible_values(true).allow_negative_numbers(true).global(true)
        }
        _ => arg,
    };
    let command = command.mut_args(prepare).next_line_help(true);
    let settings: Vec<_> = command.get_arguments().map(|arg| arg.clone().hide(true)).collect();
    command.mut_subcommands(|inner| take_settings(inner, &settings))
}

/// Lets settings be given after a subcommand too, whose help does not repeat them all.
fn take_settings(command: Command, settings: &[Arg]) -> Command {
    command.args(settings).mut_subcommands(|inner| take_settings(inner, settings))
}

/// The words that are allowed, where the setting takes no other.
fn words(arg: &Arg) -> Option<String> {
    let values = arg.get_possible_values();
    let words: Vec<_> = values.iter().map(|value| value.get_name()).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn variable(flag: &str) -> String {
    flag.replace('-', "_").to_uppercase()
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

/// Levenshtein's distance, in bytes.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_insertions_deletions_and_substitutions() {
        for (a, b, distance) in
            [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("PORT", "PROT", 2)]
        {
            assert_eq!(edit_distance(a, b), distance, "{a} {b}");
            assert_eq!(edit_distance(b, a), distance, "{b} {a}");
        }
    }
}
