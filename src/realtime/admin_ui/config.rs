//! Settings of the admin UI.

use clap::ValueEnum;

use crate::auth::AdminPassword;

/// Settings of the admin UI.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Operators")]
pub struct AdminUiConfig {
    /// Password of the Socket.IO Admin UI, which is off without one: 12 to 256 characters
    #[arg(long, value_name = "TEXT")]
    pub admin_ui_password: Option<AdminPassword>,
    /// Name to sign in to it with, not empty
    #[arg(long, value_name = "TEXT", default_value = "admin")]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub admin_ui_user: String,
    /// What it may do: readonly shows sockets and rooms, full changes them, too
    #[arg(long, value_name = "MODE", default_value = "readonly")]
    pub admin_ui_mode: AdminUiMode,
}

impl Default for AdminUiConfig {
    /// Off.
    fn default() -> Self {
        Self {
            admin_ui_password: None,
            admin_ui_user: "admin".to_owned(),
            admin_ui_mode: AdminUiMode::Readonly,
        }
    }
}

/// What operators may do by the admin UI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AdminUiMode {
    /// Look.
    Readonly,
    /// Look, and have sockets join, leave, hear and end.
    Full,
}

impl AdminUiMode {
    /// The UI's words for it. With `ALL_EVENTS` it shows its pages of sockets, rooms and clients; what
    /// users send is not told all the same.
    pub(super) fn features(self) -> &'static [&'static str] {
        const LOOK: [&str; 2] = ["AGGREGATED_EVENTS", "ALL_EVENTS"];
        const ACT: [&str; 9] = [
            "EMIT",
            "JOIN",
            "LEAVE",
            "DISCONNECT",
            "MJOIN",
            "MLEAVE",
            "MDISCONNECT",
            "AGGREGATED_EVENTS",
            "ALL_EVENTS",
        ];
        match self {
            Self::Readonly => &LOOK,
            Self::Full => &ACT,
        }
    }
}
