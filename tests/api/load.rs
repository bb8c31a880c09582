//! `banter load`: every scenario against a real server, and its verdicts against one that delivers
//! badly on purpose.

use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::app::{BY_TOKEN, TestApp};
use crate::binary::command;
use crate::faulty::{self, Fate};

/// How one run ended.
#[derive(Debug)]
struct Run {
    code: i32,
    said: String,
    complaint: String,
}

impl Run {
    fn json(&self) -> Value {
        serde_json::from_str(&self.said).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// That it could not be begun, and why.
    fn refused(&self, words: &[&str]) {
        assert_eq!((self.code, &*self.said), (1, ""), "{self:?}");
        for word in words {
            assert!(self.complaint.contains(word), "{word}: {self:?}");
        }
    }
}

fn load(folder: &TempDir, addr: SocketAddr, args: &str) -> Command {
    let mut command = command(folder, &[]);
    command.args(["load"]).args(args.split_whitespace()).args(["--url", &format!("http://{addr}")]);
    command
}

async fn run(addr: SocketAddr, args: &str) -> Run {
    let folder = TempDir::new().unwrap();
    let output = load(&folder, addr, args).output().await.expect("the program runs");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it leaves nothing behind");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let code = output.status.code().expect("an exit code");
    Run { code, said: text(output.stdout), complaint: text(output.stderr) }
}

/// A short run whose JSON is read; nothing may have gone wrong in it.
async fn clean(app: &TestApp, args: &str) -> Value {
    let pid = std::process::id();
    let short = format!("{args} --time 0.6 --warm-up 0.2 --drain 20 --pid {pid} --json -");
    let run = run(app.addr, &short).await;
    let json = run.json();
    assert_eq!(run.code, 0, "{run:?}");
    for wrong in ["lost", "doubled", "reordered", "astray", "disconnected", "sync_required"] {
        assert_eq!(json[wrong], 0, "{wrong}: {json}");
    }
    assert_eq!(json["delivered"], json["expected"], "{json}");
    has_the_fields_that_programs_read(&json);
    assert!(json["servers"][0]["cpu_seconds"].as_f64().is_some(), "{json}");
    assert!(json["servers"][0]["memory_bytes_peak"].as_u64() > Some(1_000_000), "{json}");
    json
}

fn has_the_fields_that_programs_read(json: &Value) {
    const FIELDS: &str = "scenario url options seconds sent refused delivered expected lost doubled \
        reordered sync_required disconnected sends_per_second deliveries_per_second delivery_ms ack_ms \
        connect_ms connections servers cpu_us_per_delivery cpu_us_per_send \
        memory_bytes_per_connection generator_late_ms";
    const OPTIONS: &str =
        "users senders groups rate window seconds warm_up_seconds payload_bytes transport seed";
    const OF_A_SERVER: &str = "pid cpu_seconds memory_bytes_before memory_bytes_connected \
        memory_bytes_peak memory_bytes_after memory_samples";
    let has = |object: &Value, fields: &str| {
        let object = object.as_object().expect("an object");
        fields.split_whitespace().for_each(|field| assert!(object.contains_key(field), "{field}"));
    };
    has(json, FIELDS);
    has(&json["options"], OPTIONS);
    has(&json["servers"][0], OF_A_SERVER);
    for latency in ["delivery_ms", "ack_ms", "connect_ms"] {
        if !json[latency].is_null() {
            has(&json[latency], "p50 p90 p99 p999 max");
        }
    }
}

async fn app() -> TestApp {
    TestApp::on_sqlite().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_to_groups_come_to_each_member_once() {
    let app = app().await;
    for transport in ["websocket", "polling"] {
        let args = format!("group --users 12 --senders 4 --groups 2 --transport {transport}");
        let json = clean(&app, &args).await;
        let sent = json["sent"].as_u64().unwrap();
        assert!(sent > 0, "{json}");
        assert_eq!(json["expected"], sent * 6, "each goes to the six of its group: {json}");
        assert_eq!((&json["connections"], &json["ack_ms"]), (&json!(12), &Value::Null));
        assert_eq!(json["options"]["window"], 1);
        assert!(json["delivery_ms"]["p50"].as_f64() <= json["delivery_ms"]["max"].as_f64());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_is_kept_and_acks_are_measured() {
    let app = app().await;
    for transport in ["websocket", "polling"] {
        let args = format!("group --users 6 --senders 3 --rate 100 --acks --transport {transport}");
        let json = clean(&app, &args).await;
        assert_eq!(json["sent"], 60, "what is measured of the schedule: {json}");
        assert_eq!(json["options"]["window"], Value::Null);
        assert!(json["ack_ms"]["p99"].as_f64() > Some(0.0), "{json}");
        assert!(json["generator_late_ms"].as_f64().is_some(), "{json}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_messages_come_to_both_of_a_pair() {
    let app = app().await;
    for transport in ["websocket", "polling"] {
        let args = format!("direct --users 6 --window 3 --payload 500 --transport {transport}");
        let json = clean(&app, &args).await;
        let sent = json["sent"].as_u64().unwrap();
        assert!(sent > 0, "{json}");
        assert_eq!(json["expected"], sent * 2, "{json}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_are_held_and_weighed() {
    let app = app().await;
    for transport in ["websocket", "polling"] {
        let json = clean(&app, &format!("idle --users 20 --transport {transport}")).await;
        assert_eq!((&json["connections"], &json["sent"]), (&json!(20), &json!(0)));
        assert!(json["memory_bytes_per_connection"].is_number(), "{json}");
        let rate = format!("idle --users 5 --rate 50 --active 2 --transport {transport}");
        let json = clean(&app, &rate).await;
        assert_eq!((&json["connections"], &json["sent"]), (&json!(9), &json!(30)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_connects_again_and_again() {
    let app = app().await;
    for transport in ["websocket", "polling"] {
        let args = format!("storm --users 10 --at-once 5 --transport {transport}");
        let json = clean(&app, &args).await;
        assert!(json["connects_per_second"].as_f64() > Some(0.0), "{json}");
        assert!(json["connect_ms"]["p50"].as_f64() > Some(0.0), "{json}");
        assert_eq!(json["refused"], 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_are_told_or_get_everything() {
    let app = app().await;
    let args =
        "slow --users 8 --senders 2 --slow 2 --slow-rate 5000 --time 0.6 --warm-up 0 --json -";
    let run = run(app.addr, args).await;
    let json = run.json();
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!((&json["lost"], &json["slow"]["members"]), (&json!(0), &json!(2)), "{json}");
    assert_eq!(json["slow"]["missed_untold"], 0, "{json}");
    let sent = json["sent"].as_u64().unwrap();
    assert_eq!(json["expected"], sent * 6, "nothing is owed to the slow ones: {json}");
    let slow = |field: &str| json["slow"][field].as_u64().unwrap();
    assert_eq!(slow("delivered") + slow("missed"), sent * 2, "{json}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_has_everything_in_it() {
    let app = app().await;
    let args = "day --users 10 --group-size 5 --rate 400";
    let json = clean(&app, &format!("{args} --acks")).await;
    let acts = json["acts"].as_object().unwrap();
    for act in "direct group receipt typing edit delete history".split(' ') {
        assert!(acts.get(act).and_then(Value::as_u64) > Some(0), "{act}: {json}");
    }
    let done: u64 = acts.values().filter_map(Value::as_u64).sum();
    assert_eq!(done, 320, "what is scheduled in 0.8 s: {json}");
    assert!(json["history_ms"]["max"].as_f64() > Some(0.0), "{json}");
    clean(&app, args).await;
}

/// Ten of a hundred messages are lost to 1, ten come twice to 2, ten late to 2, ten are refused.
fn faults(delivery: faulty::Delivery) -> Fate {
    match (delivery.to, delivery.number % 10) {
        (_, 5) => Fate::Refused,
        (1, 0) => Fate::Never,
        (2, 1) => Fate::Twice,
        (2, 7) => Fate::Late,
        _ => Fate::Once,
    }
}

#[tokio::test]
async fn what_a_server_loses_doubles_and_reorders_is_reported_exactly() {
    let addr = faulty::serve(faults).await;
    for acks in ["", "--acks"] {
        let args = format!("group --users 3 --senders 1 --rate 200 --time 0.5 --warm-up 0 {acks}");
        let run = run(addr, &format!("{args} --drain 1 --json -")).await;
        let json = run.json();
        assert_eq!(run.code, 1, "{run:?}");
        let counted =
            ["sent", "expected", "delivered", "lost", "doubled", "reordered", "refused", "astray"]
                .map(|field| json[field].as_u64().unwrap());
        assert_eq!(counted, [100, 270, 260, 10, 10, 10, 10, 0], "{json}");
        assert!(json["first_complaint"].as_str().unwrap().contains("no"), "{json}");
    }
    let table = run(addr, "group --users 3 --senders 1 --rate 200 --time 0.5 --drain 1").await;
    assert_eq!(table.code, 1, "{table:?}");
    assert!(table.said.contains(" 50 lost, 50 doubled, 50 reordered,"), "{table:?}");
}

#[tokio::test]
async fn a_closed_loop_counts_the_same_faults() {
    let addr = faulty::serve(faults).await;
    let run =
        run(addr, "group --users 3 --senders 1 --time 0.3 --warm-up 0 --drain 1 --json -").await;
    let json = run.json();
    assert_eq!(run.code, 1, "{run:?}");
    let [sent, lost, doubled, refused] =
        ["sent", "lost", "doubled", "refused"].map(|field| json[field].as_u64().unwrap());
    assert!(sent >= 10, "{json}");
    // A last one that is late stays out.
    let late = u64::from(sent % 10 == 7);
    assert_eq!(lost, sent / 10 + late, "{json}");
    assert_eq!((doubled, refused), (sent.div_ceil(10), (sent + 5) / 10), "{json}");
}

#[tokio::test]
async fn what_comes_to_the_wrong_user_is_astray_and_lost() {
    let addr = faulty::serve(|delivery| match (delivery.from, delivery.to, delivery.number) {
        (0, 1, 3) => Fate::To(2),
        _ => Fate::Once,
    })
    .await;
    let args = "direct --users 4 --rate 40 --time 0.5 --warm-up 0 --drain 1 --json -";
    let run = run(addr, args).await;
    let json = run.json();
    assert_eq!((run.code, &json["lost"], &json["astray"]), (1, &json!(1), &json!(1)), "{json}");
}

#[tokio::test]
async fn what_slow_readers_miss_is_lost_unless_they_are_told() {
    let args = "slow --users 3 --senders 1 --slow 1 --slow-rate 100000 --rate 100 --time 0.5";
    let args = format!("{args} --warm-up 0 --drain 1 --json -");
    let silent = faulty::serve(|delivery| match (delivery.to, delivery.number % 10) {
        (2, 0) => Fate::Never,
        _ => Fate::Once,
    });
    let run_ = run(silent.await, &args).await;
    let json = run_.json();
    assert_eq!((run_.code, &json["lost"]), (1, &json!(5)), "{json}");
    assert_eq!(json["slow"]["missed_untold"], 5, "{json}");
    let honest = faulty::serve(|delivery| match (delivery.to, delivery.number % 10) {
        (2, 0) => Fate::Told,
        _ => Fate::Once,
    });
    let run = run(honest.await, &args).await;
    let json = run.json();
    assert_eq!((run.code, &json["lost"]), (0, &json!(0)), "{json}");
    assert_eq!((&json["slow"]["missed"], &json["slow"]["told_to_sync"]), (&json!(5), &json!(1)));
    assert_eq!(json["sync_required"], 5, "{json}");
}

#[tokio::test]
async fn latency_counts_from_when_a_message_was_to_be_sent() {
    // For a second the server reads nothing, so that most of 40 MB can't even be sent.
    let addr = faulty::serve(|delivery| {
        if delivery.number == 1 {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        Fate::Once
    })
    .await;
    let args = "group --users 1 --senders 1 --rate 80 --payload 1000000 --time 0.5 --warm-up 0";
    let run = run(addr, &format!("{args} --drain 20 --json -")).await;
    let json = run.json();
    assert_eq!(
        (run.code, &json["sent"], &json["delivered"]),
        (0, &json!(40), &json!(40)),
        "{json}"
    );
    assert!(json["held_back"].as_u64() > Some(0), "{json}");
    // Whatever was due within the first half of that second came after its end.
    assert!(json["delivery_ms"]["p50"].as_f64() > Some(500.0), "{json}");
}

#[tokio::test]
async fn an_interrupted_run_still_reports() {
    let addr = faulty::serve(|_| Fate::Once).await;
    let folder = TempDir::new().unwrap();
    let mut command = load(&folder, addr, "direct --users 2 --time 3600 --warm-up 0 --progress");
    let mut child = command.stderr(Stdio::piped()).spawn().expect("the program starts");
    let (mut stderr, mut shown) = (child.stderr.take().unwrap(), String::new());
    while !shown.contains("sends/s") {
        let mut bytes = [0; 1_024];
        let length = stderr.read(&mut bytes).await.unwrap();
        assert!(length > 0, "it ended: {shown}");
        shown += &String::from_utf8_lossy(&bytes[..length]);
    }
    assert!(shown.contains("direct ") && shown.contains("2 connected"), "{shown}");
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let output = child.wait_with_output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("It was interrupted"), "{said}");
    assert!(said.contains(" 0 lost, 0 doubled"), "{said}");
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[tokio::test]
async fn the_json_goes_into_a_file_beside_the_table() {
    let addr = faulty::serve(|_| Fate::Once).await;
    let folder = TempDir::new().unwrap();
    let args = "direct --users 2 --rate 20 --time 0.5 --warm-up 0 --json figures.json";
    let output = load(&folder, addr, args).output().await.unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("direct: 2 connections"));
    let json = std::fs::read(folder.path().join("figures.json")).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["sent"], 10);
    let nowhere = run(addr, "direct --users 2 --json no/such/folder/x").await;
    nowhere.refused(&["--json", "can't be written"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_can_t_be_driven_is_told_why() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    for transport in ["websocket", "polling"] {
        let args = format!("direct --users 2 --transport {transport}");
        run(nobody, &args).await.refused(&["nobody listens there", "127.0.0.1:1"]);
    }
    run(nobody, "group --users 2 --senders 1").await.refused(&["can't be reached"]);

    let by_token = TestApp::with(BY_TOKEN).await;
    run(by_token.addr, "direct --users 2").await.refused(&["token", "AUTH_MODE=open"]);
    let group = run(by_token.addr, "group --users 2 --senders 1").await;
    group.refused(&["401", "AUTH_MODE=open"]);

    let strict = TestApp::with(&[("LIMIT_EXEMPT", "10.0.0.1"), ("HANDSHAKE_RATE", "1")]).await;
    let limited = run(strict.addr, "direct --users 20").await;
    limited.refused(&["429", "LIMIT_EXEMPT", "HANDSHAKE_RATE"]);

    let app = app().await;
    run(app.addr, "direct --users 2 --pid 4294967295").await.refused(&["no such process"]);
    run(app.addr, "direct --users 3").await.refused(&["odd number"]);
    run(app.addr, "group --users 2 --senders 3").await.refused(&["--senders"]);
    run(app.addr, "group --users 4 --senders 1 --groups 2").await.refused(&["--groups"]);
    run(app.addr, "group --users 9000 --senders 9000").await.refused(&["books", "fewer senders"]);
    run(app.addr, "slow --users 4 --senders 1 --slow 4").await.refused(&["--slow"]);
    run(app.addr, "slow --users 20 --transport polling").await.refused(&["WebSocket"]);
}

#[tokio::test]
async fn too_few_files_are_told_before_anybody_connects() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let folder = TempDir::new().unwrap();
    let load = load(&folder, nobody, "idle --users 200");
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 100 && exec \"$@\"", "sh"]);
    limited.arg(load.as_std().get_program()).args(load.as_std().get_args());
    let output = limited.current_dir(folder.path()).output().await.unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("264 open files") && told.contains("ulimit -n 264"), "{told}");
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the listener lives as long as the test")]
async fn what_is_no_socket_io_server_is_told_to_be_none() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
            let _ = stream.read(&mut [0; 1_024]).await;
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
        }
    });
    let polling = run(addr, "direct --users 2 --transport polling").await;
    polling.refused(&["does not speak Socket.IO 4", "hi"]);
    run(addr, "direct --users 2").await.refused(&["200"]);
    run(addr, "group --users 2 --senders 1").await.refused(&["POST /groups/ answers no group"]);
}
