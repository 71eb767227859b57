//! Tasks (specification §3.5).

use std::sync::Arc;

use crate::base::id::TaskId;
use crate::bus::row::{self, Filter};
use crate::dashboard::{Dashboard, limit, offset, unstored, view};
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
        Ok(rows) => Response::json(&view::tasks(rows)),
        Err(problem) => unstored(&problem),
    }
}

pub(super) async fn one(it: Arc<Dashboard>, request: Request) -> Response {
    let id = TaskId::from(request.param("id"));
    match it.db.read(move |conn| row::get(conn, &id)).await {
        Ok(Some(row)) => Response::json(&view::task(row)),
        Ok(None) => error(404, "task not found", None),
        Err(problem) => unstored(&problem),
    }
}
