//! Puts an answer together, whether it comes whole or in pieces (specification §10.2).

use serde_json::{Map, Value, json};

use crate::domain::call::Call;
use crate::domain::message::Route;
use crate::provider::Endpoint;
use crate::provider::think::{Piece, Thoughts};

/// Calls of one answer.
const CALLS_MAX: usize = 64;
/// Longest answer that is kept, in bytes.
const TEXT_BYTES_MAX: usize = 512 * 1024;

/// What a model said.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    pub text: String,
    pub calls: Vec<Call>,
    pub finish_reason: String,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub provider: String,
    pub model: String,
    pub route: Route,
}

/// Why a piece is no piece of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    Garbled,
    /// The server says so itself.
    Reported(String),
}

#[derive(Default, Debug)]
pub(super) struct Assembly {
    text: String,
    thoughts: Thoughts,
    calls: Vec<PartialCall>,
    finish_reason: String,
    usage: Option<(u64, u64)>,
    is_done: bool,
    is_over: bool,
}

#[derive(Default, Debug)]
struct PartialCall {
    index: u64,
    id: String,
    name: String,
    arguments: String,
}

impl Assembly {
    /// Takes one event's data (or a whole answer) in; returns what to show.
    pub(super) fn take(&mut self, data: &str) -> Result<Piece, Fault> {
        if data.trim() == "[DONE]" {
            (self.is_done, self.is_over) = (true, true);
            return Ok(Piece::default());
        }
        let value: Value = serde_json::from_str(data).map_err(|_| Fault::Garbled)?;
        if !value.is_object() {
            return Err(Fault::Garbled);
        }
        if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
            return Err(Fault::Reported(error_text(error)));
        }
        if let Some(usage) = value.get("usage").filter(|usage| usage.is_object()) {
            let count = |key: &str| usage.get(key).and_then(Value::as_u64).unwrap_or(0);
            self.usage = Some((count("prompt_tokens"), count("completion_tokens")));
        }
        let Some(choice) = value.get("choices").and_then(|choices| choices.get(0)) else {
            return Ok(Piece::default());
        };
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            self.finish_reason = reason.to_owned();
            self.is_done = true;
        }
        let whole = choice.get("message").filter(|message| message.is_object());
        // A whole message is an answer even when nobody says why it ended.
        self.is_done |= whole.is_some();
        let Some(said) = whole.or_else(|| choice.get("delta")) else { return Ok(Piece::default()) };
        for (position, call) in said.get("tool_calls").and_then(Value::as_array).into_iter().flatten().enumerate() {
            self.take_call(position as u64, call);
        }
        let refusal = said.get("refusal").and_then(Value::as_str).unwrap_or("");
        let text = content(said.get("content")) + refusal;
        Ok(self.take_text(&text))
    }

    fn take_call(&mut self, position: u64, call: &Value) {
        let index = call.get("index").and_then(Value::as_u64).unwrap_or(position);
        let id = call.get("id").and_then(Value::as_str).unwrap_or("");
        let function = call.get("function");
        let name = function.and_then(|function| function.get("name")).and_then(Value::as_str).unwrap_or("");
        let at = match self.calls.iter().rposition(|known| known.index == index && known.goes_on_with(id, name)) {
            Some(at) => at,
            None if self.calls.len() >= CALLS_MAX => return,
            None => {
                self.calls.push(PartialCall { index, ..PartialCall::default() });
                self.calls.len() - 1
            }
        };
        let known = &mut self.calls[at];
        if !id.is_empty() {
            known.id = id.to_owned();
        }
        // A name that comes again with each piece is not longer for it.
        if known.name != name && known.name.len() + name.len() <= TEXT_BYTES_MAX {
            known.name.push_str(name);
        }
        match function.and_then(|function| function.get("arguments")) {
            Some(Value::String(text)) if known.arguments.len() + text.len() <= TEXT_BYTES_MAX => {
                known.arguments.push_str(text);
            }
            // Some servers send an object where a text belongs.
            Some(object @ Value::Object(_)) => known.arguments = object.to_string(),
            _ => {}
        }
    }

    fn take_text(&mut self, text: &str) -> Piece {
        let piece = self.thoughts.feed(text);
        if piece.is_restart {
            self.text.clear();
        }
        self.keep(piece)
    }

    fn keep(&mut self, mut piece: Piece) -> Piece {
        // Blank lines after a thought are not part of the answer.
        if self.text.is_empty() {
            piece.text = piece.text.trim_start().to_owned();
        }
        let room = TEXT_BYTES_MAX - self.text.len();
        piece.text.truncate(piece.text.floor_char_boundary(room));
        self.text.push_str(&piece.text);
        piece
    }

    /// Whether the model said that it is done; a stream that breaks off before is not an answer.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Whether the server said that nothing follows.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// What is still to be shown at the end.
    pub(super) fn end(&mut self) -> Piece {
        let text = self.thoughts.end();
        self.keep(Piece { is_restart: false, text })
    }

    pub(super) fn finish(mut self, endpoint: &Endpoint) -> Answer {
        self.end();
        let calls: Vec<Call> =
            self.calls.into_iter().filter(|call| !call.name.is_empty()).map(PartialCall::finish).collect();
        let (prompt_tokens, completion_tokens) = self.usage.unwrap_or((0, 0));
        Answer {
            text: self.text.trim_end().to_owned(),
            calls,
            finish_reason: self.finish_reason,
            prompt_tokens,
            completion_tokens,
            provider: endpoint.provider.clone(),
            model: endpoint.model.clone(),
            route: endpoint.route,
        }
    }
}

/// A text, or the texts among a list of parts.
fn content(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect::<Vec<_>>().concat()
        }
        _ => String::new(),
    }
}

impl PartialCall {
    /// Gemini gives every call of an answer the index 0, others give none: what has a name may be another call.
    fn goes_on_with(&self, id: &str, name: &str) -> bool {
        if name.is_empty() {
            return true;
        }
        if id.is_empty() || self.id.is_empty() {
            return !serde_json::from_str::<Value>(&self.arguments).is_ok_and(|whole| whole.is_object());
        }
        self.id == id
    }

    fn finish(self) -> Call {
        let text = self.arguments.trim();
        let read = match serde_json::from_str(text) {
            // Wrapped as text once too often.
            Ok(Value::String(inner)) => serde_json::from_str(&inner).ok(),
            read => read.ok(),
        };
        let arguments = match read {
            Some(arguments @ Value::Object(_)) => arguments,
            Some(Value::Null) => Value::Object(Map::new()),
            None if text.is_empty() => Value::Object(Map::new()),
            // KafClaw's way with what cannot be read: the tool's schema check answers.
            _ => json!({"raw": text}),
        };
        Call { id: self.id, tool: self.name, arguments }
    }
}

/// The sentence inside an error, whatever its shape.
pub(super) fn error_text(error: &Value) -> String {
    const TEXT_MAX: usize = 300;
    let text = match error {
        Value::String(text) => text.clone(),
        other => ["message", "detail"]
            .iter()
            .find_map(|key| other.get(key).and_then(Value::as_str))
            .unwrap_or("it gave no reason")
            .to_owned(),
    };
    text[..text.floor_char_boundary(TEXT_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::provider::resolve;

    fn assembled(events: &[Value]) -> Answer {
        let mut assembly = Assembly::default();
        for event in events {
            assembly.take(&event.to_string()).expect("a piece");
        }
        assembly.finish(&resolve("ollama/m", |_| None).expect("known"))
    }

    fn calls(deltas: &[Value]) -> Vec<(String, String, String)> {
        let events: Vec<Value> =
            deltas.iter().map(|calls| json!({"choices": [{"delta": {"tool_calls": calls}}]})).collect();
        let calls = assembled(&events).calls.into_iter();
        calls.map(|call| (call.id, call.tool, call.arguments.to_string())).collect()
    }

    fn call(id: &str, tool: &str, arguments: &str) -> (String, String, String) {
        (id.to_owned(), tool.to_owned(), arguments.to_owned())
    }

    #[test]
    fn calls_come_together_as_each_server_sends_them() {
        let function = |name: &str, arguments: &str| json!({"name": name, "arguments": arguments});
        // OpenAI: pieces by index.
        assert_eq!(
            calls(&[
                json!([{"index": 0, "id": "a", "function": function("lamp", "{\"on\"")}]),
                json!([{"index": 0, "function": {"arguments": ": true}"}}, {"index": 1, "id": "b", "function": function("fan", "")}]),
            ]),
            [call("a", "lamp", "{\"on\":true}"), call("b", "fan", "{}")]
        );
        // Gemini: every call whole, every index 0.
        assert_eq!(
            calls(&[
                json!([{"index": 0, "id": "a", "function": function("t", "{\"x\":1}")}]),
                json!([{"index": 0, "id": "b", "function": function("t", "{\"x\":2}")}]),
            ]),
            [call("a", "t", "{\"x\":1}"), call("b", "t", "{\"x\":2}")]
        );
        // No index and no id.
        assert_eq!(
            calls(&[json!([{"function": function("t", "{\"x\":1}")}]), json!([{"function": function("u", "{}")}])]),
            [call("", "t", "{\"x\":1}"), call("", "u", "{}")]
        );
        // Name and id again with each piece.
        assert_eq!(
            calls(&[
                json!([{"index": 0, "id": "a", "function": function("t", "{\"x\"")}]),
                json!([{"index": 0, "id": "a", "function": function("t", ":1}")}]),
            ]),
            [call("a", "t", "{\"x\":1}")]
        );
        // Objects, texts in texts, nothing, and nonsense.
        assert_eq!(
            calls(&[json!([
                {"id": "a", "function": {"name": "t", "arguments": {"x": 1}}},
                {"id": "b", "function": function("t", "\"{\\\"x\\\":1}\"")},
                {"id": "c", "function": function("t", "null")},
                {"id": "d", "function": function("t", "nonsense")},
                {"id": "e", "function": function("t", "[1]")},
                {"id": "f", "function": function("", "{}")},
            ])]),
            [
                call("a", "t", "{\"x\":1}"),
                call("b", "t", "{\"x\":1}"),
                call("c", "t", "{}"),
                call("d", "t", "{\"raw\":\"nonsense\"}"),
                call("e", "t", "{\"raw\":\"[1]\"}"),
            ]
        );
    }

    #[test]
    fn text_in_parts_and_refusals_are_text() {
        let parts = json!([{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}, {"text": "b"}]);
        assert_eq!(assembled(&[json!({"choices": [{"message": {"content": parts}}]})]).text, "ab");
        assert_eq!(assembled(&[json!({"choices": [{"delta": {"content": null, "refusal": "No."}}]})]).text, "No.");
    }

    #[test]
    fn a_text_that_never_ends_is_cut() {
        let long = "ä".repeat(200_000);
        let event = json!({"choices": [{"delta": {"content": long}}]});
        assert_eq!(assembled(&[event.clone(), event]).text.len(), TEXT_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn thoughts_stay_hidden_however_they_are_cut(before in "[a-z ]{0,10}", thought in "[a-z <]{0,10}", after in "[a-z<]{1,10}", cut in 1_usize..6) {
            let text = format!("{before}<think>{thought}</think>{after}");
            let mut assembly = Assembly::default();
            let mut shown = String::new();
            for piece in text.as_bytes().chunks(cut) {
                let word = std::str::from_utf8(piece).expect("ASCII");
                let event = json!({"choices": [{"delta": {"content": word}}]}).to_string();
                shown += &assembly.take(&event).expect("JSON").text;
            }
            shown += &assembly.end().text;
            let expected = format!("{before}{after}");
            prop_assert_eq!(shown, expected.trim_start());
        }

        #[test]
        fn any_data_is_taken_or_refused(data in "\\PC{0,100}") {
            let _ = Assembly::default().take(&data);
        }

        #[test]
        fn any_shape_of_json_is_taken_or_refused(
            key in "delta|message", inner in "content|tool_calls|refusal", value in "null|1|\"a\"|\\[\\]|\\{\\}|\\[1,\\{\\}\\]|\\[\\{\"function\":1,\"index\":-1\\}\\]"
        ) {
            let _ = Assembly::default().take(&format!("{{\"choices\":[{{\"{key}\":{{\"{inner}\":{value}}}}}],\"usage\":{value}}}"));
        }
    }
}
