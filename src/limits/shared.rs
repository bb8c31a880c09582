//! Budgets that several nodes share: each tells the others, once in a while, who has taken how much of
//! what. So a limit holds over all nodes to within what is taken in that while; and while nodes do not
//! hear each other, on each by itself.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

use super::Who;
use crate::model::UserId;

/// Who has taken something, of one node since its last word.
const MAX_NAMED: usize = 10_000;

/// Of whom less than this part of a budget is missing nothing is said: they are nearly all, and would
/// have to go a long way before it mattered.
const TOLD_FROM: u32 = 8;

/// Which budgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Requests.
    Requests,
    /// Tries to sign in, by address.
    SignIns,
    /// Tries to sign in, by account.
    Accounts,
    /// Uploads.
    Uploads,
    /// Exports.
    Exports,
    /// Handshakes.
    Handshakes,
}

/// Whose budget.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// An address's.
    Address(IpAddr),
    /// A user's.
    User(UserId),
    /// That of an account, there or not.
    Account(String),
}

impl Whose {
    fn of(who: &Who<'_>) -> Self {
        match *who {
            Who::Address(address) => Self::Address(address),
            Who::User(user) => Self::User(user.clone()),
            Who::Account(name) => Self::Account(name.to_owned()),
        }
    }

    pub(super) fn who(&self) -> Who<'_> {
        match self {
            Self::Address(address) => Who::Address(*address),
            Self::User(user) => Who::User(user),
            Self::Account(name) => Who::Account(name),
        }
    }
}

/// What somebody has taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Of what.
    pub kind: Kind,
    /// Who.
    pub whose: Whose,
    /// How often.
    pub times: u32,
}

/// What the other nodes do not know.
#[derive(Debug, Default)]
pub(super) struct Untold(Mutex<HashMap<(Kind, Whose), u32>>);

impl Untold {
    /// One was taken, of a budget of which so much is left.
    pub(super) fn note(&self, kind: Kind, who: &Who<'_>, limit: u32, remaining: u32) {
        let used = limit.saturating_sub(remaining);
        if used.saturating_mul(TOLD_FROM) < limit {
            return;
        }
        let mut untold = self.0.lock();
        let key = (kind, Whose::of(who));
        if untold.len() < MAX_NAMED || untold.contains_key(&key) {
            *untold.entry(key).or_default() += 1;
        }
    }

    /// All of it, which counts as told.
    pub(super) fn take(&self) -> Vec<Taken> {
        let untold = std::mem::take(&mut *self.0.lock()).into_iter();
        untold.map(|((kind, whose), times)| Taken { kind, whose, times }).collect()
    }
}
