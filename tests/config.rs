//! Settings: where their values come from, which values are refused, and that the files that list
//! them are right.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use banter::auth::AuthMode;
use banter::commands::{Command, dead_letter, journal};
use banter::config::{Config, ConfigError};
use clap::CommandFactory;
use tempfile::TempDir;

/// A directory with these files.
fn dir(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("config")).unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

type Loaded = (Config, Option<Command>);

fn load_all(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let args = ["banter"].iter().chain(args).map(OsString::from);
    Config::load_with(args, env.iter().map(|(name, value)| (name.into(), value.into())), dir)
}

fn load_in(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let (config, command) = load_all(dir, args, env)?;
    assert_eq!(command, None, "without a command the program serves");
    Ok(config)
}

fn load(args: &[&str], env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load_in(dir(&[]).path(), args, env)
}

/// What is printed when the start is refused because of a value.
fn refusal(result: Result<Config, ConfigError>) -> String {
    let error = result.expect_err("the value is refused");
    assert_eq!(error.exit_code(), 2);
    assert!(matches!(error, ConfigError::Wrong(_)), "{error:?}");
    error.to_string()
}

#[track_caller]
fn assert_tells(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

#[test]
fn nothing_has_to_be_there() {
    let config = Config::load([], [], Path::new("no/such/directory")).unwrap();
    assert_eq!(config.server.host.to_string(), "127.0.0.1");
    assert_eq!(config.server.port, 8001);
    assert_eq!(config.server.data_dir, Path::new("data"));
    assert_eq!(config.media.upload_dir, Path::new("uploads"));
    assert_eq!(config.media.max_upload_size, 5 * 1024 * 1024);
    assert_eq!(config.auth.mode(), AuthMode::Open);
}

#[test]
fn each_source_overrides_the_weaker_ones() {
    let dir = dir(&[
        ("config/default.toml", "port = 1\n"),
        ("config/production.toml", "port = 2\n"),
        (".env", "# ours\nPORT=3\n"),
    ]);
    let production = ("BANTER_ENV", "production");
    let port =
        |args: &[&str], env: &[(&str, &str)]| load_in(dir.path(), args, env).unwrap().server.port;
    assert_eq!(port(&["--port", "5"], &[production, ("PORT", "4")]), 5);
    assert_eq!(port(&["--port=6", "--port=5"], &[]), 5);
    assert_eq!(port(&[], &[production, ("PORT", "4")]), 4);
    assert_eq!(port(&[], &[production]), 3);
    std::fs::write(dir.path().join(".env"), "BANTER_ENV=production\n").unwrap();
    assert_eq!(port(&[], &[]), 2);
    assert_eq!(port(&[], &[("BANTER_ENV", "test")]), 1);
    assert_eq!(port(&[], &[("BANTER_ENV", "")]), 2);
}

#[test]
fn an_empty_value_counts_as_not_given() {
    let dir = dir(&[(".env", "DATA_DIR=\nUPLOAD_DIR=files\n")]);
    let config = load_in(dir.path(), &[], &[("PORT", ""), ("UPLOAD_DIR", "")]).unwrap();
    assert_eq!(config.server.port, 8001);
    assert_eq!(config.server.data_dir, Path::new("data"));
    assert_eq!(config.media.upload_dir, Path::new("files"));
}

#[test]
fn the_dotenv_file_is_read_as_other_programs_read_it() {
    let text = "\u{feff}# a comment\nexport PORT = 9000\nUPLOAD_DIR='my files' # where\n\
                DATA_DIR=a\nDATA_DIR=\"b\"\nOTHER_PROGRAM=x\n";
    let config = load_in(dir(&[(".env", text)]).path(), &[], &[]).unwrap();
    assert_eq!(config.server.port, 9000);
    assert_eq!(config.media.upload_dir, Path::new("my files"));
    assert_eq!(config.server.data_dir, Path::new("b"));
}

#[test]
fn a_wrong_value_is_refused_with_its_setting_its_source_and_what_is_allowed() {
    let allowed = "0 to 65535";
    let text = refusal(load(&[], &[("PORT", "eighty")]));
    assert_tells(&text, &["PORT is \"eighty\" (environment)", allowed]);
    let text = refusal(load(&["--port", "70000"], &[]));
    assert_tells(&text, &["PORT is \"70000\" (command line)", allowed]);
    let with_dotenv = dir(&[(".env", "\nHOST=::1\nPORT=-1\n")]);
    let text = refusal(load_in(with_dotenv.path(), &[], &[]));
    assert_tells(&text, &["PORT is \"-1\" (.env line 3)", allowed]);
    let with_toml = dir(&[("config/default.toml", "port = 8.5")]);
    let text = refusal(load_in(with_toml.path(), &[], &[]));
    assert_tells(&text, &["PORT is \"8.5\" (config/default.toml)", allowed]);
    let text = refusal(load(&[], &[("AUTH_MODE", "closed")]));
    assert_tells(&text, &["AUTH_MODE is \"closed\" (environment)", "[one of: open, jwt]"]);
}

#[test]
fn all_wrong_values_are_told_at_once() {
    let text = refusal(load(&[], &[("PORT", "x"), ("MAX_UPLOAD_SIZE", "0"), ("HOST", "nowhere")]));
    assert_tells(&text, &["PORT is", "MAX_UPLOAD_SIZE is \"0\"", "HOST is \"nowhere\""]);
}

#[test]
fn a_wrong_value_that_is_overridden_does_not_count() {
    let dir = dir(&[(".env", "PORT=x"), ("config/default.toml", "host = \"nowhere\"")]);
    let config = load_in(dir.path(), &["--host", "::1"], &[("PORT", "9000")]).unwrap();
    assert_eq!((config.server.port, config.server.host.to_string()), (9000, "::1".into()));
}

#[test]
fn limits_are_held_at_both_ends() {
    let size = |bytes: &str| load(&["--max-upload-size", bytes], &[]);
    assert_eq!(size("1").unwrap().media.max_upload_size, 1);
    assert_eq!(size("10737418240").unwrap().media.max_upload_size, 10 << 30);
    for bad in ["0", "10737418241", "-1", "5MB", ""] {
        assert_tells(&refusal(size(bad)), &["MAX_UPLOAD_SIZE", "1 to 10737418240"]);
    }
    for host in ["localhost", "[::1]", "::1", "127.0.0.2"] {
        assert!(load(&["--host", host], &[]).unwrap().server.host.is_loopback(), "{host}");
    }
}

#[test]
fn a_limit_and_a_network_are_refused_with_what_is_allowed() {
    for (setting, wrong, allowed) in [
        ("RATE_LIMIT_REQUESTS", "-1", "0 (no limit) to 1000000"),
        ("RATE_LIMIT_WINDOW", "0", "1 to 86400"),
        ("EVENT_BURST", "0", "1 to 1000000"),
        ("CONNECTIONS_PER_USER", "many", "0 (no limit) to 1000000"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "10.0.0.0/8"),
        ("LIMIT_EXEMPT", "localhost", "10.0.0.0/8"),
    ] {
        let told = refusal(load(&[], &[(setting, wrong)]));
        assert_tells(&told, &[&format!("{setting} is {wrong:?} (environment)"), allowed]);
    }
    let config = load(&[], &[("TRUSTED_PROXIES", "10.0.0.0/8, ::1")]).unwrap();
    let trusted = config.limits.trusted_proxies.expect("they are given");
    assert!(trusted.contains("10.1.2.3".parse().unwrap()));
    assert_eq!(config.limits.limit_exempt, None, "nobody is exempt, not even this machine");
}

#[test]
fn a_key_that_is_no_setting_is_refused_with_the_nearest_that_is() {
    for (text, key) in [("prot = 1", "prot"), ("Port = 1", "Port"), ("[port]", "port")] {
        let dir = dir(&[("config/default.toml", text)]);
        let told = refusal(load_in(dir.path(), &[], &[]));
        assert_tells(&told.to_lowercase(), &["config/default.toml", &key.to_lowercase(), "port"]);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused_without_printing_it() {
    for (name, text, line) in [
        ("config/default.toml", "port = 1\nsecret_key = hunter2\n", "line 2"),
        (".env", "PORT=1\nSECRET_KEY hunter2\n", "line 2"),
        (".env", "SECRET_KEY='hunter2\nPORT=1\n", "line 1"),
    ] {
        let dir = dir(&[(name, text)]);
        let told = refusal(load_in(dir.path(), &[], &[]));
        assert_tells(&told, &[name, line]);
        assert!(!told.contains("hunter2"), "{told}");
    }
    let dir = dir(&[]);
    std::fs::create_dir(dir.path().join(".env")).unwrap();
    assert_tells(&refusal(load_in(dir.path(), &[], &[])), &[".env can't be read"]);
}

#[test]
fn a_profile_is_a_file_name_and_no_path() {
    let told = refusal(load(&[], &[("BANTER_ENV", "../../etc/x")]));
    assert_tells(&told, &["BANTER_ENV", "environment", "letters"]);
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8_is_refused_only_when_it_is_a_setting() {
    use std::os::unix::ffi::OsStringExt;
    let broken = || OsString::from_vec(vec![0xff]);
    let load = |name: OsString| Config::load([], [(name, broken())], Path::new("."));
    assert!(load("OTHER".into()).is_ok());
    assert!(load(broken()).is_ok());
    assert_tells(&refusal(load("PORT".into())), &["PORT (environment) is not UTF-8"]);
}

#[test]
fn settings_of_tokens_have_limits_and_the_secret_is_not_shown() {
    let tokens = load(&[], &[]).unwrap().tokens;
    assert!(tokens.secret_key.is_none() && tokens.jwks_url.is_none());
    assert_eq!(tokens.access_token_expire_minutes, 30);
    assert_eq!(tokens.refresh_token_expire_days, 30);
    assert_eq!(tokens.jwt_user_claim, "sub");
    for (name, bad, allowed) in [
        ("ALGORITHM", "RS256", "HS256"),
        ("ALGORITHM", "none", "HS256"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "0", "1 to 1440"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "1441", "1 to 1440"),
        ("REFRESH_TOKEN_EXPIRE_DAYS", "0", "1 to 365"),
        ("REFRESH_TOKEN_EXPIRE_DAYS", "366", "1 to 365"),
    ] {
        assert_tells(&refusal(load(&[], &[(name, bad)])), &[name, bad, allowed]);
    }
    // The settings of the old servers.
    let old = [("SECRET_KEY", "hunter2"), ("ALGORITHM", "HS256"), ("AUTH_MODE", "open")];
    let config = load(&[], &old).unwrap();
    assert!(config.tokens.secret_key.is_some());
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn sign_in_by_token_needs_a_secret_that_nobody_guesses() {
    const GOOD: &str = "q7Tn0Zk4Wd2LxVb9Rf6Hy3Mc8Js1Pg5UeAiOoNvX";
    let by_token = |more: &[(&str, &str)]| load(&["--auth-mode", "jwt"], more);
    assert_eq!(by_token(&[("SECRET_KEY", GOOD)]).unwrap().auth.mode(), AuthMode::Jwt);
    let make_one = "openssl rand -base64 48";
    assert_tells(&refusal(by_token(&[])), &["SECRET_KEY", make_one]);
    for weak in ["hunter2", &"ab".repeat(20), "your-secret-key-change-in-production"] {
        let told = refusal(by_token(&[("SECRET_KEY", weak)]));
        assert_tells(&told, &["SECRET_KEY", make_one]);
        assert!(!told.contains(weak), "{told}");
    }
    let key_file = [("SECRET_KEY", GOOD), ("JWT_PUBLIC_KEY", "no/such/file.pem")];
    assert_tells(&refusal(by_token(&key_file)), &["JWT_PUBLIC_KEY"]);
    // There is a key, and nobody has said what for.
    let told = refusal(load(&[], &[("SECRET_KEY", GOOD)]));
    assert_tells(&told, &["AUTH_MODE=jwt", "AUTH_MODE=open"]);
}

#[test]
fn a_server_that_trusts_everybody_listens_beyond_this_machine_only_when_told_to() {
    for host in ["0.0.0.0", "::", "192.0.2.1"] {
        let told = refusal(load(&[], &[("HOST", host)]));
        assert_tells(&told, &[host, "AUTH_MODE=jwt", "AUTH_MODE=open", "HOST=127.0.0.1"]);
        let config = load(&["--auth-mode", "open"], &[("HOST", host)]).unwrap();
        assert_eq!(config.auth.mode(), AuthMode::Open);
    }
}

#[test]
fn operators_routes_are_not_open_to_other_machines() {
    let token = ("ADMIN_TOKEN", "0123456789abcdef");
    for host in ["0.0.0.0", "::", "192.0.2.1"] {
        for port in [("ADMIN_PORT", "9000"), ("ADMIN_PORT", "")] {
            let told = refusal(load(&[], &[("ADMIN_HOST", host), port]));
            assert_tells(&told, &[host, "ADMIN_HOST", "ADMIN_TOKEN", "ADMIN_HOST=127.0.0.1"]);
        }
        load(&[], &[("ADMIN_HOST", host), ("ADMIN_PORT", "9000"), token]).unwrap();
    }
    for own in [("ADMIN_HOST", "::1"), ("ADMIN_PORT", "9000"), ("ADMIN_PORT", "0")] {
        load(&[], &[own]).unwrap();
    }
}

#[test]
fn operators_routes_have_a_place_of_their_own_or_none() {
    let main = [("HOST", "0.0.0.0"), ("AUTH_MODE", "open"), ("PORT", "9000")];
    for (main, own) in [
        (&main[2..], &[("ADMIN_PORT", "9000")][..]),
        (&main[2..], &[("ADMIN_HOST", "127.0.0.1")]),
        (&main, &[("ADMIN_PORT", "9000")]),
        (&main[2..], &[("ADMIN_HOST", "0.0.0.0"), ("ADMIN_TOKEN", "0123456789abcdef")]),
    ] {
        let told = refusal(load(&[], &[main, own].concat()));
        assert_tells(&told, &["ADMIN_HOST", "ADMIN_PORT", ":9000", "another ADMIN_PORT"]);
    }
    let own = |env: &[_]| {
        let config = load(&[], env).unwrap();
        config.operators.own_address(config.server.address()).map(|address| address.to_string())
    };
    assert_eq!(own(&[]), None);
    assert_eq!(own(&[("ADMIN_TOKEN", "0123456789abcdef")]), None);
    assert_eq!(own(&[("ADMIN_PORT", "1")]).unwrap(), "127.0.0.1:1");
    assert_eq!(own(&[("ADMIN_HOST", "[::1]")]).unwrap(), "[::1]:8001");
    assert_eq!(own(&[("ADMIN_HOST", "localhost"), ("PORT", "0")]), Some("127.0.0.1:0".into()));
}

#[test]
fn an_operators_token_is_long_and_never_printed() {
    for token in ["hunter2", "hunter2 hunter2 hunter2", "hunter2-hunter2-hüntér2"] {
        let from_env = load(&[], &[("ADMIN_TOKEN", token)]);
        let from_args = load(&[&format!("--admin-token={token}")], &[]);
        for told in [from_env, from_args].map(refusal) {
            assert_tells(&told, &["ADMIN_TOKEN is <hidden>", "16 to 1024 letters"]);
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
    let config = load(&[], &[("ADMIN_TOKEN", "hunter2-hunter2-")]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn help_and_version_are_shown_even_when_a_value_is_wrong() {
    let shown = |flag: &str| {
        let shown = load(&[flag], &[("PORT", "x")]).expect_err("it is no configuration");
        assert_eq!(shown.exit_code(), 0);
        shown.to_string()
    };
    assert_eq!(shown("--version"), format!("banter {}\n", env!("CARGO_PKG_VERSION")));
    let help = shown("--help");
    assert_eq!(help, shown("-h"));
    assert_tells(&help, &["A real-time chat server", "Examples:", "[default: 8001]"]);
    assert_tells(&help, &["Commands:", "dead-letter", "journal", "load"]);
    for setting in settings().keys() {
        assert_tells(&help, &[&format!("[env: {setting}]")]);
    }
}

#[test]
fn an_unknown_flag_is_refused() {
    let error = load(&["--prot", "1"], &[]).expect_err("there is no such flag");
    assert_eq!(error.exit_code(), 2);
    assert_tells(&error.to_string(), &["--prot", "--port"]);
}

const LIST: Command = Command::DeadLetter(dead_letter::Command::List);

#[test]
fn a_flag_may_stand_before_and_after_a_command() {
    let dir = dir(&[("config/default.toml", "data_dir = 'file'\nmongodb_name = 'file'")]);
    let load = |args: &[&str]| {
        let (config, command) = load_all(dir.path(), args, &[("UPLOAD_DIR", "env")]).unwrap();
        assert_eq!(command, Some(LIST), "{args:?}");
        assert_eq!(config.media.upload_dir, Path::new("env"), "{args:?}");
        assert_eq!(config.mongo.mongodb_name, "file", "{args:?}");
        config.server.data_dir.to_str().unwrap().to_owned()
    };
    assert_eq!(load(&["dead-letter", "list"]), "file");
    assert_eq!(load(&["--data-dir", "a", "dead-letter", "list"]), "a");
    assert_eq!(load(&["dead-letter", "--data-dir", "a", "list"]), "a");
    assert_eq!(load(&["dead-letter", "list", "--data-dir=a"]), "a");
    assert_eq!(load(&["--data-dir", "a", "dead-letter", "list", "--data-dir", "b"]), "b");
    assert_eq!(load(&["--port", "1", "dead-letter", "list", "--data-dir", "a"]), "a");
}

#[test]
fn a_wrong_value_beside_a_command_is_refused_as_ever() {
    for args in [["--port", "x", "dead-letter", "list"], ["dead-letter", "list", "--port", "x"]] {
        let refused = load_all(dir(&[]).path(), &args, &[]).expect_err("no port");
        assert_tells(&refused.to_string(), &["PORT is \"x\" (command line)", "0 to 65535"]);
    }
    let overridden =
        load_all(dir(&[]).path(), &["dead-letter", "list", "--port", "1"], &[("PORT", "x")]);
    assert_eq!(overridden.unwrap().0.server.port, 1);
}

#[test]
fn names_of_letters_are_no_flags() {
    let dir = dir(&[]);
    let args = ["dead-letter", "retry", "a.json", "--port", "1", "b.json"];
    let (config, command) = load_all(dir.path(), &args, &[]).unwrap();
    let names = ["a.json", "b.json"].map(str::to_owned).to_vec();
    assert_eq!(command, Some(Command::DeadLetter(dead_letter::Command::Retry { names })));
    assert_eq!(config.server.port, 1);
}

#[test]
fn the_folder_of_a_journal_need_not_be_named() {
    let load = |args: &[&str]| load_all(dir(&[]).path(), args, &[]).unwrap().1;
    let inspect = |dir: Option<&str>, records| {
        let dir = dir.map(Into::into);
        Some(Command::Journal(journal::Command::Inspect { dir, records }))
    };
    assert_eq!(load(&["journal", "inspect"]), inspect(None, false));
    assert_eq!(load(&["journal", "inspect", "a", "--records"]), inspect(Some("a"), true));
    assert_eq!(load(&["journal", "inspect", "--port", "1", "a"]), inspect(Some("a"), false));
    let drain = load_all(dir(&[]).path(), &["journal", "drain"], &[]);
    assert_eq!(drain.expect_err("another's journal is named").exit_code(), 2);
}

#[test]
fn an_unknown_command_is_refused_with_those_that_are_known() {
    for args in [&["serve"][..], &["dead-letter", "burn"], &["dead-leter", "list"]] {
        let refused = load_all(dir(&[]).path(), args, &[]).expect_err("no such command");
        assert_eq!(refused.exit_code(), 2);
        let told = refused.to_string();
        assert_tells(&told, &["dead-letter list", "dead-letter retry", "journal inspect"]);
    }
}

#[test]
fn the_help_of_a_command_is_its_own() {
    let help = |args: &[&str]| {
        let shown = load_all(dir(&[]).path(), args, &[]).expect_err("it is no configuration");
        assert_eq!(shown.exit_code(), 0);
        shown.to_string()
    };
    let family = help(&["dead-letter", "--help"]);
    assert_tells(&family, &["list", "retry", "DATA_DIR", "MONGO_URL"]);
    let retry = help(&["dead-letter", "retry", "--help"]);
    assert_tells(&retry, &["[NAME]...", "safe while a server runs", "DATA_DIR"]);
    assert_tells(&help(&["load", "--help"]), &["group", "direct", "idle", "storm", "slow", "day"]);
    let group = help(&["load", "group", "--help"]);
    assert_tells(&group, &["--senders", "--rate", "Examples:", "200,000 a second"]);
    assert!(!group.contains("--batch-size"), "{group}");
    for help in [family, retry] {
        assert!(!help.contains("--batch-size") && help.lines().count() < 40, "{help}");
    }
}

/// Each setting with its default, where it has one.
fn settings() -> BTreeMap<String, Option<String>> {
    let command = Config::command();
    let arguments = command.get_arguments();
    arguments
        .map(|arg| {
            let flag = arg.get_long().expect("a setting has a flag");
            let defaults: Vec<_> = arg.get_default_values().iter().collect();
            let defaults: Vec<_> = defaults.iter().map(|d| d.to_str().unwrap()).collect();
            let default = (!defaults.is_empty()).then(|| defaults.join(","));
            (flag.replace('-', "_").to_uppercase(), default)
        })
        .collect()
}

fn repository_file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The settings of a file's lines `name = value` and `# name = value`.
fn listed(text: &str, separator: &str) -> BTreeMap<String, (bool, String)> {
    let entry = |line: &str| {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let (name, value) = bare.split_once(separator)?;
        let is_name = name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
        let value = value.trim_matches('"').to_owned();
        is_name.then(|| (name.to_uppercase(), (bare != line, value)))
    };
    text.lines().filter_map(entry).collect()
}

#[test]
fn default_toml_lists_every_setting_with_its_default_and_a_comment() {
    let text = repository_file("config/default.toml");
    let mut listed = listed(&text, " = ");
    for (name, default) in settings() {
        let (commented, value) =
            listed.remove(&name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(commented, default.is_none(), "{name} is commented out if it has no default");
        if let Some(default) = default {
            assert_eq!(value, default, "{name}");
        }
    }
    assert!(listed.is_empty(), "these are no settings: {listed:?}");
    for (above, line) in text.lines().zip(text.lines().skip(1)) {
        let is_setting = line.contains(" = ") && !line.starts_with("# Stronger");
        assert!(!is_setting || above.starts_with("# "), "{line:?} has no comment");
    }
    let dir = dir(&[("config/default.toml", &text)]);
    let (ours, theirs) = (load(&[], &[]).unwrap(), load_in(dir.path(), &[], &[]).unwrap());
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
}

#[test]
fn env_example_lists_every_setting_with_its_default() {
    let text = repository_file(".env.example");
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with('#')), "all is commented");
    let mut listed = listed(&text, "=");
    assert!(listed.remove("BANTER_ENV").is_some());
    for (name, default) in settings() {
        let (_, value) = listed.remove(&name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(value, default.unwrap_or_default(), "{name}");
    }
    assert!(listed.is_empty(), "these are no settings: {listed:?}");
}
