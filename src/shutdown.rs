//! The life of the server's tasks: the only place that spawns one, and the signals that end them.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Spawns tasks and knows when all of them have ended.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    failed: CancellationToken,
}

impl Tasks {
    /// Runs a task that belongs to one request or one connection. A panic ends that task alone.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        tokio::spawn(self.tracker.track_future(task));
    }

    /// Runs a part of the server that must outlive every request: when it panics, the server
    /// stops, rather than go on half alive.
    pub fn spawn_worker<F>(&self, name: &'static str, worker: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let failed = self.failed.clone();
        self.spawn(async move {
            if AssertUnwindSafe(worker).catch_unwind().await.is_err() {
                tracing::error!(worker = name, "a part of the server has crashed; stopping");
                failed.cancel();
            }
        });
    }

    /// Reports that a part of the server that is no task (a thread) has crashed.
    pub fn fail(&self) {
        self.failed.cancel();
    }

    /// Whether a part of the server has crashed.
    pub fn has_failed(&self) -> bool {
        self.failed.is_cancelled()
    }

    /// Resolves when a part of the server has crashed.
    pub async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Waits until every task has ended.
    pub async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// The two ways in which a server is told to stop.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Stop in phases, losing nothing.
    pub soft: CancellationToken,
    /// Stop at once.
    pub hard: CancellationToken,
}

impl Shutdown {
    /// Listens for SIGTERM and SIGINT: the first one is [`Shutdown::soft`], the second
    /// [`Shutdown::hard`].
    pub fn on_signals(tasks: &Tasks) -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = Self::default();
        let told = shutdown.clone();
        tasks.spawn(async move {
            for token in [told.soft, told.hard] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                token.cancel();
            }
        });
        Ok(shutdown)
    }
}
