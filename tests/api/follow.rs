//! The promise of catching up, as a property: whatever is cut when, and however often, a client
//! that syncs ends up with exactly what is stored.
//!
//! Each seed plays a short life of three users. Some of their devices follow: they keep a copy by
//! what they are told live and by `sync`, while their connections are cut, the server is stopped
//! and started, and the store takes no writes for a while. In the end every copy equals the store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use banter::config::Config;
use banter::model::{Conversation, GroupId, UserId};
use banter::store::{HistoryQuery, Range, Store};
use banter::wire::message::MessageRow;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::app::{TestApp, to_group, to_user};
use crate::mongod::Mongod;
use crate::sio::{Client, Packet};

const SEEDS: u64 = 200;
/// Seeds that are played side by side.
const AT_ONCE: usize = 4;
/// Each takes seconds: a database that is away is waited for.
const SEEDS_ON_MONGODB: u64 = 3;
const USERS: [&str; 3] = ["ann", "bob", "cem"];
const ACTS: usize = 60;

/// Far longer than any seed takes: only one that hangs is ended by it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A device's copy of what concerns its user.
struct Follower {
    user: &'static str,
    socket: Option<Client>,
    cursor: Option<String>,
    messages: BTreeMap<String, Value>,
    /// Its groups, each with its name.
    groups: BTreeMap<String, Value>,
    muted: BTreeSet<String>,
    peers: BTreeSet<String>,
    /// Whether it has opened a conversation, and so read in it.
    has_opened: bool,
}

impl Follower {
    fn new(user: &'static str) -> Self {
        let (messages, groups) = (BTreeMap::new(), BTreeMap::new());
        let (muted, peers) = (BTreeSet::new(), BTreeSet::new());
        Self { user, socket: None, cursor: None, messages, groups, muted, peers, has_opened: false }
    }

    /// Connects and catches up, or at most `pages` pages of it. Whether all was told.
    async fn connect(&mut self, app: &TestApp, limit: usize, pages: usize) -> bool {
        let mut socket = app.user(self.user).await;
        for group in self.groups.keys() {
            // One who has been removed meanwhile is refused.
            socket.emit_ack("join_group", json!(group)).await;
        }
        self.socket = Some(socket);
        self.catch_up(app, limit, pages).await
    }

    async fn catch_up(&mut self, app: &TestApp, limit: usize, pages: usize) -> bool {
        self.hear().await;
        for _ in 0..pages {
            let Some(socket) = &mut self.socket else { return false };
            let page =
                socket.emit_ack("sync", json!({"cursor": self.cursor, "limit": limit})).await;
            if page["ok"] == json!(false) {
                assert_eq!(page["error"]["code"], "unavailable", "{page}");
                return false;
            }
            for chat in page["conversations"].as_array().into_iter().flatten() {
                self.open(app, chat).await;
            }
            for change in page["changes"].as_array().expect("changes") {
                self.take(app, change).await;
            }
            self.cursor = page["cursor"].as_str().map(str::to_owned);
            if page["more"] == json!(false) {
                // What has come since the first page was asked for is laid over the answer.
                self.hear().await;
                return page["complete"] == json!(true);
            }
        }
        false
    }

    /// Loads a conversation that is new to the device.
    async fn open(&mut self, app: &TestApp, chat: &Value) {
        let path = match chat["user_id"].as_str() {
            Some(peer) => format!("/messages/{}/{peer}?limit=200", self.user),
            None => {
                let group = chat["group_id"].as_str().expect("a group").to_owned();
                format!("/messages/{}/{group}?message_type=group&limit=200", self.user)
            }
        };
        // One who has been removed meanwhile is refused, and told so with the next changes.
        let (status, rows) = app.get(&path).await;
        self.has_opened = true;
        if status == StatusCode::OK {
            if let Some(group) = chat["group_id"].as_str() {
                let row = self.row_of(app, chat, group).await;
                self.groups.insert(group.to_owned(), row["group"]["name"].clone());
                self.mute(&chat["group_id"], row["muted"] == json!(true));
            }
            self.peers.extend(chat["user_id"].as_str().map(str::to_owned));
        }
        for row in rows.as_array().into_iter().flatten() {
            self.put(row);
        }
    }

    /// A group as the list has it, which is asked for it where only a message of it was told.
    async fn row_of(&self, app: &TestApp, chat: &Value, group: &str) -> Value {
        if chat["group"].is_object() {
            return chat.clone();
        }
        let (_, page) = app.get(&format!("/conversations/{}?limit=200", self.user)).await;
        let rows = page["conversations"].as_array().into_iter().flatten();
        let mut rows = rows.filter(|row| row["group_id"] == group);
        rows.next().cloned().unwrap_or_default()
    }

    async fn take(&mut self, app: &TestApp, change: &Value) {
        let id = || change["message_id"].as_str().expect("an id");
        match change["type"].as_str().expect("a type") {
            "message" => {
                let row = &change["message"];
                let peer =
                    if row["from_user_id"] == self.user { "to_user_id" } else { "from_user_id" };
                let is_known = match row["group_id"].as_str() {
                    Some(group) => self.groups.contains_key(group),
                    None => self.peers.contains(row[peer].as_str().expect("a user")),
                };
                // New to the device, or it went to the head of the list while that was read.
                if !is_known {
                    let chat = match row["group_id"].as_str() {
                        Some(group) => json!({"group_id": group}),
                        None => json!({"user_id": row[peer]}),
                    };
                    self.open(app, &chat).await;
                }
                self.put(row);
            }
            "message_deleted" | "message_hidden" => drop(self.messages.remove(id())),
            // What it has of the group may have changed while nothing of that was told.
            "group_joined" => {
                let group = &change["group"]["_id"];
                self.messages.retain(|_, row| row["group_id"] != *group);
                let mut chat = change.clone();
                chat["group_id"] = group.clone();
                self.open(app, &chat).await;
                let socket = self.socket.as_mut().expect("it is connected");
                socket.emit_ack("join_group", group.clone()).await;
            }
            "group_changed" => self.name(&change["group"]["_id"], &change["group"]["name"]),
            "group_muted" => {
                self.mute(&change["group_id"], change["muted"] == json!(true));
            }
            "group_left" => {
                self.groups.remove(change["group_id"].as_str().expect("an id"));
                self.mute(&change["group_id"], false);
                self.messages.retain(|_, row| row["group_id"] != change["group_id"]);
            }
            "group_read" => {}
            other => panic!("an unknown change: {other}"),
        }
    }

    fn name(&mut self, group: &Value, name: &Value) {
        if let Some(known) = self.groups.get_mut(group.as_str().expect("an id")) {
            *known = name.clone();
        }
    }

    fn mute(&mut self, group: &Value, is_muted: bool) {
        let group = group.as_str().expect("an id");
        if is_muted {
            self.muted.insert(group.to_owned());
        } else {
            self.muted.remove(group);
        }
    }

    fn put(&mut self, row: &Value) {
        self.messages.insert(row["_id"].as_str().expect("an id").to_owned(), row.clone());
    }

    /// Does what the events say that have come so far.
    async fn hear(&mut self) {
        let Some(socket) = &mut self.socket else { return };
        socket.settle().await;
        for packet in socket.so_far() {
            let Packet::Event { name, args, .. } = packet else { continue };
            let body = &args[0];
            match name.as_str() {
                "message" => self.put(body),
                "message_update" => {
                    let Some(row) = self.messages.get_mut(body["message_id"].as_str().unwrap())
                    else {
                        continue;
                    };
                    if body["type"] == "read_receipt" {
                        // Not every reading is told live, so an event may know of fewer readers.
                        let readers = row["read_by"].as_array_mut().expect("a list");
                        let told = body["read_by"].as_array().expect("a list");
                        let new = told.iter().filter(|user| !readers.contains(user));
                        let new: Vec<_> = new.cloned().collect();
                        readers.extend(new);
                        row["status"] = json!("read");
                    } else if body["type"] == "message_edit" {
                        row["content"] = body["new_content"].clone();
                        row["edited_at"] = body["edited_at"].clone();
                    } else {
                        attach(row, body);
                    }
                }
                "notification" if body["event"] == "renamed" => {
                    self.name(&body["group_id"], &body["name"]);
                }
                "notification" if body["event"] == "muted" => self.mute(&body["group_id"], true),
                "notification" if body["event"] == "unmuted" => self.mute(&body["group_id"], false),
                "message_deleted" => {
                    self.messages.remove(body["message_id"].as_str().unwrap());
                }
                _ => {}
            }
        }
    }
}

/// What an update says of reactions, a pin or a delivery.
fn attach(row: &mut Value, update: &Value) {
    let fields = row.as_object_mut().expect("a row");
    match update["type"].as_str().expect("a type") {
        "reaction" if update["reactions"] == json!({}) => drop(fields.remove("reactions")),
        "reaction" => drop(fields.insert("reactions".to_owned(), update["reactions"].clone())),
        "pin" if update["pinned"] == json!(false) => drop(fields.remove("pinned")),
        "pin" => {
            let pin = json!({"by": update["by"], "at": update["at"]});
            fields.insert("pinned".to_owned(), pin);
        }
        "delivery_receipt" if fields["status"] == "sent" => {
            fields.insert("status".to_owned(), json!("delivered"));
        }
        "delivery_receipt" => {}
        other => panic!("an unknown update: {other}"),
    }
}

/// While this is held, the store takes no writes.
enum Cut {
    /// Another program writes to the file.
    Lock(#[expect(dead_code, reason = "it holds the lock")] rusqlite::Connection),
    /// The database is killed.
    Killed,
}

/// One seed's world.
struct World {
    mongod: Option<Mongod>,
    random: SmallRng,
    app: Option<TestApp>,
    actors: Vec<Client>,
    followers: Vec<Follower>,
    groups: Vec<String>,
    sent: Vec<(usize, String)>,
}

impl World {
    async fn new(seed: u64, mongod: Option<Mongod>) -> Self {
        let url = mongod.as_ref().map(Mongod::url);
        let url = url.as_ref().map(|url| ("MONGO_URL", url.as_str()));
        let settings: Vec<_> = [("BREAKER_OPEN", "0.2")].into_iter().chain(url).collect();
        let app = TestApp::with(&settings).await;
        let groups = vec![app.group("ann", &USERS).await, app.group("bob", &["bob", "cem"]).await];
        let followers = vec![Follower::new("ann"), Follower::new("bob"), Follower::new("bob")];
        let random = SmallRng::seed_from_u64(seed);
        let mut world = Self {
            mongod,
            random,
            app: Some(app),
            actors: Vec::new(),
            followers,
            groups,
            sent: Vec::new(),
        };
        world.connect_actors().await;
        world
    }

    fn app(&self) -> &TestApp {
        self.app.as_ref().expect("a server")
    }

    async fn connect_actors(&mut self) {
        self.actors.clear();
        for user in USERS {
            let socket = self.app().user(user).await;
            self.actors.push(socket);
        }
    }

    /// Something that a user does. What is refused is refused.
    async fn act(&mut self) {
        let who = self.random.random_range(0..USERS.len());
        let group = self.groups.choose(&mut self.random).expect("a group").clone();
        let old = self.sent.choose(&mut self.random).cloned();
        match (self.random.random_range(0..28), old) {
            (0..=5, _) | (_, None) => {
                let peer = USERS.choose(&mut self.random).expect("a user");
                let text = format!("m{}", self.sent.len());
                let message = if self.random.random() {
                    to_user(peer, &text)
                } else {
                    to_group(&group, &text)
                };
                let ack = self.actors[who].emit_ack("send_message", message).await;
                if let Some(id) = ack["message"]["id"].as_str() {
                    self.sent.push((who, id.to_owned()));
                }
            }
            (6..=8, Some((sender, id))) => {
                let text = format!("e{}", self.random.random_range(0..1_000));
                let edit = json!({"message_id": id, "content": text});
                self.actors[sender].emit_ack("edit_message", edit).await;
            }
            (9..=11, Some((_, id))) => {
                self.actors[who].emit_ack("mark_read", json!({"message_id": id})).await;
            }
            (12, Some((sender, id))) => {
                self.actors[sender].emit_ack("delete_message", json!({"message_id": id})).await;
            }
            (13, Some((_, id))) => {
                let hide = json!({"message_id": id, "delete_for": "me"});
                self.actors[who].emit_ack("delete_message", hide).await;
            }
            (20..=22, Some((_, id))) => {
                let event = if self.random.random_bool(0.7) { "add" } else { "remove" };
                let emoji = ["👍", "🎉"].choose(&mut self.random).expect("an emoji");
                let reaction = json!({"message_id": id, "emoji": emoji});
                self.actors[who].emit_ack(&format!("{event}_reaction"), reaction).await;
            }
            (23, Some((_, id))) => {
                let event = if self.random.random() { "pin_message" } else { "unpin_message" };
                self.actors[who].emit_ack(event, json!({"message_id": id})).await;
            }
            (24, Some((_, id))) => {
                self.actors[who].emit_ack("mark_delivered", json!({"message_ids": [id]})).await;
            }
            (other, _) => self.act_on_group(other, who, &group).await,
        }
    }

    /// The rest of what a user does.
    async fn act_on_group(&mut self, what: u32, who: usize, group: &str) {
        match what {
            14 => {
                let path = format!("/messages/{}/{group}?message_type=group&limit=5", USERS[who]);
                self.app().get(&path).await;
            }
            15 | 16 => {
                self.app().post(&format!("/group/{group}/{}", USERS[who]), json!(null)).await;
            }
            17 => {
                let user = USERS[who];
                let path = format!("/groups/{group}/remove?user_id={user}&admin_id={user}");
                self.app().post(&path, json!(null)).await;
            }
            18 if self.groups.len() < 4 => {
                let members: Vec<_> = USERS[who..].to_vec();
                let body = json!({"name": "More", "member_ids": members, "created_by": USERS[who]});
                let (_, made) = self.app().post("/groups/", body).await;
                self.groups.extend(made["_id"].as_str().map(str::to_owned));
            }
            25 => {
                let name = format!("Name {}", self.random.random_range(0..100));
                let body = json!({"admin_id": USERS[who], "name": name}).to_string();
                self.app().send(Method::PATCH, &format!("/groups/{group}"), Some(body)).await;
            }
            26 | 27 => {
                let (path, user) = (format!("/groups/{group}/mute"), USERS[who]);
                if self.random.random() {
                    let body = json!({"user_id": user}).to_string();
                    self.app().send(Method::PUT, &path, Some(body)).await;
                } else {
                    self.app().delete(&format!("{path}?user_id={user}")).await;
                }
            }
            _ if self.groups.len() > 2 && self.random.random_bool(0.3) => {
                let gone = self.groups.pop().expect("a group");
                self.app().delete(&format!("/groups/{gone}")).await;
            }
            _ => {}
        }
    }

    /// Something that a device goes through.
    async fn disturb(&mut self) {
        let which = self.random.random_range(0..self.followers.len());
        let (limit, pages) = (self.random.random_range(1..8), self.random.random_range(1..4));
        let app = self.app.as_ref().expect("a server");
        let follower = &mut self.followers[which];
        match self.random.random_range(0..4) {
            // Cut, without a word.
            0 => follower.socket = None,
            1 if follower.socket.is_some() => follower.hear().await,
            2 if follower.socket.is_some() => drop(follower.catch_up(app, limit, 200).await),
            // Cut in the middle of catching up, perhaps.
            _ => {
                if !follower.connect(app, limit, pages).await {
                    follower.socket = None;
                }
            }
        }
    }

    async fn restart(&mut self) {
        self.actors.clear();
        for follower in &mut self.followers {
            follower.socket = None;
        }
        let app = self.app.take().expect("a server");
        self.app = Some(app.restarted().await);
        self.connect_actors().await;
    }

    async fn play(&mut self) {
        let restart_at = self.random.random_range(0..2 * ACTS);
        // MongoDB, for which fewer seeds are played, is cut in each.
        let never = if self.mongod.is_some() { 1 } else { 4 };
        let cut_at = self.random.random_range(0..never * ACTS);
        let mut cut = None;
        for step in 0..ACTS {
            if step == cut_at {
                cut = Some(self.cut());
            }
            if cut.is_some() && self.random.random_bool(0.2) {
                self.mend(cut.take()).await;
            }
            if step == restart_at && cut.is_none() {
                self.restart().await;
            }
            self.act().await;
            if cut.is_none() && self.random.random_bool(0.3) {
                self.disturb().await;
            }
        }
        self.mend(cut).await;
    }

    /// Lets the store take no writes.
    fn cut(&mut self) -> Cut {
        if let Some(mongod) = &mut self.mongod {
            mongod.kill();
            return Cut::Killed;
        }
        let file = self.app().folder.path().join("data/banter.db");
        let lock = rusqlite::Connection::open(file).unwrap();
        lock.busy_timeout(Duration::from_secs(10)).unwrap();
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        Cut::Lock(lock)
    }

    async fn mend(&mut self, cut: Option<Cut>) {
        if let (Some(Cut::Killed), Some(mongod)) = (cut, &mut self.mongod) {
            mongod.restart().await;
        }
    }

    /// Lets everyone catch up, and stops the server.
    async fn end(mut self) -> (TempDir, Option<Mongod>, Vec<Follower>) {
        let app = self.app.take().expect("a server");
        for follower in &mut self.followers {
            if follower.socket.is_none() || self.random.random() {
                follower.connect(&app, 200, 0).await;
            }
        }
        loop {
            for follower in &mut self.followers {
                // While the store takes no writes, not all can be told.
                while !follower.catch_up(&app, 7, 1_000).await {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            // Who opens a conversation reads in it: once more, for all.
            let opened = self.followers.iter_mut().map(|one| std::mem::take(&mut one.has_opened));
            if opened.filter(|opened| *opened).count() == 0 {
                break;
            }
        }
        drop(self.actors);
        let followers =
            self.followers.into_iter().map(|follower| Follower { socket: None, ..follower });
        let followers = followers.collect();
        (app.stop().await, self.mongod, followers)
    }
}

/// What a server in this folder has stored.
async fn open(folder: &Path, mongod: Option<&Mongod>) -> Arc<dyn Store> {
    let env = mongod.map(|mongod| ("MONGO_URL".into(), mongod.url().into()));
    let config = Config::load(["banter".into()], env, folder).unwrap();
    banter::store::open(&config.mongo, &folder.join("data")).await.unwrap().store
}

/// A user's groups, each with its name, and those of them that the user has muted.
async fn stored_groups(
    store: &dyn Store,
    name: &str,
) -> (BTreeMap<String, Value>, BTreeSet<String>) {
    let user = UserId::parse(name).unwrap();
    let groups = store.groups_of(&user, 100).await.unwrap();
    let groups: BTreeMap<_, _> =
        groups.into_iter().map(|group| (group.id.to_string(), json!(group.name))).collect();
    let muted = store.mutes(&user, 100).await.unwrap();
    let muted = muted.into_iter().map(|(group, _)| group.to_string());
    let muted = muted.filter(|group| groups.contains_key(group)).collect();
    (groups, muted)
}

/// What the store shows to a user.
async fn stored(store: &dyn Store, name: &str) -> BTreeMap<String, Value> {
    let viewer = UserId::parse(name).unwrap();
    let groups = store.group_ids_of(&viewer, 100).await.unwrap();
    let peers = USERS.iter().map(|peer| UserId::parse(peer).unwrap());
    let direct = peers.map(|peer| Conversation::direct(viewer.clone(), peer));
    let conversations: Vec<_> =
        direct.chain(groups.into_iter().map(|group: GroupId| Conversation::Group(group))).collect();
    let mut rows = BTreeMap::new();
    for conversation in conversations {
        let query = HistoryQuery {
            conversation,
            viewer: Some(viewer.clone()),
            range: Range::Newest,
            limit: 1_000,
        };
        for row in store.history(&query).await.unwrap() {
            rows.insert(row.id.to_string(), serde_json::to_value(MessageRow(&row)).unwrap());
        }
    }
    rows
}

async fn play(seed: u64, mongod: Option<Mongod>) {
    let ended = tokio::time::timeout(PATIENCE, live_and_compare(seed, mongod)).await;
    assert!(ended.is_ok(), "seed {seed} hangs");
}

async fn live_and_compare(seed: u64, mongod: Option<Mongod>) {
    let mut world = World::new(seed, mongod).await;
    world.play().await;
    let (folder, mongod, followers) = world.end().await;
    let store = open(folder.path(), mongod.as_ref()).await;
    for follower in followers {
        let (groups, muted) = stored_groups(&*store, follower.user).await;
        assert_eq!(follower.groups, groups, "seed {seed}: the groups of {}", follower.user);
        assert_eq!(follower.muted, muted, "seed {seed}: what {} has muted", follower.user);
        let expected = stored(&*store, follower.user).await;
        for id in expected.keys().chain(follower.messages.keys()) {
            let (has, should) = (follower.messages.get(id), expected.get(id));
            assert_eq!(has, should, "seed {seed}: the copy of {}", follower.user);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_syncs_ends_up_with_what_is_stored_whatever_was_cut() {
    let from = std::env::var("FOLLOW_FROM").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let seeds = std::env::var("FOLLOW_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(SEEDS);
    // Each is a task of its own: one that blocks its thread does not keep the others from being
    // ended in time.
    let mut plays = JoinSet::new();
    for seed in from..from + seeds {
        if plays.len() == AT_ONCE {
            plays.join_next().await.unwrap().unwrap();
        }
        plays.spawn(play(seed, None));
    }
    while let Some(played) = plays.join_next().await {
        played.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_syncs_ends_up_with_what_mongodb_has_though_it_was_killed() {
    for seed in 0..SEEDS_ON_MONGODB {
        play(seed, Some(Mongod::start().await)).await;
    }
}
