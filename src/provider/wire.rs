//! OpenAI's chat completions: what is sent, and what comes back, whole or in pieces (specification §10.2).

use serde_json::{Map, Value, json};

use crate::domain::call::Call;
use crate::domain::message::Route;
use crate::provider::{Endpoint, Options, Request};

/// Calls of one answer.
const CALLS_MAX: usize = 64;
/// Longest answer that is kept, in bytes.
const TEXT_BYTES_MAX: usize = 512 * 1024;

/// One message of a conversation.
#[derive(Clone, PartialEq, Debug)]
pub enum Message {
    System(String),
    User(String),
    Assistant { text: String, calls: Vec<Call> },
    Tool { call_id: String, text: String },
}

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

pub(super) fn body(endpoint: &Endpoint, options: &Options, request: &Request) -> Value {
    let mut body = json!({
        "model": endpoint.model,
        "messages": request.messages.iter().map(message).collect::<Vec<_>>(),
        "max_tokens": options.max_tokens,
        // A float of one decimal, not its binary neighbor.
        "temperature": (f64::from(options.temperature) * 1000.0).round() / 1000.0,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    if !request.tools.is_empty() {
        body["tools"] = json!(request.tools);
        body["tool_choice"] = json!("auto");
    }
    body
}

fn message(message: &Message) -> Value {
    match message {
        Message::System(text) => json!({"role": "system", "content": text}),
        Message::User(text) => json!({"role": "user", "content": text}),
        Message::Tool { call_id, text } => json!({"role": "tool", "tool_call_id": call_id, "content": text}),
        Message::Assistant { text, calls } if calls.is_empty() => json!({"role": "assistant", "content": text}),
        Message::Assistant { text, calls } => {
            let calls: Vec<Value> = calls
                .iter()
                .map(|call| {
                    let function = json!({"name": call.tool, "arguments": call.arguments.to_string()});
                    json!({"id": call.id, "type": "function", "function": function})
                })
                .collect();
            json!({"role": "assistant", "content": text, "tool_calls": calls})
        }
    }
}

/// Puts an answer together from its pieces.
#[derive(Default, Debug)]
pub(super) struct Assembly {
    text: String,
    /// Text that may turn out to be the beginning of a mark.
    held: String,
    is_thinking: bool,
    calls: Vec<PartialCall>,
    finish_reason: String,
    usage: Option<(u64, u64)>,
    is_done: bool,
}

#[derive(Default, Debug)]
struct PartialCall {
    index: u64,
    id: String,
    name: String,
    arguments: String,
}

impl Assembly {
    /// Takes one event's data (or a whole answer) in; returns text to show.
    pub(super) fn take(&mut self, data: &str) -> Result<String, String> {
        if data.trim() == "[DONE]" {
            self.is_done = true;
            return Ok(String::new());
        }
        let value: Value = serde_json::from_str(data).map_err(|_| "it sent what is not JSON".to_owned())?;
        if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
            return Err(error_text(error));
        }
        if let Some(usage) = value.get("usage").filter(|usage| usage.is_object()) {
            let count = |key: &str| usage.get(key).and_then(Value::as_u64).unwrap_or(0);
            self.usage = Some((count("prompt_tokens"), count("completion_tokens")));
        }
        let Some(choice) = value.get("choices").and_then(|choices| choices.get(0)) else { return Ok(String::new()) };
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            self.finish_reason = reason.to_owned();
            self.is_done = true;
        }
        let Some(said) = choice.get("delta").or_else(|| choice.get("message")) else { return Ok(String::new()) };
        for (position, call) in said.get("tool_calls").and_then(Value::as_array).into_iter().flatten().enumerate() {
            self.take_call(position as u64, call);
        }
        match said.get("content").and_then(Value::as_str) {
            Some(text) => Ok(self.take_text(text)),
            None => Ok(String::new()),
        }
    }

    fn take_call(&mut self, position: u64, call: &Value) {
        let index = call.get("index").and_then(Value::as_u64).unwrap_or(position);
        let at = match self.calls.iter().position(|known| known.index == index) {
            Some(at) => at,
            None if self.calls.len() >= CALLS_MAX => return,
            None => {
                self.calls.push(PartialCall { index, ..PartialCall::default() });
                self.calls.len() - 1
            }
        };
        let known = &mut self.calls[at];
        if let Some(id) = call.get("id").and_then(Value::as_str).filter(|id| !id.is_empty()) {
            known.id = id.to_owned();
        }
        let Some(function) = call.get("function") else { return };
        if let Some(name) = function.get("name").and_then(Value::as_str) {
            known.name.push_str(name);
        }
        match function.get("arguments") {
            Some(Value::String(text)) if known.arguments.len() + text.len() <= TEXT_BYTES_MAX => {
                known.arguments.push_str(text);
            }
            // Some servers send an object where a text belongs.
            Some(object @ Value::Object(_)) => known.arguments = object.to_string(),
            _ => {}
        }
    }

    /// Leaves out what stands between `<think>` and `</think>`, also when the marks come in pieces.
    fn take_text(&mut self, text: &str) -> String {
        const OPEN: &str = "<think>";
        const CLOSE: &str = "</think>";
        self.held.push_str(text);
        let mut shown = String::new();
        loop {
            let mark = if self.is_thinking { CLOSE } else { OPEN };
            if let Some(at) = self.held.find(mark) {
                if !self.is_thinking {
                    shown.push_str(&self.held[..at]);
                }
                self.held.drain(..at + mark.len());
                self.is_thinking = !self.is_thinking;
                continue;
            }
            let possible = (1..mark.len()).rev().find(|len| self.held.ends_with(&mark[..*len])).unwrap_or(0);
            let rest = self.held.split_off(self.held.len() - possible);
            let certain = std::mem::replace(&mut self.held, rest);
            if !self.is_thinking {
                shown.push_str(&certain);
            }
            break;
        }
        // Blank lines after a thought are not part of the answer.
        let shown = if self.text.is_empty() { shown.trim_start().to_owned() } else { shown };
        if self.text.len() + shown.len() <= TEXT_BYTES_MAX {
            self.text.push_str(&shown);
        }
        shown
    }

    /// Whether the model said that it is done; a stream that breaks off before is not an answer.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    pub(super) fn finish(mut self, endpoint: &Endpoint) -> Answer {
        if !self.is_thinking {
            let held = std::mem::take(&mut self.held);
            self.text.push_str(&held);
        }
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

impl PartialCall {
    fn finish(self) -> Call {
        let arguments = match self.arguments.trim() {
            "" => Value::Object(Map::new()),
            // KafClaw's way with what cannot be read: the tool's schema check answers.
            text => serde_json::from_str(text).unwrap_or_else(|_| json!({"raw": text})),
        };
        Call { id: self.id, tool: self.name, arguments }
    }
}

/// The sentence inside an error, whatever its shape.
pub(super) fn error_text(error: &Value) -> String {
    const TEXT_MAX: usize = 300;
    let text = match error {
        Value::String(text) => text.clone(),
        other => other.get("message").and_then(Value::as_str).unwrap_or("it gave no reason").to_owned(),
    };
    text[..text.floor_char_boundary(TEXT_MAX)].to_owned()
}
