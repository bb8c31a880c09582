// The smallest files of each allowed type: what a server can tell a file by, then zeros.

const ftyp = (brand) => ["\0\0\0\x18ftyp", brand, "\0\0\0\0", brand, "isom"];
const riff = (form) => ["RIFF\xf8\x01\0\0", form];

// A zip archive's local header of an empty entry (its checksum and sizes are 0).
const zipEntry = (name) => `PK\x03\x04\x14${"\0".repeat(21)}${String.fromCharCode(name.length)}\0\0\0${name}`;
const docx = ["[Content_Types].xml", "_rels/.rels", "word/document.xml", "word/styles.xml"].map(zipEntry);

// A whole picture, so that a browser can show it: one grey pixel.
export const png = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg==",
  "base64",
);

function file(...parts) {
  return Buffer.concat([Buffer.from(parts.flat().join(""), "latin1"), Buffer.alloc(512)]);
}

// [extension, content_type of the answer to the upload, bytes]
export const files = [
  ["jpg", "image", file("\xff\xd8\xff\xe0\0\x10JFIF\0")],
  ["jpeg", "image", file("\xff\xd8\xff\xe1\0\x10Exif\0")],
  ["png", "image", png],
  ["gif", "image", file("GIF89a\x01\0\x01\0")],
  ["webp", "image", file(riff("WEBPVP8 "))],
  ["mp4", "video", file(ftyp("mp42"))],
  ["mov", "video", file(ftyp("qt  "))],
  ["avi", "video", file(riff("AVI LIST"))],
  ["pdf", "file", file("%PDF-1.4\n")],
  ["doc", "file", file("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")],
  ["docx", "file", file(docx)],
  ["mp3", "audio", file("ID3\x03\0\0\0\0\0\0")],
  ["wav", "audio", file(riff("WAVEfmt "))],
  ["ogg", "audio", file("OggS\0\x02")],
  ["m4a", "audio", file(ftyp("M4A "))],
  ["webm", "audio", file("\x1a\x45\xdf\xa3\x87\x42\x82\x84webm")],
];
