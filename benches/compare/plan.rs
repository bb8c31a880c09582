//! What a measurement consists of: servers, settings, figures and aims.

use crate::results::Case;
use crate::rows::ROWS;

/// A server that is measured, under the name that tables and `--servers` have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    /// Banter with its embedded store.
    Banter,
    /// Banter on MongoDB.
    BanterMongo,
    Node,
    Bun,
    Python,
    RawEach,
    RawCoalesced,
    /// `insert_many` without indexes, with Banter's, and Banter's own flush: no servers, but
    /// measured alike.
    InsertBare,
    InsertDriver,
    InsertStore,
}

impl Server {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Banter => "banter",
            Self::BanterMongo => "banter-mongodb",
            Self::Node => "node",
            Self::Bun => "bun",
            Self::Python => "python",
            Self::RawEach => "raw-each",
            Self::RawCoalesced => "raw-coalesced",
            Self::InsertBare => "insert-bare",
            Self::InsertDriver => "insert-many",
            Self::InsertStore => "banter-flush",
        }
    }

    /// What it is, for people.
    pub(crate) fn title(name: &str) -> &str {
        match name {
            "banter" => "**Banter**, embedded store",
            "banter-mongodb" => "**Banter**, MongoDB",
            "node" => "socket.io on Node.js",
            "bun" => "socket.io on Bun",
            "python" => "python-socketio on uvicorn",
            "raw-each" => "raw frames, a write for each",
            "raw-coalesced" => "raw frames, coalesced writes",
            "insert-bare" => "`insert_many`, no indexes",
            "insert-many" => "`insert_many`, Banter's indexes",
            "banter-flush" => "**Banter**'s flush",
            other => other,
        }
    }
}

/// A measurement.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What is done, in a sentence or two.
    pub(crate) about: &'static str,
    pub(crate) servers: &'static [Server],
    /// Of `banter load`, without the times.
    pub(crate) load: &'static [&'static str],
    /// Seconds, and with `--quick`.
    pub(crate) seconds: [f64; 2],
    /// What is measured once per server and each of these.
    pub(crate) settings: &'static [Setting],
    /// Whether what was sent is counted in the database afterwards.
    pub(crate) is_counted: bool,
    /// Whether it is left out unless it is asked for, or quick.
    pub(crate) is_long: bool,
    /// The figure that the plot shows, that names the best setting, and whether less of it is better.
    pub(crate) main: (&'static str, bool),
    /// Column titles and figures.
    pub(crate) columns: &'static [(&'static str, &'static str)],
    pub(crate) aims: &'static [Aim],
}

/// A variant of a row.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) label: &'static str,
    /// Only for these servers; empty: for all.
    pub(crate) servers: &'static [Server],
    pub(crate) env: &'static [(&'static str, &'static str)],
    pub(crate) load: &'static [&'static str],
}

/// A figure of a server, in the setting with this label, or the best one.
pub(crate) type Figure = (Server, &'static str, &'static str);

/// What a row should show: a figure, or how many times another one it is.
pub(crate) struct Aim {
    pub(crate) text: &'static str,
    pub(crate) top: Figure,
    pub(crate) bottom: Option<Figure>,
    pub(crate) bound: Bound,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Row {
    /// The row of this name.
    pub(crate) fn find(name: &str) -> Option<&'static Row> {
        ROWS.iter().find(|row| row.name == name)
    }

    /// Seconds that it takes.
    pub(crate) fn seconds(&self, is_quick: bool) -> f64 {
        self.seconds[usize::from(is_quick)]
    }

    /// Which of its servers are measured, in which settings.
    pub(crate) fn cases(&self, wanted: &[String]) -> Vec<(Server, Setting)> {
        let mut cases = Vec::new();
        for server in self.servers {
            if !wanted.is_empty() && !wanted.iter().any(|name| name == server.name()) {
                continue;
            }
            let is_for =
                |setting: &&Setting| setting.servers.is_empty() || setting.servers.contains(server);
            cases.extend(self.settings.iter().filter(is_for).map(|setting| (*server, *setting)));
        }
        cases
    }

    /// What `banter load` is told beside the address and the times.
    pub(crate) fn load(&self, setting: &Setting) -> Vec<&'static str> {
        self.load.iter().chain(setting.load).copied().collect()
    }
}

impl Setting {
    /// The case of this setting.
    pub(crate) fn case(&self, row: &Row, server: Server) -> Case {
        Case {
            row: row.name.to_owned(),
            server: server.name().to_owned(),
            setting: self.label.to_owned(),
        }
    }
}
