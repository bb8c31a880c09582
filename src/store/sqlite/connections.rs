//! A bounded set of connections, each call one transaction on a blocking thread.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::errors::classify;
use crate::store::{PoolGauges, Result, StoreError};

/// How long a statement waits for a lock that another process (a backup, a shell) holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements kept prepared per connection; every statement of the store fits.
const STATEMENT_CACHE: usize = 128;
/// The write-ahead log is cut to this after a checkpoint, so that one huge batch does not keep its
/// space for ever.
const LOG_BYTES: i64 = 64 << 20;

/// What connections are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Reading alone; a reader sees the state at the start of its transaction.
    Read,
    /// Reading and writing. SQLite has one writer at a time, so there is one such connection.
    Write,
}

/// Connections of one kind, opened when first needed.
#[derive(Debug)]
pub(super) struct Connections {
    path: PathBuf,
    access: Access,
    max: u32,
    permits: Arc<Semaphore>,
    waiting: AtomicU64,
    idle: Mutex<Vec<Connection>>,
}

impl Connections {
    /// At most `max` connections to a file.
    pub(super) fn new(path: PathBuf, access: Access, max: u32) -> Self {
        let permits = Arc::new(Semaphore::new(max as usize));
        Self { path, access, max, permits, waiting: AtomicU64::new(0), idle: Mutex::default() }
    }

    /// Opens a connection and sets it up.
    pub(super) fn connect(&self) -> Result<Connection> {
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if self.access == Access::Write {
            flags |= OpenFlags::SQLITE_OPEN_CREATE;
        }
        let connection = Connection::open_with_flags(&self.path, flags).map_err(classify)?;
        let journal_mode = self.set_up(&connection).map_err(classify)?;
        if journal_mode != "wal" {
            return Err(StoreError::Configuration(anyhow::anyhow!(
                "the file system of {} can't hold a write-ahead log",
                self.path.display()
            )));
        }
        Ok(connection)
    }

    fn set_up(&self, connection: &Connection) -> rusqlite::Result<String> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
        keep_prepared(connection)?;
        match self.access {
            Access::Read => {
                connection.pragma_update(None, "query_only", true)?;
                connection.pragma_query_value(None, "journal_mode", |row| row.get(0))
            }
            Access::Write => {
                // FULL: a commit returns only once the log is on the disk.
                connection.pragma_update(None, "synchronous", "FULL")?;
                connection.pragma_update_and_check(
                    None,
                    "journal_size_limit",
                    LOG_BYTES,
                    |_| Ok(()),
                )?;
                connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
            }
        }
    }

    /// Gives a connection to whoever comes next.
    pub(super) fn put(&self, connection: Connection) {
        self.lock_idle().push(connection);
    }

    /// Runs `work` in one transaction, which is committed if it succeeds. When the caller goes
    /// away, the transaction runs to its end all the same.
    pub(super) async fn run<T, W>(self: &Arc<Self>, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let permit = self.permit(1).await?;
        let connections = Arc::clone(self);
        let running = tokio::task::spawn_blocking(move || {
            let done = connections.transact(work);
            drop(permit);
            done
        });
        match running.await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(done) => done,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            Err(Err(_)) => Err(StoreError::Transient(anyhow::anyhow!("the server is stopping"))),
        }
    }

    /// A connection on which anything failed is closed instead of kept: the next call opens
    /// another.
    fn transact<T>(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T> {
        let behavior = match self.access {
            Access::Read => TransactionBehavior::Deferred,
            Access::Write => TransactionBehavior::Immediate,
        };
        let idle = self.lock_idle().pop();
        let mut connection = idle.map_or_else(|| self.connect(), Ok)?;
        let transaction = connection.transaction_with_behavior(behavior).map_err(classify)?;
        let done = work(&transaction).map_err(classify)?;
        transaction.commit().map_err(classify)?;
        self.put(connection);
        Ok(done)
    }

    async fn permit(&self, count: u32) -> Result<OwnedSemaphorePermit> {
        let _waiting = Waiting::count(&self.waiting);
        let permits = Arc::clone(&self.permits).acquire_many_owned(count).await;
        permits.map_err(|_| StoreError::Transient(anyhow::anyhow!("the store is closed")))
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many connections there are and who wants one.
    pub(super) fn gauges(&self) -> PoolGauges {
        let in_use = u64::from(self.max).saturating_sub(self.permits.available_permits() as u64);
        PoolGauges {
            open: self.lock_idle().len() as u64 + in_use,
            in_use,
            waiting: self.waiting.load(Ordering::Relaxed),
            max: u64::from(self.max),
        }
    }

    /// Waits for calls under way, refuses new ones and closes the connections.
    pub(super) async fn close(&self) {
        let Ok(_all) = self.permit(self.max).await else { return };
        self.permits.close();
        let connections = std::mem::take(&mut *self.lock_idle());
        // The last connection to close moves the log into the file, which takes a while.
        let closing = tokio::task::spawn_blocking(move || drop(connections));
        if let Err(error) = closing.await {
            tracing::warn!(%error, "closing the embedded store failed");
        }
    }
}

/// Has a statement stay as it was prepared, whatever is bound to it. Otherwise SQLite would plan one that has,
/// for instance, a bound `LIMIT` anew each time; that is most of what a short one costs.
pub(super) fn keep_prepared(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Counts a caller for as long as it waits.
struct Waiting<'a>(&'a AtomicU64);

impl<'a> Waiting<'a> {
    fn count(waiting: &'a AtomicU64) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
