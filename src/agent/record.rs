//! What the timeline says about model and tool calls (specification §6.5): one event each, with the span it took.

use serde_json::{Value, json};

use crate::agent::Work;
use crate::agent::port::Said;
use crate::base::clock::Timestamp;
use crate::base::id::SpanId;
use crate::bus::task;
use crate::db::Tx;
use crate::domain::call::{Call, Outcome, OutcomeStatus};
use crate::domain::event::Event;
use crate::timeline;

/// Kept of a response, a result or arguments, in bytes (the specification's 10,240 would not fit beside the rest).
const TEXT_BYTES_MAX: usize = 6_000;

/// When a step began and ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub from: Timestamp,
    pub to: Timestamp,
}

impl Span {
    fn duration_ms(self) -> u64 {
        u64::try_from(self.to.since(self.from).as_millis()).unwrap_or(u64::MAX)
    }
}

pub(super) fn model_call(tx: &Tx<'_>, work: &Work, said: &Said, span: Span, round: u32) -> rusqlite::Result<()> {
    let tokens = said.usage.prompt + said.usage.completion;
    let names: Vec<&str> = said.calls.iter().map(|call| call.tool.as_str()).collect();
    let tools = if names.is_empty() { String::new() } else { format!(" → tools: {}", names.join(", ")) };
    let content = format!("model={} tokens={tokens} duration={}ms{tools}", said.model, span.duration_ms());
    let calls: Vec<Value> =
        said.calls.iter().map(|call| json!({"name": call.tool, "arguments": cut_value(&call.arguments)})).collect();
    let metadata = json!({
        "model": said.model,
        "provider": said.provider,
        "route": said.route.as_str(),
        "finish_reason": said.finish_reason,
        "prompt_tokens": said.usage.prompt,
        "completion_tokens": said.usage.completion,
        "total_tokens": tokens,
        "response_text": cut(&said.text),
        "tool_calls": calls,
    });
    let event = event(work, "LLM", content, metadata, span);
    let event_id = format!("LLM_{}_{round}_{}", work.ctx.trace_id, crate::base::id::random_hex(4));
    timeline::append(tx, &Event { event_id, sender_name: "LLM".to_owned(), ..event }).map(drop)
}

pub(super) fn tool_call(tx: &Tx<'_>, work: &Work, call: &Call, outcome: &Outcome, span: Span) -> rusqlite::Result<()> {
    let content = format!("tool={} duration={}ms result_len={}", call.tool, span.duration_ms(), outcome.text.len());
    let mut metadata = json!({
        "tool_name": call.tool,
        "tool_call_id": call.id,
        "arguments": cut_value(&call.arguments),
        "result": cut(&outcome.text),
        "status": outcome.status,
    });
    if outcome.status != OutcomeStatus::Done {
        metadata["error"] = json!(cut(&outcome.text));
    }
    let event = event(work, "TOOL", content, metadata, span);
    let event_id = format!("TOOL_{}_{}_{}", work.ctx.trace_id, call.tool, crate::base::id::random_hex(4));
    timeline::append(tx, &Event { event_id, sender_name: "Tool".to_owned(), ..event }).map(drop)
}

fn event(work: &Work, classification: &str, content: String, metadata: Value, span: Span) -> Event {
    Event {
        span_id: Some(SpanId::random()),
        parent_span_id: Some(task::root_span(&work.ctx.task_id)),
        content,
        metadata,
        span_started_at: Some(span.from),
        duration_ms: span.duration_ms(),
        ..Event::system(classification, work.ctx.trace_id.clone(), span.to, classification)
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

/// Arguments as they are, or their beginning as text when they are too long.
fn cut_value(value: &Value) -> Value {
    let text = value.to_string();
    if text.len() <= TEXT_BYTES_MAX { value.clone() } else { json!(cut(&text)) }
}
