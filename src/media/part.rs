//! Files that are not complete yet: hidden, locked while somebody writes them, gone on failure.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

/// The dot keeps these names apart from every [`super::MediaName`]: they are never served.
const PREFIX: &str = ".upload-";

/// Removes its file when dropped, unless the file was published.
#[derive(Debug)]
pub(super) struct PartFile {
    path: PathBuf,
    published: bool,
}

impl PartFile {
    /// Makes an empty file in `dir`, open for writing.
    pub(super) async fn create(dir: Arc<Path>) -> io::Result<(Self, File)> {
        blocking(move || {
            let path = dir.join(format!("{PREFIX}{}", Uuid::new_v4()));
            let file = File::create_new(&path)?;
            let part = Self { path, published: false };
            // The lock tells another process on the same directory that this file is in use.
            // Where locks don't work, `remove_abandoned` gets none either, and leaves it alone.
            let _ = file.try_lock();
            Ok((part, file))
        })
        .await
    }

    /// Makes the file and its new name durable. A caller that is dropped meanwhile has promised
    /// the file to nobody, so it is removed then too.
    pub(super) async fn publish(mut self, file: File, target: PathBuf) -> io::Result<()> {
        let mut part = blocking(move || {
            file.sync_all()?;
            std::fs::rename(&self.path, &target)?;
            self.path = target;
            if let Some(dir) = self.path.parent() {
                File::open(dir)?.sync_all()?;
            }
            Ok(self)
        })
        .await?;
        part.published = true;
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.path == path
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an upload cut off stays on disk");
        }
    }
}

/// Removes the files that nobody writes any more: their process was killed.
pub(super) fn remove_abandoned(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) || !entry.file_type()?.is_file()
        {
            continue;
        }
        let path = entry.path();
        if File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            std::fs::remove_file(&path)?;
            tracing::info!(path = %path.display(), "removed an upload that a crash had cut off");
        }
    }
    Ok(())
}

/// Runs `work` where blocking is allowed. When the caller is dropped, `work` still ends, and then
/// its result is dropped: a [`PartFile`] in it cleans up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
