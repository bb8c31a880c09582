//! Reads the environment, `.env` and `config/*.toml`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use toml::{Table, Value};

use super::setting::Settings;

/// The variable that names the file beside `config/default.toml` to read.
const PROFILE: &str = "BANTER_ENV";

/// A value, and where it was found.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) value: String,
    pub(super) source: String,
}

/// Values by the names of their settings.
pub(super) type Values = BTreeMap<String, Given>;

/// Finds the strongest value of each setting: environment, `.env`, the profile's file, the
/// default file. An error is a list of what is wrong.
pub(super) fn read(
    settings: &Settings,
    env: &[(OsString, OsString)],
    dir: &Path,
) -> Result<Values, Vec<String>> {
    let mut wrong = Vec::new();
    let dotenv = wrong_or_default(read_dotenv(&dir.join(".env")), &mut wrong);
    let mut environment = Vec::new();
    for (name, value) in env {
        // A variable of another program may have any name and any bytes.
        let Some(name) = name.to_str() else { continue };
        match value.to_str() {
            Some(value) => environment.push(given(name, value, "environment")),
            None if name == PROFILE || settings.find(name).is_some() => {
                wrong.push(format!("{name} (environment) is not UTF-8"));
            }
            None => {}
        }
    }

    let mut files = vec!["default".to_owned()];
    match profile(&environment, &dotenv) {
        Ok(profile) => files.extend(profile),
        Err(error) => wrong.push(error),
    }
    let mut values = Values::new();
    for file in files {
        let entries = read_toml(settings, dir, &format!("config/{file}.toml"), &mut wrong);
        overlay(&mut values, settings, entries);
    }
    overlay(&mut values, settings, dotenv);
    overlay(&mut values, settings, environment);
    if wrong.is_empty() { Ok(values) } else { Err(wrong) }
}

fn given(name: &str, value: &str, source: impl Into<String>) -> (String, Given) {
    (name.to_owned(), Given { value: value.to_owned(), source: source.into() })
}

fn wrong_or_default<T: Default>(result: Result<T, String>, wrong: &mut Vec<String>) -> T {
    result.unwrap_or_else(|error| {
        wrong.push(error);
        T::default()
    })
}

/// Lays one source over weaker ones. Its empty values count as not there, and in it a setting's
/// own name beats an alias.
fn overlay(values: &mut Values, settings: &Settings, entries: Vec<(String, Given)>) {
    let mut layer = Values::new();
    for (name, given) in entries.into_iter().filter(|(_, given)| !given.value.is_empty()) {
        match settings.find(&name) {
            Some((setting, true)) => {
                layer.entry(setting.name.clone()).or_insert(given);
            }
            Some((setting, false)) => {
                layer.insert(setting.name.clone(), given);
            }
            None => {}
        }
    }
    values.extend(layer);
}

fn profile(
    environment: &[(String, Given)],
    dotenv: &[(String, Given)],
) -> Result<Option<String>, String> {
    let named = |entries: &[(String, Given)]| {
        let found =
            entries.iter().rfind(|(name, given)| name == PROFILE && !given.value.is_empty());
        found.map(|(_, given)| given.clone())
    };
    let Some(Given { value, source }) = named(environment).or_else(|| named(dotenv)) else {
        return Ok(None);
    };
    // It becomes part of a path.
    if value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        Ok(Some(value))
    } else {
        Err(format!("{PROFILE} is {value:?} ({source}): letters, digits, '-' and '_' are allowed"))
    }
}

/// A file that need not be there, as text.
fn read_text(path: &Path, name: &str) -> Result<String, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(format!("{name} can't be read: {error}")),
    }
}

/// The entries of `.env`, in order. `$NAME` in a value stands for a variable of the process.
fn read_dotenv(path: &Path) -> Result<Vec<(String, Given)>, String> {
    let text = read_text(path, ".env")?;
    let text = text.trim_start_matches('\u{feff}');
    let mut entries = Vec::new();
    for entry in dotenvy::from_read_iter(text.as_bytes()) {
        // The error's own text would print the line, which may hold a password.
        let (name, value) = entry.map_err(|error| match error {
            dotenvy::Error::LineParse(line, _) => {
                let at = text.lines().position(|l| line.trim_end().starts_with(l) && !l.is_empty());
                let at = at.map_or(String::new(), |at| format!(" line {}", at + 1));
                format!(".env{at} can't be read: NAME=value is expected")
            }
            other => format!(".env can't be read: {other}"),
        })?;
        let source = dotenv_line(text, &name).map_or(".env".into(), |n| format!(".env line {n}"));
        entries.push(given(&name, &value, source));
    }
    Ok(entries)
}

/// The line, from 1, of the last entry of this name: the one that counts.
fn dotenv_line(text: &str, name: &str) -> Option<usize> {
    let is_entry = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let lines: Vec<_> = text.lines().collect();
    lines.iter().rposition(|line| is_entry(line)).map(|at| at + 1)
}

fn read_toml(
    settings: &Settings,
    dir: &Path,
    file: &str,
    wrong: &mut Vec<String>,
) -> Vec<(String, Given)> {
    let text = wrong_or_default(read_text(&dir.join(file), file), wrong);
    let table: Table = wrong_or_default(
        text.parse().map_err(|error: toml::de::Error| {
            // Its full text would print the line, which may hold a password.
            let at = error.span().map_or(0, |span| span.start);
            let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
            format!("{file} line {line} can't be read: {}", error.message())
        }),
        wrong,
    );
    let mut entries = Vec::new();
    for (key, value) in &table {
        let name = key.to_uppercase();
        if settings.find(&name).is_none() || *key != key.to_lowercase() {
            let nearest = settings.nearest(&name).unwrap_or_default().to_lowercase();
            wrong.push(format!("{file}: there is no setting {key:?}; is {nearest:?} meant?"));
            continue;
        }
        match scalar(value).or_else(|| list(value)) {
            Some(value) => entries.push(given(&name, &value, file)),
            None => wrong.push(format!("{file}: {name} must be a single value, or a list of them")),
        }
    }
    entries
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

/// A list is comma separated everywhere else, so an item can hold no comma.
fn list(value: &Value) -> Option<String> {
    let items: Option<Vec<_>> = value.as_array()?.iter().map(scalar).collect();
    items.filter(|items| items.iter().all(|item| !item.contains(','))).map(|items| items.join(","))
}
