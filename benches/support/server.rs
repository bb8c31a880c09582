//! A server without a port: the rules over a store and a buffer, and, where they are wanted,
//! sockets that poll in this process.
#![allow(dead_code, reason = "each bench uses the part it needs")]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use banter::auth::SignIn;
use banter::buffer::{Buffer, Config, Delivery, Folders, SyncMode};
use banter::chat::{self, Chat};
use banter::clock::SystemClock;
use banter::cluster::Cluster;
use banter::media::{self, MediaStore};
use banter::model::{
    ClientId, Content, ContentType, Dispatch, Draft, Event, GroupId, Target, UserId,
};
use banter::realtime::{self, AdminUiConfig, Links, Realtime};
use banter::shutdown::Tasks;
use banter::store::Store;
use http_body_util::BodyExt;
use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tower::{Layer, ServiceExt};

use crate::support::folder;

/// Events that may wait for the fan-out, as in the server.
const DELIVERIES: usize = 4_096;

/// Heartbeats stay away: nobody here answers them.
const NEVER_MS: u64 = 3_600_000;

/// See the module.
pub(crate) struct Server {
    pub(crate) chat: Arc<Chat>,
    pub(crate) buffer: Buffer,
    pub(crate) store: Arc<dyn Store>,
    tasks: Tasks,
    data: TempDir,
}

/// Who has been told to be online, in order.
pub(crate) struct Told(mpsc::Receiver<UserId>);

impl Told {
    /// Waits until it has been told that a user is online.
    pub(crate) async fn is_online(&mut self, user: &UserId) {
        while self.0.recv().await.is_some_and(|told| told != *user) {}
    }
}

/// The way in for sockets.
pub(crate) struct Wire(Router);

impl Server {
    /// A server whose fan-out tells nobody.
    pub(crate) fn without_sockets(store: Arc<dyn Store>) -> (Self, Told) {
        let (deliveries, mut fan_out) = mpsc::channel::<Delivery>(DELIVERIES);
        let (told, online) = mpsc::channel(DELIVERIES);
        let server = Self::over(store, deliveries);
        server.tasks.spawn_worker("fan-out", async move {
            while let Some(delivery) = fan_out.recv().await {
                if let Some(Dispatch { event: Event::Presence(presence), .. }) = &delivery.dispatch
                    && presence.is_online
                {
                    let _ = told.try_send(presence.user.clone());
                }
                delivery.done();
            }
        });
        let (presence, typing) = (Arc::clone(&server.chat), Arc::clone(&server.chat));
        server.tasks.spawn_worker("presence", async move { presence.tell_presence().await });
        server.tasks.spawn_worker("typing", async move { typing.tell_typing().await });
        (server, Told(online))
    }

    /// A server that takes sockets.
    pub(crate) fn with_sockets(store: Arc<dyn Store>) -> (Self, Wire) {
        let (deliveries, fan_out) = mpsc::channel(DELIVERIES);
        let server = Self::over(store, deliveries);
        let config = realtime::Config {
            ping_interval: NEVER_MS,
            ping_timeout: NEVER_MS,
            max_payload: 1_000_000,
            admin_ui: AdminUiConfig::default(),
        };
        let (chat, mut registry) = (Arc::clone(&server.chat), Registry::default());
        let links = Links {
            chat,
            sign_in: SignIn::Open,
            limits: Arc::default(),
            deliveries: fan_out,
            ended: mpsc::channel(1).1,
            cluster: Cluster::alone(),
        };
        let realtime = Realtime::start(&config, links, &server.tasks, &mut registry);
        let sockets = realtime.layer.layer(Router::new());
        (server, Wire(Router::new().route_service("/socket.io/", sockets)))
    }

    fn over(store: Arc<dyn Store>, deliveries: mpsc::Sender<Delivery>) -> Self {
        let (data, tasks) = (folder(), Tasks::default());
        let config = Config { journal_sync: SyncMode::Os, ..Config::default() };
        let (clock, mut registry) = (Arc::new(SystemClock), Registry::default());
        let buffer = Buffer::start(
            &config,
            Arc::clone(&store),
            Arc::<SystemClock>::clone(&clock),
            deliveries.clone(),
            Folders::below(data.path()),
            &tasks,
            &mut registry,
        )
        .unwrap();
        let upload_dir = data.path().join("uploads");
        let media = MediaStore::open(&media::Config { upload_dir, max_upload_size: 1 }).unwrap();
        let limits = chat::Config {
            max_content_size: 65_536,
            max_group_members: 100_000,
            receipt_group_limit: 256,
            spam_repeats: 0,
            spam_strangers: 0,
        };
        let chat = Chat::new(
            limits,
            Arc::clone(&store),
            buffer.clone(),
            media,
            clock,
            deliveries,
            Cluster::alone(),
        );
        Self { chat: Arc::new(chat), buffer, store, tasks, data }
    }

    /// Sends a message; it is durable, and with the sockets.
    pub(crate) async fn send(&self, from: &UserId, to: Target) {
        let sent = self.chat.send(from, draft(to)).await.unwrap();
        sent.durable().await.unwrap();
    }

    /// Waits until the store has everything.
    pub(crate) async fn stored(&self) {
        assert!(self.buffer.flushed(Duration::from_secs(60)).await, "all is stored");
    }
}

/// A message of ordinary length.
pub(crate) fn draft(target: Target) -> Draft {
    Draft {
        client_id: None::<ClientId>,
        target,
        content: Content::Text("A message of ordinary length.".to_owned()),
        content_type: ContentType::Text,
        media_url: None,
        media_metadata: None,
        reply_to: None,
        mentions: Vec::new(),
    }
}

impl Wire {
    /// Connects a socket that never takes what it is sent; its session.
    pub(crate) async fn connect(&self, user: &UserId) -> String {
        let opened = self.ask("", None).await;
        let sid = opened.split('"').nth(3).unwrap().to_owned();
        self.ask(&sid, Some(format!("40{{\"user_id\":\"{user}\"}}"))).await;
        self.hear(&sid, "40{").await;
        sid
    }

    /// Has a socket join a group.
    pub(crate) async fn join(&self, sid: &str, group: GroupId) {
        self.ask(sid, Some(format!("420[\"join_group\",\"{group}\"]"))).await;
        self.hear(sid, "430[{\"ok\":true").await;
    }

    async fn hear(&self, sid: &str, start: &str) {
        while !self.ask(sid, None).await.split('\x1e').any(|packet| packet.starts_with(start)) {}
    }

    async fn ask(&self, sid: &str, packet: Option<String>) -> String {
        let session = if sid.is_empty() { String::new() } else { format!("&sid={sid}") };
        let uri = format!("/socket.io/?EIO=4&transport=polling{session}");
        let request = match packet {
            Some(packet) => Request::post(uri).body(Body::from(packet)),
            None => Request::get(uri).body(Body::empty()),
        };
        let answer = self.0.clone().oneshot(request.unwrap()).await.unwrap();
        let is_ok = answer.status().is_success();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(is_ok, "{text}");
        text
    }
}
