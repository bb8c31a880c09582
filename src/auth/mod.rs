//! Who is asking.

mod caller;
mod config;
mod jwks;
mod keys;
mod password;
mod provider;
mod secret;
#[cfg(test)]
mod testing;
mod tokens;

use std::net::IpAddr;

pub use caller::{Caller, Claims};
pub use config::{InvalidTokenConfig, OwnAlgorithm, SecretKey, TokenConfig, WeakSecret};
pub use password::{InvalidPassword, Password, Passwords};
pub use secret::Secret;
pub use tokens::{TokenError, Tokens};

/// How the server knows who is asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum AuthMode {
    /// A client's `user_id` is believed.
    #[default]
    Open,
}

impl AuthMode {
    /// The word that settings and `/health` use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
        }
    }
}

/// Settings of sign-in.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Sign-in")]
pub struct Config {
    /// How users prove who they are: open believes each client's user_id. Must be given where HOST
    /// is not a loopback address
    #[arg(long, value_name = "MODE", value_enum)]
    pub auth_mode: Option<AuthMode>,
}

/// The server would trust everybody who can reach it, and nobody has said that it shall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "HOST is {host}, which other machines can reach, but AUTH_MODE is not given.\n  \
     Set HOST=127.0.0.1 to serve this machine alone, or AUTH_MODE=open to let everybody who \
     reaches the server act as any user."
)]
pub struct AuthModeNotGiven {
    /// The address to listen on.
    pub host: IpAddr,
}

impl Config {
    /// How the server knows who is asking.
    pub fn mode(&self) -> AuthMode {
        self.auth_mode.unwrap_or_default()
    }

    /// Holds the mode against the address to listen on: beyond this machine it must have been
    /// chosen.
    pub fn check(&self, host: IpAddr) -> Result<(), AuthModeNotGiven> {
        if host.is_loopback() || self.auth_mode.is_some() {
            Ok(())
        } else {
            Err(AuthModeNotGiven { host })
        }
    }
}
