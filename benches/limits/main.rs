//! What the machine gives at the most: a server that only writes prebuilt frames, and batches of
//! documents that only go into MongoDB. `make bench` measures both beside Banter; by hand:
//!
//! ```sh
//! # To be driven with `banter load`:
//! cargo bench --bench limits -- server --writes coalesced --port 8002
//! # Where MONGO_TEST_URL names a MongoDB:
//! cargo bench --bench limits -- insert --batch 1000 --writers 2
//! ```

#![expect(clippy::print_stdout, reason = "it prints what it has measured")]

mod insert;
mod server;

use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

#[derive(Parser)]
struct Cli {
    /// Cargo says so, and what is measured has to be optimised.
    #[arg(long, global = true, hide = true)]
    bench: bool,
    #[command(subcommand)]
    limit: Option<Limit>,
}

#[derive(clap::Subcommand)]
enum Limit {
    /// Serves, for `banter load` to drive.
    Server {
        /// How frames leave.
        #[arg(long, value_enum, default_value = "coalesced")]
        writes: server::Writes,
        /// Where, on the loopback interface.
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// Writes documents into MongoDB at MONGO_TEST_URL.
    Insert(insert::Inserting),
}

fn main() -> anyhow::Result<()> {
    if !std::env::args().any(|argument| argument == "--bench") {
        return check();
    }
    match Cli::parse().limit {
        Some(Limit::Server { writes, port }) => Ok(server::serve(port, writes)?),
        Some(Limit::Insert(asked)) => {
            let url = std::env::var("MONGO_TEST_URL").context("MONGO_TEST_URL is not set")?;
            let runtime = tokio::runtime::Runtime::new()?;
            let inserted = runtime.block_on(insert::measure(&url, asked))?;
            println!("{}", serde_json::to_string(&inserted)?);
            Ok(())
        }
        None => {
            println!("limits: nothing to do without `server` or `insert`; `make bench` uses both");
            Ok(())
        }
    }
}

/// As a test: frames have Banter's size, both ways of writing tell everybody, and where there is a
/// MongoDB it takes a batch each way.
fn check() -> anyhow::Result<()> {
    let group = "0123456789abcdef01234567";
    let event = insert::told(group, "ann", "Hello")?;
    let banters = serde_json::to_string(&banter::wire::told::Payload(&event))?;
    let ours = server::message_bytes("ann", group, "group", "Hello");
    anyhow::ensure!(ours == banters.len(), "{ours} bytes, where Banter has {banters}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for writes in [server::Writes::Each, server::Writes::Coalesced] {
        let told = async { tokio::time::timeout(Duration::from_secs(10), talk(writes)).await };
        tokio::task::LocalSet::new().block_on(&runtime, told)??;
    }
    let Ok(url) = std::env::var("MONGO_TEST_URL") else { return Ok(()) };
    for through in [insert::Through::Bare, insert::Through::Driver, insert::Through::Store] {
        let asked = insert::Inserting { through, batch: 10, writers: 2, time: 0.01 };
        runtime.block_on(insert::measure(&url, asked))?;
    }
    Ok(())
}

/// Two users in a group, of whom one says something.
async fn talk(writes: server::Writes) -> anyhow::Result<()> {
    let listener = server::listen(0)?;
    let address = listener.local_addr()?;
    let serving = tokio::task::spawn_local(server::accept(listener, writes));
    let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
    let mut clients = Vec::new();
    for user in ["ann", "bob"] {
        let (mut client, _) = tokio_tungstenite::connect_async(&url).await?;
        for said in
            [format!("40{{\"user_id\":\"{user}\"}}"), "420[\"join_group\",\"g\"]".to_owned()]
        {
            client.send(Message::text(said)).await?;
        }
        for expected in ["0{\"sid\"", "40{\"sid\"", "430[{\"ok\":true}]"] {
            let heard = client.next().await.context("it goes on")??;
            anyhow::ensure!(heard.to_text()?.starts_with(expected), "{heard} for {expected}");
        }
        clients.push(client);
    }
    let draft = "{\"to\":\"g\",\"content\":\"Hello\",\"type\":\"group\"}";
    for _ in 0..3 {
        clients[0].send(Message::text(format!("42[\"send_message\",{draft}]"))).await?;
    }
    for client in &mut clients {
        for _ in 0..3 {
            let heard = client.next().await.context("it goes on")??;
            let heard = heard.to_text()?;
            anyhow::ensure!(heard.contains("\"content\":\"Hello\",\"type\":\"group\""), "{heard}");
        }
    }
    serving.abort();
    Ok(())
}
