//! A program in JavaScript whose users keep a server busy, and which answers questions meanwhile.

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::server::Server;
use crate::suite::node_program;

/// How long to wait for what must come; only a failure waits.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often the load is asked how far it is.
const POLL: Duration = Duration::from_millis(20);

/// What the load has done so far.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Counts {
    /// Messages acknowledged.
    pub(crate) accepted: usize,
    /// Sends refused, each time that they were.
    pub(crate) refused: usize,
    /// Messages that have come to those who read.
    pub(crate) received: usize,
    /// Sends that a connection was lost over, where the load counts them.
    #[serde(default)]
    pub(crate) interrupted: usize,
}

/// A running load; it ends with this value.
pub(crate) struct Load {
    /// Killed when it is dropped.
    _child: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Load {
    /// Starts a program beside the suites against a server.
    pub(crate) fn start(program: &str, server: &Server, settings: &[(&str, &str)]) -> Self {
        let mut child = node_program(program)
            .env("BANTER_URL", server.url())
            .envs(settings.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let questions = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { _child: child, questions, answers }
    }

    /// What it has done up to now.
    pub(crate) async fn counts(&mut self) -> Counts {
        self.questions.write_all(b"\n").await.expect("the load has crashed");
        answer(&mut self.answers).await
    }

    /// Lets it run until its counts are as they should be.
    pub(crate) async fn until(&mut self, what: &str, is: impl Fn(Counts) -> bool) -> Counts {
        let start = tokio::time::Instant::now();
        loop {
            let now = self.counts().await;
            if is(now) {
                return now;
            }
            assert!(start.elapsed() < PATIENCE, "waited in vain until {what}: {now:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Lets it run for a while, and then until so many more messages were accepted and had arrived.
    pub(crate) async fn goes_on_for(&mut self, time: Duration, messages: usize) -> Counts {
        let before = self.counts().await;
        tokio::time::sleep(time).await;
        let arrived = |now: Counts| {
            now.accepted >= before.accepted + messages && now.received >= before.received + messages
        };
        self.until("more messages arrive", arrived).await
    }

    /// Tells it to stop, and waits until it has ended what it was doing; its last words.
    pub(crate) async fn stop<E: DeserializeOwned>(self) -> E {
        let Self { _child, questions, mut answers } = self;
        drop(questions);
        answer(&mut answers).await
    }
}

async fn answer<A: DeserializeOwned>(answers: &mut Lines<BufReader<ChildStdout>>) -> A {
    let line = tokio::time::timeout(PATIENCE, answers.next_line()).await;
    let line = line.expect("the load hangs").unwrap().expect("the load has crashed");
    serde_json::from_str(&line).unwrap()
}
