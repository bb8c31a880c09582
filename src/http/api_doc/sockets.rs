//! The endpoints of plain WebSockets, whose handshakes other code than this side's answers.

use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, PathItem};
use utoipa::openapi::{Content, OpenApi, Ref, Response, ResponseBuilder};

use super::answers;
use super::params::{named, query, text};

/// Path, id, summary and description of each.
const ENDPOINTS: [[&str; 4]; 3] = [
    [
        "/ws/{user_id}",
        "connect_pair",
        "A user's direct messages",
        "Frames are `sender_id:receiver_id:message`, or JSON.",
    ],
    [
        "/api/ws/{room_id}",
        "connect_room",
        "What happens in a room",
        "Frames are JSON, told apart by their `type`.",
    ],
    ["/ws", "connect_lobby", "The lobby", "Frames to the server are text, those from it JSON."],
];

/// Adds the endpoints to a document.
pub(super) fn describe(document: &mut OpenApi) {
    for [path, id, summary, description] in ENDPOINTS {
        let operation = OperationBuilder::new()
            .operation_id(Some(id))
            .tag("sockets")
            .summary(Some(summary))
            .description(Some(description))
            .parameters(Some(parameters(path)))
            .response("101", Response::new("The connection is a WebSocket from now on"))
            .response("426", upgrade_required());
        let (status, foreign_origin) = answers::Forbidden::entry();
        let operation = operation.response(status, foreign_origin).build();
        let item = PathItem::new(HttpMethod::Get, operation);
        document.paths.paths.insert(path.to_owned(), item);
    }
}

fn parameters(path: &str) -> Vec<Parameter> {
    let token = "An access token. It may also come as `Authorization: Bearer`, or as a subprotocol \
                 behind `bearer`";
    let own = match path {
        "/ws" => Some(query("username", text(2, 32).into(), "The name in the lobby")),
        "/api/ws/{room_id}" => {
            Some(query("user_id", named("UserId"), "Who connects, where sign-in is open"))
        }
        _ => None,
    };
    own.into_iter().chain([query("token", text(1, 8_192).into(), token)]).collect()
}

fn upgrade_required() -> Response {
    let shape = Content::new(Some(Ref::from_schema_name("Problem")));
    let words = "The request asks for no WebSocket.";
    ResponseBuilder::new().description(words).content("application/json", shape).build()
}
