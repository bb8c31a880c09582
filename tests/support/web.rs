//! The HTTP client of the tests.
#![allow(dead_code, reason = "each test binary uses the part it needs")]

/// What makes a client. The library makes none without something to do TLS with, also where there
/// is none.
pub(crate) fn builder() -> reqwest::ClientBuilder {
    // An error says that the process has it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}

/// A client.
#[expect(clippy::expect_used, reason = "a test that can't go on fails")]
pub(crate) fn client() -> reqwest::Client {
    builder().build().expect("a client")
}

/// The answer to a plain request.
pub(crate) async fn get(url: impl reqwest::IntoUrl) -> reqwest::Result<reqwest::Response> {
    client().get(url).send().await
}
