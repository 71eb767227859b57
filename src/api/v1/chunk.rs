//! Answers of `/v1/chat/completions` as OpenAI writes them: whole, or as the chunks of a stream.

use serde_json::{Value, json};

use crate::inference::language::{Completion, FinishReason, Piece};

/// What all chunks of one answer have in common.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    pub id: String,
    pub model: String,
    /// Seconds since the Unix epoch.
    pub created: i64,
}

impl Envelope {
    pub(super) fn new(model: &str, created: i64) -> Self {
        Self { id: format!("chatcmpl-{}", crate::base::id::random_hex(12)), model: model.to_owned(), created }
    }

    /// The whole answer.
    pub(super) fn whole(&self, message: &Value, finish_reason: &str, usage: &Value) -> Value {
        let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason});
        self.wrapped("chat.completion", &json!([choice]), usage)
    }

    /// A part of it. Usage is there, and null, in every chunk of an answer that ends with one.
    pub(super) fn part(&self, delta: &Value, finish_reason: Option<&str>) -> Value {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason});
        self.wrapped("chat.completion.chunk", &json!([choice]), &Value::Null)
    }

    /// The last chunk of those who asked for it.
    pub(super) fn usage(&self, usage: &Value) -> Value {
        self.wrapped("chat.completion.chunk", &json!([]), usage)
    }

    fn wrapped(&self, object: &str, choices: &Value, usage: &Value) -> Value {
        json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model,
            "system_fingerprint": null, "choices": choices, "usage": usage,
        })
    }
}

/// The delta that a piece is; none for what OpenAI's clients do not know.
pub fn delta(piece: &Piece) -> Option<Value> {
    match piece {
        Piece::Prompt { .. } => None,
        Piece::Text(text) => Some(json!({"content": text})),
        Piece::Call { index, id, name } => {
            let function = json!({"name": name, "arguments": ""});
            Some(json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]}))
        }
        Piece::Arguments { index, text } => {
            Some(json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]}))
        }
    }
}

pub(super) fn message(completion: &Completion) -> Value {
    let mut message = json!({"role": "assistant", "content": completion.text, "refusal": null});
    if !completion.calls.is_empty() {
        message["tool_calls"] = json!(completion.calls);
        if completion.text.is_empty() {
            message["content"] = Value::Null;
        }
    }
    message
}

/// Why an answer ended, in OpenAI's words.
pub const fn finish_reason(completion: &Completion) -> &'static str {
    match completion.finish_reason {
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::Stop | FinishReason::Canceled => "stop",
    }
}

pub(super) fn usage(completion: &Completion) -> Value {
    json!({
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "total_tokens": completion.prompt_tokens + completion.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": completion.cached_tokens},
    })
}
