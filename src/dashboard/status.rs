//! Who this house is and how it is.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::approval;
use crate::bus::{delivery, row};
use crate::dashboard::{Dashboard, group_of, unstored};
use crate::group::hub::Group;
use crate::http::{Request, Response};
use crate::link::mqtt::LinkState;
use crate::scheduler;

pub(super) async fn status(it: Arc<Dashboard>, request: Request) -> Response {
    let group = group_of(&it);
    let mut status = json!({
        "agent_id": it.agent_id,
        "group_enabled": group.is_some(),
        "mode": mode(group.as_ref()),
        "orchestrator_active": group.as_ref().is_some_and(Group::is_placed),
        "orchestrator_enabled": it.is_orchestrator_enabled,
        "uptime_seconds": it.started.elapsed().as_secs(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    if request.is_authenticated {
        match details(&it).await {
            Ok(Value::Object(details)) => {
                if let Value::Object(status) = &mut status {
                    status.extend(details);
                }
            }
            Ok(_) => {}
            Err(problem) => return unstored(&problem),
        }
    }
    Response::json(&status)
}

/// KafClaw's words for how much of a group there is (group specification §7).
fn mode(group: Option<&Group>) -> &'static str {
    match group {
        Some(group) if group.is_placed() => "full",
        Some(_) => "group",
        None => "standalone",
    }
}

async fn details(it: &Dashboard) -> Result<Value, crate::db::DbError> {
    let now = it.clock.now();
    let database = it.db.path().to_owned();
    let (waiting, jobs, pending, tokens, database_bytes, databases_set_aside) = it
        .db
        .read(move |conn| {
            Ok((
                delivery::waiting_len(conn)?,
                scheduler::list(conn)?.iter().filter(|job| job.enabled).count(),
                approval::pending(conn)?.len(),
                row::tokens_used_today(conn, now)?,
                bytes_of(&database),
                crate::db::set_aside(&database),
            ))
        })
        .await?;
    let models = it.chain.status();
    let household = it.home.household();
    Ok(json!({
        "open_tasks": it.intake.bus().open_len(),
        "deliveries_waiting": waiting,
        "devices": household.devices.len(),
        "devices_unavailable": household.devices.iter().filter(|device| !device.available).count(),
        "jobs": jobs,
        "approvals_pending": pending,
        "mqtt": mqtt(it),
        "mqtt_error": mqtt_error(it),
        "model": models.iter().find(|model| model.reachable),
        "models": models,
        "tokens_today": tokens,
        "database_bytes": database_bytes,
        "databases_set_aside": databases_set_aside,
    }))
}

/// The file and its write-ahead log.
fn bytes_of(database: &Path) -> u64 {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    bytes(database) + bytes(Path::new(&log))
}

fn mqtt(it: &Dashboard) -> &'static str {
    let Some(broker) = &it.broker else { return "off" };
    match &*broker.link_state().borrow() {
        LinkState::Connected { .. } => "online",
        LinkState::Connecting { attempt: 0, .. } => "connecting",
        LinkState::Connecting { .. } | LinkState::Stopped => "offline",
    }
}

/// Why the last attempt to connect failed, while there is no connection.
fn mqtt_error(it: &Dashboard) -> Option<String> {
    match &*it.broker.as_ref()?.link_state().borrow() {
        LinkState::Connecting { error, .. } => error.clone(),
        LinkState::Connected { .. } | LinkState::Stopped => None,
    }
}

/// The house's own figures in Prometheus' text format.
pub(super) async fn metrics(it: Arc<Dashboard>, request: Request) -> Response {
    let mut text = format!("kafclaw_uptime_seconds {}\n", it.started.elapsed().as_secs());
    if request.is_authenticated {
        let household = it.home.household();
        text += &format!("kafclaw_open_tasks {}\n", it.intake.bus().open_len());
        text += &format!("kafclaw_devices {}\n", household.devices.len());
        text += &format!("kafclaw_broker_connected {}\n", u8::from(mqtt(&it) == "online"));
        if let Ok(waiting) = it.db.read(delivery::waiting_len).await {
            text += &format!("kafclaw_deliveries_waiting {waiting}\n");
        }
    }
    Response::new(200, "text/plain; version=0.0.4; charset=utf-8", text)
}
