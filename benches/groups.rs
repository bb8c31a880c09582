//! How the cost of an act grows with the group in which it happens.
//!
//! Measured first: acts whose cost should not grow, in groups of 10 to 10,000 members, over SQLite,
//! and over MongoDB where `MONGO_TEST_URL` names a server. An act is over when its caller has its
//! answer; what it told is then with a fan-out that tells nobody. The store is on the disk that
//! holds `target/`, the journal does not wait for it (`JOURNAL_SYNC=os`). Then: what one message
//! costs with so many sockets in the group, and what a notice to all members costs when 50 of them
//! are online. The sockets are the library's own, and poll in this process: no network, and what is
//! queued for them is not taken. Not measured: HTTP, JSON of answers.
//!
//! Each figure is a median.

#![expect(clippy::print_stdout, reason = "the figures")]
#![expect(clippy::unwrap_used, reason = "a measurement that can't go on fails")]

#[path = "support/server.rs"]
mod server;
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use banter::chat::{Chat, Page};
use banter::model::{Conversation, GroupId, MessageRef, Role, SyncCursor, Target, UserId};
use banter::store::Store;
use banter::store::mongo::{self, Durability, MongoStore};
use banter::store::sqlite::SqliteStore;
use bson::oid::ObjectId;
use tempfile::TempDir;

use self::server::{Server, Told, Wire, draft};

/// Members of the groups, and how often each act is done.
struct Plan {
    sizes: [usize; 4],
    rounds: usize,
}

/// Members who are online when a notice is told.
const ONLINE: usize = 50;

/// Messages of a page.
const PAGE: usize = 50;

fn main() {
    // `cargo test` runs benches, too, to see that they work.
    let is_measuring = std::env::args().any(|argument| argument == "--bench");
    let measuring = Plan { sizes: [10, 100, 1_000, 10_000], rounds: 40 };
    let trying = Plan { sizes: [4, 5, 6, 7], rounds: 2 };
    let plan = if is_measuring { measuring } else { trying };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (_folder, store) = sqlite().await;
        acts_over("SQLite", store, &plan).await;
        match mongodb().await {
            Some((store, database)) => {
                acts_over("MongoDB", store, &plan).await;
                database.drop().await.unwrap();
            }
            None => println!("\nMongoDB is left out: MONGO_TEST_URL names no server."),
        }
        let (_folder, store) = sqlite().await;
        sockets_over(store, &plan).await;
    });
    runtime.shutdown_background();
}

async fn sqlite() -> (TempDir, Arc<dyn Store>) {
    let folder = support::folder();
    let store = SqliteStore::open(&folder.path().join("bench.db")).unwrap();
    store.prepare().await.unwrap();
    (folder, Arc::new(store))
}

/// A store in a database of its own, and the database.
async fn mongodb() -> Option<(Arc<dyn Store>, ::mongodb::Database)> {
    let url = std::env::var("MONGO_TEST_URL").ok()?;
    let name = format!("banter_bench_{}", ObjectId::new());
    let config = mongo::Config {
        mongo_url: Some(url.parse().unwrap()),
        mongodb_name: name.clone(),
        write_concern: Durability::Majority,
        min_pool_size: 1,
        max_pool_size: 10.try_into().unwrap(),
    };
    let store = MongoStore::connect(&config).await.unwrap();
    store.prepare().await.unwrap();
    let database = ::mongodb::Client::with_uri_str(url).await.unwrap().database(&name);
    Some((Arc::new(store), database))
}

/// Figures of one act, one for each size.
struct Row(&'static str, Vec<Duration>);

fn print(title: &str, sizes: &[usize], rows: &[Row]) {
    println!("\n{title}");
    print!("{:<34}", "");
    sizes.iter().for_each(|size| print!("{size:>11}"));
    println!("{:>12}", "last/first");
    for Row(act, figures) in rows {
        print!("{act:<34}");
        figures.iter().for_each(|figure| print!("{:>8.1} us", figure.as_secs_f64() * 1e6));
        let (first, last) = (figures[0].as_secs_f64(), figures[figures.len() - 1].as_secs_f64());
        println!("{:>12.1}", last / first);
    }
}

async fn timed<T>(samples: &mut Vec<Duration>, act: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let outcome = act.await;
    samples.push(start.elapsed());
    outcome
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort_unstable();
    samples[samples.len() / 2]
}

/// A group, and what happens in it.
struct Scene<'a> {
    server: &'a Server,
    rounds: usize,
    group: GroupId,
    members: Vec<UserId>,
}

/// Members of a group of this size; groups of two sizes share nobody.
fn members(size: usize) -> Vec<UserId> {
    (0..size).map(|n| UserId::parse(&format!("member-{n}-of-{size}")).unwrap()).collect()
}

async fn acts_over(store_name: &str, store: Arc<dyn Store>, plan: &Plan) {
    let mut table: Vec<Row> = Vec::new();
    let (server, mut told) = Server::without_sockets(store);
    for size in plan.sizes {
        let members = members(size);
        let creator = members[0].clone();
        let group =
            server.chat.create_group("Bench", members.clone(), creator, false).await.unwrap().id;
        let scene = Scene { server: &server, rounds: plan.rounds, group, members };
        for (at, (act, samples)) in scene.play(&mut told).await.into_iter().enumerate() {
            if table.len() == at {
                table.push(Row(act, Vec::new()));
            }
            table[at].1.push(median(samples));
        }
    }
    print(&format!("Acts in a group of so many members, over {store_name}"), &plan.sizes, &table);
}

type Samples = (&'static str, Vec<Duration>);

impl Scene<'_> {
    async fn play(&self, told: &mut Told) -> Vec<Samples> {
        let mut all = vec![self.send().await, self.send_after_a_change().await];
        all.push(self.typing().await);
        all.push(self.mark_read().await);
        self.server.stored().await;
        all.push(self.page().await);
        self.server.stored().await;
        all.extend(self.change_members().await);
        all.push(self.rename().await);
        all.push(self.give_roles().await);
        all.push(self.sync().await);
        all.push(self.list().await);
        all.extend(self.presence(told).await);
        all
    }

    fn chat(&self) -> &Chat {
        &self.server.chat
    }

    fn target(&self) -> Target {
        Target::Group(self.group)
    }

    /// Members but the creator, in turns.
    fn others(&self) -> impl Iterator<Item = &UserId> {
        self.members[1..].iter().cycle().take(self.rounds)
    }

    /// Users who are no members.
    fn guests(&self) -> impl Iterator<Item = UserId> {
        let guest = |n| UserId::parse(&format!("guest-{n}")).unwrap();
        (0..self.rounds).map(guest)
    }

    async fn send(&self) -> Samples {
        let mut samples = Vec::new();
        for from in self.others() {
            timed(&mut samples, self.server.send(from, self.target())).await;
        }
        ("send_message", samples)
    }

    async fn send_after_a_change(&self) -> Samples {
        let mut samples = Vec::new();
        for (from, guest) in self.others().zip(self.guests()) {
            self.chat().add_member(self.group, &guest, None).await.unwrap();
            timed(&mut samples, self.server.send(from, self.target())).await;
            self.chat().remove_member(self.group, &guest, &self.members[0]).await.unwrap();
        }
        ("send_message after a new member", samples)
    }

    async fn typing(&self) -> Samples {
        let mut samples = Vec::new();
        for user in self.others() {
            timed(&mut samples, self.chat().typing(user, self.target(), true)).await.unwrap();
            self.chat().typing(user, self.target(), false).await.unwrap();
        }
        ("typing", samples)
    }

    /// The last of all members who read a message.
    async fn mark_read(&self) -> Samples {
        let mut samples = Vec::new();
        while samples.len() < self.rounds {
            let sent = self.chat().send(&self.members[0], draft(self.target())).await.unwrap();
            let message = MessageRef::from(sent.durable().await.unwrap().id);
            // In groups of each size the message has left the buffer.
            self.server.stored().await;
            let readers = &self.members[1..];
            let (first, last) = readers.split_at(readers.len().saturating_sub(self.rounds));
            for reader in first {
                let _unawaited = self.chat().mark_read(reader, &message).await.unwrap();
            }
            for reader in last {
                let mark = async { self.chat().mark_read(reader, &message).await?.durable().await };
                timed(&mut samples, mark).await.unwrap();
            }
        }
        ("mark_read, the last to do so", samples)
    }

    /// A page of history as the route asks for it, with how many have read what, by one who has
    /// seen it before.
    async fn page(&self) -> Samples {
        let mut samples = Vec::new();
        let conversation = Conversation::Group(self.group);
        for viewer in self.others() {
            let read = async || {
                let page = self.chat().history(viewer, conversation.clone(), &Page::Newest, PAGE);
                let rows = page.await.unwrap();
                self.chat().read_counts(&conversation, &rows).await
            };
            read().await;
            timed(&mut samples, read()).await;
        }
        ("a page of history", samples)
    }

    async fn change_members(&self) -> [Samples; 2] {
        let (mut adding, mut removing) = (Vec::new(), Vec::new());
        for guest in self.guests() {
            timed(&mut adding, self.chat().add_member(self.group, &guest, None)).await.unwrap();
            let remove = self.chat().remove_member(self.group, &guest, &self.members[0]);
            timed(&mut removing, remove).await.unwrap();
        }
        [("add_member", adding), ("remove_member", removing)]
    }

    async fn rename(&self) -> Samples {
        let (owner, mut samples) = (&self.members[0], Vec::new());
        for n in 0..self.rounds {
            let name = format!("Bench {n}");
            timed(&mut samples, self.chat().rename_group(self.group, owner, &name)).await.unwrap();
        }
        ("rename", samples)
    }

    async fn give_roles(&self) -> Samples {
        let (owner, mut samples) = (&self.members[0], Vec::new());
        for n in 0..self.rounds {
            let role = if n.is_multiple_of(2) { Role::Admin } else { Role::Member };
            let given = self.chat().give_role(self.group, owner, &self.members[1], role);
            timed(&mut samples, given).await.unwrap();
        }
        ("give_role", samples)
    }

    /// A page that holds a change of the group, and a message.
    async fn sync(&self) -> Samples {
        let (user, mut samples) = (&self.members[1], Vec::new());
        let mut cursor: Option<SyncCursor> = None;
        loop {
            let page = self.chat().sync(user, cursor, Chat::SYNC_PAGE).await.unwrap();
            cursor = Some(page.cursor);
            if !page.more {
                break;
            }
        }
        for guest in self.guests() {
            self.chat().add_member(self.group, &guest, None).await.unwrap();
            self.server.send(&self.members[0], self.target()).await;
            self.server.stored().await;
            let ask = self.chat().sync(user, cursor, Chat::SYNC_PAGE);
            cursor = Some(timed(&mut samples, ask).await.unwrap().cursor);
            self.chat().remove_member(self.group, &guest, &self.members[0]).await.unwrap();
        }
        ("sync", samples)
    }

    async fn list(&self) -> Samples {
        let mut samples = Vec::new();
        for user in self.others() {
            let list = timed(&mut samples, self.chat().chats(user, None, PAGE)).await.unwrap();
            assert_eq!(list.len(), 1);
        }
        ("the list of chats", samples)
    }

    /// The creator has a word with some members, so that the creator hears of them.
    async fn presence(&self, told: &mut Told) -> [Samples; 2] {
        let (mut coming, mut going) = (Vec::new(), Vec::new());
        let users = &self.members[1..self.members.len().min(self.rounds)];
        for user in users {
            self.server.send(&self.members[0], Target::User(user.clone())).await;
        }
        self.server.stored().await;
        self.chat().arrive(&self.members[0]);
        for user in users {
            let come = async {
                self.chat().arrive(user);
                told.is_online(user).await;
            };
            timed(&mut coming, come).await;
        }
        for user in users {
            timed(&mut going, async { self.chat().leave(user) }).await;
        }
        [("presence: comes, and is told", coming), ("presence: goes", going)]
    }
}

async fn sockets_over(store: Arc<dyn Store>, plan: &Plan) {
    let (server, wire) = Server::with_sockets(store);
    let online = members(ONLINE);
    for user in &online {
        wire.connect(user).await;
    }
    let mut figures = Vec::new();
    for size in plan.sizes {
        figures.push(median(notices(&server, &online, size, plan.rounds).await));
    }
    let title = format!("A member of so many is removed, all are told, {ONLINE} are online");
    print(&title, &plan.sizes, &[Row("until the sockets have it", figures)]);

    let largest = plan.sizes[plan.sizes.len() - 1];
    let members = members(largest);
    let creator = members[0].clone();
    let group =
        server.chat.create_group("Bench", members.clone(), creator, false).await.unwrap().id;
    let (mut figures, mut joined) = (Vec::new(), 0);
    for count in plan.sizes {
        join(&wire, group, &members[joined..count]).await;
        joined = count;
        server.stored().await;
        let mut samples = Vec::new();
        for _ in 0..plan.rounds {
            timed(&mut samples, server.send(&members[0], Target::Group(group))).await;
        }
        figures.push(median(samples));
    }
    let more = figures[figures.len() - 1].saturating_sub(figures[0]).as_secs_f64() * 1e6;
    let each = more / (largest - plan.sizes[0]) as f64;
    let title = format!("A message in a group of {largest} of whom so many have joined it");
    print(&title, &plan.sizes, &[Row("until the sockets have it", figures)]);
    println!("{each:.2} us for each socket more");
}

async fn join(wire: &Wire, group: GroupId, members: &[UserId]) {
    for user in members {
        let sid = wire.connect(user).await;
        wire.join(&sid, group).await;
    }
}

/// Someone is removed again and again from a group of this size, of whom some are online.
async fn notices(server: &Server, online: &[UserId], size: usize, rounds: usize) -> Vec<Duration> {
    let chat = &server.chat;
    let mut all = members(size);
    for (member, online) in all.iter_mut().zip(online) {
        member.clone_from(online);
    }
    let creator = &all[0].clone();
    let group = chat.create_group("Bench", all, creator.clone(), false).await.unwrap().id;
    let (guest, to_self) = (UserId::parse("guest").unwrap(), Target::User(creator.clone()));
    let mut samples = Vec::new();
    for _ in 0..rounds {
        chat.add_member(group, &guest, None).await.unwrap();
        server.send(creator, to_self.clone()).await;
        let tell = async {
            chat.remove_member(group, &guest, creator).await.unwrap();
            // Comes to the sockets after the notice.
            server.send(creator, to_self.clone()).await;
        };
        timed(&mut samples, tell).await;
    }
    samples
}
