//! Floor 7: the dashboard on port 18791: the web page, and the API that it and others look at the house through
//! (specification §3.2-3.10). Shapes and field names are KafClaw's; where they were wrong (§15) they are right here.
//!
//! Absent on purpose: repositories.

mod approvals;
mod auth;
mod backup;
mod devices;
mod diagnostics;
mod group;
mod group_audit;
mod group_shared;
mod inbound;
mod jobs;
mod knowledge;
mod live;
pub mod memory;
mod orchestrator;
mod people;
mod records;
mod reset;
mod sessions;
mod settings;
mod status;
mod tasks;
mod trace;
mod ui;
pub mod update;
mod view;
mod voice;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use crate::agent::Decider;
use crate::api::Readiness;
use crate::api::port::Speech;
use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::channel::Intake;
use crate::db::{Db, DbError};
use crate::group::hub::Group;
use crate::group::membership::Membership;
use crate::home::Home;
use crate::http::{Access, Guard, Handler, Method, Request, Response, Route, error};
use crate::link::mqtt::MqttHandle;
use crate::owner::Owner;
use crate::provider::Chain;
use crate::scheduler::Scheduler;

pub use live::Microphones;

/// Paths that take recordings.
pub const UPLOADS: &[&str] = &["/api/v1/voice/transcribe"];

/// What the routes need. It has many fields because the dashboard shows everything; each route takes the one or two it uses.
pub struct Dashboard {
    pub db: Db,
    pub clock: Clock,
    pub intake: Intake,
    /// Slack and Teams, those that are switched on.
    pub bridges: Vec<Arc<crate::channel::bridge::Bridge>>,
    pub decider: Decider,
    pub home: Home,
    pub scheduler: Scheduler,
    pub chain: Arc<Chain>,
    pub guard: Arc<Guard>,
    pub owner: Owner,
    pub readiness: Arc<dyn Readiness>,
    /// What understands recordings; that of the API.
    pub speech: Arc<dyn Speech>,
    pub microphones: Microphones,
    pub broker: Option<MqttHandle>,
    /// The accounts of the machine's own broker, where it has one (`link::mqtt::accounts`).
    pub broker_accounts: PathBuf,
    pub membership: Membership,
    /// Whether this hub is to have a place in the group's hierarchy, once it is in a group.
    pub is_orchestrator_enabled: bool,
    pub started: Instant,
    pub agent_id: String,
    /// Where a copy of the database may lie while it is sent.
    pub run_dir: PathBuf,
    pub state_dir: PathBuf,
    pub memory: memory::Desk,
    pub updates: update::Updates,
    /// The OpenAPI document of both ports.
    pub document: Value,
}

/// The table of this port.
pub fn routes() -> Vec<Route<Dashboard>> {
    let mut all = ui::routes();
    all.extend(table());
    all.extend(memory::routes());
    all.extend(group::routes());
    all.extend(orchestrator::routes());
    all.extend(knowledge::routes());
    all.extend(group_shared::routes());
    all.extend(group_audit::routes());
    all.extend(update::routes());
    all
}

#[rustfmt::skip]
fn table() -> Vec<Route<Dashboard>> {
    use Access::{Open, Token};
    use Method::{Delete, Get, Post, Put};
    vec![
        route(Get, "/healthz", Open, "Whether the program runs.", |_, _| Box::pin(async { Response::json(&serde_json::json!({"status": "ok"})) })),
        route(Get, "/readyz", Open, "Whether every part that is switched on works.", |it, _| Box::pin(async move { crate::api::ready(&*it.readiness).await })),
        route(Get, "/metrics", Open, "Figures for Prometheus.", |it, request| Box::pin(status::metrics(it, request))),
        route(Get, "/api/v1/openapi.json", Token, "This list of routes.", |it, _| Box::pin(async move { Response::json(&it.document) })),
        route(Get, "/api/v1/status", Open, "Who this is, and to members of the house, how it is.", |it, request| Box::pin(status::status(it, request))),
        route(Get, "/api/v1/auth/owner", Open, "Whether a login is needed, and whether the owner has set a password.", |it, _| Box::pin(async move { auth::owner(&it) })),
        route(Post, "/api/v1/auth/setup", Open, "Become the owner with {code, password}; answers with a session cookie.", |it, request| Box::pin(auth::set_up(it, request))),
        route(Post, "/api/v1/auth/login", Open, "Log in with {password} or {token}; answers with a session cookie.", |it, request| Box::pin(auth::login(it, request))),
        route(Post, "/api/v1/auth/password", Token, "Change {current, password}; ends all sessions and answers with a new one.", |it, request| Box::pin(auth::change(it, request))),
        route(Post, "/api/v1/auth/logout", Open, "End the session.", |_, _| Box::pin(async { auth::logout() })),
        route(Get, "/api/v1/auth/verify", Token, "Whether token or session are valid.", |it, _| Box::pin(async move { auth::verify(&it) })),
        route(Post, "/api/v1/auth/verify", Token, "Whether token or session are valid.", |it, _| Box::pin(async move { auth::verify(&it) })),
        route(Post, "/api/v1/channels/slack/inbound", Open, "A message from Slack's bridge, with X-Channel-Token.", |it, request| Box::pin(inbound::take(it, request, "slack"))),
        route(Post, "/api/v1/channels/msteams/inbound", Open, "A message from Teams' bridge, with X-Channel-Token.", |it, request| Box::pin(inbound::take(it, request, "msteams"))),
        route(Get, "/api/v1/timeline", Token, "Events, newest first: ?limit&offset&sender&trace_id; ?after=<id> oldest first.", |it, request| Box::pin(records::timeline(it, request))),
        route(Get, "/api/v1/trace/{id}", Token, "One message's spans.", |it, request| Box::pin(trace::spans(it, request))),
        route(Get, "/api/v1/trace-graph/{id}", Token, "One message's spans as a graph.", |it, request| Box::pin(trace::graph(it, request))),
        route(Get, "/api/v1/policy-decisions", Token, "What was judged in one trace: ?trace_id.", |it, request| Box::pin(records::decisions(it, request))),
        route(Get, "/api/v1/tasks", Token, "Tasks, newest first: ?status&channel&limit&offset.", |it, request| Box::pin(tasks::list(it, request))),
        route(Get, "/api/v1/tasks/{id}", Token, "One task.", |it, request| Box::pin(tasks::one(it, request))),
        route(Get, "/api/v1/approvals/pending", Token, "What waits for a yes or no.", |it, _| Box::pin(approvals::pending(it))),
        route(Post, "/api/v1/approvals/{id}", Token, "Answer with {approved}.", |it, request| Box::pin(approvals::respond(it, request))),
        route(Get, "/api/v1/settings", Token, "One setting (?key) or all; secrets are masked.", |it, request| Box::pin(settings::read(it, request))),
        route(Post, "/api/v1/settings", Token, "Set {key, value}.", |it, request| Box::pin(settings::write(it, request))),
        route(Get, "/api/v1/webusers", Token, "People who chat here.", |it, _| Box::pin(people::list(it))),
        route(Post, "/api/v1/webusers", Token, "Add {name}, or find it.", |it, request| Box::pin(people::create(it, request))),
        route(Post, "/api/v1/webusers/force", Token, "Set {web_user_id, force_send}.", |it, request| Box::pin(people::force(it, request))),
        route(Get, "/api/v1/weblinks", Token, "The phone linked to ?web_user_id.", |it, request| Box::pin(people::link(it, request))),
        route(Post, "/api/v1/weblinks", Token, "Link {web_user_id, whatsapp_jid}.", |it, request| Box::pin(people::set_link(it, request))),
        route(Post, "/api/v1/webchat/send", Token, "Say {web_user_id, message}; with Accept: text/event-stream the answer streams.", |it, request| Box::pin(people::send(it, request))),
        route(Get, "/api/v1/jobs", Token, "Timers, reminders and jobs, next first.", |it, _| Box::pin(jobs::list(it))),
        route(Post, "/api/v1/jobs", Token, "Add one: {text, at|in|cron, kind?, label?, ...}; ?web_user_id speaks in that chat.", |it, request| Box::pin(jobs::create(it, request))),
        route(Get, "/api/v1/jobs/{id}", Token, "One job with its runs.", |it, request| Box::pin(jobs::one(it, request))),
        route(Post, "/api/v1/jobs/{id}", Token, "Switch on or off: {enabled}.", |it, request| Box::pin(jobs::enable(it, request))),
        route(Delete, "/api/v1/jobs/{id}", Token, "Cancel it.", |it, request| Box::pin(jobs::cancel(it, request))),
        route(Post, "/api/v1/jobs/{id}/run", Token, "Run it now.", |it, request| Box::pin(jobs::run(it, request))),
        route(Get, "/api/v1/devices", Token, "Every device with its entities and states.", |it, _| Box::pin(async move { devices::list(&it) })),
        route(Get, "/api/v1/devices/{id}", Token, "One device.", |it, request| Box::pin(async move { devices::one(&it, &request) })),
        route(Post, "/api/v1/devices/{id}", Token, "Change {name?, aliases?, room?}.", |it, request| Box::pin(devices::edit(it, request))),
        route(Delete, "/api/v1/devices/{id}", Token, "Forget it until it announces itself again.", |it, request| Box::pin(devices::forget(it, request))),
        route(Post, "/api/v1/devices/{id}/command", Token, "Command it: {entity?, action, ...}.", |it, request| Box::pin(devices::command(it, request))),
        route(Get, "/api/v1/broker", Token, "How devices and programs connect to this machine's own broker, with passwords; no accounts where it has none.", |it, _| Box::pin(async move { devices::broker(&it) })),
        route(Get, "/api/v1/rooms", Token, "Rooms.", |it, _| Box::pin(async move { Response::json(&it.home.household().rooms) })),
        route(Post, "/api/v1/rooms/{id}", Token, "Change {name?, aliases?, floor?}.", |it, request| Box::pin(devices::edit_room(it, request))),
        route(Get, "/api/v1/groups", Token, "Named groups.", |it, _| Box::pin(async move { Response::json(&it.home.household().groups) })),
        route(Put, "/api/v1/groups/{name}", Token, "Set {entities, aliases?}.", |it, request| Box::pin(devices::set_group(it, request))),
        route(Delete, "/api/v1/groups/{name}", Token, "Delete it.", |it, request| Box::pin(devices::delete_group(it, request))),
        route(Get, "/api/v1/sessions", Token, "Conversations, newest first.", |it, _| Box::pin(sessions::list(it))),
        route(Get, "/api/v1/sessions/{key}", Token, "What was said: ?limit.", |it, request| Box::pin(sessions::one(it, request))),
        route(Delete, "/api/v1/sessions/{key}", Token, "Forget it.", |it, request| Box::pin(sessions::delete(it, request))),
        route(Post, "/api/v1/voice/live", Token, "Open a microphone whose words come while they are spoken: ?language.", |it, request| Box::pin(live::open(it, request))),
        route(Post, "/api/v1/voice/live/{id}", Token, "The next sound, as the body: 16-bit samples, one channel, 16,000 a second; answers with the words so far.", |it, request| Box::pin(live::hear(it, request))),
        route(Post, "/api/v1/voice/live/{id}/end", Token, "Close it; answers with all that was said.", |it, request| Box::pin(live::end(it, request))),
        route(Delete, "/api/v1/voice/live/{id}", Token, "Close it and forget what was said.", |it, request| Box::pin(async move { live::close(&it, &request) })),
        route(Post, "/api/v1/voice/transcribe", Token, "A recording, as the body, to text: ?language.", |it, request| Box::pin(voice::transcribe(it, request))),
        route(Get, "/api/v1/diagnostics", Token, "A file for somebody who helps, without secrets (tar.gz); ?texts=1 with what people said.", |it, request| Box::pin(async move { diagnostics::stream(&it, &request).await })),
        route(Post, "/api/v1/factory-reset", Token, "Forget everything: {words: \"forget everything\", password?}.", |it, request| Box::pin(reset::begin(it, request))),
        route(Post, "/api/v1/backup", Token, "A consistent copy of the database, as one file.", |it, _| Box::pin(backup::stream(it))),
    ]
}

/// The group that this hub is in.
fn group_of(it: &Dashboard) -> Option<Group> {
    it.membership.current()
}

fn route(
    method: Method,
    path: &'static str,
    access: Access,
    summary: &'static str,
    run: Handler<Dashboard>,
) -> Route<Dashboard> {
    Route { method, path, access, summary, run }
}

/// The response to a database that did not answer; what happened is in the log.
fn unstored(problem: &DbError) -> Response {
    tracing::error!(error = chain(problem), "A request could not reach the database.");
    let hint = problem.is_storage_trouble().then_some("is the disk full or read-only?");
    error(503, "the house's records cannot be reached right now", hint)
}

/// `limit` of a listing: missing, zero and negative read as the default (specification §3.0).
fn limit(request: &Request, default: u32, max: u32) -> u32 {
    match request.query_number("limit") {
        Some(limit) if limit > 0 => u32::try_from(limit).unwrap_or(max).min(max),
        _ => default,
    }
}

fn offset(request: &Request) -> u32 {
    request.query_number("offset").and_then(|offset| u32::try_from(offset).ok()).unwrap_or(0)
}
