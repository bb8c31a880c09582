//! What the fuzzer starts from: bodies with every field, and a segment that holds them.

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::{Value, json};

use super::codec::{self, Kind};
use super::journal::reading;
use crate::Mode;

/// Writes the inputs into the folder that the environment names, if it does.
pub(crate) fn write() {
    let Some(folder) = env::var_os("FUZZ_SEEDS").map(PathBuf::from) else { return };
    fs::create_dir_all(&folder).expect("the folder of the seeds");
    let bodies: Vec<_> = ops().into_iter().map(body).collect();
    for ((kind, body), number) in bodies.iter().zip(1..) {
        let name = format!("body-{number}");
        seed(&folder, &name, Mode::Body, &[&[kind.code()], &**body].concat());
    }
    let records: Vec<_> = bodies.iter().map(|(kind, body)| (kind.code(), &**body)).collect();
    let records = reading::written(&records);
    seed(&folder, "records", Mode::Records, &records);
    seed(&folder, "file", Mode::File, &[reading::header(), records].concat());
}

fn seed(folder: &Path, name: &str, mode: Mode, rest: &[u8]) {
    fs::write(folder.join(name), [&[mode as u8], rest].concat()).expect("a seed");
}

fn body(op: Value) -> (Kind, Vec<u8>) {
    let op = codec::from_json(op).expect("an op");
    (Kind::of(&op), codec::encode(&op).expect("its body"))
}

/// One of each kind, with every field; and both kinds of content and of conversation.
fn ops() -> [Value; 7] {
    let id = json!({"$oid": "0123456789abcdef01234567"});
    let group = json!({"group": id});
    let users = json!({"users": ["ann", "zoë"]});
    let object = json!({"a": [1, -0.5, true, null, {"b": {}}], "c": i64::MAX});
    let full = json!({
        "id": id, "old_id": "5a0d6c1e-93b4", "client_id": "c-1", "from": "ann", "to_user": "zoë",
        "timestamp": 1, "content": object, "content_type": "voice", "media_url": "/uploads/a",
        "media_metadata": {"size": 7}, "status": "read", "read_by": ["zoë"],
        "deleted_for": ["ann", "zoë"], "edited_at": -1,
    });
    let text = json!({"conversation": users, "message": id, "content": "", "edited_at": 2});
    let edit = json!({"conversation": group, "message": id, "content": object, "edited_at": 2});
    let read = json!({
        "conversation": users, "messages": [id], "reader": "zoë", "up_to_timestamp": 1,
        "up_to_id": id,
    });
    [
        json!({"kind": "send", "op": full}),
        json!({"kind": "edit", "op": text}),
        json!({"kind": "edit", "op": edit}),
        json!({"kind": "read", "op": read}),
        json!({"kind": "delete", "op": {"conversation": users, "message": id, "at": 3}}),
        json!({"kind": "hide", "op": {"conversation": group, "message": id, "user": "ann"}}),
        json!({"kind": "purge_group", "op": {"group": id}}),
    ]
}
