//! Which files are allowed, and what their first bytes must be.

use crate::error::Error;

/// Bytes of a file that are looked at. The first `word/` entry of a docx, the farthest thing that
/// is looked for, comes after the package's own entries and perhaps a preview picture.
pub(super) const HEAD_BYTES: usize = 64 * 1024;

/// What an upload is, as clients are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A film.
    Video,
    /// A document.
    File,
    /// A sound.
    Audio,
}

impl MediaKind {
    /// The word that clients use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::File => "file",
            Self::Audio => "audio",
        }
    }
}

/// One kind of file that is allowed.
#[derive(Debug)]
pub(super) struct Format {
    /// In lower case, without the dot.
    pub(super) extension: &'static str,
    pub(super) kind: MediaKind,
    /// Whether the first [`HEAD_BYTES`] of a file (or all of it) are of this format.
    matches: fn(&[u8]) -> bool,
}

const FORMATS: [Format; 16] = [
    format("jpg", MediaKind::Image, |head| infers(head, "jpg")),
    format("jpeg", MediaKind::Image, |head| infers(head, "jpg")),
    format("png", MediaKind::Image, |head| infers(head, "png")),
    format("gif", MediaKind::Image, |head| infers(head, "gif")),
    format("webp", MediaKind::Image, |head| infers(head, "webp")),
    format("mp4", MediaKind::Video, is_mp4),
    format("mov", MediaKind::Video, is_mov),
    format("avi", MediaKind::Video, |head| infers(head, "avi")),
    format("pdf", MediaKind::File, |head| infers(head, "pdf")),
    format("doc", MediaKind::File, is_ole),
    format("docx", MediaKind::File, is_docx),
    format("mp3", MediaKind::Audio, is_mp3),
    format("wav", MediaKind::Audio, |head| infers(head, "wav")),
    format("ogg", MediaKind::Audio, |head| infers(head, "ogg")),
    format("m4a", MediaKind::Audio, is_m4a),
    format("webm", MediaKind::Audio, is_webm),
];

const fn format(extension: &'static str, kind: MediaKind, matches: fn(&[u8]) -> bool) -> Format {
    Format { extension, kind, matches }
}

impl Format {
    /// The format that a file's name claims; `None` is one that is not allowed.
    pub(super) fn of(filename: &str) -> Option<&'static Self> {
        let (_, extension) = filename.rsplit_once('.')?;
        FORMATS.iter().find(|format| format.extension.eq_ignore_ascii_case(extension))
    }

    /// Says which types are allowed.
    pub(super) fn not_allowed() -> Error {
        let allowed = FORMATS.map(|format| format.extension).join(", ");
        Error::Invalid(format!("File type not allowed. Allowed: {allowed}").into())
    }

    /// Holds a file's first bytes against its name.
    pub(super) fn check(&self, head: &[u8]) -> Result<(), Error> {
        if (self.matches)(head) {
            Ok(())
        } else {
            let text = format!("The content of the file is not {}", self.extension);
            Err(Error::Invalid(text.into()))
        }
    }
}

fn infers(head: &[u8], extension: &str) -> bool {
    infer::Infer::new().is(head, extension)
}

/// The major brand of an ISO base media file (ISO/IEC 14496-12): its first box is `ftyp`.
fn brand(head: &[u8]) -> Option<&[u8]> {
    (head.get(4..8)? == b"ftyp").then(|| head.get(8..12)).flatten()
}

fn is_mp4(head: &[u8]) -> bool {
    /// Brands of the same container that hold something else: QuickTime, sound, pictures.
    const NOT_VIDEO: [&[u8]; 9] =
        [b"qt  ", b"M4A ", b"M4B ", b"M4P ", b"heic", b"heix", b"mif1", b"avif", b"crx "];
    brand(head).is_some_and(|brand| !NOT_VIDEO.contains(&brand))
}

/// `ftyp` came late to QuickTime: an older file starts with one of its other atoms.
fn is_mov(head: &[u8]) -> bool {
    const FIRST_ATOMS: [&[u8]; 5] = [b"moov", b"mdat", b"wide", b"free", b"skip"];
    brand(head) == Some(b"qt  ") || head.get(4..8).is_some_and(|atom| FIRST_ATOMS.contains(&atom))
}

/// Voice recorders write brands of MP4 video too.
fn is_m4a(head: &[u8]) -> bool {
    matches!(brand(head), Some(b"M4A " | b"M4B " | b"M4P ")) || is_mp4(head)
}

/// EBML (RFC 8794) whose DocType is `webm`; Matroska proper differs in nothing else.
fn is_webm(head: &[u8]) -> bool {
    /// The EBML header is the first element, and short.
    const HEADER_BYTES: usize = 64;
    const DOC_TYPE: &[u8] = b"\x42\x82\x84webm";
    let header = &head[..head.len().min(HEADER_BYTES)];
    header.starts_with(b"\x1a\x45\xdf\xa3")
        && header.windows(DOC_TYPE.len()).any(|window| window == DOC_TYPE)
}

/// An ID3v2 tag, or a frame header of MPEG layer III (ISO/IEC 11172-3) with a bit rate and a
/// sampling rate that exist.
fn is_mp3(head: &[u8]) -> bool {
    match head {
        [b'I', b'D', b'3', ..] => true,
        [0xff, second, third, ..] => {
            second & 0b1110_0110 == 0b1110_0010
                && third & 0b1111_0000 != 0b1111_0000
                && third & 0b0000_1100 != 0b0000_1100
        }
        _ => false,
    }
}

/// A compound file ([MS-CFB]), the container of doc. What it contains can be said only from its
/// directory, which may be anywhere in the file.
fn is_ole(head: &[u8]) -> bool {
    head.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
}

/// A zip archive with an entry under `word/`.
fn is_docx(head: &[u8]) -> bool {
    /// A local file header starts with these and has the entry's name at byte 30.
    const ENTRY: &[u8] = b"PK\x03\x04";
    const NAME_AT: usize = 30;
    head.starts_with(ENTRY)
        && (0..head.len()).any(|at| {
            head[at..].starts_with(ENTRY)
                && head.get(at + NAME_AT..).is_some_and(|name| name.starts_with(b"word/"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn docx(first_entries: &[&str]) -> Vec<u8> {
        let entry = |name: &&str| [b"PK\x03\x04", &[0; 26][..], name.as_bytes()].concat();
        first_entries.iter().flat_map(entry).collect()
    }

    /// The first bytes of a real file of each format.
    fn samples() -> Vec<(&'static str, Vec<u8>)> {
        let ftyp = |brand: &str| [b"\0\0\0\x18ftyp", brand.as_bytes(), b"\0\0\x02\0"].concat();
        let word = ["[Content_Types].xml", "_rels/.rels", "word/document.xml"];
        let office = ["_rels/.rels", "docProps/app.xml", "docProps/thumbnail.jpeg", "word/x.xml"];
        vec![
            ("jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0".to_vec()),
            ("jpeg", b"\xff\xd8\xff\xe1\0\x10Exif\0".to_vec()),
            ("png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec()),
            ("gif", b"GIF89a\x01\0\x01\0".to_vec()),
            ("webp", b"RIFF\x24\0\0\0WEBPVP8 ".to_vec()),
            ("mp4", ftyp("isom")),
            ("mp4", ftyp("mp42")),
            ("mp4", ftyp("3gp5")),
            ("mov", ftyp("qt  ")),
            ("mov", b"\0\0\0\x08wide\0\0\x10\0mdat".to_vec()),
            ("avi", b"RIFF\x24\0\0\0AVI LIST".to_vec()),
            ("pdf", b"%PDF-1.7\n".to_vec()),
            ("doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0".to_vec()),
            ("docx", docx(&word)),
            ("docx", docx(&office)),
            ("mp3", b"ID3\x04\0\0".to_vec()),
            ("mp3", b"\xff\xfb\x90\x64".to_vec()),
            ("mp3", b"\xff\xf3\x40\xc4".to_vec()),
            ("wav", b"RIFF\x24\0\0\0WAVEfmt ".to_vec()),
            ("ogg", b"OggS\0\x02".to_vec()),
            ("m4a", ftyp("M4A ")),
            ("m4a", ftyp("mp42")),
            ("webm", b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm".to_vec()),
        ]
    }

    #[test]
    fn each_format_is_known_by_its_bytes() {
        for (extension, head) in samples() {
            let format = Format::of(&format!("a.{}", extension.to_uppercase())).unwrap();
            assert!(format.check(&head).is_ok(), "{extension}: {head:?}");
        }
        for format in &FORMATS {
            assert!(samples().iter().any(|(e, _)| *e == format.extension), "{}", format.extension);
        }
    }

    #[test]
    fn a_file_is_not_what_its_bytes_are_not() {
        // Pairs that share a container, where the bytes can't tell the two apart.
        let same = |a: &str, b: &str| {
            [("jpg", "jpeg"), ("mp4", "m4a")].iter().any(|p| *p == (a, b) || *p == (b, a))
        };
        for (extension, head) in samples() {
            for other in FORMATS.iter().filter(|o| o.extension != extension) {
                if !same(extension, other.extension) {
                    assert!(other.check(&head).is_err(), "{extension} as {}", other.extension);
                }
            }
        }
        let m4a = b"\0\0\0\x18ftypM4A \0\0\x02\0";
        assert!(Format::of("a.mp4").unwrap().check(m4a).is_err());
        let others: [&[u8]; 9] = [
            b"",
            b"\xff",
            b"<html><script>alert(1)</script>",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"\x7fELF\x02\x01\x01",
            b"MZ\x90\0",
            b"\xff\xfeh\0i\0",
            b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska",
            &docx(&["[Content_Types].xml", "_rels/.rels", "xl/workbook.xml"]),
        ];
        for head in others {
            for format in &FORMATS {
                assert!(format.check(head).is_err(), "{head:?} as {}", format.extension);
            }
        }
    }

    #[test]
    fn other_extensions_are_not_allowed() {
        for name in ["", "jpg", "a", "a.", "a.html", "a.svg", "a.jpg.exe", "a.jpg ", "a.jpg/", "é"]
        {
            assert!(Format::of(name).is_none(), "{name:?}");
        }
    }
}
