//! The timeline and the policy's decisions.

use std::sync::Arc;

use serde_json::Value;

use crate::base::id::TraceId;
use crate::dashboard::{Dashboard, limit, unstored, view};
use crate::http::{Request, Response, error};
use crate::policy;
use crate::timeline::{self, Filter};

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
        Ok(rows) => Response::json(&view::events(rows)),
        Err(problem) => unstored(&problem),
    }
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
