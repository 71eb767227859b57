//! One message from door to delivery, as a list of spans and as a graph (specification §3.4).

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::approval;
use crate::base::id::TraceId;
use crate::bus::row;
use crate::dashboard::{Dashboard, clock_time, unstored};
use crate::db::DbError;
use crate::http::{Request, Response, error};
use crate::policy::{self, Decided};
use crate::timeline::{self, Row};

const EVENTS_MAX: u32 = 500;
/// A model's words in a span, in bytes.
const OUTPUT_BYTES_MAX: usize = 200;

/// Everything a trace is made of.
struct Story {
    events: Vec<Row>,
    decisions: Vec<Decided>,
    approvals: Vec<approval::Request>,
    task: Option<row::Row>,
}

async fn story(it: &Dashboard, trace_id: &str) -> Result<Story, DbError> {
    let id = TraceId::from(trace_id);
    it.db
        .read(move |conn| {
            Ok(Story {
                events: timeline::by_trace(conn, id.as_str(), EVENTS_MAX)?,
                decisions: policy::list(conn, &id)?,
                approvals: approval::of_trace(conn, &id)?,
                task: row::by_trace(conn, id.as_str())?,
            })
        })
        .await
}

pub(super) async fn spans(it: Arc<Dashboard>, request: Request) -> Response {
    let trace_id = request.param("id");
    if trace_id.trim().is_empty() {
        return error(400, "trace_id required", None);
    }
    match story(&it, trace_id).await {
        Ok(story) => Response::json(&json!({
            "policy_decisions": decisions(&story.decisions),
            "spans": story.events.iter().map(span).collect::<Vec<_>>(),
            "task": story.task.as_ref().map(task),
            "trace_id": trace_id,
        })),
        Err(problem) => unstored(&problem),
    }
}

pub(super) async fn graph(it: Arc<Dashboard>, request: Request) -> Response {
    let trace_id = request.param("id");
    let story = match story(&it, trace_id).await {
        Ok(story) => story,
        Err(problem) => return unstored(&problem),
    };
    let mut nodes: Vec<Value> = story.events.iter().rev().map(node).collect();
    nodes.extend(story.decisions.iter().map(|decided| {
        json!({"id": format!("policy-{}", decided.id), "span_id": "", "parent_span_id": "", "type": "POLICY",
            "title": format!("{}: {}", decided.tool, decided.reason), "start_time": clock_time(decided.created_at),
            "end_time": clock_time(decided.created_at), "duration_ms": 0, "agent_id": "local", "output": decided.reason})
    }));
    nodes.extend(story.approvals.iter().map(|request| {
        json!({"id": format!("approval-{}", request.id), "span_id": "", "parent_span_id": "", "type": "APPROVAL",
            "title": request.title(), "start_time": clock_time(request.created_at),
            "end_time": clock_time(request.responded_at.unwrap_or(request.created_at)), "duration_ms": 0,
            "agent_id": "local", "output": request.status.as_str()})
    }));
    let mut graph = json!({
        "nodes": or_null(nodes),
        "edges": or_null(edges(&story.events)),
        "task": story.task.as_ref().map(task),
        "policy_decisions": decisions(&story.decisions),
    });
    if !story.approvals.is_empty() {
        let approvals: Vec<Value> = story
            .approvals
            .iter()
            .map(|request| {
                json!({"approval_id": request.id, "channel": request.asker.channel, "sender": request.asker.sender_id,
                    "status": request.status.as_str(), "tier": request.tier.as_u8(),
                    "time": clock_time(request.created_at), "tool": request.tool})
            })
            .collect();
        graph["approvals"] = json!(approvals);
    }
    Response::json(&graph)
}

/// From each span's event to those of its children.
fn edges(events: &[Row]) -> Vec<Value> {
    let children = events.iter().filter(|row| !row.parent_span_id.is_empty());
    let edge = |child: &Row| {
        let parent = events.iter().find(|row| row.span_id == child.parent_span_id && !row.span_id.is_empty())?;
        Some(json!({"source": parent.event_id, "target": child.event_id}))
    };
    children.filter_map(edge).collect()
}

fn kind(row: &Row) -> &'static str {
    let has = |word: &str| row.classification.contains(word);
    if has("INBOUND") || row.sender_name == "User" {
        "INBOUND"
    } else if has("OUTBOUND") {
        "OUTBOUND"
    } else if has("LLM") {
        "LLM"
    } else if has("TOOL") {
        "TOOL"
    } else {
        "EVENT"
    }
}

fn metadata(row: &Row) -> Map<String, Value> {
    serde_json::from_str(&row.metadata).unwrap_or_default()
}

fn output(row: &Row, metadata: &Map<String, Value>) -> String {
    let text = |key: &str| metadata.get(key).and_then(Value::as_str).unwrap_or_default();
    match kind(row) {
        "LLM" => {
            let said = text("response_text");
            if said.len() <= OUTPUT_BYTES_MAX {
                said.to_owned()
            } else {
                format!("{}...", &said[..said.floor_char_boundary(OUTPUT_BYTES_MAX)])
            }
        }
        "TOOL" => text("tool_name").to_owned(),
        _ => row.content_text.clone(),
    }
}

fn span(row: &Row) -> Value {
    let mut fields = metadata(row);
    let output = output(row, &fields);
    let kind = kind(row);
    if kind == "INBOUND" {
        fields.insert("channel".to_owned(), json!(row.sender_id));
        fields.insert("sender".to_owned(), json!(row.sender_name));
        fields.insert("message_type".to_owned(), json!(row.event_type));
        fields.insert("content".to_owned(), json!(row.content_text));
    } else if kind == "OUTBOUND" {
        fields.entry("response_text").or_insert_with(|| json!(row.content_text));
    }
    let duration = if row.duration_ms > 0 { format!("{}ms", row.duration_ms) } else { String::new() };
    let mut span = json!({
        "id": row.event_id,
        "type": kind,
        "title": row.classification,
        "time": clock_time(row.timestamp),
        "duration": duration,
        "output": output,
    });
    if !fields.is_empty() {
        span["metadata"] = Value::Object(fields);
    }
    span
}

fn node(row: &Row) -> Value {
    let fields = metadata(row);
    let started = row.timestamp.minus(std::time::Duration::from_millis(u64::try_from(row.duration_ms).unwrap_or(0)));
    json!({
        "id": row.event_id,
        "span_id": row.span_id,
        "parent_span_id": row.parent_span_id,
        "type": kind(row),
        "title": row.classification,
        "start_time": clock_time(started),
        "end_time": clock_time(row.timestamp),
        "duration_ms": row.duration_ms,
        "agent_id": "local",
        "output": output(row, &fields),
    })
}

fn task(row: &row::Row) -> Value {
    json!({
        "channel": row.channel,
        "completed_at": row.completed_at,
        "completion_tokens": row.completion_tokens,
        "created_at": row.created_at,
        "delivery_status": row.delivery_status.as_str(),
        "prompt_tokens": row.prompt_tokens,
        "status": row.status.as_str(),
        "task_id": row.task_id,
        "total_tokens": row.total_tokens,
    })
}

fn decisions(decided: &[Decided]) -> Value {
    let shown = decided.iter().map(|decided| {
        json!({"allowed": decided.allowed, "reason": decided.reason, "tier": decided.tier,
            "time": clock_time(decided.created_at), "tool": decided.tool})
    });
    or_null(shown.collect())
}

/// KafClaw prints an empty list as null.
fn or_null(list: Vec<Value>) -> Value {
    if list.is_empty() { Value::Null } else { Value::Array(list) }
}
