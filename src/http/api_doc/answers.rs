//! The answers that many routes have in common.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};

macro_rules! answers {
    ($($name:ident = $status:literal $shape:literal $words:literal;)*) => {
        $(
            #[doc = concat!($status, ": ", $words)]
            pub(in crate::http) struct $name;

            impl $name {
                /// The status, and where the answer is described.
                pub(super) fn entry() -> (String, RefOr<Response>) {
                    ($status.to_owned(), Ref::from_response_name(stringify!($name)).into())
                }
            }

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    BTreeMap::from([Self::entry()])
                }
            }
        )*

        /// Each answer's name and description.
        pub(super) fn all() -> Vec<(&'static str, Response)> {
            vec![$((stringify!($name), answer($status, $shape, $words))),*]
        }
    };
}

answers! {
    Invalid = "400" "Problem" "What is asked for can't be.";
    Unauthorized = "401" "Problem" "Who asks is not known: no token, or one that is not good.";
    Forbidden = "403" "Problem" "Not for who asks.";
    NotFound = "404" "Problem" "There is no such thing, or none that who asks may know of.";
    TooSlow = "408" "Problem" "The request took longer than 30 s. It may have been done.";
    Conflict = "409" "Problem" "A name or an address belongs to another account.";
    Gone = "410" "Problem" "It works no longer.";
    TooLarge = "413" "Problem" "Something is over its limit.";
    Unprocessable = "422" "InvalidRequest" "A part of the request is missing or has the wrong form.";
    RateLimited = "429" "Problem" "Too much of this from this address, or this user, at the moment.";
    Internal = "500" "Problem" "A fault of the server; its log has the cause.";
    Unavailable = "503" "Problem"
        "What is needed for this does not answer, or nothing more can be held. A change may have been \
         made: look before trying again, with growing pauses.";
}

/// The headers of 429, each with what it says.
const LIMIT_HEADERS: [(&str, &str); 4] = [
    ("Retry-After", "The seconds after which to try again"),
    ("X-RateLimit-Limit", "How many requests may come at once"),
    ("X-RateLimit-Remaining", "How many of them are left"),
    ("X-RateLimit-Reset", "The seconds until all of them are back"),
];

fn answer(status: &str, shape: &str, words: &str) -> Response {
    let shape = Content::new(Some(Ref::from_schema_name(shape)));
    let answer = ResponseBuilder::new().description(words).content("application/json", shape);
    let answer = match status {
        "401" => {
            let header = HeaderBuilder::new().description(Some("How to sign in: `Bearer`"));
            answer.header("WWW-Authenticate", header.build())
        }
        "429" => LIMIT_HEADERS.into_iter().fold(answer, |answer, (name, words)| {
            let seconds = ObjectBuilder::new().schema_type(Type::Integer);
            let header = HeaderBuilder::new().schema(Some(seconds)).description(Some(words));
            answer.header(name, header.build())
        }),
        _ => answer,
    };
    answer.build()
}
