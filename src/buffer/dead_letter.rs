//! Dead letters: ops that the store will never take, kept on disk for a person to look at.
//!
//! One file, `dead-letter.ndjson`: one JSON object per line, `{"sequence", "reason", "op"}`. An op
//! may be there twice after a crash between the write and the op's removal from the buffer.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt;

use super::Sequence;
use crate::model::{Content, Conversation, Message, MessageId, Op};

const FILE_NAME: &str = "dead-letter.ndjson";

/// Where dead letters go; made when the first one comes.
#[derive(Debug)]
pub(super) struct DeadLetters(PathBuf);

impl DeadLetters {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// Writes one op down. When it returns `Ok`, the line survives a crash; after an error nothing
    /// of the line is left in the file, as far as the disk still obeys.
    pub(super) async fn keep(&self, sequence: Sequence, reason: &str, op: &Op) -> io::Result<()> {
        let letter = json!({"sequence": sequence, "reason": reason, "op": readable(op)});
        let line = format!("{letter}\n");
        fs::create_dir_all(&self.0).await?;
        let path = self.0.join(FILE_NAME);
        let mut file = OpenOptions::new().create(true).append(true).open(path).await?;
        let before = file.metadata().await?.len();
        if let Err(error) = append(&mut file, &line).await {
            // Half a line would spoil the next one; the first error is the one to report.
            let _ = file.set_len(before).await;
            return Err(error);
        }
        sync_directory(&self.0).await
    }
}

async fn append(file: &mut File, line: &str) -> io::Result<()> {
    file.write_all(line.as_bytes()).await?;
    file.flush().await?;
    file.sync_all().await
}

/// A new file's name is durable only once its directory is synced.
async fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory).await?.sync_all().await
}

fn readable(op: &Op) -> Value {
    match op {
        Op::Send(message) => json!({"kind": "send", "message": readable_message(message)}),
        Op::Read { conversation, messages, reader, up_to: (timestamp, id) } => json!({
            "kind": "read",
            "conversation": readable_conversation(conversation),
            "messages": messages.iter().map(MessageId::to_string).collect::<Vec<_>>(),
            "reader": reader.as_str(),
            "up_to": {"timestamp_ms": timestamp.as_millis(), "_id": id.to_string()},
        }),
        Op::Edit { conversation, message, content, edited_at } => json!({
            "kind": "edit",
            "conversation": readable_conversation(conversation),
            "message": message.to_string(),
            "content": readable_content(content),
            "edited_at_ms": edited_at.as_millis(),
        }),
        Op::Delete { conversation, message, at } => json!({
            "kind": "delete",
            "conversation": readable_conversation(conversation),
            "message": message.to_string(),
            "at_ms": at.as_millis(),
        }),
        Op::Hide { conversation, message, user } => json!({
            "kind": "hide",
            "conversation": readable_conversation(conversation),
            "message": message.to_string(),
            "user": user.as_str(),
        }),
        Op::PurgeGroup(group) => json!({"kind": "purge_group", "group": group.to_string()}),
    }
}

fn readable_message(message: &Message) -> Value {
    json!({
        "_id": message.id.to_string(),
        "conversation": readable_conversation(&message.conversation()),
        "from": message.from.as_str(),
        "content": readable_content(&message.content),
        "content_type": message.content_type.as_str(),
        "media_url": message.media_url,
        "media_metadata": message.media_metadata,
        "timestamp_ms": message.timestamp.as_millis(),
        "status": message.status.as_str(),
        "read_by": message.read_by.iter().map(|user| user.as_str()).collect::<Vec<_>>(),
        "deleted_for": message.deleted_for.iter().map(|user| user.as_str()).collect::<Vec<_>>(),
    })
}

fn readable_conversation(conversation: &Conversation) -> Value {
    match conversation {
        Conversation::Direct(a, b) => json!({"users": [a.as_str(), b.as_str()]}),
        Conversation::Group(group) => json!({"group": group.to_string()}),
    }
}

fn readable_content(content: &Content) -> Value {
    match content {
        Content::Text(text) => Value::from(text.as_str()),
        Content::Object(object) => Value::Object(object.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::testing::{edit, text};

    #[tokio::test]
    async fn each_letter_is_a_line_with_its_number_reason_and_op() {
        let directory = tempfile::tempdir().expect("a directory");
        let letters = DeadLetters::new(directory.path().join("dead-letter"));
        let sent = text("a \"quote\"\nand a line");
        letters.keep(7, "too strange", &sent).await.expect("written");
        letters.keep(8, "also", &edit(&sent, "b")).await.expect("written");

        let file = directory.path().join("dead-letter").join(FILE_NAME);
        let written = std::fs::read_to_string(file).expect("a file");
        let lines: Vec<Value> =
            written.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["sequence"], 7);
        assert_eq!(lines[0]["reason"], "too strange");
        assert_eq!(lines[0]["op"]["message"]["content"], "a \"quote\"\nand a line");
        assert_eq!(lines[1]["op"]["kind"], "edit");
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_made_is_an_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let blocked = directory.path().join("file");
        std::fs::write(&blocked, "").expect("a file in the way");
        assert!(DeadLetters::new(blocked).keep(1, "no", &text("a")).await.is_err());
    }
}
