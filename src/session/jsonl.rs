//! KafClaw's session files (specification §9.1): a tolerant reader and an exact writer. Text in, values out.

use serde_json::{Map, Value, json};

use super::{Message, Role};
use crate::base::clock::Timestamp;
use crate::base::id::SessionKey;

/// Longest file name a file system takes, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// One line that was understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Line {
    Metadata {
        created_at: Option<Timestamp>,
        updated_at: Option<Timestamp>,
        metadata: Map<String, Value>,
    },
    /// Its time is missing when the line had none that could be read.
    Message {
        role: Role,
        content: String,
        timestamp: Option<Timestamp>,
    },
}

/// One line that was not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reject {
    /// Counted from one.
    pub line: usize,
    pub bytes: Vec<u8>,
    pub reason: &'static str,
}

/// A whole file. Every line that is not blank is in exactly one of the three.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Decoded {
    pub messages: Vec<Message>,
    /// State of the conversation; later metadata lines add to earlier ones.
    pub metadata: Map<String, Value>,
    pub metadata_lines: usize,
    pub created_at: Option<Timestamp>,
    pub rejects: Vec<Reject>,
}

/// The name KafClaw gives a conversation's file; none when no file can have it.
///
/// Two conversations may share a name (`a:b` and `a_b`); the first one used gets the file.
pub fn file_name(key: &SessionKey) -> Option<String> {
    let name = key.as_str().replace([':', '/', '\\'], "_").replace("..", "_");
    let usable = !name.is_empty() && !name.contains('\0') && name.len() + ".jsonl".len() <= NAME_BYTES_MAX;
    usable.then(|| format!("{name}.jsonl"))
}

/// Reads a file. A message without a readable time takes the time of the one before it, or else `fallback`.
pub fn decode(bytes: &[u8], fallback: Timestamp) -> Decoded {
    let mut decoded = Decoded::default();
    let mut time = None;
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match decode_line(line) {
            Ok(Line::Metadata { created_at, updated_at: _, metadata }) => {
                decoded.created_at = decoded.created_at.or(created_at);
                decoded.metadata.extend(metadata);
                decoded.metadata_lines += 1;
            }
            Ok(Line::Message { role, content, timestamp }) => {
                time = timestamp.or(time).or(decoded.created_at);
                let timestamp = time.unwrap_or(fallback);
                decoded.messages.push(Message { role, content, timestamp, task_id: None });
            }
            Err(reason) => decoded.rejects.push(Reject { line: index + 1, bytes: line.to_vec(), reason }),
        }
    }
    decoded
}

/// The first line of a file.
pub(super) fn metadata_line(created_at: Timestamp, updated_at: Timestamp, metadata: &Map<String, Value>) -> Value {
    json!({
        "_type": "metadata",
        "created_at": whole_seconds(created_at),
        "metadata": metadata,
        "updated_at": whole_seconds(updated_at),
    })
}

/// Every other line.
pub(super) fn message_line(message: &Message) -> Value {
    json!({"role": message.role, "content": message.content, "timestamp": message.timestamp})
}

fn whole_seconds(time: Timestamp) -> String {
    time.to_utc().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn decode_line(line: &[u8]) -> Result<Line, &'static str> {
    let value: Value = serde_json::from_slice(line).map_err(|_| "not JSON")?;
    let Value::Object(mut fields) = value else { return Err("not a JSON object") };
    let time = |value: Option<&Value>| value.and_then(Value::as_str).and_then(Timestamp::parse);
    if fields.get("_type").and_then(Value::as_str) == Some("metadata") {
        let (created_at, updated_at) = (time(fields.get("created_at")), time(fields.get("updated_at")));
        return match fields.shift_remove("metadata") {
            Some(Value::Object(metadata)) => Ok(Line::Metadata { created_at, updated_at, metadata }),
            None | Some(Value::Null) => Ok(Line::Metadata { created_at, updated_at, metadata: Map::new() }),
            Some(_) => Err("metadata is not an object"),
        };
    }
    let role = fields.get("role").and_then(Value::as_str).and_then(Role::parse).ok_or("no known role")?;
    let timestamp = time(fields.get("timestamp"));
    match fields.shift_remove("content") {
        Some(Value::String(content)) => Ok(Line::Message { role, content, timestamp }),
        _ => Err("content is not text"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_123);

    #[test]
    fn a_file_as_kafclaw_writes_it_is_read_whole() {
        let text = concat!(
            r#"{"_type":"metadata","created_at":"2026-01-02T03:04:05+01:00","metadata":{"day2day_capture_mode":"on"},"updated_at":"2026-01-02T03:05:05+01:00"}"#,
            "\n",
            r#"{"role":"user","content":"Hallo \u003cb\u003e","timestamp":"2026-01-02T03:04:06.123456789+01:00"}"#,
            "\r\n\n",
            r#"{"role":"assistant","content":"Guten Morgen"}"#,
            "\n{\"role\":\"user\",\"content\":\"cut sho",
        );
        let decoded = decode(text.as_bytes(), NOW);
        assert_eq!(decoded.metadata["day2day_capture_mode"], "on");
        assert_eq!(decoded.created_at, Timestamp::parse("2026-01-02T02:04:05Z"));
        let contents: Vec<&str> = decoded.messages.iter().map(|message| message.content.as_str()).collect();
        assert_eq!(contents, ["Hallo <b>", "Guten Morgen"]);
        assert_eq!(decoded.messages[0].timestamp, decoded.messages[1].timestamp, "the time before it");
        assert_eq!(decoded.rejects.len(), 1);
        assert_eq!((decoded.rejects[0].line, decoded.rejects[0].reason), (5, "not JSON"));
    }

    #[test]
    fn file_names_are_kafclaws_and_stay_in_their_folder() {
        let check =
            |key: &str, name: Option<&str>| assert_eq!(file_name(&SessionKey::from(key)).as_deref(), name, "{key}");
        check("slack:default:C1", Some("slack_default_C1.jsonl"));
        check("../../etc/passwd", Some("____etc_passwd.jsonl"));
        check("a\\b", Some("a_b.jsonl"));
        check("", None);
        check("a\0b", None);
        check(&"x".repeat(250), None);
    }

    fn message() -> impl Strategy<Value = Message> {
        (0..4_usize, ".{0,40}", 0_i64..4_000_000_000_000).prop_map(|(role, content, millis)| Message {
            role: Role::ALL[role],
            content,
            timestamp: Timestamp::from_millis(millis),
            task_id: None,
        })
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_no_line_is_lost(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'{'), any::<u8>()], 0..200)) {
            let decoded = decode(&bytes, NOW);
            let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
            prop_assert_eq!(decoded.messages.len() + decoded.metadata_lines + decoded.rejects.len(), lines);
        }

        #[test]
        fn what_was_written_reads_back_between_any_damage(
            messages in proptest::collection::vec(message(), 0..8),
            junk in "[^\n\"]{0,30}",
        ) {
            let mut text = metadata_line(NOW, NOW, &Map::new()).to_string();
            for message in &messages {
                text.push_str(&format!("\n{}\n{junk}", message_line(message)));
            }
            let decoded = decode(text.as_bytes(), NOW);
            prop_assert_eq!(decoded.messages, messages);
        }
    }
}
