//! Floods that a connection allows: the program's memory stays flat, and others notice nothing.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use crate::app::{sent, to_user};
use crate::binary::Banter;
use crate::sio::Client;
use crate::ws::Plain;

/// How often a flood is repeated at the most until memory has stopped growing.
const MOST_ROUNDS: usize = 20;
/// Rounds in a row without growth that show it.
const FLAT_ROUNDS: usize = 4;
/// What counts as growth: allocators take memory in pieces.
const GROWTH_KIB: u64 = 1024;

/// An Engine.IO session, spoken by hand.
const SESSION: &str = "/socket.io/?EIO=4&transport=websocket";

/// The program, and somebody who goes on as if nothing happened.
struct Scene {
    banter: Banter,
    ann: Client,
}

impl Scene {
    async fn new(settings: &[(&str, &str)]) -> Self {
        // Sessions that are spoken by hand answer no heartbeat.
        let settings = [settings, &[("PING_TIMEOUT", "3600000")]].concat();
        let banter = Banter::start(&settings).await;
        let ann = Client::connect(banter.addr, json!({"user_id": "ann"})).await;
        Self { banter, ann }
    }

    /// The memory of the program, in KiB.
    fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.banter.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Plays a flood again and again, until the memory of the program does not grow any more; in
    /// between somebody else is served.
    async fn stays_flat(mut self, flood: impl AsyncFn(&Banter)) {
        let (mut least, mut flat, mut seen) = (0, 0, Vec::new());
        while flat < FLAT_ROUNDS {
            assert!(seen.len() < MOST_ROUNDS, "memory grows and grows, in KiB: {seen:?}");
            flood(&self.banter).await;
            sent(&mut self.ann, to_user("bob", "still here")).await;
            let now = self.memory_kib();
            seen.push(now);
            if now > least + GROWTH_KIB {
                (least, flat) = (now, 0);
            } else {
                (least, flat) = (least.min(now), flat + 1);
            }
        }
        self.ann.disconnect().await;
        self.banter.stop().await;
    }
}

async fn session(banter: &Banter) -> Plain {
    let mut session = Plain::open(banter.addr, SESSION).await;
    assert!(session.hears("0{").await);
    session
}

const CONNECT: &str = r#"40{"user_id":"eve"}"#;

/// How soon to try again what was not answered.
const AGAIN: Duration = Duration::from_millis(5);

/// Joins the namespace. Who does that right after leaving it may be taken for one who is in it
/// still, and gets no answer.
async fn connect(session: &mut Plain) {
    loop {
        session.try_send(CONNECT).await;
        if let Ok(is_in) = timeout(AGAIN, session.hears("40{")).await {
            assert!(is_in, "the connection ends");
            return;
        }
    }
}

#[tokio::test]
async fn twenty_thousand_namespaces_leave_nothing() {
    const EACH: usize = 5_000;
    let flood = async |banter: &Banter| {
        let mut eve = session(banter).await;
        for n in 0..EACH {
            eve.try_send(&format!(r#"40/room{n},{{"user_id":"eve"}}"#)).await;
            // What is said to who reads none of it is let go, and this would not come.
            if n % 500 == 499 {
                assert!(eve.hears(&format!("44/room{n},")).await, "room{n} is refused");
            }
        }
    };
    Scene::new(&[]).await.stays_flat(flood).await;
}

#[tokio::test]
async fn who_connects_again_and_again_holds_one_place() {
    const EACH: usize = 500;
    let flood = async |banter: &Banter| {
        let mut eve = session(banter).await;
        for _ in 0..EACH {
            connect(&mut eve).await;
            eve.try_send("41").await;
        }
        // And on top of what is connected, or about to be. An event of one who has left has no answer.
        connect(&mut eve).await;
        for n in 0..EACH {
            eve.try_send(CONNECT).await;
            if n % 10 == 0 {
                eve.try_send(r#"420["sync",{}]"#).await;
                if !eve.hears("430").await {
                    eve = session(banter).await;
                }
            }
        }
    };
    Scene::new(&[]).await.stays_flat(flood).await;
}

#[tokio::test]
async fn attachments_that_never_come_are_not_waited_for_by_others() {
    const EACH: usize = 3_000;
    let flood = async |banter: &Banter| {
        let mut eve = session(banter).await;
        connect(&mut eve).await;
        let filler = "x".repeat(1_000);
        for _ in 0..EACH {
            let placeholder = r#"{"_placeholder":true,"num":0}"#;
            eve.try_send(&format!(r#"451-["send_message",{placeholder},"{filler}"]"#)).await;
        }
        eve.try_send(r#"420["sync",{}]"#).await;
        eve.hears("430").await;
    };
    Scene::new(&[]).await.stays_flat(flood).await;
}

/// Under the limits of an installation: how many an address may open in a second bounds how many
/// of them there are.
#[tokio::test]
async fn connections_that_never_join_go_by_themselves() {
    const EACH: usize = 300;
    let flood = async |banter: &Banter| {
        let mut idle = Vec::new();
        for n in 0..EACH {
            let path = if n % 2 == 0 { SESSION } else { "/ws/eve" };
            idle.extend(Plain::try_open(banter.addr, path, &[]).await.ok());
        }
    };
    Scene::new(&[("LIMIT_EXEMPT", "192.0.2.1")]).await.stays_flat(flood).await;
}
