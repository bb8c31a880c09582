//! Uploads and downloads through their routes.

use std::path::Path as FilePath;

use axum::Extension;
use axum::http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::auth::Caller;
use crate::media::Config;

const GIF: &[u8] = b"GIF89a0123456789";

struct Server {
    dir: tempfile::TempDir,
    app: Router,
}

impl Server {
    fn new(max_upload_size: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { upload_dir: dir.path().into(), max_upload_size };
        let media = MediaStore::open(&config).unwrap();
        let app = posts(media.clone()).merge(gets(media)).layer(Extension(Caller::Anybody));
        Self { dir, app }
    }

    async fn send(&self, request: Request) -> (StatusCode, HeaderMap, Bytes) {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        (head.status, head.headers, body.collect().await.unwrap().to_bytes())
    }

    async fn post(&self, body: impl Into<Body>) -> (StatusCode, Value) {
        let (status, _, body) = self.send(form_request("/upload/", body.into())).await;
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn get(&self, uri: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Bytes) {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    fn put(&self, name: &str, content: &[u8]) {
        std::fs::write(self.dir.path().join(name), content).unwrap();
    }

    fn files(&self) -> usize {
        count(self.dir.path())
    }
}

fn count(dir: &FilePath) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

fn form_request(uri: &str, body: Body) -> Request {
    let form = "multipart/form-data; boundary=XX";
    Request::post(uri).header(header::CONTENT_TYPE, form).body(body).unwrap()
}

fn part_head(field: &str, filename: &str) -> String {
    format!(
        "--XX\r\nContent-Disposition: form-data; name=\"{field}\"; \
         filename=\"{filename}\"\r\n\r\n"
    )
}

fn form(field: &str, filename: &str, content: &[u8]) -> Vec<u8> {
    [part_head(field, filename).as_bytes(), content, b"\r\n--XX--\r\n"].concat()
}

#[tokio::test]
async fn an_upload_is_answered_with_its_address_and_can_be_fetched() {
    let server = Server::new(100);
    for uri in ["/upload/", "/upload"] {
        let request = form_request(uri, form("file", "C:\\pics\\Ü 1.GIF", GIF).into());
        let (status, _, body) = server.send(request).await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status, StatusCode::OK, "{body}");
        let url = body["url"].as_str().unwrap().to_owned();
        let expected = json!({
            "url": url, "content_type": "image", "filename": "Ü 1.GIF", "size": GIF.len(),
        });
        assert_eq!(body, expected);
        let (status, headers, content) = server.get(&url, &[]).await;
        assert_eq!((status, &content[..]), (StatusCode::OK, GIF));
        assert_eq!(headers["content-type"], "image/gif");
    }
    assert_eq!(server.files(), 2);
}

#[tokio::test]
async fn each_kind_is_named_by_its_word() {
    let server = Server::new(100);
    let files: [(&str, &[u8], &str); 4] = [
        ("a.png", b"\x89PNG\r\n\x1a\n", "image"),
        ("a.mov", b"\0\0\0\x14ftypqt  ", "video"),
        ("a.pdf", b"%PDF-1.7", "file"),
        ("a.webm", b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm", "audio"),
    ];
    for (filename, content, kind) in files {
        let (status, body) = server.post(form("file", filename, content)).await;
        assert_eq!((status, &body["content_type"]), (StatusCode::OK, &json!(kind)), "{body}");
    }
}

#[tokio::test]
async fn what_is_not_allowed_is_400_and_leaves_nothing() {
    let server = Server::new(100);
    for (filename, content) in
        [("a.exe", GIF), ("a.html", b"<html>"), ("a.png", GIF), ("a", GIF), ("a.gif", b"")]
    {
        let (status, body) = server.post(form("file", filename, content)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{filename}");
        assert!(body["detail"].is_string(), "{body}");
    }
    let cut = part_head("file", "a.gif") + "GIF89a";
    let (status, _) = server.post(cut).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(server.files(), 0);
}

#[tokio::test]
async fn a_file_over_the_limit_is_413_and_leaves_nothing() {
    let server = Server::new(GIF.len() as u64);
    assert_eq!(server.post(form("file", "a.gif", GIF)).await.0, StatusCode::OK);
    let over = [GIF, b"x"].concat();
    let (status, body) = server.post(form("file", "a.gif", &over)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(body, json!({ "detail": "The file is over the limit of 16 bytes" }));
    assert_eq!(server.files(), 1);
}

#[tokio::test]
async fn a_form_without_the_file_is_422() {
    let server = Server::new(100);
    let missing = json!({
        "detail": [{ "loc": ["body", "file"], "msg": "Field required", "type": "missing" }],
    });
    for body in [form("other", "a.gif", GIF), b"--XX--\r\n".to_vec()] {
        assert_eq!(server.post(body).await, (StatusCode::UNPROCESSABLE_ENTITY, missing.clone()));
    }
    let json_body = Request::post("/upload/").header("content-type", "application/json");
    let (status, _, body) = server.send(json_body.body("{}".into()).unwrap()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), missing);
    let text = "--XX\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nGIF89a\r\n--XX--\r\n";
    let (status, body) = server.post(text).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(body["detail"][0]["type"], "value_error");
}

#[tokio::test]
async fn other_fields_are_skipped() {
    let server = Server::new(100);
    let first = part_head("caption", "c.txt") + "hello\r\n";
    let last = part_head("more", "m.txt") + "world\r\n--XX--\r\n";
    let file = part_head("file", "a.gif") + "GIF89a\r\n";
    let (status, body) = server.post(first + &file + &last).await;
    assert_eq!((status, &body["size"]), (StatusCode::OK, &json!(6)), "{body}");
}

/// Counts the bytes that are taken from an endless body.
fn endless(head: String, chunk: &'static [u8]) -> (Body, Arc<AtomicU64>) {
    let taken = Arc::new(AtomicU64::new(0));
    let counter = taken.clone();
    let chunks = stream::repeat_with(move || {
        counter.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        Ok::<_, axum::Error>(Bytes::from_static(chunk))
    });
    (Body::from_stream(stream::iter([Ok(Bytes::from(head))]).chain(chunks)), taken)
}

#[tokio::test]
async fn a_part_whose_head_never_ends_is_cut_off() {
    let server = Server::new(1 << 40);
    for head in ["--XX\r\nX-Header: ".to_owned(), part_head("other", "o.txt"), String::new()] {
        let (body, taken) = endless(head, &[b'x'; 4096]);
        let (status, body) = server.post(body).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{body}");
        assert!(taken.load(Ordering::Relaxed) <= FRAMING_BYTES + 2 * 4096);
    }
}

#[tokio::test]
async fn an_endless_file_is_answered_after_a_bounded_rest() {
    let server = Server::new(1 << 20);
    let (body, taken) = endless(part_head("file", "a.gif") + "GIF89a", &[0; 64 * 1024]);
    let (status, _) = server.post(body).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(taken.load(Ordering::Relaxed) <= (1 << 20) + DISCARD_BYTES + 4 * 64 * 1024);
    assert_eq!(server.files(), 0);
}

#[tokio::test]
async fn a_large_file_is_on_disk_while_it_arrives_not_in_memory() {
    const CHUNK: usize = 256 * 1024;
    const CHUNKS: u64 = 256;
    let server = Server::new(u64::MAX);
    let dir = server.dir.path().to_owned();
    let chunks = stream::iter(0..CHUNKS).map(move |sent| {
        let on_disk: u64 = std::fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        // tokio's file holds one write of at most 2 MiB, the parser and the pipe little more.
        let in_memory = sent * CHUNK as u64 - on_disk.min(sent * CHUNK as u64);
        assert!(in_memory <= 4 << 20, "{in_memory} bytes are in memory");
        Ok::<_, axum::Error>(Bytes::from_static(&[0; CHUNK]))
    });
    let head = part_head("file", "a.mp4") + "\0\0\0\x18ftypisom";
    let body = stream::iter([Ok(head.into())])
        .chain(chunks)
        .chain(stream::iter([Ok("\r\n--XX--\r\n".into())]));
    let (status, answer) = server.post(Body::from_stream(body)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["size"], json!(CHUNKS * CHUNK as u64 + 12));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_upload_is_given_up() {
    let server = Server::new(100);
    let start = Bytes::from(part_head("file", "a.gif") + "GIF89a");
    let silent = stream::iter([Ok::<_, axum::Error>(start)]).chain(stream::pending());
    let (status, body) = server.post(Body::from_stream(silent)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(body["detail"], "The upload has stalled");
    assert_eq!(server.files(), 0);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    let server = Server::new(100);
    let start = Bytes::from(part_head("file", "a.gif") + "GIF89a");
    let silent = stream::iter([Ok::<_, axum::Error>(start)]).chain(stream::pending());
    let request = form_request("/upload/", Body::from_stream(silent));
    let mut answer = Box::pin(server.app.clone().oneshot(request));
    while server.files() == 0 {
        assert!(futures_util::poll!(&mut answer).is_pending());
        tokio::task::yield_now().await;
    }
    drop(answer);
    // What runs on a blocking thread right now removes its file when it ends.
    let removed = async {
        while server.files() > 0 {
            tokio::task::yield_now().await
        }
    };
    timeout(Duration::from_secs(10), removed).await.expect("the file is removed");
}

#[tokio::test]
async fn byte_ranges_are_served() {
    let server = Server::new(100);
    server.put("a.mp4", b"0123456789");
    let ranges: [(&str, &[u8], &str); 3] = [
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
    ];
    for (range, expected, content_range) in ranges {
        let (status, headers, body) = server.get("/uploads/a.mp4", &[("range", range)]).await;
        assert_eq!((status, &body[..]), (StatusCode::PARTIAL_CONTENT, expected), "{range}");
        assert_eq!(headers["content-range"], content_range);
    }
    let (status, headers, _) = server.get("/uploads/a.mp4", &[("range", "bytes=10-")]).await;
    assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(headers["content-range"], "bytes */10");
    assert!(!headers.contains_key("cache-control"));
    let many = [("range", "bytes=0-1,3-4")];
    let (status, _, body) = server.get("/uploads/a.mp4", &many).await;
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"0123456789"[..]));
}

#[tokio::test]
async fn a_file_is_cached_for_ever_and_revalidated_by_its_tag() {
    let server = Server::new(100);
    server.put("a.png", b"0123456789");
    let (_, headers, _) = server.get("/uploads/a.png", &[]).await;
    assert_eq!(headers["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(headers["accept-ranges"], "bytes");
    assert!(headers.contains_key("last-modified"));
    let tag = headers["etag"].to_str().unwrap();
    let (status, _, body) = server.get("/uploads/a.png", &[("if-none-match", tag)]).await;
    assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0));

    let head = Request::builder().method(Method::HEAD).uri("/uploads/a.png");
    let (status, headers, body) = server.send(head.body(Body::empty()).unwrap()).await;
    assert_eq!((status, body.len()), (StatusCode::OK, 0));
    assert_eq!(headers["content-length"], "10");
}

#[tokio::test]
async fn only_what_a_browser_cannot_run_is_shown_inline() {
    let server = Server::new(100);
    for name in ["a.jpg", "a.webp", "a.mp4", "a.webm", "a.mp3", "a.m4a", "a.pdf"] {
        server.put(name, b"x");
        let (_, headers, _) = server.get(&format!("/uploads/{name}"), &[]).await;
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(!headers.contains_key("content-disposition"), "{name}");
    }
    for name in ["a.html", "a.svg", "a.xml", "a.js", "a.docx", "a.doc", "a.txt", "a", "a.swf"] {
        server.put(name, b"x");
        let (status, headers, _) = server.get(&format!("/uploads/{name}"), &[]).await;
        assert_eq!(status, StatusCode::OK, "{name}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["content-disposition"], "attachment", "{name}");
        assert_eq!(headers["content-security-policy"], "sandbox; default-src 'none'");
    }
}

#[tokio::test]
async fn nothing_else_is_served() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    let server = Server::new(100);
    server.put(".upload-1", b"x");
    server.put(".env", b"x");
    std::fs::create_dir(server.dir.path().join("folder")).unwrap();
    std::os::unix::fs::symlink(outside.path(), server.dir.path().join("link.gif")).unwrap();
    let absolute = outside.path().display().to_string().replace('/', "%2f");
    for name in [
        "gone.gif",
        "folder",
        "link.gif",
        ".upload-1",
        ".env",
        "%2eenv",
        "..",
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "..%5c..%5cwindows",
        "a%00.gif",
        "%ff.gif",
        &absolute,
    ] {
        let (status, headers, body) = server.get(&format!("/uploads/{name}"), &[]).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{name}");
        assert_eq!(body, &br#"{"detail":"File not found"}"#[..], "{name}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
    }
}

#[test]
fn a_clients_name_is_cut_to_its_last_component() {
    for (given, kept) in [
        ("a.gif", "a.gif"),
        ("/home/me/a.gif", "a.gif"),
        ("..\\..\\a.gif", "a.gif"),
        ("a\r\n\0b.gif", "ab.gif"),
        ("dir/", ""),
    ] {
        assert_eq!(base_name(given), kept);
    }
    let long = base_name(&format!("{}.docx", "ü".repeat(300)));
    assert!(long.len() <= 255 && long.ends_with("ü.docx"), "{long}");
    assert!(base_name(&format!("a.{}", "x".repeat(300))).len() <= 255);
}
