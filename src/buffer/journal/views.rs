//! Other ways to see a folder: without changing it, and only the files whose names begin alike.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::fs::{DiskFile, Fs};

/// A folder that stays as it is: every change succeeds, and none is made. A start on it goes as
/// far, and fails for the same reason, as one that counts.
pub(super) struct ReadOnly(pub(super) Arc<dyn Fs>);

struct Nowhere;

impl Fs for ReadOnly {
    fn path(&self) -> &Path {
        self.0.path()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>> {
        self.0.read(name, limit)
    }

    fn create(&self, _: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(Nowhere))
    }

    fn open(&self, _: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(Nowhere))
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_aside(&self, _: &str, _: &str, _: &str) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for Nowhere {
    fn write_at(&mut self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The files of a folder whose names begin with a prefix, without it: a second journal beside the
/// first, invisible to whoever opens that one.
pub(super) struct Prefixed {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) prefix: &'static str,
}

impl Prefixed {
    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Fs for Prefixed {
    fn path(&self) -> &Path {
        self.fs.path()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = self.fs.list()?;
        let ours = names.iter().filter_map(|name| name.strip_prefix(self.prefix));
        Ok(ours.map(str::to_owned).collect())
    }

    fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>> {
        self.fs.read(&self.full(name), limit)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.fs.create(&self.full(name))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.fs.open(&self.full(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.fs.rename(&self.full(from), &self.full(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.fs.remove(&self.full(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.fs.sync_dir()
    }

    fn set_aside(&self, name: &str, folder: &str, to: &str) -> io::Result<()> {
        self.fs.set_aside(&self.full(name), folder, to)
    }
}
