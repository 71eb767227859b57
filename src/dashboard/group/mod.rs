//! The group (group specification §7): who is there, what was asked, what waits for the network. Shapes are KafClaw's; fields of ours
//! stand behind them.

mod membership;
mod topics;
mod work;

use std::sync::Arc;

use rusqlite::Connection;
use serde::Serialize;
use serde_json::{Value, json};

use crate::dashboard::{Dashboard, group_of, limit, offset, route, unstored};
use crate::group::hub::Group;
use crate::group::{inbox, onboarding, roster, share, stats, trace};
use crate::http::{Access, Method, Request, Response, Route, error};

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 500;

#[rustfmt::skip]
pub(super) fn routes() -> Vec<Route<Dashboard>> {
    use Access::Token;
    use Method::{Get, Post};
    vec![
        route(Get, "/api/v1/group/status", Token, "Whether this hub is in its group, and why not.", |it, _| Box::pin(membership::status(it))),
        route(Post, "/api/v1/group/join", Token, "Join {group_name, kafka_brokers?, agent_id?, lfs_proxy_url?}; leaves the one there is.", |it, request| Box::pin(membership::join(it, request))),
        route(Post, "/api/v1/group/leave", Token, "Leave the group, and stay out of it.", |it, _| Box::pin(membership::leave(it))),
        route(Post, "/api/v1/group/rejoin", Token, "Let a member that left count as one again: {agent_id, group_name?}; this hub joins again.", |it, request| Box::pin(membership::rejoin(it, request))),
        route(Post, "/api/v1/group/onboard", Token, "Ask the members to be let in; status shows what they say.", |it, _| Box::pin(membership::onboard(it))),
        route(Get, "/api/v1/group/config", Token, "What the group is joined with; the key is not shown.", |it, _| Box::pin(membership::config(it))),
        route(Post, "/api/v1/group/config", Token, "Change {lfs_proxy_url?, api_key?, kafka_brokers?, consumer_group?, agent_id?, poll_interval_ms?} for the next join.", |it, request| Box::pin(membership::configure(it, request))),
        route(Get, "/api/v1/group/members", Token, "Who belongs to the group, and who is there.", |it, _| Box::pin(membership::members(it))),
        route(Get, "/api/v1/group/members/previous", Token, "Who left.", |it, _| Box::pin(listed(it, |conn, _, _| roster::previous_members(conn), (0, 0)))),
        route(Get, "/api/v1/group/membership/history", Token, "Who came and went: ?agent_id&group_name&limit&offset.", |it, request| Box::pin(membership::history(it, request))),
        route(Get, "/api/v1/group/outbox", Token, "What waits for the network, and what was not kept.", |it, _| Box::pin(outbox(it))),
        route(Get, "/api/v1/group/refusals", Token, "Messages that were not believed, with reasons: ?limit.", |it, request| Box::pin(refusals(it, request))),
        route(Post, "/api/v1/group/tasks/submit", Token, "Ask the group: {description, content?, member?, skill?}.", |it, request| Box::pin(work::submit(it, request))),
        route(Get, "/api/v1/group/tasks", Token, "Tasks asked and taken: ?direction&status&limit&offset.", |it, request| Box::pin(work::tasks(it, request))),
        route(Post, "/api/v1/group/tasks/{id}/cancel", Token, "Call off what was asked.", |it, request| Box::pin(work::cancel(it, request))),
        route(Get, "/api/v1/group/keys", Token, "Keys of members, those that wait for a yes first.", |it, _| Box::pin(listed(it, |conn, _, _| onboarding::keys(conn), (0, 0)))),
        route(Post, "/api/v1/group/keys/{id}", Token, "Let a member in with {public_key}, or shut it out with {revoke: true}.", |it, request| Box::pin(membership::decide(it, request))),
        route(Get, "/api/v1/group/traces", Token, "What members let others watch: ?agent_id&limit&offset.", |it, request| Box::pin(traces(it, request))),
        route(Get, "/api/v1/group/memory", Token, "Shared items: ?author_id&limit&offset.", |it, request| Box::pin(items(it, request))),
        route(Get, "/api/v1/group/skills", Token, "Skills with topics of their own: ?group_name.", |it, request| Box::pin(skills(it, request))),
        route(Get, "/api/v1/group/stats", Token, "Figures of tasks, members and traces.", |it, _| Box::pin(figures(it))),
        route(Post, "/api/v1/group/skills", Token, "Offer {skill_name}, now and after every start.", |it, request| Box::pin(work::offer(it, request))),
        route(Post, "/api/v1/group/skills/task", Token, "Ask a member that is there and has {skill_name}: {description, content?}.", |it, request| Box::pin(work::submit_skill(it, request))),
        route(Get, "/api/v1/group/manifest", Token, "The group's topics, as they are told to new members.", |it, _| Box::pin(topics::manifest(it))),
        route(Get, "/api/v1/group/topics", Token, "Every topic with its figures; ?browse=TOPIC&limit shows who said what kind of thing on one.", |it, request| Box::pin(topics::list(it, request))),
        route(Post, "/api/v1/group/topics/ensure", Token, "Make {topic_name} at the broker.", |it, request| Box::pin(topics::ensure(it, request))),
        route(Get, "/api/v1/group/topics/flow", Token, "Who speaks where.", |it, _| Box::pin(topics::flow(it))),
        route(Get, "/api/v1/group/topics/health", Token, "How lively each topic is.", |it, _| Box::pin(topics::health(it))),
        route(Get, "/api/v1/group/topics/xp", Token, "KafClaw's points.", |it, _| Box::pin(topics::points(it))),
        route(Get, "/api/v1/group/topics/density", Token, "Messages per hour: ?topic&hours.", |it, request| Box::pin(topics::density(it, request))),
    ]
}

/// The group there is now, or what is said where there is none.
fn joined(it: &Dashboard) -> Result<Group, Response> {
    group_of(it).ok_or_else(|| error(400, "not in a group", Some(HOW_TO_JOIN)))
}

const HOW_TO_JOIN: &str = "`kafclaw group join NAME --brokers HOST:PORT`, or POST /api/v1/group/join";

/// The fields of a JSON object.
struct Fields(Value);

impl Fields {
    fn of(request: &Request) -> Result<Self, Response> {
        let value = serde_json::from_slice::<Value>(&request.body).ok().filter(Value::is_object);
        value.map(Self).ok_or_else(|| error(400, "invalid body", Some("send a JSON object")))
    }

    /// Blank when it is missing.
    fn text(&self, name: &str) -> String {
        self.0[name].as_str().unwrap_or_default().trim().to_owned()
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

async fn refusals(it: Arc<Dashboard>, request: Request) -> Response {
    let limit = limit(&request, LIMIT_DEFAULT, LIMIT_MAX);
    let read = it.db.read(move |conn| {
        Ok(json!({"counts": inbox::refusal_counts(conn)?, "refusals": inbox::refusals(conn, limit)?}))
    });
    shown(read.await)
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
