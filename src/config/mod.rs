//! The server's settings, composed of sections that live beside the code they configure.
//!
//! A setting has one name in three spellings: `BATCH_SIZE` in the environment and in `.env`,
//! `batch_size` in `config/*.toml`, `--batch-size` on the command line. To add one, add a field to
//! a section; to add a section, add it to [`Config`]. Commands besides serving are known in
//! `commands`; the same settings reach each, and their flags may stand before and after it.

mod error;
mod setting;
mod sources;

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Subcommand};

use crate::{auth, buffer, chat, cluster, http, limits, media, realtime, store, telemetry};
pub use error::ConfigError;
use setting::Settings;

/// Everything that can be set.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "banter", version, about, after_help = AFTER_HELP, args_override_self = true)]
pub struct Config {
    /// Where the server listens and keeps its data.
    #[command(flatten)]
    pub server: ServerConfig,
    /// Sign-in.
    #[command(flatten)]
    pub auth: auth::Config,
    /// Tokens.
    #[command(flatten)]
    pub tokens: auth::TokenConfig,
    /// The store.
    #[command(flatten)]
    pub mongo: store::mongo::Config,
    /// The write buffer.
    #[command(flatten)]
    pub buffer: buffer::Config,
    /// The bus between nodes.
    #[command(flatten)]
    pub cluster: cluster::Config,
    /// The Socket.IO side.
    #[command(flatten)]
    pub realtime: realtime::Config,
    /// The HTTP side.
    #[command(flatten)]
    pub http: http::Config,
    /// How often and how many.
    #[command(flatten)]
    pub limits: limits::Config,
    /// Conversations.
    #[command(flatten)]
    pub chat: chat::Config,
    /// Uploads.
    #[command(flatten)]
    pub media: media::Config,
    /// Operators' routes.
    #[command(flatten)]
    pub operators: http::operators::Config,
    /// The log.
    #[command(flatten)]
    pub log: telemetry::LogSettings,
}

const AFTER_HELP: &str = "\
Where settings come from, strongest first: the command line, the environment, .env,
config/<BANTER_ENV>.toml, config/default.toml. Files are looked for in the current directory;
none has to be there. In a .toml file a setting is written in lower case: port = 8001

Examples:
  banter                                  serve this machine on http://127.0.0.1:8001
  PORT=9000 banter                        the same on another port
  banter --host 0.0.0.0 --auth-mode open  serve everybody who can reach this machine
  BANTER_ENV=production banter            read config/production.toml too
  banter dead-letter list                 show the writes that the store refused
  banter journal inspect                  show what is not stored yet, and whether it is whole
  banter health                           ask whether the server is ready, by the exit code
  banter load group                       measure how fast a server is, and whether it loses anything

Flags may stand before and after a command.";

/// Settings of the server itself.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Where")]
pub struct ServerConfig {
    /// Address to listen on: an IP address, or localhost
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", value_parser = http::listen::parse_host)]
    pub host: IpAddr,
    /// TCP port to listen on, 0 to 65535; 0 takes any that is free
    #[arg(long, value_name = "NUMBER", default_value_t = 8001)]
    pub port: u16,
    /// Directory of the embedded store and the journal; it is made when it is not there
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub data_dir: PathBuf,
}

impl ServerConfig {
    /// The main address.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }
}

impl Config {
    /// Finds the value of each setting. `args` starts with the program's name, `env` is the
    /// environment, `dir` is where `.env` and `config/` are looked for.
    ///
    /// # Errors
    /// What to print, and the exit code: see [`ConfigError`].
    pub fn load(
        args: impl IntoIterator<Item = OsString>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
        dir: &Path,
    ) -> Result<Self, ConfigError> {
        Self::find(Self::command(), args, env, dir).map(|(config, _)| config)
    }

    /// The same where the command line may ask for one of the commands `C`; `None` when it asks for
    /// none.
    ///
    /// # Errors
    /// Those of [`Config::load`].
    pub fn load_with<C: Subcommand>(
        args: impl IntoIterator<Item = OsString>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
        dir: &Path,
    ) -> Result<(Self, Option<C>), ConfigError> {
        let plain = Self::command();
        let about = plain.get_about().cloned().unwrap_or_default();
        // Augmenting would put the commands' words for themselves in place of the program's, and
        // make a command required.
        let command = C::augment_subcommands(plain)
            .about(about)
            .subcommand_required(false)
            .arg_required_else_help(false);
        let (config, matches) = Self::find(command, args, env, dir)?;
        let asked = matches.subcommand_name().map(|_| C::from_arg_matches(&matches));
        Ok((config, asked.transpose().map_err(|e| ConfigError::Usage(e.to_string()))?))
    }

    fn find(
        command: Command,
        args: impl IntoIterator<Item = OsString>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
        dir: &Path,
    ) -> Result<(Self, ArgMatches), ConfigError> {
        let args: Vec<_> = args.into_iter().collect();
        let env: Vec<_> = env.into_iter().collect();
        let matches = resolve(command, &args, &env, dir)?;
        let config =
            Self::from_arg_matches(&matches).map_err(|e| ConfigError::Usage(e.to_string()))?;
        config.check().map_err(|wrong| ConfigError::Wrong(vec![wrong]))?;
        Ok((config, matches))
    }

    /// The names of all settings, in the order of `--help`.
    pub fn setting_names() -> Vec<String> {
        Settings::of(&Self::command()).names()
    }

    /// Rules that concern more than one section.
    fn check(&self) -> Result<(), String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        self.auth.check(self.server.host, self.tokens.has_keys()).map_err(|error| told(&error))?;
        self.operators.check(self.server.address()).map_err(|error| told(&error))?;
        match self.auth.mode() {
            auth::AuthMode::Open => Ok(()),
            auth::AuthMode::Jwt => self.tokens.check().map_err(|error| told(&error)),
        }
    }
}

/// Hands the values of all sources to `command` as flags, so that each is parsed and checked by
/// the section it belongs to, in one way.
fn resolve(
    command: Command,
    args: &[OsString],
    env: &[(OsString, OsString)],
    dir: &Path,
) -> Result<ArgMatches, ConfigError> {
    let settings = Settings::of(&command);
    let command = setting::prepare(command);
    let parse = |args: &[OsString]| command.clone().try_get_matches_from(args);

    let complain = |error: clap::Error| ConfigError::of_args(&error, &settings, &command);

    let from_args = parse(args).map_err(complain)?;
    let mut given = sources::read(&settings, env, dir).map_err(ConfigError::Wrong)?;
    // What the command line overrides need not even be right.
    given.retain(|name, _| {
        let id = settings.get(name).map(|setting| setting.id.as_str());
        id.is_none_or(|id| from_args.value_source(id) != Some(ValueSource::CommandLine))
    });

    let mut all: Vec<OsString> = args.first().cloned().into_iter().collect();
    let mut wrong = Vec::new();
    for (name, given) in &given {
        let Some(setting) = settings.get(name) else { continue };
        let flag = OsString::from(format!("--{}={}", setting.flag, given.value));
        match parse(&["banter".into(), flag.clone()]) {
            Ok(_) => all.push(flag),
            Err(error) => wrong.push(setting.describe(&given.value, &given.source, &error)),
        }
    }
    if !wrong.is_empty() {
        return Err(ConfigError::Wrong(wrong));
    }
    all.extend(args.iter().skip(1).cloned());
    parse(&all).map_err(complain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settings of the kinds that other sections bring.
    #[derive(Debug, clap::Parser)]
    #[command(args_override_self = true)]
    struct Sample {
        /// Where the database is
        #[arg(long)]
        mongo_url: Option<String>,
        /// At least 4 characters
        #[arg(long, value_parser = parse_key)]
        secret_key: Option<String>,
        /// Comma separated
        #[arg(long, value_delimiter = ',', default_value = "*")]
        cors_origins: Vec<String>,
        /// Seconds
        #[arg(long, default_value_t = 1.0)]
        flush_interval: f64,
    }

    fn parse_key(text: &str) -> Result<String, String> {
        if text.len() < 4 { Err(format!("{text} is too short")) } else { Ok(text.to_owned()) }
    }

    fn load(args: &[&str], env: &[(&str, &str)], toml: &str) -> Result<Sample, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config")).unwrap();
        std::fs::write(dir.path().join("config/default.toml"), toml).unwrap();
        let args: Vec<OsString> = ["banter"].iter().chain(args).map(Into::into).collect();
        let env: Vec<_> = env.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let matches = resolve(Sample::command(), &args, &env, dir.path())?;
        Ok(Sample::from_arg_matches(&matches).unwrap())
    }

    #[test]
    fn the_commands_are_well_formed() {
        Config::command().debug_assert();
        Sample::command().debug_assert();
    }

    #[test]
    fn every_argument_takes_a_value() {
        for arg in Config::command().get_arguments() {
            assert!(arg.get_action().takes_values(), "a file can't set {}", arg.get_id());
            assert!(arg.get_help().is_some() && arg.get_long_help().is_none(), "{}", arg.get_id());
        }
    }

    #[test]
    fn an_alias_counts_as_its_setting_and_less_in_the_same_source() {
        let url = |env: &[_], toml| load(&[], env, toml).unwrap().mongo_url.unwrap();
        assert_eq!(url(&[("MONGODB_URL", "a")], ""), "a");
        assert_eq!(url(&[("MONGODB_URL", "a"), ("MONGO_URL", "b")], ""), "b");
        assert_eq!(url(&[("MONGO_URL", "b"), ("MONGODB_URL", "a")], ""), "b");
        assert_eq!(url(&[("MONGODB_URL", "a")], "mongo_url = 'c'"), "a");
        assert_eq!(url(&[], "mongodb_url = 'd'"), "d");
    }

    #[test]
    fn a_secret_is_never_printed() {
        let from_env = load(&[], &[("SECRET_KEY", "abc")], "");
        let from_file = load(&[], &[], "secret_key = 'abc'");
        let from_args = load(&["--secret-key", "abc"], &[], "");
        for told in [from_env, from_file, from_args].map(|r| r.unwrap_err().to_string()) {
            assert!(told.contains("SECRET_KEY is <hidden> ("), "{told}");
            assert!(told.contains("At least 4 characters"), "{told}");
            assert!(!told.contains("abc"), "{told}");
        }
    }

    #[test]
    fn a_list_is_comma_separated_or_an_array() {
        let origins = |args: &[&str], env: &[_], toml| load(args, env, toml).unwrap().cors_origins;
        assert_eq!(origins(&[], &[], ""), ["*"]);
        assert_eq!(origins(&[], &[("CORS_ORIGINS", "a,b")], ""), ["a", "b"]);
        assert_eq!(origins(&[], &[], "cors_origins = ['a', 'b']"), ["a", "b"]);
        assert_eq!(origins(&["--cors-origins=c"], &[("CORS_ORIGINS", "a,b")], ""), ["c"]);
        assert!(load(&[], &[], "cors_origins = ['a,b']").is_err());
        assert!(load(&[], &[], "cors_origins = [['a']]").is_err());
    }

    #[test]
    fn a_number_may_be_whole_or_not() {
        let seconds = |toml| load(&[], &[], toml).unwrap().flush_interval;
        assert_eq!(seconds("flush_interval = 2"), 2.0);
        assert_eq!(seconds("flush_interval = 0.25"), 0.25);
        assert_eq!(seconds("flush_interval = '1e-3'"), 0.001);
    }
}
