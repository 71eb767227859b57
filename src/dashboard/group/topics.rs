//! What is said where: the group's topics and their figures.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::base::error::chain;
use crate::dashboard::{Dashboard, limit, unstored};
use crate::group::wire::{TopicDescriptor, infer_category};
use crate::group::{inbox, stats};
use crate::http::{Request, Response, error};

use super::{Fields, LIMIT_DEFAULT, LIMIT_MAX, asked, joined, shown};

/// Hours that a density shows unless asked otherwise.
const HOURS_DEFAULT: u32 = 48;
const HOURS_MAX: u32 = 24 * 31;

pub(super) async fn manifest(it: Arc<Dashboard>) -> Response {
    match it.membership.current() {
        Some(group) => shown(group.manifest().await),
        // KafClaw answers so, with 200.
        None => Response::json(&json!({"error": "no group manager"})),
    }
}

pub(super) async fn list(it: Arc<Dashboard>, request: Request) -> Response {
    let browsed = asked(&request, "browse");
    if !browsed.is_empty() {
        let limit = limit(&request, LIMIT_DEFAULT, LIMIT_MAX);
        let read = it.db.read(move |conn| Ok(json!({"messages": inbox::messages(conn, &browsed, limit)?})));
        return shown(read.await);
    }
    let manifest = match it.membership.current() {
        Some(group) => match group.manifest().await {
            Ok(manifest) => Some(manifest),
            Err(problem) => return unstored(&problem),
        },
        None => None,
    };
    let (core, skills) = manifest.map(|manifest| (manifest.core_topics, manifest.skill_topics)).unwrap_or_default();
    let (core, skills) = (core.unwrap_or_default(), skills.unwrap_or_default());
    let now = it.clock.now();
    let read = it.db.read(move |conn| {
        let figures = inbox::topic_stats(conn, now)?.into_iter().map(|stats| (stats.topic_name.clone(), stats));
        let mut figures: HashMap<String, _> = figures.collect();
        let health = inbox::health(conn, now)?.into_iter().map(|health| (health.topic_name.clone(), health));
        let health: HashMap<String, _> = health.collect();
        let mut with_figures = |descriptor: &TopicDescriptor| {
            let mut shown = json!(descriptor);
            if let Some(stats) = figures.remove(&descriptor.name) {
                shown["stats"] = json!(stats);
            }
            if let Some(health) = health.get(&descriptor.name) {
                shown["health"] = json!(health);
            }
            shown
        };
        let mut topics: Vec<Value> = core.iter().map(&mut with_figures).collect();
        let skill_topics: Vec<Value> = skills.iter().map(&mut with_figures).collect();
        // What was heard of besides.
        let mut others: Vec<String> = figures.keys().cloned().collect();
        others.sort_unstable();
        for name in others {
            let descriptor = TopicDescriptor {
                category: infer_category(&name).to_owned(),
                description: "Discovered from message log".to_owned(),
                consumers: None,
                name,
            };
            let mut shown = json!(descriptor);
            shown["stats"] = json!(figures.remove(&descriptor.name));
            if let Some(health) = health.get(&descriptor.name) {
                shown["health"] = json!(health);
            }
            topics.push(shown);
        }
        Ok(json!({"skill_topics": skill_topics, "topics": topics, "xp_leaderboard": stats::xp(conn)?}))
    });
    shown(read.await)
}

pub(super) async fn ensure(it: Arc<Dashboard>, request: Request) -> Response {
    let topic = match Fields::of(&request) {
        Ok(fields) => fields.text("topic_name"),
        Err(response) => return response,
    };
    if topic.is_empty() {
        return error(400, "topic_name required", None);
    }
    let group = match joined(&it) {
        Ok(group) => group,
        Err(response) => return response,
    };
    match group.ensure_topic(&topic).await {
        Ok(()) => Response::json(&json!({"ok": true, "topic": topic})),
        // KafClaw answers so, with 200.
        Err(problem) => Response::json(&json!({"error": chain(&problem)})),
    }
}

pub(super) async fn flow(it: Arc<Dashboard>) -> Response {
    let now = it.clock.now();
    shown(it.db.read(move |conn| Ok(json!({"edges": inbox::flow(conn, now)?}))).await)
}

pub(super) async fn health(it: Arc<Dashboard>) -> Response {
    let now = it.clock.now();
    shown(it.db.read(move |conn| Ok(json!({"health": inbox::health(conn, now)?}))).await)
}

pub(super) async fn points(it: Arc<Dashboard>) -> Response {
    shown(it.db.read(|conn| Ok(json!({"leaderboard": stats::xp(conn)?}))).await)
}

pub(super) async fn density(it: Arc<Dashboard>, request: Request) -> Response {
    let topic = asked(&request, "topic");
    if topic.is_empty() {
        return error(400, "topic parameter required", None);
    }
    let hours = request.query_number("hours").and_then(|hours| u32::try_from(hours).ok()).filter(|hours| *hours > 0);
    let (hours, now) = (hours.unwrap_or(HOURS_DEFAULT).min(HOURS_MAX), it.clock.now());
    shown(it.db.read(move |conn| inbox::density(conn, &topic, hours, now)).await)
}
