//! Work between members: what is asked of others, what this hub offers.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::base::error::chain;
use crate::base::id::random_hex;
use crate::dashboard::{Dashboard, limit, offset, unstored};
use crate::group::hub::{AskError, Order};
use crate::group::task;
use crate::http::{Request, Response, error};

use super::membership::unchanged;
use super::{Fields, LIMIT_DEFAULT, LIMIT_MAX, asked, joined, shown};

/// KafClaw's ids of tasks, in bytes.
const TASK_ID_BYTES: usize = 8;

pub(super) async fn submit(it: Arc<Dashboard>, request: Request) -> Response {
    match Fields::of(&request) {
        Ok(fields) => hand_over(it, &fields, fields.text("skill")).await.unwrap_or_else(|refused| refused),
        Err(response) => response,
    }
}

pub(super) async fn submit_skill(it: Arc<Dashboard>, request: Request) -> Response {
    let fields = match Fields::of(&request) {
        Ok(fields) => fields,
        Err(response) => return response,
    };
    let skill = fields.text("skill_name");
    if skill.is_empty() {
        return error(400, "skill_name required", None);
    }
    hand_over(it, &fields, skill).await.unwrap_or_else(|refused| refused)
}

/// Asks the group, and tells under which id.
async fn hand_over(it: Arc<Dashboard>, fields: &Fields, skill: String) -> Result<Response, Response> {
    let group = joined(&it)?;
    let (description, content) = (fields.text("description"), fields.text("content"));
    if description.is_empty() && content.is_empty() {
        return Err(error(400, "description required", None));
    }
    let order = Order {
        task_id: random_hex(TASK_ID_BYTES),
        member: fields.text("member"),
        skill: Some(skill.clone()).filter(|skill| !skill.is_empty()),
        // KafClaw's agents work on the content alone.
        content: if content.is_empty() { description.clone() } else { content },
        description,
        ..Order::default()
    };
    let (task_id, asker, now) = (order.task_id.clone(), group.clone(), it.clock.now());
    let asked = it.db.write(move |tx| match asker.ask(tx, &order, now) {
        Ok(asked) => Ok(Ok(asked)),
        Err(AskError::Store { source }) => Err(source),
        Err(refused) => Ok(Err((refused.code(), chain(&refused)))),
    });
    match asked.await.map_err(|problem| unstored(&problem))? {
        Ok(asked) => {
            group.asked();
            let mut told = json!({"status": "submitted", "task_id": task_id, "member": asked.member,
                "queued": !asked.is_live});
            if !skill.is_empty() {
                told["skill"] = Value::from(skill);
            }
            Ok(Response::json(&told))
        }
        Err((code, why)) => {
            Err(Response::json_with(409, &json!({"error": format!("submit failed: {why}"), "code": code})))
        }
    }
}

pub(super) async fn offer(it: Arc<Dashboard>, request: Request) -> Response {
    let skill = match Fields::of(&request) {
        Ok(fields) => fields.text("skill_name"),
        Err(response) => return response,
    };
    if skill.is_empty() {
        return error(400, "skill_name required", None);
    }
    match it.membership.offer(skill.clone()).await {
        Ok(()) => Response::json(&json!({"skill": skill, "status": "registered"})),
        Err(problem) => unchanged(&problem),
    }
}

pub(super) async fn tasks(it: Arc<Dashboard>, request: Request) -> Response {
    let filter = task::TaskFilter {
        direction: asked(&request, "direction"),
        status: asked(&request, "status"),
        limit: limit(&request, LIMIT_DEFAULT, LIMIT_MAX),
        offset: offset(&request),
    };
    shown(it.db.read(move |conn| task::list(conn, &filter)).await)
}

pub(super) async fn cancel(it: Arc<Dashboard>, request: Request) -> Response {
    let group = match joined(&it) {
        Ok(group) => group,
        Err(response) => return response,
    };
    match group.cancel(request.param("id").to_owned()).await {
        Ok(true) => Response::json(&json!({"status": "canceled"})),
        Ok(false) => error(404, "task not found", None),
        Err(problem) => unstored(&problem),
    }
}
