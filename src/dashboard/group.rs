//! The group (group specification §7): who is there, what was asked, what waits for the network. Shapes are KafClaw's; fields of ours
//! stand behind them.

use std::sync::Arc;

use rusqlite::Connection;
use serde::Serialize;
use serde_json::{Value, json};

use crate::base::id::{PeerId, random_hex};
use crate::dashboard::{Dashboard, limit, offset, route, unstored};
use crate::group::hub::{Group, Order};
use crate::group::wire::sign::PublicKey;
use crate::group::{inbox, onboarding, roster, share, stats, task, trace};
use crate::http::{Access, Method, Request, Response, Route, error};

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 500;
/// KafClaw's ids of tasks, in bytes.
const TASK_ID_BYTES: usize = 8;
/// Hours that a density shows unless asked otherwise.
const HOURS_DEFAULT: u32 = 48;
const HOURS_MAX: u32 = 24 * 31;

#[rustfmt::skip]
pub(super) fn routes() -> Vec<Route<Dashboard>> {
    use Access::Token;
    use Method::{Get, Post};
    vec![
        route(Get, "/api/v1/group/status", Token, "Whether this hub is in its group, and why not.", |it, _| Box::pin(status(it))),
        route(Get, "/api/v1/group/members", Token, "Who belongs to the group, and who is there.", |it, _| Box::pin(members(it))),
        route(Get, "/api/v1/group/members/previous", Token, "Who left.", |it, _| Box::pin(listed(it, |conn, _, _| roster::previous_members(conn), (0, 0)))),
        route(Get, "/api/v1/group/membership/history", Token, "Who came and went: ?agent_id&group_name&limit&offset.", |it, request| Box::pin(history(it, request))),
        route(Get, "/api/v1/group/outbox", Token, "What waits for the network, and what was not kept.", |it, _| Box::pin(outbox(it))),
        route(Get, "/api/v1/group/refusals", Token, "Messages that were not believed, with reasons: ?limit.", |it, request| Box::pin(refusals(it, request))),
        route(Post, "/api/v1/group/tasks/submit", Token, "Ask the group: {description, content?, member?, skill?}.", |it, request| Box::pin(submit(it, request))),
        route(Get, "/api/v1/group/tasks", Token, "Tasks asked and taken: ?direction&status&limit&offset.", |it, request| Box::pin(tasks(it, request))),
        route(Post, "/api/v1/group/tasks/{id}/cancel", Token, "Call off what was asked.", |it, request| Box::pin(cancel(it, request))),
        route(Get, "/api/v1/group/keys", Token, "Keys of members, those that wait for a yes first.", |it, _| Box::pin(listed(it, |conn, _, _| onboarding::keys(conn), (0, 0)))),
        route(Post, "/api/v1/group/keys/{id}", Token, "Let a member in with {public_key}, or shut it out with {revoke: true}.", |it, request| Box::pin(decide(it, request))),
        route(Get, "/api/v1/group/traces", Token, "What members let others watch: ?agent_id&limit&offset.", |it, request| Box::pin(traces(it, request))),
        route(Get, "/api/v1/group/memory", Token, "Shared items: ?author_id&limit&offset.", |it, request| Box::pin(items(it, request))),
        route(Get, "/api/v1/group/skills", Token, "Skills with topics of their own: ?group_name.", |it, request| Box::pin(skills(it, request))),
        route(Get, "/api/v1/group/stats", Token, "Figures of tasks, members and traces.", |it, _| Box::pin(figures(it))),
        route(Get, "/api/v1/group/topics/flow", Token, "Who speaks where.", |it, _| Box::pin(flow(it))),
        route(Get, "/api/v1/group/topics/health", Token, "How lively each topic is.", |it, _| Box::pin(health(it))),
        route(Get, "/api/v1/group/topics/xp", Token, "KafClaw's points.", |it, _| Box::pin(points(it))),
        route(Get, "/api/v1/group/topics/density", Token, "Messages per hour: ?topic&hours.", |it, request| Box::pin(density(it, request))),
    ]
}

/// The group, or what is said where there is none.
fn joined(it: &Dashboard) -> Result<&Group, Response> {
    it.group.as_ref().ok_or_else(|| {
        error(400, "not in a group", Some("set group.enabled, group.groupName and group.kafkaBrokers, and start again"))
    })
}

async fn status(it: Arc<Dashboard>) -> Response {
    let Some(group) = &it.group else {
        return Response::json(&json!({"active": false, "group_name": "", "member_count": 0, "connectivity": "none",
            "reason": "no group is configured", "advice": "set group.enabled, group.groupName and group.kafkaBrokers"}));
    };
    match group.status().await {
        Ok(view) => Response::json(&view),
        Err(problem) => unstored(&problem),
    }
}

async fn members(it: Arc<Dashboard>) -> Response {
    match &it.group {
        Some(group) => Response::json(&group.members()),
        None => listed(it, |conn, _, _| roster::members(conn), (0, 0)).await,
    }
}

async fn outbox(it: Arc<Dashboard>) -> Response {
    let group = match joined(&it) {
        Ok(group) => group,
        Err(response) => return response,
    };
    match group.totals().await {
        Ok(totals) => Response::json(&json!({"classes": totals})),
        Err(problem) => unstored(&problem),
    }
}

async fn submit(it: Arc<Dashboard>, request: Request) -> Response {
    let group = match joined(&it) {
        Ok(group) => group.clone(),
        Err(response) => return response,
    };
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else { return error(400, "invalid body", None) };
    let field = |name: &str| body[name].as_str().unwrap_or_default().trim().to_owned();
    let (description, content) = (field("description"), field("content"));
    if description.is_empty() {
        return error(400, "description required", None);
    }
    let order = Order {
        task_id: random_hex(TASK_ID_BYTES),
        member: field("member"),
        skill: Some(field("skill")).filter(|skill| !skill.is_empty()),
        // KafClaw's agents work on the content alone.
        content: if content.is_empty() { description.clone() } else { content },
        description,
        ..Order::default()
    };
    let (task_id, asker, now) = (order.task_id.clone(), group.clone(), it.clock.now());
    let asked = it.db.write(move |tx| match asker.ask(tx, &order, now) {
        Ok(asked) => Ok(Ok(asked)),
        Err(crate::group::hub::AskError::Store { source }) => Err(source),
        Err(refused) => Ok(Err(refused.to_string())),
    });
    match asked.await {
        Ok(Ok(asked)) => {
            group.asked();
            let waits = !asked.is_live;
            Response::json(&json!({"status": "submitted", "task_id": task_id, "member": asked.member, "queued": waits}))
        }
        Ok(Err(why)) => error(409, &format!("submit failed: {why}"), None),
        Err(problem) => unstored(&problem),
    }
}

async fn decide(it: Arc<Dashboard>, request: Request) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else { return error(400, "invalid body", None) };
    let (id, now) = (PeerId::from(request.param("id")), it.clock.now());
    if body["revoke"] == true {
        let revoked = it.db.write(move |tx| onboarding::revoke(tx, &id, "owner", now)).await;
        return match revoked {
            Ok(true) => Response::json(&json!({"standing": "revoked"})),
            Ok(false) => error(404, "no key of that member is known", None),
            Err(problem) => unstored(&problem),
        };
    }
    let key = body["public_key"].as_str().unwrap_or_default().to_owned();
    if PublicKey::parse(&key).is_err() {
        return error(
            400,
            "public_key cannot be read",
            Some("GET /api/v1/group/keys shows the keys that members sent"),
        );
    }
    match it.db.write(move |tx| onboarding::approve(tx, &id, &key, "owner", now)).await {
        Ok(()) => Response::json(&json!({"standing": "approved"})),
        Err(problem) => unstored(&problem),
    }
}

async fn cancel(it: Arc<Dashboard>, request: Request) -> Response {
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

/// A listing that needs nothing but a page.
async fn listed<T: Serialize + Send + 'static>(
    it: Arc<Dashboard>,
    read: fn(&Connection, u32, u32) -> rusqlite::Result<T>,
    (limit, offset): (u32, u32),
) -> Response {
    shown(it.db.read(move |conn| read(conn, limit, offset)).await)
}

fn shown<T: Serialize>(read: Result<T, crate::db::DbError>) -> Response {
    match read {
        Ok(found) => Response::json(&found),
        Err(problem) => unstored(&problem),
    }
}

fn asked(request: &Request, name: &str) -> String {
    request.query(name).unwrap_or_default().to_owned()
}

async fn history(it: Arc<Dashboard>, request: Request) -> Response {
    let filter = roster::HistoryFilter {
        agent_id: asked(&request, "agent_id"),
        group_name: asked(&request, "group_name"),
        limit: limit(&request, LIMIT_DEFAULT, LIMIT_MAX),
        offset: offset(&request),
    };
    shown(it.db.read(move |conn| roster::history(conn, &filter)).await)
}

async fn refusals(it: Arc<Dashboard>, request: Request) -> Response {
    let limit = limit(&request, LIMIT_DEFAULT, LIMIT_MAX);
    let read = it.db.read(move |conn| {
        Ok(json!({"counts": inbox::refusal_counts(conn)?, "refusals": inbox::refusals(conn, limit)?}))
    });
    shown(read.await)
}

async fn tasks(it: Arc<Dashboard>, request: Request) -> Response {
    let filter = task::TaskFilter {
        direction: asked(&request, "direction"),
        status: asked(&request, "status"),
        limit: limit(&request, LIMIT_DEFAULT, LIMIT_MAX),
        offset: offset(&request),
    };
    shown(it.db.read(move |conn| task::list(conn, &filter)).await)
}

async fn traces(it: Arc<Dashboard>, request: Request) -> Response {
    let filter = trace::TraceFilter {
        agent_id: asked(&request, "agent_id"),
        limit: limit(&request, LIMIT_DEFAULT, LIMIT_MAX),
        offset: offset(&request),
    };
    shown(it.db.read(move |conn| trace::list(conn, &filter)).await)
}

async fn items(it: Arc<Dashboard>, request: Request) -> Response {
    let filter = share::ItemFilter {
        author_id: asked(&request, "author_id"),
        limit: limit(&request, LIMIT_DEFAULT, LIMIT_MAX),
        offset: offset(&request),
    };
    shown(it.db.read(move |conn| share::list(conn, &filter)).await)
}

async fn skills(it: Arc<Dashboard>, request: Request) -> Response {
    let group = asked(&request, "group_name");
    shown(it.db.read(move |conn| roster::skills(conn, &group)).await)
}

async fn figures(it: Arc<Dashboard>) -> Response {
    let now = it.clock.now();
    shown(it.db.read(move |conn| stats::stats(conn, now)).await)
}

async fn flow(it: Arc<Dashboard>) -> Response {
    let now = it.clock.now();
    shown(it.db.read(move |conn| Ok(json!({"edges": inbox::flow(conn, now)?}))).await)
}

async fn health(it: Arc<Dashboard>) -> Response {
    let now = it.clock.now();
    shown(it.db.read(move |conn| Ok(json!({"health": inbox::health(conn, now)?}))).await)
}

async fn points(it: Arc<Dashboard>) -> Response {
    shown(it.db.read(|conn| Ok(json!({"leaderboard": stats::xp(conn)?}))).await)
}

async fn density(it: Arc<Dashboard>, request: Request) -> Response {
    let topic = asked(&request, "topic");
    if topic.is_empty() {
        return error(400, "topic parameter required", None);
    }
    let hours = request.query_number("hours").and_then(|hours| u32::try_from(hours).ok()).filter(|hours| *hours > 0);
    let (hours, now) = (hours.unwrap_or(HOURS_DEFAULT).min(HOURS_MAX), it.clock.now());
    shown(it.db.read(move |conn| inbox::density(conn, &topic, hours, now)).await)
}
