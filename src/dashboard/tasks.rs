//! Tasks (specification §3.5).

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::base::id::TaskId;
use crate::bus::row::{self, Filter, Row};
use crate::dashboard::{Dashboard, limit, offset, unstored};
use crate::domain::task::TaskStatus;
use crate::http::{Request, Response, error};

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 500;

pub(super) async fn list(it: Arc<Dashboard>, request: Request) -> Response {
    let status = match request.query("status").filter(|text| !text.is_empty()) {
        Some(text) => match TaskStatus::parse(text) {
            Some(status) => Some(status),
            None => return error(400, "status is one of pending, processing, completed, failed", None),
        },
        None => None,
    };
    let filter = Filter {
        status,
        channel: request.query("channel").filter(|text| !text.is_empty()).map(str::to_owned),
        limit: limit(&request, LIMIT_DEFAULT, LIMIT_MAX),
        offset: offset(&request),
    };
    match it.db.read(move |conn| row::list(conn, &filter)).await {
        Ok(rows) => Response::json(&rows.iter().map(view).collect::<Vec<_>>()),
        Err(problem) => unstored(&problem),
    }
}

pub(super) async fn one(it: Arc<Dashboard>, request: Request) -> Response {
    let id = TaskId::from(request.param("id"));
    match it.db.read(move |conn| row::get(conn, &id)).await {
        Ok(Some(row)) => Response::json(&view(&row)),
        Ok(None) => error(404, "task not found", None),
        Err(problem) => unstored(&problem),
    }
}

fn view(row: &Row) -> Value {
    let mut view = Map::new();
    let mut put = |key: &str, value: Value| {
        view.insert(key.to_owned(), value);
    };
    let given = |text: &str| (!text.is_empty()).then(|| json!(text));
    put("id", json!(row.id));
    put("task_id", json!(row.task_id));
    for (key, value) in [
        ("idempotency_key", given(&row.idempotency_key)),
        ("trace_id", given(row.trace_id.as_str())),
        ("channel", Some(json!(row.channel))),
        ("chat_id", Some(json!(row.chat_id))),
        ("sender_id", given(&row.sender_id)),
        ("message_type", given(&row.message_type)),
        ("status", Some(json!(row.status.as_str()))),
        ("content_in", given(&row.content_in)),
        ("content_out", given(&row.content_out)),
        ("error_text", given(&row.error_text)),
        ("delivery_status", Some(json!(row.delivery_status.as_str()))),
        ("prompt_tokens", Some(json!(row.prompt_tokens))),
        ("completion_tokens", Some(json!(row.completion_tokens))),
        ("total_tokens", Some(json!(row.total_tokens))),
        ("provider_id", given(&row.provider_id)),
        ("model_name", given(&row.model_name)),
        ("delivery_attempts", Some(json!(row.delivery_attempts))),
        ("delivery_next_at", row.delivery_next_at.map(|at| json!(at))),
        ("created_at", Some(json!(row.created_at))),
        ("updated_at", Some(json!(row.updated_at))),
        ("completed_at", row.completed_at.map(|at| json!(at))),
        ("route", row.route.map(|route| json!(route.as_str()))),
        ("session", given(&row.session)),
        ("waits_for_approval", row.parked.as_ref().map(|(approval, _)| json!(approval))),
    ] {
        if let Some(value) = value {
            put(key, value);
        }
    }
    Value::Object(view)
}
