//! The head of a request that is kept.
//!
//! A socket keeps the head of the request that opened it for as long as it lives. Each value of a head, as it
//! was read, holds the whole buffer that its connection was read into (8 KiB); copied, only itself.

use axum::extract::Request;
use hyper::{HeaderMap, Uri, header::HeaderValue};
use tower::Layer;
use tower::util::{MapRequest, MapRequestLayer};

/// A service that gets requests whose heads hold nothing but themselves.
pub fn detached<S>(service: S) -> MapRequest<S, fn(Request) -> Request> {
    MapRequestLayer::new(detach as fn(Request) -> Request).layer(service)
}

fn detach(mut request: Request) -> Request {
    let mut headers = HeaderMap::with_capacity(request.headers().len());
    for (name, value) in request.headers() {
        if let Ok(copy) = HeaderValue::from_bytes(value.as_bytes()) {
            headers.append(name, copy);
        }
    }
    *request.headers_mut() = headers;
    // Made anew from its own text, it is the same.
    if let Ok(uri) = request.uri().to_string().parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    request
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, Bytes};

    use super::*;

    #[test]
    fn a_kept_head_is_the_same_and_shares_no_buffer() {
        let buffer = Bytes::from_static(b"/socket.io/?EIO=4&transport=websocket one two");
        let mut request = Request::get(Uri::from_maybe_shared(buffer.slice(..37)).unwrap())
            .body(Body::empty())
            .unwrap();
        for value in [buffer.slice(38..41), buffer.slice(42..45)] {
            request.headers_mut().append("x-kept", HeaderValue::from_maybe_shared(value).unwrap());
        }
        let before = request.headers().clone();
        let request = detach(request);
        assert_eq!(*request.headers(), before);
        assert_eq!(request.uri(), "/socket.io/?EIO=4&transport=websocket");
        let values = request.headers().values().map(|value| value.as_bytes());
        for kept in values.chain([request.uri().path().as_bytes()]) {
            assert!(!buffer.as_ptr_range().contains(&kept.as_ptr()), "{kept:?}");
        }
    }
}
