//! Holds the shape of the house: who may know whom, how long a file and a function may be, and
//! that the documents name the settings that exist.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// For each part of the crate, the parts it may use. `app` and `lib` wire everything.
const ARROWS: &[(&str, &[&str])] = &[
    ("auth", &["clock", "error", "model", "store"]),
    ("buffer", &["clock", "cluster", "correlation", "error", "model", "shutdown", "store"]),
    ("chat", &["buffer", "clock", "cluster", "error", "media", "model", "search", "store"]),
    ("clock", &["model"]),
    ("cluster", &["limits", "model", "shutdown"]),
    ("commands", &["buffer", "clock", "cluster", "config", "shutdown", "store"]),
    (
        "config",
        &[
            "auth",
            "buffer",
            "chat",
            "cluster",
            "http",
            "limits",
            "media",
            "realtime",
            "store",
            "telemetry",
        ],
    ),
    ("correlation", &[]),
    ("egress", &[]),
    ("error", &["model", "store"]),
    (
        "http",
        &[
            "auth",
            "buffer",
            "chat",
            "cluster",
            "correlation",
            "egress",
            "error",
            "limits",
            "media",
            "model",
            "search",
            "shutdown",
            "store",
            "telemetry",
            "wire",
        ],
    ),
    ("limits", &["error", "model"]),
    ("media", &["error"]),
    ("model", &[]),
    (
        "realtime",
        &[
            "auth",
            "buffer",
            "chat",
            "cluster",
            "correlation",
            "egress",
            "error",
            "limits",
            "model",
            "shutdown",
            "wire",
        ],
    ),
    ("shutdown", &[]),
    ("search", &["model"]),
    ("store", &["model", "search"]),
    ("telemetry", &["correlation"]),
    ("wire", &["error", "model"]),
];

/// Libraries whose knowledge stays in one place.
const FENCES: &[(&str, &[&str])] = &[
    ("axum", &["src/http/", "src/app.rs"]),
    ("tower_http", &["src/http/"]),
    ("hyper", &["src/http/", "src/realtime/plain/admission.rs"]),
    ("tokio_tungstenite", &["src/realtime/plain/", "src/commands/load/"]),
    ("socketioxide", &["src/realtime/", "src/app.rs"]),
    ("mongodb", &["src/store/mongo/"]),
    ("rusqlite", &["src/store/sqlite/"]),
    ("redis", &["src/cluster/"]),
    ("jsonwebtoken", &["src/auth/"]),
    ("ring", &["src/auth/"]),
    ("reqwest", &["src/auth/jwks.rs", "src/commands/load/"]),
    ("hdrhistogram", &["src/commands/load/board.rs"]),
    ("argon2", &["src/auth/password.rs"]),
    ("utoipa", &["src/http/", "src/wire/"]),
    ("failsafe", &["src/buffer/breaker.rs"]),
    ("prometheus_client::encoding::text", &["src/telemetry.rs"]),
];

const MAX_FILE_LINES: usize = 400;
const MAX_FUNCTION_LINES: usize = 70;

struct Source {
    path: String,
    /// The lines up to the file's tests.
    lines: Vec<String>,
}

impl Source {
    fn part(&self) -> &str {
        let inside = self.path.trim_start_matches("src/");
        inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
    }

    /// The code, without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.lines.iter().enumerate().map(|(at, line)| (at + 1, line.as_str()));
        numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path, ending));
        } else if path.to_str().unwrap().ends_with(ending) {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn sources() -> Vec<Source> {
    let is_test_code = |path: &str| path.ends_with("/testing.rs") || path.contains("/tests");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
        let path = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        Source { path, lines: code.lines().map(str::to_owned).collect() }
    };
    let all: Vec<_> = files_below(&root().join("src"), ".rs").into_iter().map(read).collect();
    assert!(all.len() > 30, "the sources were not found");
    all.into_iter().filter(|source| !is_test_code(&source.path)).collect()
}

fn expect_none(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// The parts that a text names: `crate::store::x` names one, `crate::{store, model::Y}` two.
fn named_parts(code: &str) -> BTreeSet<&str> {
    let first_word =
        |text: &'_ str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let mut parts = BTreeSet::new();
    for (at, found) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + found.len()..];
        if !rest.starts_with('{') {
            parts.insert(&rest[..first_word(rest)]);
            continue;
        }
        let mut depth = 0;
        for (offset, c) in rest.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if depth == 1 && (c == '{' || c == ',') {
                let item = rest[offset + 1..].trim_start();
                parts.insert(&item[..first_word(item)]);
            }
        }
    }
    parts.remove("");
    parts
}

#[test]
fn imports_of_every_form_are_seen() {
    let code = "use crate::{\n    auth,\n    model::{A, B},\n};\nlet x = crate::store::X;";
    assert_eq!(named_parts(code), BTreeSet::from(["auth", "model", "store"]));
    assert!(named_parts("pub(crate) fn x() {} my_crate::y()").is_empty());
}

#[test]
fn parts_use_only_the_parts_below_them() {
    let mut problems = Vec::new();
    for source in sources() {
        let part = source.part();
        if ["app", "lib", "main"].contains(&part) {
            continue;
        }
        let (_, allowed) = ARROWS
            .iter()
            .find(|(from, _)| *from == part)
            .unwrap_or_else(|| panic!("{} is in no part that this test knows", source.path));
        let code: Vec<_> = source.code().map(|(_, line)| line).collect();
        for used in named_parts(&code.join("\n")) {
            if used != part && !allowed.contains(&used) {
                problems.push(format!("{}: {part} must not use {used}", source.path));
            }
        }
    }
    expect_none(problems);
}

#[test]
fn a_library_is_known_in_its_own_place_alone() {
    let mut problems = Vec::new();
    for source in sources() {
        for (library, places) in FENCES {
            if places.iter().any(|place| source.path.starts_with(place)) {
                continue;
            }
            for (number, line) in source.code() {
                let used = line.match_indices(&format!("{library}::")).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
                });
                if used {
                    problems.push(format!("{}:{number}: {library} is not for here", source.path));
                }
            }
        }
    }
    expect_none(problems);
}

#[test]
fn files_and_functions_stay_short() {
    let mut problems = Vec::new();
    for source in sources() {
        if source.lines.len() > MAX_FILE_LINES {
            problems.push(format!("{} has {} lines", source.path, source.lines.len()));
        }
        for (name, length) in functions(&source.lines) {
            if length > MAX_FUNCTION_LINES {
                problems.push(format!("{}: {name} has {length} lines", source.path));
            }
        }
    }
    expect_none(problems);
}

/// Each function's first line and its length; the code is formatted, so that a function ends at
/// the first brace that stands below its `fn`.
fn functions(lines: &[String]) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let is_function = code.starts_with("fn ")
            || (code.starts_with("pub") || code.starts_with("async") || code.starts_with("const"))
                && code.contains(" fn ");
        if !is_function || code.ends_with(';') {
            continue;
        }
        let indent = line.len() - code.len();
        let closing = format!("{}}}", " ".repeat(indent));
        if let Some(length) = lines[start..].iter().position(|line| *line == closing) {
            found.push((code, length + 1));
        }
    }
    found
}

#[test]
fn functions_are_measured() {
    let source = "pub fn long() {\n    one();\n    if two {\n    }\n}\n\nfn short() {\n}";
    let lines: Vec<_> = source.lines().map(str::to_owned).collect();
    let lengths: Vec<_> = functions(&lines).into_iter().map(|(_, length)| length).collect();
    assert_eq!(lengths, [5, 2]);
}

#[test]
fn no_test_is_switched_off() {
    let mut problems = Vec::new();
    let mut files = files_below(&root().join("src"), ".rs");
    files.extend(files_below(&root().join("tests"), ".rs"));
    for path in files.into_iter().filter(|path| !path.ends_with("tests/tidy.rs")) {
        let text = fs::read_to_string(&path).unwrap();
        for word in ["#[ignore", "todo!(", "unimplemented!("] {
            if text.contains(word) {
                problems.push(format!("{}: {word}", path.display()));
            }
        }
    }
    expect_none(problems);
}

/// The settings that a document names: at the start of a table row in Markdown, else of a line that
/// gives a value, whether or not that line is commented out.
fn settings_in(path: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|_| panic!("{path} is gone"));
    let mut names = BTreeSet::new();
    for line in text.lines() {
        let start = line.trim_start_matches(['|', '#', ' ', '`']);
        let end = start.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let name = &start[..end.unwrap_or(start.len())];
        let is_row = line.starts_with("| `");
        let is_document = path.ends_with(".md");
        let is_assignment = !is_document && start[name.len()..].trim_start().starts_with('=');
        if (is_row || is_assignment) && name.len() > 3 {
            names.insert(name.to_uppercase());
        }
    }
    // It names a file of settings, and is none itself.
    names.remove("BANTER_ENV");
    names
}

#[test]
fn the_documents_name_the_settings_that_exist() {
    let code: BTreeSet<String> = banter::config::Config::setting_names().into_iter().collect();
    assert!(code.contains("BATCH_SIZE"), "{code:?}");
    for document in ["README.md", ".env.example", "config/default.toml"] {
        assert_eq!(settings_in(document), code, "{document} (left) and the code (right) differ");
    }
}
