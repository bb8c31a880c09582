//! The HTTP side: every route, the layers around them, and the loop that serves them.

mod access;
mod accounts;
mod address;
mod admin;
mod api_doc;
mod asker;
mod attached;
mod blocks;
mod conversations;
mod detach;
mod error;
mod extract;
mod finish;
mod groups;
mod head_watch;
mod health;
mod invitations;
mod limits;
pub mod listen;
mod messages;
pub mod metrics;
mod nodes;
pub mod operators;
pub mod origin;
mod page;
mod presence;
mod privacy;
mod roles;
mod room_messages;
mod rooms;
mod search;
pub mod serve;
mod sign_in;
mod uploads;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, post, put};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

use crate::auth::{AuthMode, SignIn};
use crate::chat::Chat;
use crate::cluster::Cluster;
use crate::limits::Limits;
use crate::media::MediaStore;
use crate::shutdown::Tasks;

pub use detach::detached;
pub use health::Monitor;
pub use metrics::HttpMetrics;
use operators::Access;
use origin::Origins;

/// Settings of the HTTP side.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Wire")]
pub struct Config {
    /// Whose web pages may use the server: * for all, or a comma-separated list of origins such as
    /// `https://chat.example.com`
    #[arg(long, value_name = "ORIGINS", default_value_t = Origins::Any)]
    pub cors_origins: Origins,
    /// The most connections at once, 1 to 1000000; further ones wait until one ends
    #[arg(long, value_name = "NUMBER", default_value_t = serve::MAX_CONNECTIONS as u32)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,
}

/// What the routes stand on.
#[derive(Clone)]
pub struct Parts {
    /// Conversations.
    pub chat: Arc<Chat>,
    /// Uploads.
    pub media: MediaStore,
    /// How the server is.
    pub monitor: Monitor,
    /// Who asks.
    pub sign_in: SignIn,
    /// How often.
    pub limits: Arc<Limits>,
    /// Where requests run that must come to their end.
    pub tasks: Tasks,
    /// The other nodes.
    pub cluster: Cluster,
}

/// What the routes of conversations stand on.
#[derive(Clone)]
struct Api {
    chat: Arc<Chat>,
    sign_in: SignIn,
    limits: Arc<Limits>,
}

impl Api {
    fn of(parts: &Parts) -> Self {
        let Parts { chat, sign_in, limits, .. } = parts.clone();
        Self { chat, sign_in, limits }
    }
}

impl FromRef<Api> for Arc<Chat> {
    fn from_ref(api: &Api) -> Self {
        Self::clone(&api.chat)
    }
}

impl FromRef<Api> for Arc<Limits> {
    fn from_ref(api: &Api) -> Self {
        Self::clone(&api.limits)
    }
}

impl FromRef<Api> for SignIn {
    fn from_ref(api: &Api) -> Self {
        api.sign_in.clone()
    }
}

/// Largest JSON body: a group of 10,000 members with ids of 64 bytes fits.
const MAX_BODY_BYTES: usize = 1_000_000;

/// All routes for users. The old server's paths work with and without their last slash.
pub fn routes(parts: &Parts) -> Router {
    let Parts { media, monitor, sign_in, limits, tasks, .. } = parts.clone();
    let identify = from_fn_with_state(sign_in, sign_in::identify);
    let limit_user = from_fn_with_state(Arc::clone(&limits), limits::limit_user);
    let run_to_end = from_fn_with_state(tasks, finish::run_to_end);
    let for_users = conversations_and_users().merge(groups_and_members()).merge(rooms());
    for_users
        .layer(run_to_end.clone())
        .layer(from_fn(sign_in::require))
        .merge(accounts_and_tokens(&limits).layer(run_to_end))
        .with_state(Api::of(parts))
        .layer(limit_user.clone())
        .layer(identify.clone())
        .merge(document(monitor.auth_mode))
        .merge(health(monitor))
        .merge(page::routes())
        // Uploads are compressed already, and asked for in ranges of their own bytes.
        .layer(CompressionLayer::new())
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn(finish::answer_in_time))
        .merge(uploads::posts(media.clone()).layer(limit_user).layer(identify))
        .merge(uploads::gets(media))
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::wrong_method)
}

fn conversations_and_users() -> Router<Api> {
    Router::new()
        .route("/messages/{user_id}/{other_id}", get(messages::history))
        .route("/messages/{message_id}", delete(messages::delete))
        .route("/threads/{message_id}", get(attached::thread))
        .route("/pins/{user_id}/{other_id}", get(attached::pins))
        .route("/edits/{message_id}", get(attached::edits))
        .route("/conversations/{user_id}", get(conversations::list))
        .route("/search", get(search::search))
        .route("/users/{user_id}/block/{other_id}", post(blocks::block).delete(blocks::unblock))
        .route("/users/{user_id}/blocks", get(blocks::list))
        .route("/users/{user_id}/export", get(privacy::export))
        .route("/users/{user_id}", delete(privacy::erase))
        .route("/presence", get(presence::of_users))
        .route("/user/get-users", get(users::list))
}

fn groups_and_members() -> Router<Api> {
    Router::new()
        .route("/groups", post(groups::create))
        .route("/groups/", post(groups::create))
        .route("/groups/{id}", get(groups::of_user).delete(groups::delete).patch(roles::rename))
        .route("/groups/search/{name}", get(groups::search))
        .route("/groups/{group_id}/remove", post(groups::remove_member))
        .route("/groups/{group_id}/leave", post(groups::leave))
        .route("/groups/{group_id}/mute", put(roles::mute).delete(roles::unmute))
        .route("/groups/{group_id}/members/{user_id}/role", put(roles::give))
        .route(
            "/groups/{group_id}/members/{user_id}/silence",
            put(roles::silence).delete(roles::unsilence),
        )
        .route("/groups/{group_id}/invitations", post(invitations::create).get(invitations::list))
        .route("/groups/{group_id}/invitations/{token}", delete(invitations::end))
        .route("/invitations/{token}", get(invitations::look))
        .route("/invitations/{token}/accept", post(invitations::accept))
        .route("/group/{group_id}/{user_id}", post(groups::add_member))
}

/// Groups and messages under the names of the rooms API.
fn rooms() -> Router<Api> {
    Router::new()
        .route("/api/rooms", get(rooms::list).post(rooms::create))
        .route("/api/rooms/", get(rooms::list).post(rooms::create))
        .route("/api/rooms/{room_id}/join", post(rooms::join))
        .route("/api/rooms/{room_id}/leave", post(rooms::leave))
        .route("/api/rooms/{room_id}/members", get(rooms::members))
        .route(
            "/api/messages/{id}",
            get(room_messages::history)
                .post(room_messages::send)
                .put(room_messages::edit)
                .delete(room_messages::delete),
        )
        .route("/api/messages/{id}/search", get(room_messages::search))
        .route("/api/messages/{id}/react", post(room_messages::react))
        .route("/api/messages/{id}/thread", get(attached::thread))
        .route("/api/messages/{id}/edits", get(attached::edits))
        .route("/chat/get-chats/{user1_id}/{user2_id}", get(room_messages::of_two))
}

fn accounts_and_tokens(limits: &Arc<Limits>) -> Router<Api> {
    Router::new()
        .route("/api/auth/register", post(accounts::register))
        .route("/auth/user/signup", post(accounts::register))
        .route("/api/auth/login", post(accounts::login))
        .route("/auth/login", post(accounts::login))
        .route("/api/auth/password", put(accounts::change_password))
        // What comes above costs a hash, and could be guessing.
        .layer(from_fn_with_state(Arc::clone(limits), limits::limit_sign_in))
        .route("/api/auth/refresh", post(accounts::refresh))
        .route("/api/auth/logout", post(accounts::logout))
        .route("/auth/logout", post(accounts::logout))
        .route("/api/auth/me", get(accounts::me))
        .layer(from_fn(sign_in::keep_out_of_caches))
}

/// What says how all this is used.
fn document(mode: AuthMode) -> Router {
    Router::new()
        .route("/openapi.json", get(api_doc::serve))
        .with_state(api_doc::Document::new(mode))
}

/// What says how the server is.
fn health(monitor: Monitor) -> Router {
    Router::new()
        .route("/health", get(health::overview))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/health/db", get(health::database))
        .route("/health/message-buffer", get(health::message_buffer))
        .with_state(monitor)
}

/// Operators' routes, for who has access.
pub fn operators(parts: &Parts, access: Access) -> Router {
    let Parts { monitor, limits, tasks, cluster, .. } = parts.clone();
    Router::new()
        .route("/admin/users/{user_id}", get(admin::look).delete(admin::erase))
        .route("/admin/users/{user_id}/ban", put(admin::ban).delete(admin::unban))
        .with_state(Api::of(parts))
        .layer(from_fn_with_state(tasks, finish::run_to_end))
        .route("/admin/nodes", get(nodes::list))
        .with_state(cluster)
        .route("/metrics", get(health::metrics))
        .with_state(monitor)
        .layer(CompressionLayer::new())
        .layer(from_fn(sign_in::keep_out_of_caches))
        .layer(from_fn(finish::answer_in_time))
        .method_not_allowed_fallback(error::wrong_method)
        .layer(from_fn_with_state((access, limits), operators::guard))
}

/// The same for an address of their own, with what says how the server is.
pub fn operators_alone(parts: &Parts, access: Access) -> Router {
    operators(parts, access)
        .merge(health(parts.monitor.clone()))
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::wrong_method)
}

/// What surrounds every request, from the inside out: how often its address may ask, its figures,
/// whose pages may ask, an answer even to a panic, its id and its line in the log, and where it comes
/// from.
pub fn surround(
    routes: Router,
    config: &Config,
    limits: &Arc<Limits>,
    metrics: HttpMetrics,
) -> Router {
    let origins = Arc::new(config.cors_origins.clone());
    let limits = || Arc::clone(limits);
    routes
        .layer(from_fn_with_state(limits(), limits::limit_address))
        .layer(from_fn_with_state(Arc::new(metrics), metrics::measure))
        .layer(from_fn_with_state(Arc::clone(&origins), origin::guard_sockets))
        .layer(origin::cors(&origins))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn(access::follow))
        .layer(from_fn_with_state(limits(), address::find))
}
