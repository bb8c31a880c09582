//! The routes and events that the sources name.
#![allow(dead_code, reason = "each test binary uses the part it needs")]
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A file of the crate.
pub(crate) fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands between two texts in a file of the crate.
pub(crate) fn between(path: &str, start: &str, end: &str) -> String {
    let text = read(path);
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("no {start:?} in {path}"));
    rest.split_once(end).unwrap_or_else(|| panic!("no {end:?} after {start:?} in {path}")).0.into()
}

/// Every second piece of a text: what stands between two of the same mark.
pub(crate) fn quoted(text: &str, mark: char) -> BTreeSet<String> {
    text.split(mark).skip(1).step_by(2).map(str::to_owned).collect()
}

/// The names of the events that clients are told of.
pub(crate) fn server_events() -> BTreeSet<String> {
    let mut names = quoted(&between("src/wire/told.rs", "pub fn name(", "\n}"), '"');
    names.extend(quoted(&between("src/realtime/handlers.rs", "let said =", "};"), '"'));
    names
}

/// The codes of the errors that clients get.
pub(crate) fn error_codes() -> BTreeSet<String> {
    quoted(&between("src/error.rs", "pub fn as_str(self)", "\n    }"), '"')
}

/// The routes of the code, each as `METHOD /path`, with the files of its pages.
pub(crate) fn routes() -> BTreeSet<String> {
    let mut routes = api_routes();
    routes.extend(page_files().iter().map(|path| format!("GET {path}")));
    routes
}

/// The paths of the files that make up the pages.
pub(crate) fn page_files() -> Vec<String> {
    let page = between("src/http/page.rs", "files![", "];");
    let paths = page.lines().filter_map(|line| line.trim().strip_prefix("(\""));
    paths.map(|path| path.split('"').next().unwrap().to_owned()).collect()
}

/// The same without these: what programs use.
pub(crate) fn api_routes() -> BTreeSet<String> {
    let mut routes = BTreeSet::new();
    for path in ["src/http/mod.rs", "src/http/uploads.rs"] {
        let code = read(path);
        let code = code.split("\n#[cfg(test)]").next().unwrap();
        for route in code.split(".route(").skip(1) {
            let (path, handlers) = route.trim_start().split_once("\",").unwrap();
            let path = path.strip_prefix('"').unwrap();
            let handlers = handlers.split("\n        .").next().unwrap();
            for method in ["get", "post", "put", "patch", "delete"] {
                if handlers.contains(&format!("{method}(")) {
                    routes.insert(format!("{} {path}", method.to_uppercase()));
                }
            }
        }
    }
    let sockets = read("src/app.rs");
    let sockets = sockets.split(".route_service(\"").skip(1).map(|route| route.split('"').next());
    routes.extend(
        sockets.flatten().filter(|path| *path != "/socket.io/").map(|p| format!("GET {p}")),
    );
    routes
}
