//! The few things that the journal asks of a disk, and the real one. Tests have another one, which
//! loses what was not synced, tears writes and fails when it is told to.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// One folder of files.
pub(in crate::buffer) trait Fs: Send + Sync + 'static {
    /// The folder's path, for messages.
    fn path(&self) -> &Path;

    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;

    /// A whole file of at most `limit` bytes; a longer one is an error, and is not read.
    fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>>;

    /// A new, empty file. One of that name loses the name, and is not written to: after a crash it
    /// may have another one as well.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// A file that is there, to be changed.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name; one that has it is replaced. Durable after [`Fs::sync_dir`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Durable after [`Fs::sync_dir`].
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Waits until the names of all files are on the disk.
    fn sync_dir(&self) -> io::Result<()>;

    /// Moves a file into a folder inside this one, which is made where it is not there, under a
    /// name that nothing there has. Durable when it returns; at any time the file has one of the
    /// two names.
    fn set_aside(&self, name: &str, folder: &str, to: &str) -> io::Result<()>;
}

/// A file that is open for writing.
pub(in crate::buffer) trait DiskFile: Send {
    /// Writes all of `bytes` at a place. After an error any part of them may be there.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file, or makes it longer with zeros.
    fn set_len(&mut self, len: u64) -> io::Result<()>;

    /// Waits until the file's content and length are on the disk. After an error nobody knows what
    /// is: the system may have dropped what it could not write, and say `Ok` the next time.
    fn sync(&mut self) -> io::Result<()>;
}

/// Whether an error says that there is no room, which may come back.
pub(in crate::buffer) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A folder of the machine.
#[derive(Debug)]
pub(in crate::buffer) struct RealFs {
    folder: PathBuf,
    /// Held for as long as this value lives.
    _lock: Option<File>,
}

/// Why a folder can't be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::buffer) enum OpenError {
    /// Another process has it.
    #[error("another process uses it")]
    Locked,
    /// It can't be made, read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

const LOCK_FILE: &str = "lock";

/// A lock is tried for this long in all: [`RealFs::is_locked`] takes it for an instant, and a
/// process that was killed lets go of it a little later than its successor may start.
const LOCK_ATTEMPTS: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

impl RealFs {
    /// Makes the folder where it is not there, and locks it: it is this process's alone for as long
    /// as the value lives.
    pub(in crate::buffer) fn open(folder: &Path) -> Result<Self, OpenError> {
        fs::create_dir_all(folder)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join(LOCK_FILE))?;
        for _ in 0..LOCK_ATTEMPTS {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { folder: folder.to_owned(), _lock: Some(lock) }),
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        Err(OpenError::Locked)
    }

    /// A folder that is only looked at, whoever has it: for [`ReadOnly`](super::views::ReadOnly).
    pub(super) fn unlocked(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), _lock: None }
    }

    /// Whether somebody holds a folder. Nothing is changed; where nobody does, the lock is shared
    /// for an instant.
    pub(super) fn is_locked(folder: &Path) -> io::Result<bool> {
        let lock = match File::open(folder.join(LOCK_FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            lock => lock?,
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Fs for RealFs {
    fn path(&self) -> &Path {
        &self.folder
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // What has another kind of name, or is no file, is not ours.
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>> {
        let file = File::open(self.file(name))?;
        let length = file.metadata()?.len();
        if length > limit {
            let text = format!("it has {length} bytes, and {limit} at the most are expected");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        let mut bytes = Vec::with_capacity(length as usize);
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        match self.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(Box::new(File::create_new(self.file(name))?)),
        }
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().write(true).open(self.file(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.file(from), self.file(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.file(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    fn set_aside(&self, name: &str, folder: &str, to: &str) -> io::Result<()> {
        let folder = self.file(folder);
        fs::create_dir_all(&folder)?;
        self.sync_dir()?;
        let to = folder.join(to);
        if to.try_exists()? {
            let text = format!("{} is there already", to.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        fs::rename(self.file(name), to)?;
        File::open(&folder)?.sync_all()?;
        self.sync_dir()
    }
}

impl DiskFile for File {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let held = RealFs::open(folder.path()).unwrap();
        assert!(matches!(RealFs::open(folder.path()), Err(OpenError::Locked)));
        assert!(RealFs::is_locked(folder.path()).unwrap());
        drop(held);
        assert!(!RealFs::is_locked(folder.path()).unwrap());
        RealFs::open(folder.path()).unwrap();
    }

    #[test]
    fn looking_at_a_folder_makes_no_file_in_it() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!RealFs::is_locked(folder.path()).unwrap());
        assert!(RealFs::unlocked(folder.path()).list().unwrap().is_empty());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_set_aside_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let fs = RealFs::open(folder.path()).unwrap();
        for name in ["a", "b"] {
            fs.create(name).unwrap().write_at(name.as_bytes(), 0).unwrap();
        }
        fs.set_aside("a", "aside", "x").unwrap();
        let refused = fs.set_aside("b", "aside", "x").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs.read("aside/x", 9).unwrap(), b"a");
        assert_eq!((fs.read("b", 9).unwrap(), fs.read("a", 9).is_err()), (b"b".to_vec(), true));
    }

    #[test]
    fn a_file_beyond_the_limit_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let fs = RealFs::open(folder.path()).unwrap();
        let mut file = fs.create("a").unwrap();
        file.write_at(b"12", 0).unwrap();
        assert_eq!(fs.read("a", 2).unwrap(), b"12");
        // Sparse: a terabyte that nobody has.
        file.set_len(1 << 40).unwrap();
        assert_eq!(fs.read("a", 2).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_new_file_leaves_an_old_one_of_its_name_alone() {
        let folder = tempfile::tempdir().unwrap();
        let fs = RealFs::open(folder.path()).unwrap();
        fs.create("a").unwrap().write_at(b"1", 0).unwrap();
        std::fs::hard_link(folder.path().join("a"), folder.path().join("b")).unwrap();
        fs.create("a").unwrap().write_at(b"2", 0).unwrap();
        assert_eq!(
            (fs.read("a", 9).unwrap(), fs.read("b", 9).unwrap()),
            (b"2".into(), b"1".into())
        );
    }

    #[test]
    fn a_lack_of_room_is_told_from_other_errors() {
        for (code, full) in [(28, true), (122, true), (5, false)] {
            // ENOSPC, EDQUOT, EIO
            assert_eq!(is_full(&io::Error::from_raw_os_error(code)), full, "{code}");
        }
    }
}
