//! How uploads are named, on disk and in messages.

use std::fmt;

use uuid::Uuid;

/// The name of an uploaded file: letters, digits, `.`, `_` and `-`, not starting with a dot. No
/// such name leads out of its directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MediaName(String);

impl MediaName {
    /// Longest name that file systems take, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Checks a name from outside; `None` can't be the name of an upload.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let fits = (1..=Self::MAX_BYTES).contains(&text.len());
        let is_name = fits && !text.starts_with('.') && text.bytes().all(plain);
        is_name.then(|| Self(text.to_owned()))
    }

    pub(super) fn mint(extension: &str) -> Self {
        Self(format!("{}.{extension}", Uuid::new_v4()))
    }

    /// Whether this server made the name for an upload: a UUID and an extension.
    pub(super) fn is_minted(&self) -> bool {
        let parts = self.0.split_once('.');
        parts.is_some_and(|(id, _)| Uuid::try_parse(id).is_ok_and(|uuid| uuid.to_string() == id))
    }

    /// The ways in which a message may name it as its `media_url`: see [`MediaUrl::parse`].
    pub fn urls(&self) -> [String; 2] {
        [self.url(), format!("uploads/{self}")]
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address under which clients find it: `/uploads/<name>`.
    pub fn url(&self) -> String {
        format!("/uploads/{self}")
    }
}

impl fmt::Display for MediaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a message says its media file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaUrl {
    /// In our uploads: `/uploads/<name>` or `uploads/<name>`.
    Ours(MediaName),
    /// On another server: an absolute `http` or `https` URL. Nobody looks whether it is there.
    Elsewhere,
}

/// A text that is no [`MediaUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "media_url is /uploads/<file> or an http(s) URL, of up to {max} bytes",
    max = MediaUrl::MAX_BYTES
)]
pub struct InvalidMediaUrl;

impl MediaUrl {
    /// Longest URL, in bytes: it is stored in each message.
    pub const MAX_BYTES: usize = 2048;

    /// Reads the `media_url` of a message.
    pub fn parse(text: &str) -> Result<Self, InvalidMediaUrl> {
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidMediaUrl);
        }
        if let Some(name) = text.strip_prefix('/').unwrap_or(text).strip_prefix("uploads/") {
            return MediaName::parse(name).map(Self::Ours).ok_or(InvalidMediaUrl);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidMediaUrl)?;
        let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        let has_host = rest.starts_with(|c: char| c.is_alphanumeric() || c == '[');
        let is_clean = !rest.contains(|c: char| c.is_control() || c.is_whitespace());
        if is_web && has_host && is_clean { Ok(Self::Elsewhere) } else { Err(InvalidMediaUrl) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_is_ours_or_elsewhere_or_refused() {
        let ours = MediaName::parse("5a0d6c1e.jpg").unwrap();
        for url in ["/uploads/5a0d6c1e.jpg", "uploads/5a0d6c1e.jpg"] {
            assert_eq!(MediaUrl::parse(url), Ok(MediaUrl::Ours(ours.clone())), "{url}");
        }
        assert_eq!(ours.url(), "/uploads/5a0d6c1e.jpg");
        for url in ["http://a.example/x.png", "HTTPS://[::1]/x?y#z", "https://бот.example/"] {
            assert_eq!(MediaUrl::parse(url), Ok(MediaUrl::Elsewhere), "{url}");
        }
        let long = format!("https://a.example/{}", "x".repeat(MediaUrl::MAX_BYTES));
        for url in [
            "",
            "/",
            "/uploads/",
            "//uploads/a.jpg",
            "/uploads/.upload-1",
            "/uploads/../a.jpg",
            "/uploads/%2e%2e/a.jpg",
            "/uploads/a/b.jpg",
            "/uploads/a\\b.jpg",
            "/uploads/a.jpg\0",
            "/uploads/a.jpg?x=1",
            "a.jpg",
            "javascript://alert(1)",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "https://",
            "https:///x",
            "https://a example/",
            "https://a.example/\n",
            &long,
        ] {
            assert_eq!(MediaUrl::parse(url), Err(InvalidMediaUrl), "{url}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_one_plain_component_of_a_path(text in "[./\\\\a%\u{0}-]{0,12}|\\PC{0,300}") {
            if let Some(name) = MediaName::parse(&text) {
                let path = std::path::Path::new(name.as_str());
                let parts: Vec<_> = path.components().collect();
                prop_assert_eq!(parts, [std::path::Component::Normal(text.as_ref())]);
                prop_assert!(!text.starts_with('.'));
            }
        }
    }
}
