//! The document at `/openapi.json`: what stands beside the handlers and the shapes, put together.
//!
//! A new route is annotated where it is handled, and named in one of the lists below, by who may
//! use it. What its annotation need not say is added here: the parameters of its path, what all
//! routes answer, and whether it needs a token.

pub(super) mod answers;
pub(super) mod params;
mod sockets;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::{Tag, TagBuilder};
use utoipa::openapi::{Components, Content, InfoBuilder, Ref, RefOr, Required, Schema, Server};

use super::{
    accounts, admin, attached, blocks, conversations, groups, health, invitations, messages, nodes,
    presence, privacy, roles, room_messages, rooms, search, uploads, users,
};
use crate::auth::AuthMode;
use crate::wire::schema;

/// Routes that are for who has signed in.
#[derive(OpenApi)]
#[openapi(
    components(schemas(
        schema::UserId,
        schema::GroupId,
        schema::MessageId,
        schema::Problem,
        schema::InvalidRequest
    )),
    paths(
        messages::history,
        messages::delete,
        attached::thread,
        attached::pins,
        attached::edits,
        conversations::list,
        search::search,
        blocks::block,
        blocks::unblock,
        blocks::list,
        presence::of_users,
        users::list,
        groups::create,
        groups::of_user,
        groups::delete,
        groups::search,
        groups::add_member,
        groups::remove_member,
        groups::leave,
        roles::rename,
        roles::give,
        roles::silence,
        roles::unsilence,
        roles::mute,
        roles::unmute,
        invitations::create,
        invitations::list,
        invitations::end,
        invitations::look,
        invitations::accept,
        rooms::list,
        rooms::create,
        rooms::join,
        rooms::leave,
        rooms::members,
        room_messages::history,
        room_messages::send,
        room_messages::edit,
        room_messages::delete,
        room_messages::react,
        room_messages::search,
        room_messages::of_two,
        accounts::me,
        accounts::change_password,
        privacy::export,
        privacy::erase,
        uploads::upload,
    )
)]
struct ForUsers;

/// Routes for everybody.
#[derive(OpenApi)]
#[openapi(paths(
    accounts::register,
    accounts::login,
    accounts::refresh,
    accounts::logout,
    uploads::download,
    serve,
))]
struct ForEverybody;

/// Routes for everybody that are not counted.
#[derive(OpenApi)]
#[openapi(paths(
    health::overview,
    health::live,
    health::ready,
    health::database,
    health::message_buffer
))]
struct ForMonitors;

/// Routes for operators.
#[derive(OpenApi)]
#[openapi(paths(
    admin::look,
    admin::ban,
    admin::unban,
    admin::erase,
    nodes::list,
    health::metrics
))]
struct ForOperators;

/// Paths that are the same as another one.
const SAME: [(&str, &str); 8] = [
    ("/groups/", "/groups"),
    ("/api/rooms/", "/api/rooms"),
    ("/upload/", "/upload"),
    ("/api/auth/register", "/auth/user/signup"),
    ("/api/auth/login", "/auth/login"),
    ("/api/auth/logout", "/auth/logout"),
    ("/threads/{message_id}", "/api/messages/{id}/thread"),
    ("/edits/{message_id}", "/api/messages/{id}/edits"),
];

/// The routes' nouns, in the order in which they are shown.
const TAGS: [(&str, &str); 10] = [
    ("messages", "Messages, and what hangs on them."),
    ("conversations", "Who talks with whom, and who is there."),
    ("groups", "Groups and their members."),
    ("invitations", "Links into groups."),
    (
        "rooms",
        "Groups and their messages under the names that another kind of client has for them.",
    ),
    ("accounts", "Registering and signing in, where `AUTH_MODE` is `jwt`; else these answer 404."),
    ("uploads", "Files."),
    (
        "sockets",
        "Plain WebSockets. Their frames are described by `docs/asyncapi.yaml`. Who may not come in \
         is told behind the handshake, by a close code of 4000 and the status.",
    ),
    ("health", "How the server is, and this document."),
    (
        "operators",
        "For whoever runs the server. With `ADMIN_TOKEN` who brings it; without, who asks from the \
         server's own machine, where it listens on loopback. Everybody else gets 404. With \
         `ADMIN_PORT` or `ADMIN_HOST` these routes are on that address alone.",
    ),
];

const DESCRIPTION: &str = "\
The HTTP side of a chat server. What happens live is told over Socket.IO, at `/socket.io/`: its \
events are described by `docs/asyncapi.yaml` in the server's sources.

**Errors** are `{\"detail\": \"a line for people\"}` with the status that fits; a part of the request \
that is missing or has the wrong form is 422 and says where. **Bodies** are JSON, whatever their \
content type says, up to 1,000,000 bytes. **Times** are UTC with an offset. Fields that are not known \
are ignored, and answers may get new ones. Each answer has an `X-Request-Id`, which the server's log \
has too.

**How often**: answers have the headers `X-RateLimit-Limit`, `X-RateLimit-Remaining` and \
`X-RateLimit-Reset`; over the limit the answer is 429 with `Retry-After`.";

const OPEN: &str = "

**Who asks**: sign-in is open on this server (`AUTH_MODE`). The user whom a request names is believed.";

const BY_TOKEN: &str = "

**Who asks** is told by the access token. `user_id`, `admin_id` and `created_by` need not be given, and \
if they are, must be the token's user: else 403.";

const USERS: &str = "token";
const OPERATORS: &str = "admin_token";

/// The document as it is served.
#[derive(Clone)]
pub(super) struct Document {
    json: Bytes,
    tag: String,
}

impl Document {
    /// The document of a server where users sign in like this.
    ///
    /// # Panics
    /// Never: the document is made of texts and numbers.
    pub(super) fn new(mode: AuthMode) -> Self {
        let json = document(mode).to_json().unwrap_or_else(|_| unreachable!("it is plain JSON"));
        let tag = format!("W/\"{:08x}\"", crc32c::crc32c(json.as_bytes()));
        Self { json: json.into(), tag }
    }
}

/// This document
///
/// OpenAPI 3.1. `/docs` shows it to people.
#[utoipa::path(
    get, path = "/openapi.json", tag = "health", operation_id = "read_openapi",
    responses(
        (status = 200, description = "The document", body = Object),
        (status = 304, description = "It is the one that `If-None-Match` names"),
    ),
)]
pub(super) async fn serve(State(document): State<Document>, headers: HeaderMap) -> Response {
    let known = headers.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).unwrap_or_default();
    let about = [(CACHE_CONTROL, "no-cache"), (ETAG, &document.tag)];
    if known.split(',').any(|tag| tag.trim() == document.tag) {
        return (StatusCode::NOT_MODIFIED, about).into_response();
    }
    (about, [(CONTENT_TYPE, "application/json")], document.json).into_response()
}

fn document(mode: AuthMode) -> utoipa::openapi::OpenApi {
    let mut document = ForUsers::openapi();
    for_each(&mut document, |_, operation| {
        if mode == AuthMode::Jwt {
            operation.security = Some(vec![SecurityRequirement::new(USERS, [""; 0])]);
            add(operation, answers::Unauthorized::entry());
        }
    });
    let mut for_everybody = ForEverybody::openapi();
    sockets::describe(&mut for_everybody);
    let mut for_operators = ForOperators::openapi();
    for_each(&mut for_operators, |_, operation| {
        operation.security = Some(vec![SecurityRequirement::new(OPERATORS, [""; 0])]);
        add(operation, answers::Unauthorized::entry());
        add(operation, answers::Forbidden::entry());
        add(operation, answers::NotFound::entry());
    });
    for counted in [&mut document, &mut for_everybody, &mut for_operators] {
        for_each(counted, |_, operation| add(operation, answers::RateLimited::entry()));
    }
    document.merge(for_everybody);
    document.merge(for_operators);
    document.merge(ForMonitors::openapi());
    for_each(&mut document, complete);
    for (path, other) in SAME {
        repeat(&mut document, path, other);
    }
    if mode == AuthMode::Open {
        require_who_asks(&mut document);
    }
    let who = if mode == AuthMode::Open { OPEN } else { BY_TOKEN };
    let info = InfoBuilder::new().title("Banter").version(env!("CARGO_PKG_VERSION"));
    document.info = info.description(Some(format!("{DESCRIPTION}{who}"))).build();
    document.servers = Some(vec![Server::new("/")]);
    document.tags = Some(TAGS.into_iter().map(tag).collect());
    let components = document.components.get_or_insert_with(Components::new);
    components.responses.extend(answers::all().into_iter().map(|(n, a)| (n.to_owned(), a.into())));
    components.add_security_scheme(USERS, bearer("An access token, from `POST /api/auth/login`"));
    components.add_security_scheme(OPERATORS, bearer("The server's `ADMIN_TOKEN`"));
    document
}

fn bearer(description: &str) -> SecurityScheme {
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
    SecurityScheme::Http(scheme.description(Some(description)).build())
}

fn tag((name, description): (&str, &str)) -> Tag {
    TagBuilder::new().name(name).description(Some(description)).build()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten()
}

fn for_each(document: &mut utoipa::openapi::OpenApi, mut change: impl FnMut(&str, &mut Operation)) {
    for (path, item) in &mut document.paths.paths {
        operations(item).for_each(|operation| change(path, operation));
    }
}

/// Adds an answer that the operation does not describe itself.
fn add(operation: &mut Operation, (status, answer): (String, RefOr<utoipa::openapi::Response>)) {
    operation.responses.responses.entry(status).or_insert(answer);
}

/// Adds the path's parameters, and what every route may answer.
fn complete(path: &str, operation: &mut Operation) {
    let parameters = operation.parameters.get_or_insert_default();
    for (place, name) in names(path).enumerate() {
        if !parameters.iter().any(|known| is_in_path(known, name)) {
            parameters.insert(place, params::in_path(name).into());
        }
    }
    let takes_something = !parameters.is_empty() || operation.request_body.is_some();
    if takes_something && !operation.responses.responses.contains_key("101") {
        add(operation, answers::Unprocessable::entry());
    }
    if operation.request_body.is_some() {
        add(operation, answers::TooLarge::entry());
    }
    if operation.security.is_some() {
        add(operation, answers::Unavailable::entry());
    }
    add(operation, answers::TooSlow::entry());
    add(operation, answers::Internal::entry());
}

/// The names of a path's parameters.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next())
}

/// The parameters that an operation describes itself: all of them are.
fn own_parameters(operation: &mut Operation) -> impl Iterator<Item = &mut Parameter> {
    operation.parameters.iter_mut().flatten().filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    })
}

fn is_in_path(parameter: &RefOr<Parameter>, name: &str) -> bool {
    matches!(parameter, RefOr::T(known)
        if known.name == name && known.parameter_in == ParameterIn::Path)
}

/// Describes a path that is the same as another one, whose parameters may have other names.
fn repeat(document: &mut utoipa::openapi::OpenApi, path: &str, other: &str) {
    let Some(mut item) = document.paths.paths.get(path).cloned() else { return };
    for operation in operations(&mut item) {
        operation.description = Some(format!("The same as `{path}`."));
        operation.operation_id = operation.operation_id.take().map(|id| format!("{id}_also"));
        for (old, new) in names(path).zip(names(other)) {
            own_parameters(operation)
                .filter(|parameter| parameter.name == old)
                .for_each(|parameter| new.clone_into(&mut parameter.name));
        }
    }
    match document.paths.paths.get_mut(other) {
        Some(there) => there.merge_operations(item),
        None => drop(document.paths.paths.insert(other.to_owned(), item)),
    }
}

/// Where sign-in is open, each request names who asks.
fn require_who_asks(document: &mut utoipa::openapi::OpenApi) {
    const NAMES: [&str; 3] = ["user_id", "admin_id", "created_by"];
    let mut bodies = Vec::new();
    for_each(document, |_, operation| {
        own_parameters(operation)
            .filter(|parameter| NAMES.contains(&&*parameter.name))
            .for_each(|parameter| parameter.required = Required::True);
        bodies.extend(operation.request_body.iter().flat_map(shapes));
    });
    let Some(components) = &mut document.components else { return };
    for (name, schema) in &mut components.schemas {
        if let RefOr::T(Schema::Object(body)) = schema
            && bodies.contains(name)
        {
            let named = NAMES.into_iter().filter(|name| body.properties.contains_key(*name));
            body.required.extend(named.map(str::to_owned));
        }
    }
}

/// The names of a body's shapes.
fn shapes(body: &RefOr<RequestBody>) -> Vec<String> {
    let RefOr::T(body) = body else { return Vec::new() };
    let name = |shape: &Ref| shape.ref_location.rsplit('/').next().map(str::to_owned);
    let shape = |content: &RefOr<Content>| match content {
        RefOr::T(Content { schema: Some(RefOr::Ref(shape)), .. }) => name(shape),
        _ => None,
    };
    body.content.values().filter_map(shape).collect()
}
