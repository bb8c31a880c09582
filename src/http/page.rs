//! The chat page, and the page that shows the description of the API. Their files are part of the
//! binary, so that they are there wherever it runs.

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::response::IntoResponse;
use axum::routing::get;

/// What the chat page may load: its own files, its own sockets, and pictures it is about to upload.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; \
     img-src 'self' blob: data: http: https:; media-src 'self' blob: http: https:; \
     object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

/// What the description's page may load: its own files, and what this server answers. The pictures
/// of its buttons are in its style sheet.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// The type of what is neither of the usual three.
const TEXT: &str = "text/plain; charset=utf-8";

macro_rules! files {
    ($(($path:literal, $file:literal, $kind:expr)),* $(,)?) => {
        /// Each file: where it is served, and where it comes from in `static/`.
        #[cfg(test)]
        const FILES: &[(&str, &str)] = &[$(($path, $file)),*];

        /// The routes of the pages' files.
        pub(super) fn routes() -> Router {
            Router::new()$(.route($path, get(|| async {
                serve($path, $kind, include_bytes!(concat!("../../static/", $file)))
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
    ("/docs", "docs/index.html", "text/html; charset=utf-8"),
    ("/docs/NOTICE.txt", "docs/NOTICE.txt", TEXT),
    ("/docs/main.js", "docs/main.js", "text/javascript; charset=utf-8"),
    ("/docs/swagger-ui-bundle.js", "docs/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    ("/docs/swagger-ui-bundle.js.LICENSE.txt", "docs/swagger-ui-bundle.js.LICENSE.txt", TEXT),
    ("/docs/swagger-ui.css", "docs/swagger-ui.css", "text/css; charset=utf-8"),
    ("/socket.io.min.js", "socket.io.min.js", "text/javascript; charset=utf-8"),
];

fn serve(path: &str, kind: &'static str, body: &'static [u8]) -> impl IntoResponse {
    let policy = if path.starts_with("/docs") { DOCS_POLICY } else { POLICY };
    let headers: [(HeaderName, &str); 5] = [
        (CONTENT_TYPE, kind),
        // A new version of the server brings a new page; it is small enough to be asked for.
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, policy),
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
