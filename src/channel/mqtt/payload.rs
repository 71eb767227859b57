//! What is in an MQTT message, and what goes into an answer.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::base::id::to_hex;
use crate::domain::message::Outbound;

/// Longest id or sender that is taken, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// How the other side speaks, and is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Plain,
    Json,
}

impl Form {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Json => "json",
        }
    }

    pub(super) fn parse(hint: Option<&str>) -> Self {
        if hint == Some(Self::Json.as_str()) { Self::Json } else { Self::Plain }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Heard {
    pub text: String,
    pub id: Option<String>,
    pub sender: Option<String>,
    pub form: Form,
}

/// Reads a payload. A JSON object with a `text` is a message in JSON; every other UTF-8 text is what somebody said.
pub(super) fn read(payload: &[u8]) -> Result<Heard, &'static str> {
    let text = std::str::from_utf8(payload).map_err(|_| "it is not UTF-8")?;
    if text.trim_start().starts_with('{')
        && let Ok(Value::Object(fields)) = serde_json::from_str(text)
    {
        let Some(said) = fields.get("text").and_then(Value::as_str) else { return Err("it has no \"text\"") };
        let name = |key: &str| match fields.get(key) {
            Some(Value::String(name)) if name.len() > NAME_BYTES_MAX => Err("its id or sender is too long"),
            Some(Value::String(name)) if !name.is_empty() => Ok(Some(name.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            _ => Ok(None),
        };
        return Ok(Heard { text: said.to_owned(), id: name("id")?, sender: name("sender")?, form: Form::Json });
    }
    Ok(Heard { text: text.to_owned(), id: None, sender: None, form: Form::Plain })
}

/// An answer in JSON.
pub(super) fn answer(outbound: &Outbound) -> String {
    json!({
        "id": outbound.id,
        "in_reply_to": outbound.in_reply_to,
        "text": outbound.content,
        "route": outbound.route.as_str(),
        "trace_id": outbound.trace_id,
    })
    .to_string()
}

/// 16 hexadecimal digits that stand for a text.
pub(super) fn fingerprint(text: &str) -> String {
    to_hex(&Sha256::digest(text.as_bytes())[..8])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_and_json_are_told_apart() {
        let plain = |text: &str| Ok(Heard { text: text.to_owned(), id: None, sender: None, form: Form::Plain });
        assert_eq!(read(b"turn on the lamp"), plain("turn on the lamp"));
        assert_eq!(read(b"{smile"), plain("{smile"));
        let json =
            Heard { text: "hi".to_owned(), id: Some("7".to_owned()), sender: Some("ann".to_owned()), form: Form::Json };
        assert_eq!(read(br#" {"text": "hi", "id": 7, "sender": "ann", "more": []}"#), Ok(json));
        assert_eq!(read(br#"{"id": "7"}"#), Err("it has no \"text\""));
        assert_eq!(read(&[0xff]), Err("it is not UTF-8"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn what_was_said_in_json_arrives_as_it_was(text in ".*", id in "[a-z0-9]{1,20}") {
            let payload = json!({"text": text, "id": id}).to_string();
            let heard = read(payload.as_bytes()).expect("a message");
            prop_assert_eq!((heard.text, heard.id, heard.form), (text, Some(id), Form::Json));
        }
    }
}
