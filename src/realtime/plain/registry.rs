//! Who is connected by a plain WebSocket, and where.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::RwLock;

use super::line::Line;
use crate::error::Error;
use crate::model::{GroupId, UserId};
use crate::wire::plain::Dialect;

type Lines = HashMap<u64, Arc<Line>>;

#[derive(Debug, Default)]
struct Lists {
    by_user: HashMap<UserId, Lines>,
    by_group: HashMap<GroupId, Lines>,
    /// The names that are in use in the lobby, as [`crate::model::Username::key`] has them.
    names: HashSet<String>,
    next: u64,
    is_closed: bool,
}

/// All plain connections.
#[derive(Debug, Default)]
pub(super) struct Registry(RwLock<Lists>);

/// A connection's place in the registry, until it is given back.
#[derive(Debug)]
pub(super) struct Place(u64);

fn group_of(dialect: &Dialect) -> Option<GroupId> {
    match dialect {
        Dialect::Pair(_) => None,
        Dialect::Room(room) => Some(*room),
        Dialect::Lobby(_) => Some(GroupId::LOBBY),
    }
}

impl Registry {
    /// Takes a connection in.
    ///
    /// # Errors
    /// [`Error::Conflict`] where its name in the lobby is in use, [`Error::Unavailable`] once the
    /// registry is closed.
    pub(super) fn enter(&self, line: &Arc<Line>) -> Result<Place, Error> {
        let mut lists = self.0.write();
        if lists.is_closed {
            return Err(Error::Unavailable(None));
        }
        if let Dialect::Lobby(name) = &line.dialect
            && !lists.names.insert(name.key())
        {
            return Err(Error::Conflict("This name is in use in the lobby; take another".into()));
        }
        let number = lists.next;
        lists.next += 1;
        lists.by_user.entry(line.user.clone()).or_default().insert(number, Arc::clone(line));
        if let Some(group) = group_of(&line.dialect) {
            lists.by_group.entry(group).or_default().insert(number, Arc::clone(line));
        }
        Ok(Place(number))
    }

    /// Lets a connection go.
    pub(super) fn leave(&self, line: &Line, place: &Place) {
        let mut lists = self.0.write();
        remove(&mut lists.by_user, &line.user, place);
        if let Some(group) = group_of(&line.dialect) {
            remove(&mut lists.by_group, &group, place);
        }
        if let Dialect::Lobby(name) = &line.dialect {
            lists.names.remove(&name.key());
        }
    }

    /// Whether nobody is here.
    pub(super) fn is_empty(&self) -> bool {
        self.0.read().by_user.is_empty()
    }

    /// Calls `act` with each connection of a user.
    pub(super) fn of_user(&self, user: &UserId, mut act: impl FnMut(&Line)) {
        let lists = self.0.read();
        lists.by_user.get(user).into_iter().flatten().for_each(|(_, line)| act(line));
    }

    /// Calls `act` with each connection.
    pub(super) fn everybody(&self, act: impl FnMut(&Arc<Line>)) {
        let lists = self.0.read();
        lists.by_user.values().flat_map(Lines::values).for_each(act);
    }

    /// Calls `act` with each connection in a group.
    pub(super) fn in_group(&self, group: GroupId, mut act: impl FnMut(&Line)) {
        let lists = self.0.read();
        lists.by_group.get(&group).into_iter().flatten().for_each(|(_, line)| act(line));
    }

    /// The name of a user in the lobby, who is there.
    pub(super) fn name_in_lobby(&self, user: &UserId) -> Option<String> {
        let lists = self.0.read();
        lists.by_user.get(user)?.values().find_map(|line| match &line.dialect {
            Dialect::Lobby(name) => Some(name.as_str().to_owned()),
            Dialect::Pair(_) | Dialect::Room(_) => None,
        })
    }

    /// Takes nobody in any more, and calls `act` with everybody who is here.
    pub(super) fn close(&self, mut act: impl FnMut(&Line)) {
        let mut lists = self.0.write();
        lists.is_closed = true;
        lists.by_user.values().flat_map(Lines::values).for_each(|line| act(line));
    }
}

fn remove<K: Eq + Hash>(lists: &mut HashMap<K, Lines>, key: &K, place: &Place) {
    if let Some(lines) = lists.get_mut(key) {
        lines.remove(&place.0);
        if lines.is_empty() {
            lists.remove(key);
        }
    }
}
