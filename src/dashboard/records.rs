//! The timeline and the policy's decisions.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::base::id::TraceId;
use crate::dashboard::{Dashboard, limit, unstored};
use crate::http::{Request, Response, error};
use crate::policy;
use crate::timeline::{self, Filter, Row};

const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 1_000;

pub(super) async fn timeline(it: Arc<Dashboard>, request: Request) -> Response {
    let limit = limit(&request, LIMIT_DEFAULT, LIMIT_MAX);
    let given = |name: &str| request.query(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let read = match request.query_number("after") {
        Some(cursor) => it.db.read(move |conn| timeline::after(conn, cursor, limit)).await,
        None => {
            let filter = Filter {
                limit: i64::from(limit),
                offset: request.query_number("offset").unwrap_or(0).max(0),
                sender: given("sender"),
                trace_id: given("trace_id"),
            };
            it.db.read(move |conn| timeline::list(conn, &filter)).await
        }
    };
    match read {
        Ok(rows) if rows.is_empty() => Response::json(&Value::Null),
        Ok(rows) => Response::json(&rows.iter().map(event).collect::<Vec<_>>()),
        Err(problem) => unstored(&problem),
    }
}

fn event(row: &Row) -> Value {
    let mut event = json!({
        "id": row.id,
        "event_id": row.event_id,
        "trace_id": row.trace_id,
        "span_id": row.span_id,
        "parent_span_id": row.parent_span_id,
        "timestamp": row.timestamp,
        "sender_id": row.sender_id,
        "sender_name": row.sender_name,
        "event_type": row.event_type,
        "content_text": row.content_text,
        "media_path": row.media_path,
        "vector_id": row.vector_id,
        "classification": row.classification,
        "authorized": row.authorized,
    });
    if !row.metadata.is_empty() {
        event["metadata"] = json!(row.metadata);
    }
    event
}

pub(super) async fn decisions(it: Arc<Dashboard>, request: Request) -> Response {
    let Some(trace_id) = request.query("trace_id").filter(|id| !id.is_empty()).map(TraceId::from) else {
        return error(400, "trace_id required", None);
    };
    match it.db.read(move |conn| policy::list(conn, &trace_id)).await {
        Ok(decided) if decided.is_empty() => Response::json(&Value::Null),
        Ok(decided) => Response::json(&decided),
        Err(problem) => unstored(&problem),
    }
}
