//! Uploaded files: save, check, find. Knows files and what is in them, nothing of HTTP.
//!
//! A file is written under a hidden name, checked on the way, made durable, and only then renamed
//! to the name that clients see. Whatever goes wrong before that, the hidden file is removed: by a
//! guard while the process lives, by the next start when it was killed.

mod format;
mod name;
mod part;

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::io::AsyncWriteExt;

use crate::error::Error;

pub use format::MediaKind;
use format::{Format, HEAD_BYTES};
pub use name::{InvalidMediaUrl, MediaName, MediaUrl};
use part::PartFile;

/// Settings of uploads.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Uploads")]
pub struct Config {
    /// Directory of the uploaded files; it is made when it is not there
    #[arg(long, value_name = "DIR", default_value = "uploads")]
    pub upload_dir: PathBuf,
    /// Largest upload in bytes, 1 to 10737418240 (10 GiB)
    #[arg(long, value_name = "BYTES", default_value_t = 5 << 20)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=10 << 30))]
    pub max_upload_size: u64,
}

/// An upload that is complete and durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The name it is kept under: a new UUID and the extension in lower case.
    pub name: MediaName,
    /// What it is.
    pub kind: MediaKind,
    /// Its length in bytes.
    pub size: u64,
}

/// The directory of the uploaded files; cheap to clone.
#[derive(Debug, Clone)]
pub struct MediaStore {
    dir: Arc<Path>,
    max_upload_size: u64,
}

impl MediaStore {
    /// Makes the directory where it is not there, and removes what uploads cut off by a crash have
    /// left in it. Blocks; call it at the start.
    pub fn open(config: &Config) -> io::Result<Self> {
        std::fs::create_dir_all(&config.upload_dir)?;
        part::remove_abandoned(&config.upload_dir)?;
        Ok(Self {
            dir: config.upload_dir.as_path().into(),
            max_upload_size: config.max_upload_size,
        })
    }

    /// Largest upload that [`MediaStore::save`] takes, in bytes.
    pub fn max_upload_size(&self) -> u64 {
        self.max_upload_size
    }

    /// Writes an upload to disk as it arrives, and returns once it is durable. `filename` is the
    /// client's name for it; only its extension counts.
    ///
    /// Leaves nothing behind when it fails or when its future is dropped.
    ///
    /// # Errors
    /// [`Error::Invalid`]: a type that is not allowed, content that is not of that type, or no
    /// content. [`Error::TooLarge`]: over the limit. [`Error::Unavailable`]: the disk is full.
    /// [`Error::Internal`]: the disk fails. An error of `chunks` is passed on.
    pub async fn save(
        &self,
        filename: &str,
        chunks: impl Stream<Item = Result<Bytes, Error>>,
    ) -> Result<Saved, Error> {
        let format = Format::of(filename).ok_or_else(Format::not_allowed)?;
        let (part, file) = PartFile::create(self.dir.clone()).await.map_err(disk_error)?;
        let mut file = tokio::fs::File::from_std(file);
        let mut chunks = pin!(chunks);
        let mut head = Vec::new();
        let mut size = 0;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            size += chunk.len() as u64;
            if size > self.max_upload_size {
                return Err(self.too_large());
            }
            if head.len() < HEAD_BYTES {
                let missing = HEAD_BYTES - head.len();
                head.extend_from_slice(&chunk[..chunk.len().min(missing)]);
                if head.len() == HEAD_BYTES {
                    format.check(&head)?;
                }
            }
            file.write_all(&chunk).await.map_err(disk_error)?;
        }
        if size == 0 {
            return Err(Error::Invalid("The file is empty".into()));
        }
        if head.len() < HEAD_BYTES {
            format.check(&head)?;
        }
        // The writes above return before they reach the disk: a late failure shows here.
        file.flush().await.map_err(disk_error)?;
        let name = MediaName::mint(format.extension);
        part.publish(file.into_std().await, self.path_of(&name)).await.map_err(disk_error)?;
        Ok(Saved { name, kind: format.kind, size })
    }

    /// Checks the `media_url` of a message: a file of ours must be there; an absolute URL is taken
    /// as it is.
    ///
    /// # Errors
    /// [`Error::Invalid`]: neither of the two. [`Error::NotFound`]: no such file of ours.
    /// [`Error::Internal`]: the disk fails.
    pub async fn check_url(&self, url: &str) -> Result<(), Error> {
        let parsed = MediaUrl::parse(url).map_err(|e| Error::Invalid(e.to_string().into()))?;
        match parsed {
            MediaUrl::Elsewhere => Ok(()),
            MediaUrl::Ours(name) => match self.find(&name).await? {
                Some(_) => Ok(()),
                None => Err(Error::NotFound("The media file is not there".into())),
            },
        }
    }

    /// Where an upload is on disk; `None` when there is none. A link or a directory is no upload.
    ///
    /// # Errors
    /// [`Error::Internal`]: the disk fails.
    pub async fn find(&self, name: &MediaName) -> Result<Option<PathBuf>, Error> {
        let path = self.path_of(name);
        match tokio::fs::symlink_metadata(&path).await {
            Ok(metadata) => Ok(metadata.is_file().then_some(path)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::Internal(e.into())),
        }
    }

    /// Deletes an upload that nobody needs any more; whether there was one. A file that this server
    /// has not named stays, and so does what is no file.
    ///
    /// # Errors
    /// [`Error::Internal`]: the disk fails.
    pub async fn remove(&self, name: &MediaName) -> Result<bool, Error> {
        let Some(path) = self.find(name).await?.filter(|_| name.is_minted()) else {
            return Ok(false);
        };
        match tokio::fs::remove_file(&path).await {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::Internal(e.into())),
        }
    }

    fn path_of(&self, name: &MediaName) -> PathBuf {
        self.dir.join(name.as_str())
    }

    fn too_large(&self) -> Error {
        Error::TooLarge(
            format!("The file is over the limit of {} bytes", self.max_upload_size).into(),
        )
    }
}

/// A full disk is mended by an operator while clients try again; anything else is a fault.
fn disk_error(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Error::Unavailable(Some(error.into()))
        }
        _ => Error::Internal(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn store(dir: &Path, max_upload_size: u64) -> MediaStore {
        MediaStore::open(&Config { upload_dir: dir.into(), max_upload_size }).unwrap()
    }

    fn files(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn chunks(parts: &[&'static [u8]]) -> impl Stream<Item = Result<Bytes, Error>> + use<> {
        stream::iter(parts.iter().map(|part| Ok(Bytes::from_static(part))).collect::<Vec<_>>())
    }

    #[tokio::test]
    async fn only_an_upload_of_this_server_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let media = store(dir.path(), 100);
        let saved = media.save("me.gif", chunks(&[b"GIF89a..."])).await.unwrap();
        let other = "92ABABAE-460f-4eeb-96e2-14f3ba422265.gif";
        for kept in ["a.gif", other] {
            std::fs::write(dir.path().join(kept), "x").unwrap();
            assert!(!media.remove(&MediaName::parse(kept).unwrap()).await.unwrap());
        }
        let linked = MediaName::parse("92ababae-460f-4eeb-96e2-14f3ba422265.gif").unwrap();
        std::os::unix::fs::symlink("a.gif", dir.path().join(linked.as_str())).unwrap();
        assert!(!media.remove(&linked).await.unwrap());
        assert!(media.remove(&saved.name).await.unwrap());
        assert!(!media.remove(&saved.name).await.unwrap());
        let mut left = files(dir.path());
        left.sort();
        assert_eq!(left, [other, linked.as_str(), "a.gif"]);
    }

    #[tokio::test]
    async fn a_file_is_kept_byte_for_byte_under_a_new_name() {
        let dir = tempfile::tempdir().unwrap();
        let media = store(dir.path(), 100);
        let saved = media.save("Me.GIF", chunks(&[b"GI", b"F89a", b"..."])).await.unwrap();
        assert_eq!((saved.kind, saved.size), (MediaKind::Image, 9));
        assert!(saved.name.as_str().ends_with(".gif"));
        let path = media.find(&saved.name).await.unwrap().unwrap();
        assert_eq!(std::fs::read(path).unwrap(), b"GIF89a...");
        assert_eq!(files(dir.path()), [saved.name.as_str()]);
    }

    #[tokio::test]
    async fn a_refused_file_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let media = store(dir.path(), 10);
        let fits = media.save("a.gif", chunks(&[b"GIF89a", b"1234"])).await;
        std::fs::remove_file(media.find(&fits.unwrap().name).await.unwrap().unwrap()).unwrap();

        let over = media.save("a.gif", chunks(&[b"GIF89a", b"12345"])).await;
        assert!(matches!(over, Err(Error::TooLarge(_))), "{over:?}");
        let spoofed = media.save("a.png", chunks(&[b"GIF89a"])).await;
        assert!(matches!(spoofed, Err(Error::Invalid(_))), "{spoofed:?}");
        let empty = media.save("a.gif", chunks(&[b""])).await;
        assert!(matches!(empty, Err(Error::Invalid(_))), "{empty:?}");
        let broken = [Ok(Bytes::from_static(b"GIF89a")), Err(Error::Unavailable(None))];
        let broken = media.save("a.gif", stream::iter(broken)).await;
        assert!(matches!(broken, Err(Error::Unavailable(_))), "{broken:?}");
        assert!(files(dir.path()).is_empty(), "{:?}", files(dir.path()));
    }

    #[tokio::test]
    async fn a_spoofed_file_is_refused_before_the_rest_of_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let media = store(dir.path(), u64::MAX);
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(&[b'x'; 4096])));
        let answer = media.save("a.png", endless).await;
        assert!(matches!(answer, Err(Error::Invalid(_))), "{answer:?}");
    }

    #[tokio::test]
    async fn an_upload_dropped_half_way_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let media = store(dir.path(), 100);
        let silent = chunks(&[b"GIF89a"]).chain(stream::pending());
        {
            let mut upload = Box::pin(media.save("a.gif", silent));
            while files(dir.path()).is_empty() {
                assert!(futures_util::poll!(&mut upload).is_pending());
                tokio::task::yield_now().await;
            }
        }
        // What runs on a blocking thread right now removes its file when it ends.
        let removed = async {
            while !files(dir.path()).is_empty() {
                tokio::task::yield_now().await
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), removed).await.unwrap();
    }

    #[tokio::test]
    async fn a_disk_that_fails_is_a_fault_and_a_full_one_is_not() {
        assert!(matches!(
            disk_error(io::ErrorKind::StorageFull.into()),
            Error::Unavailable(Some(_))
        ));
        let dir = tempfile::tempdir().unwrap();
        let media = store(&dir.path().join("uploads"), 100);
        std::fs::remove_dir(dir.path().join("uploads")).unwrap();
        let answer = media.save("a.gif", chunks(&[b"GIF89a"])).await;
        assert!(matches!(answer, Err(Error::Internal(_))), "{answer:?}");
    }

    #[tokio::test]
    async fn opening_removes_what_a_crash_has_left_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (part, file) = PartFile::create(dir.path().into()).await.unwrap();
        for name in [".upload-left-by-a-crash", "old.gif", ".gitkeep"] {
            std::fs::write(dir.path().join(name), b"x").unwrap();
        }
        store(dir.path(), 100);
        let mut left = files(dir.path());
        left.sort();
        assert_eq!(left.len(), 3, "{left:?}");
        assert_eq!(left[0], ".gitkeep");
        assert!(part.is_at(&dir.path().join(&left[1])), "an upload in flight stays: {left:?}");
        assert_eq!(left[2], "old.gif");
        drop((part, file));
    }

    #[tokio::test]
    async fn a_message_may_name_a_file_that_is_there_or_any_absolute_url() {
        let dir = tempfile::tempdir().unwrap();
        let media = store(dir.path(), 100);
        std::fs::write(dir.path().join("old_photo.jpg"), b"x").unwrap();
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        for good in ["/uploads/old_photo.jpg", "uploads/old_photo.jpg", "https://a.example/b"] {
            media.check_url(good).await.unwrap();
        }
        for gone in ["/uploads/other.jpg", "/uploads/folder"] {
            let answer = media.check_url(gone).await;
            assert!(matches!(answer, Err(Error::NotFound(_))), "{gone}: {answer:?}");
        }
        for bad in ["/uploads/../Cargo.toml", "/etc/passwd", ""] {
            let answer = media.check_url(bad).await;
            assert!(matches!(answer, Err(Error::Invalid(_))), "{bad}: {answer:?}");
        }
    }
}
