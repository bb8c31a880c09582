//! Who may do what: walks docs/ACCESS.md, asking everything as everybody.

use std::collections::{BTreeMap, BTreeSet};

use banter::wire::events::CLIENT_EVENTS;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{PASSWORD, Person, TestApp, sent, to_group};
use crate::openapi::Document;
use crate::sio::Client;
use crate::ws::Plain;
use crate::{on_both_stores, sources};

on_both_stores! { with crate::app::BY_TOKEN;
    every_route_answers_everybody_as_the_table_says,
    every_event_answers_everybody_as_the_table_says,
    nobody_acts_as_somebody_else,
}

/// The columns of the table.
const ROLES: [&str; 6] = ["owner", "admin", "member", "former", "stranger", "anonymous"];

/// The rows of a section: what is asked, and a cell for each role.
pub(crate) fn table(section: &str) -> BTreeMap<String, Vec<String>> {
    let text = sources::read("docs/ACCESS.md");
    let section = text.split(&format!("\n## {section}\n")).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (asked, cells) = row.split_once("` |").unwrap();
        let cells = cells.trim_end_matches('|').split('|').map(|cell| cell.trim().to_owned());
        (asked.to_owned(), cells.collect())
    })
    .collect()
}

/// Routes whose `id` is a message's.
const OF_MESSAGES: [&str; 5] = [
    "PUT /api/messages/{id}",
    "DELETE /api/messages/{id}",
    "POST /api/messages/{id}/react",
    "GET /api/messages/{id}/thread",
    "GET /api/messages/{id}/edits",
];

/// Where plain WebSockets connect.
const PLAIN_SOCKETS: [&str; 3] = ["/ws", "/ws/{user_id}", "/api/ws/{room_id}"];

/// People, one of each kind, and a group that they are to a different degree in.
struct World {
    people: BTreeMap<&'static str, Person>,
    socket: Client,
    groups: usize,
}

/// What a request acts on.
struct Place {
    name: String,
    group: String,
    message: String,
    invitation: String,
}

impl World {
    async fn new(app: &TestApp) -> Self {
        let mut people = BTreeMap::new();
        for name in ["owner", "admin", "member", "former", "stranger", "second"] {
            people.insert(name, app.sign_up(name).await);
        }
        let socket = app.socket(&people["member"]).await;
        Self { people, socket, groups: 0 }
    }

    fn id(&self, role: &str) -> &str {
        // Who asks without a token may still name somebody.
        let role = if role == "anonymous" { "stranger" } else { role };
        &self.people[role].id
    }

    fn token(&self, role: &str) -> Option<&str> {
        self.people.get(role).map(|person| &*person.access)
    }

    async fn as_owner(&self, app: &TestApp, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = app.ask(self.token("owner"), method, path, Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    /// A new group, with a message of the plain member.
    async fn place(&mut self, app: &TestApp) -> Place {
        self.groups += 1;
        let name = format!("club {}", self.groups);
        let members = ["owner", "admin", "member", "former", "second"].map(|role| self.id(role));
        let new = json!({"name": name, "member_ids": members});
        let group = self.as_owner(app, Method::POST, "/groups/", new).await;
        let group = group["_id"].as_str().unwrap().to_owned();
        let role = format!("/groups/{group}/members/{}/role", self.id("admin"));
        self.as_owner(app, Method::PUT, &role, json!({"role": "admin"})).await;
        let removal = format!("/groups/{group}/remove?user_id={}", self.id("former"));
        self.as_owner(app, Method::POST, &removal, json!({})).await;
        let links = format!("/groups/{group}/invitations");
        let invitation = self.as_owner(app, Method::POST, &links, json!({})).await;
        let invitation = invitation["token"].as_str().unwrap().to_owned();
        let message = sent(&mut self.socket, to_group(&group, "hello")).await;
        Place { name, group, message, invitation }
    }

    /// The path and body with which somebody asks for a route.
    fn request(&self, route: &str, place: &Place, role: &str) -> (String, Option<Value>) {
        let Place { name, group, message, invitation } = place;
        let (me, second) = (self.id(role), self.id("second"));
        let pattern = route.split_once(' ').unwrap().1;
        let path = pattern
            .replace("{user_id}/block/{other_id}", &format!("{me}/block/{second}"))
            .replace("members/{user_id}", &format!("members/{second}"))
            .replace("/admin/users/{user_id}", "/admin/users/newcomer")
            .replace("/group/{group_id}/{user_id}", &format!("/group/{group}/newcomer"))
            .replace("{user_id}", me)
            .replace("{other_id}", group)
            .replace("{group_id}", group)
            .replace("{message_id}", message)
            .replace("{room_id}", group)
            .replace("{user1_id}", me)
            .replace("{user2_id}", second)
            .replace("{token}", invitation)
            .replace("{name}", name);
        let path = match route {
            "GET /groups/{id}" => path.replace("{id}", me),
            _ if OF_MESSAGES.contains(&route) => path.replace("{id}", message),
            _ => path.replace("{id}", group),
        };
        let query = match pattern {
            "/messages/{user_id}/{other_id}" | "/pins/{user_id}/{other_id}" => {
                "?message_type=group".to_owned()
            }
            "/messages/{message_id}" => "?delete_for=everyone".to_owned(),
            "/api/messages/{id}/search" => "?q=hello".to_owned(),
            "/search" => format!("?q=hello&type=group&in={group}"),
            "/groups/{group_id}/remove" => format!("?user_id={second}"),
            "/presence" => format!("?user_ids={second}"),
            _ => String::new(),
        };
        let body = match route {
            "POST /groups" | "POST /groups/" => json!({"name": "another", "member_ids": [me]}),
            "POST /api/rooms" | "POST /api/rooms/" => json!({"name": "another"}),
            "POST /api/messages/{id}" | "PUT /api/messages/{id}" => json!({"content": "changed"}),
            "POST /api/messages/{id}/react" => json!({"emoji": "👍"}),
            "PATCH /groups/{id}" => json!({"name": "renamed"}),
            "PUT /groups/{group_id}/members/{user_id}/role" => json!({"role": "admin"}),
            _ => json!({}),
        };
        (path + &query, Some(body))
    }
}

async fn every_route_answers_everybody_as_the_table_says(app: TestApp) {
    let table = table("Routes");
    let named: BTreeSet<String> = table.keys().cloned().collect();
    assert_eq!(named, sources::routes(), "docs/ACCESS.md (left) and the code (right) differ");
    let files = sources::page_files();
    let mut world = World::new(&app).await;
    let file = upload(&app, "/upload/", world.token("owner")).await.1;
    let file = file["url"].as_str().unwrap().to_owned();
    let document = Document::of(&app).await;
    let mut wrong = Vec::new();
    for (route, cells) in &table {
        for (role, expected) in ROLES.iter().zip(cells) {
            let (method, path) = route.split_once(' ').unwrap();
            if PLAIN_SOCKETS.contains(&path) {
                let place = world.place(&app).await;
                let answer = plain_socket(&app, &world, path, &place, role).await;
                if answer.to_string() != *expected {
                    wrong.push(format!("{route} as {role}: {answer}, not {expected}"));
                }
                continue;
            }
            let (status, answer) = if path.starts_with("/upload/") || path == "/upload" {
                upload(&app, path, world.token(role)).await
            } else if path == "/uploads/{filename}" {
                app.ask(world.token(role), Method::GET, &file, None).await
            } else if path.contains("/auth/") || *route == "DELETE /users/{user_id}" {
                account_request(&app, &mut world, path, role).await
            } else {
                let place = world.place(&app).await;
                let (path, body) = world.request(route, &place, role);
                app.ask(world.token(role), method.parse().unwrap(), &path, body).await
            };
            if status.as_str() != expected {
                wrong.push(format!("{route} as {role}: {status} {answer}, not {expected}"));
            }
            if !files.contains(&path.to_owned()) {
                wrong.extend(document.fault(route, status, &answer));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// 101 where a plain WebSocket stays and answers, else the code with which it is closed.
async fn plain_socket(app: &TestApp, world: &World, path: &str, place: &Place, role: &str) -> u16 {
    let path = path.replace("{user_id}", world.id(role)).replace("{room_id}", &place.group);
    let token = world.token(role).map(|token| format!("?token={token}")).unwrap_or_default();
    let mut socket = Plain::open(app.addr, &(path + &token)).await;
    socket.try_send("x").await;
    socket.text_or_end().await.map_or_else(|code| code, |_| 101)
}

async fn upload(app: &TestApp, path: &str, token: Option<&str>) -> (StatusCode, Value) {
    let gif = Part::bytes(b"GIF89a\x01\x00\x01\x00\x00\x00\x00;".as_slice()).file_name("a.gif");
    let form = Form::new().part("file", gif);
    let mut request = crate::web::client().post(format!("http://{}{path}", app.addr));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.multipart(form).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

/// Asks for a route of accounts as a new user, whose sign-in, or all of whom, it may end, or as
/// nobody.
async fn account_request(
    app: &TestApp,
    world: &mut World,
    path: &str,
    role: &str,
) -> (StatusCode, Value) {
    world.groups += 1;
    let name = format!("user-{}", world.groups);
    let person = app.sign_up(&name).await;
    let token = (role != "anonymous").then_some(&*person.access);
    let (method, body) = match path {
        "/api/auth/register" | "/auth/user/signup" => {
            let (name, email) = (format!("new-{name}"), format!("new-{name}@example.com"));
            (Method::POST, json!({"username": name, "email": email, "password": PASSWORD}))
        }
        "/api/auth/login" | "/auth/login" => {
            (Method::POST, json!({"username": name, "password": PASSWORD}))
        }
        "/api/auth/refresh" => (Method::POST, json!({"refresh_token": person.refresh})),
        "/api/auth/logout" | "/auth/logout" => (Method::POST, json!({})),
        "/api/auth/me" => (Method::GET, json!({})),
        "/api/auth/password" => {
            (Method::PUT, json!({"old_password": PASSWORD, "new_password": "another horse"}))
        }
        "/users/{user_id}" => (Method::DELETE, json!({})),
        other => panic!("{other} is not known here"),
    };
    let path = path.replace("{user_id}", &person.id);
    app.ask(token, method, &path, Some(body)).await
}

async fn every_event_answers_everybody_as_the_table_says(app: TestApp) {
    let table = table("Events");
    let named: BTreeSet<&str> = table.keys().map(String::as_str).collect();
    assert_eq!(named, CLIENT_EVENTS.into(), "docs/ACCESS.md (left) and the code (right) differ");
    let mut world = World::new(&app).await;
    let mut wrong = Vec::new();
    for (role, column) in ROLES.iter().zip(0..5) {
        let mut socket = app.socket(&world.people[role]).await;
        for (event, cells) in &table {
            let Place { group, message, .. } = world.place(&app).await;
            let payload = match &**event {
                "join_group" | "leave_group" => json!(group),
                "send_message" => to_group(&group, "hello"),
                "edit_message" => json!({"message_id": message, "content": "changed"}),
                "add_reaction" | "remove_reaction" => json!({"message_id": message, "emoji": "👍"}),
                "mark_delivered" => json!({"message_ids": [message]}),
                "typing_start" | "typing_stop" => json!({"to": group, "type": "group"}),
                "refresh_token" => json!({"token": world.people[role].access}),
                "sync" => json!({}),
                _ => json!({"message_id": message}),
            };
            let ack = socket.emit_ack(event, payload).await;
            let answer = if ack["ok"] == json!(true) {
                "ok"
            } else {
                ack["error"]["code"].as_str().unwrap()
            };
            if answer != cells[column] {
                wrong.push(format!("{event} as {role}: {ack}, not {}", cells[column]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn nobody_acts_as_somebody_else(app: TestApp) {
    let mut world = World::new(&app).await;
    let place = world.place(&app).await;
    let (owner, group, message) = (world.id("owner"), &place.group, &place.message);
    let (by, admin) = (json!({"user_id": owner}), json!({"admin_id": owner}));
    let with = |mut base: Value, more: Value| {
        base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        base
    };
    let member = format!("/groups/{group}/members/{}", world.id("second"));
    let requests = [
        (Method::GET, format!("/messages/{owner}/{group}?message_type=group"), None),
        (Method::DELETE, format!("/messages/{message}?user_id={owner}"), None),
        (Method::GET, format!("/threads/{message}?user_id={owner}"), None),
        (Method::GET, format!("/pins/{owner}/{group}?message_type=group"), None),
        (Method::GET, format!("/edits/{message}?user_id={owner}"), None),
        (Method::GET, format!("/conversations/{owner}"), None),
        (Method::GET, format!("/search?q=hello&user_id={owner}"), None),
        (
            Method::POST,
            "/groups/".into(),
            Some(json!({"name": "x", "member_ids": [], "created_by": owner})),
        ),
        (Method::GET, format!("/groups/{owner}"), None),
        (
            Method::PATCH,
            format!("/groups/{group}"),
            Some(with(admin.clone(), json!({"name": "x"}))),
        ),
        (Method::POST, format!("/groups/{group}/remove?user_id={owner}&admin_id={owner}"), None),
        (Method::POST, format!("/groups/{group}/leave?user_id={owner}"), None),
        (Method::PUT, format!("/groups/{group}/mute"), Some(by.clone())),
        (Method::DELETE, format!("/groups/{group}/mute?user_id={owner}"), None),
        (
            Method::PUT,
            format!("{member}/role"),
            Some(with(admin.clone(), json!({"role": "admin"}))),
        ),
        (Method::PUT, format!("{member}/silence"), Some(admin.clone())),
        (Method::DELETE, format!("{member}/silence?admin_id={owner}"), None),
        (Method::POST, format!("/groups/{group}/invitations"), Some(admin)),
        (Method::GET, format!("/groups/{group}/invitations?admin_id={owner}"), None),
        (
            Method::DELETE,
            format!("/groups/{group}/invitations/{}?admin_id={owner}", place.invitation),
            None,
        ),
        (Method::POST, format!("/invitations/{}/accept", place.invitation), Some(by)),
        (Method::POST, format!("/users/{owner}/block/x"), None),
        (Method::DELETE, format!("/users/{owner}/block/x"), None),
        (Method::GET, format!("/users/{owner}/blocks"), None),
        (Method::GET, format!("/users/{owner}/export"), None),
        (Method::DELETE, format!("/users/{owner}"), None),
    ];
    // Who could do all this in their own name can't do it in another one either.
    for role in ["stranger", "admin", "member"] {
        for (method, path, body) in &requests {
            let answer = app.ask(world.token(role), method.clone(), path, body.clone()).await;
            let refusal = json!({"detail": "You are signed in as another user"});
            assert_eq!(answer, (StatusCode::FORBIDDEN, refusal), "{method} {path} as {role}");
        }
    }
}
