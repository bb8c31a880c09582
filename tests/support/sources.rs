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

/// The routes of the code, each as `METHOD /path`.
pub(crate) fn routes() -> BTreeSet<String> {
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
    let page = between("src/http/page.rs", "files![", "];");
    let paths = page.lines().filter_map(|line| line.trim().strip_prefix("(\""));
    routes.extend(paths.map(|path| format!("GET {}", path.split('"').next().unwrap())));
    routes
}
