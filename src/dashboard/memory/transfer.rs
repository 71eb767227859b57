//! Carrying memories away and bringing them back, a page of lines at a time.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::dashboard::{Dashboard, limit, unstored};
use crate::http::{Request, Response, error};
use crate::memory::{self, CHUNKS_MAX, Imported, Vectors};

/// Lines of a page.
const LINES_DEFAULT: u32 = 200;
const LINES_MAX: u32 = 500;

/// `{lines: [text], next: int|null}`: pass `next` as `after` for the following page.
pub(super) async fn export(it: Arc<Dashboard>, request: Request) -> Response {
    let after = request.query_number("after").unwrap_or(0).max(0);
    let count = limit(&request, LINES_DEFAULT, LINES_MAX) as usize;
    let vectors = if request.query("vectors") == Some("true") { Vectors::With } else { Vectors::Without };
    let now = it.clock.now();
    match it.db.read(move |conn| memory::export(conn, after, count, vectors, now)).await {
        Ok((lines, next)) => Response::json(&json!({"lines": lines, "next": next})),
        Err(problem) => unstored(&problem),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    lines: Vec<String>,
}

/// Lines that are no memories are counted and described, the others are taken.
pub(super) async fn import(it: Arc<Dashboard>, request: Request) -> Response {
    let page: Page = match request.json() {
        Ok(page) => page,
        Err(refusal) => return refusal,
    };
    if page.lines.len() > LINES_MAX as usize {
        return error(400, &format!("a page has at most {LINES_MAX} lines"), None);
    }
    let (mut batch, mut bad): (Vec<Imported>, Vec<Value>) = (Vec::new(), Vec::new());
    for (index, line) in page.lines.iter().enumerate() {
        match memory::read_line(line) {
            Ok(imported) => batch.push(imported),
            Err(problem) => bad.push(json!({"line": index + 1, "error": problem.to_string()})),
        }
    }
    let now = it.clock.now();
    match it.db.write(move |tx| memory::import(tx, &batch, CHUNKS_MAX, now)).await {
        Ok(count) => Response::json(
            &json!({"new": count.new, "known": count.again, "full": count.refused, "bad": bad, "status": "ok"}),
        ),
        Err(problem) => unstored(&problem),
    }
}
