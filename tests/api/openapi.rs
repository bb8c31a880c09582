//! The document at `/openapi.json`, held against the routes, docs/ACCESS.md and real answers.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{BY_TOKEN, TestApp};
use crate::{access, schemas, sources};

/// Methods that a path's item may have.
const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// The document that a server gives.
pub(crate) struct Document(Value);

impl Document {
    pub(crate) async fn of(app: &TestApp) -> Self {
        let (status, document) = app.get("/openapi.json").await;
        assert_eq!(status, StatusCode::OK, "{document}");
        Self(document)
    }

    /// Each operation, by its `METHOD /path`.
    fn operations(&self) -> Vec<(String, &Value)> {
        let paths = self.0["paths"].as_object().unwrap();
        let of_path = |(path, item): (&String, &'_ Value)| {
            METHODS.map(|method| {
                (format!("{} {path}", method.to_uppercase()), item[method].is_object())
            })
        };
        let named = paths.iter().flat_map(of_path).filter(|(_, is_there)| *is_there);
        named.map(|(route, _)| (route.clone(), self.operation(&route))).collect()
    }

    fn operation(&self, route: &str) -> &Value {
        let (method, path) = route.split_once(' ').unwrap();
        &self.0["paths"][path][method.to_lowercase()]
    }

    /// What a reference leads to, or the value itself.
    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(place) => {
                let found = self.0.pointer(place.strip_prefix('#').unwrap());
                found.unwrap_or_else(|| panic!("{place} leads nowhere"))
            }
            None => value,
        }
    }

    /// What is wrong with an answer by the document; nothing, where it is as described. An answer
    /// may not have fields that the document does not name.
    pub(crate) fn fault(&self, route: &str, status: StatusCode, answer: &Value) -> Option<String> {
        let described = self.resolved(&self.operation(route)["responses"][status.as_str()]);
        if described.is_null() {
            return Some(format!("{route} answers {status}, which is not described"));
        }
        let schema = &described["content"]["application/json"]["schema"];
        if schema.is_null() {
            return None;
        }
        let faults = schemas::faults(&self.0, schema, answer, true);
        (!faults.is_empty()).then(|| format!("{route}: {status} {answer}: {}", faults.join("; ")))
    }
}

async fn in_both_modes() -> [(Document, bool); 2] {
    let open = Document::of(&TestApp::on_sqlite().await).await;
    let by_token = Document::of(&TestApp::with(BY_TOKEN).await).await;
    [(open, false), (by_token, true)]
}

#[tokio::test]
async fn the_document_has_the_routes_that_exist() {
    for (document, _) in in_both_modes().await {
        let described: BTreeSet<_> = document.operations().into_iter().map(|(r, _)| r).collect();
        assert_eq!(described, sources::api_routes(), "the document (left) and the code (right)");
    }
}

#[tokio::test]
async fn every_operation_is_described() {
    for (document, _) in in_both_modes().await {
        assert!(document.0["openapi"].as_str().unwrap().starts_with("3.1."));
        assert_eq!(document.0["info"]["version"], json!(env!("CARGO_PKG_VERSION")));
        let tags: BTreeSet<_> = document.0["tags"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tag| &tag["name"])
            .map(text)
            .collect();
        let mut ids = BTreeSet::new();
        for (route, operation) in document.operations() {
            assert!(
                ids.insert(text(&operation["operationId"])),
                "{route}: its id is another one's"
            );
            assert!(!text(&operation["summary"]).is_empty(), "{route} has no summary");
            let of = operation["tags"].as_array().unwrap();
            assert!(of.len() == 1 && tags.contains(text(&of[0])), "{route}: {of:?}");
            let answers = operation["responses"].as_object().unwrap();
            let succeeds = |status: &String| status.starts_with('2') || status == "101";
            assert!(answers.keys().any(succeeds), "{route} never succeeds");
            for (status, answer) in answers {
                let words = text(&document.resolved(answer)["description"]);
                assert!(!words.is_empty(), "{route}: {status}");
            }
            let parameters = operation["parameters"].as_array();
            let parameters: Vec<_> = parameters.into_iter().flatten().collect();
            for parameter in &parameters {
                assert!(!text(&parameter["description"]).is_empty(), "{route}: {parameter}");
            }
            let in_path = parameters.iter().filter(|p| p["in"] == json!("path"));
            let in_path: BTreeSet<_> = in_path.map(|p| text(&p["name"]).to_owned()).collect();
            let path = route.split('{').skip(1).map(|rest| rest.split('}').next().unwrap());
            assert_eq!(in_path, path.map(str::to_owned).collect(), "{route}");
            let takes_something = !parameters.is_empty() || operation["requestBody"].is_object();
            let is_socket = answers.contains_key("101");
            assert_eq!(answers.contains_key("422"), takes_something && !is_socket, "{route}");
        }
        assert!(ids.len() > 50, "{ids:?}");
        assert!(schemas::resolve_all(&document.0) > 100);
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[tokio::test]
async fn who_needs_a_token_is_as_the_table_says() {
    for (document, by_token) in in_both_modes().await {
        let table = access::table("Routes");
        for (route, operation) in document.operations() {
            let schemes = operation["security"].as_array().into_iter().flatten();
            let schemes: BTreeSet<_> =
                schemes.flat_map(|s| s.as_object().unwrap().keys()).collect();
            let is_operators = operation["tags"] == json!(["operators"]);
            // The last column is the one of who brings no token.
            let needs_one = table[&route].last().unwrap() == "401" && by_token;
            let expected = match (is_operators, needs_one) {
                (true, _) => Some("admin_token"),
                (false, true) => Some("token"),
                (false, false) if route.ends_with("/logout") => Some("token"),
                (false, false) => None,
            };
            assert!(schemes.iter().copied().eq(expected), "{route}: {schemes:?}");
        }
    }
}

#[tokio::test]
async fn where_sign_in_is_open_who_asks_must_be_named() {
    for (document, by_token) in in_both_modes().await {
        let parameters = document.operation("GET /threads/{message_id}")["parameters"].as_array();
        let who = parameters.unwrap().iter().find(|p| p["name"] == json!("user_id")).unwrap();
        assert_eq!(who["required"], json!(!by_token), "{who}");
        let body = &document.0["components"]["schemas"]["GroupChange"]["required"];
        let is_required = body.as_array().is_some_and(|r| r.contains(&json!("admin_id")));
        assert_eq!(is_required, !by_token, "{body}");
    }
}

#[tokio::test]
async fn who_has_the_document_is_told_that_it_is_the_same() {
    let app = TestApp::on_sqlite().await;
    let http = crate::web::client();
    let url = format!("http://{}/openapi.json", app.addr);
    let first = http.get(&url).send().await.unwrap();
    assert_eq!(first.headers()["content-type"], "application/json");
    let tag = first.headers()["etag"].clone();
    for (known, expected) in
        [(tag.to_str().unwrap(), StatusCode::NOT_MODIFIED), ("W/\"other\"", StatusCode::OK)]
    {
        let again = http.get(&url).header("if-none-match", known).send().await.unwrap();
        assert_eq!(again.status(), expected);
        assert_eq!(again.headers()["etag"], tag);
    }
}

#[tokio::test]
async fn the_page_of_the_document_loads_nothing_from_elsewhere() {
    let app = TestApp::on_sqlite().await;
    let files = sources::page_files().into_iter().filter(|path| path.starts_with("/docs"));
    let files: Vec<_> = files.collect();
    assert!(files.len() > 3, "{files:?}");
    for path in files {
        let answer = crate::web::get(format!("http://{}{path}", app.addr)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        for part in policy.split(';') {
            let sources = part.split_whitespace().skip(1);
            let own = ["'self'", "'none'", "data:"];
            sources.for_each(|source| assert!(own.contains(&source), "{path}: {policy}"));
        }
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
    }
    let (_, page) = app.request(Method::GET, "/docs").await;
    let page = page.as_str().unwrap();
    assert!(page.contains("/docs/main.js") && !page.contains("//"), "{page}");
}
