//! Where the server listens: at one door, or at two.

use std::net::{AddrParseError, IpAddr};

use axum::Router;
use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::serve::{ServeConfig, serve};
use crate::shutdown::Tasks;

/// An address, what is served there, and within which limits.
pub struct Door {
    /// The address.
    pub listener: TcpListener,
    /// What is served.
    pub router: Router,
    /// The limits.
    pub config: ServeConfig,
}

/// Serves at all doors until `stop`; what is returned is cancelled once the last connection at the
/// last of them has ended.
pub fn open(doors: Vec<Door>, tasks: &Tasks, stop: &CancellationToken) -> CancellationToken {
    let served = CancellationToken::new();
    let (done, tasks, stop) = (served.clone(), tasks.clone(), stop.clone());
    tasks.clone().spawn_worker("http", async move {
        let serving = doors.into_iter().map(async |Door { listener, router, config }| {
            serve(listener, router, &config, &tasks, stop.clone()).await;
        });
        join_all(serving).await;
        done.cancel();
    });
    served
}

/// An address to listen on: an IP address, in brackets or not, or `localhost`.
///
/// # Errors
/// It is something else.
pub fn parse_host(text: &str) -> Result<IpAddr, AddrParseError> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::from([127, 0, 0, 1]));
    }
    text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text).parse()
}
