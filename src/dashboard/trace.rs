//! One message from door to delivery, as a list of spans and as a graph (specification §3.4).

use std::sync::Arc;

use crate::approval;
use crate::base::id::TraceId;
use crate::bus::row;
use crate::dashboard::view::{self, GraphFacts};
use crate::dashboard::{Dashboard, unstored};
use crate::db::DbError;
use crate::http::{Request, Response, error};
use crate::policy::{self, Decided};
use crate::timeline::{self, Row};

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
                events: timeline::by_trace(conn, id.as_str(), view::TRACE_EVENTS_MAX)?,
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
        Ok(story) => Response::json(&view::trace(trace_id, &story.events, story.task.as_ref(), &story.decisions)),
        Err(problem) => unstored(&problem),
    }
}

pub(super) async fn graph(it: Arc<Dashboard>, request: Request) -> Response {
    match story(&it, request.param("id")).await {
        Ok(story) => Response::json(&view::graph(&GraphFacts {
            events: &story.events,
            task: story.task.as_ref(),
            decisions: &story.decisions,
            approvals: &story.approvals,
        })),
        Err(problem) => unstored(&problem),
    }
}
