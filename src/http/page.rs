//! The chat page. Its files are part of the binary, so that the page is there wherever it runs.

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::response::IntoResponse;
use axum::routing::get;

/// What the page may load: its own files, its own sockets, and pictures it is about to upload.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; \
     img-src 'self' blob: data: http: https:; media-src 'self' blob: http: https:; \
     object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

macro_rules! files {
    ($(($path:literal, $file:literal, $kind:literal)),* $(,)?) => {
        /// Each file: where it is served, and where it comes from in `static/`.
        #[cfg(test)]
        const FILES: &[(&str, &str)] = &[$(($path, $file)),*];

        /// The routes of the page's files.
        pub(super) fn routes() -> Router {
            Router::new()$(.route($path, get(|| async {
                serve($kind, include_bytes!(concat!("../../static/", $file)))
            })))*
        }
    };
}

files![
    ("/", "index.html", "text/html; charset=utf-8"),
    ("/app/api.js", "app/api.js", "text/javascript; charset=utf-8"),
    ("/app/forms.js", "app/forms.js", "text/javascript; charset=utf-8"),
    ("/app/http.js", "app/http.js", "text/javascript; charset=utf-8"),
    ("/app/icon.svg", "app/icon.svg", "image/svg+xml"),
    ("/app/main.js", "app/main.js", "text/javascript; charset=utf-8"),
    ("/app/people.js", "app/people.js", "text/javascript; charset=utf-8"),
    ("/app/session.js", "app/session.js", "text/javascript; charset=utf-8"),
    ("/app/sign_in.js", "app/sign_in.js", "text/javascript; charset=utf-8"),
    ("/app/style.css", "app/style.css", "text/css; charset=utf-8"),
    ("/app/view.js", "app/view.js", "text/javascript; charset=utf-8"),
    ("/socket.io.min.js", "socket.io.min.js", "text/javascript; charset=utf-8"),
];

fn serve(kind: &'static str, body: &'static [u8]) -> impl IntoResponse {
    let headers: [(HeaderName, &str); 5] = [
        (CONTENT_TYPE, kind),
        // A new version of the server brings a new page; it is small enough to be asked for.
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers, body)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn files_below(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries
            .flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] })
            .collect()
    }

    #[test]
    fn every_file_of_the_page_is_served() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("static");
        for path in files_below(&root) {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
            assert!(FILES.iter().any(|(_, file)| *file == name), "static/{name} has no route");
        }
    }
}
