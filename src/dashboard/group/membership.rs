//! Being in a group: how it stands, joining, leaving, and whose keys are believed.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::base::error::chain;
use crate::base::id::PeerId;
use crate::dashboard::{Dashboard, limit, offset, unstored};
use crate::group::membership::{ChangeError, Changes, MembershipError};
use crate::group::wire::sign::PublicKey;
use crate::group::{onboarding, roster};
use crate::http::{Request, Response, error};

use super::{Fields, HOW_TO_JOIN, LIMIT_DEFAULT, LIMIT_MAX, asked, listed, shown};

pub(super) async fn status(it: Arc<Dashboard>) -> Response {
    let Some(group) = it.membership.current() else {
        let config = match it.membership.config().await {
            Ok(config) => config,
            Err(problem) => return unstored(&problem),
        };
        let reason = match (it.membership.trouble(), config.group_name.as_str()) {
            (Some(trouble), _) => trouble,
            (None, "") => "no group is configured".to_owned(),
            (None, _) => "this hub is not in its group".to_owned(),
        };
        return Response::json(&json!({"active": false, "group_name": config.group_name, "member_count": 0,
            "connectivity": "none", "reason": reason, "advice": HOW_TO_JOIN}));
    };
    match group.status().await {
        Ok(view) => Response::json(&view),
        Err(problem) => unstored(&problem),
    }
}

pub(super) async fn members(it: Arc<Dashboard>) -> Response {
    match it.membership.current() {
        Some(group) => Response::json(&group.members()),
        None => listed(it, |conn, _, _| roster::members(conn), (0, 0)).await,
    }
}

pub(super) async fn join(it: Arc<Dashboard>, request: Request) -> Response {
    let fields = match Fields::of(&request) {
        Ok(fields) => fields,
        Err(response) => return response,
    };
    let changes = Changes::joining(&fields.text("group_name")).and_then(|mut changes| {
        for field in ["lfs_proxy_url", "kafka_brokers", "agent_id"] {
            let value = fields.text(field);
            if !value.is_empty() {
                changes.say(field, &value)?;
            }
        }
        Ok(changes)
    });
    let joined = match changes {
        Ok(changes) => it.membership.join(changes).await,
        Err(problem) => return unchanged(&problem.into()),
    };
    match joined {
        Ok(_) => status(it).await,
        Err(problem) => unchanged(&problem),
    }
}

pub(super) async fn leave(it: Arc<Dashboard>) -> Response {
    match it.membership.leave().await {
        Ok(()) => Response::json(&json!({"status": "left"})),
        Err(problem) => unchanged(&problem),
    }
}

pub(super) async fn onboard(it: Arc<Dashboard>) -> Response {
    match it.membership.onboard().await {
        Ok(()) => Response::json(&json!({"status": "onboard_request_sent"})),
        Err(MembershipError::Change(ChangeError::NoName)) => error(400, "group not configured", Some(HOW_TO_JOIN)),
        Err(problem) => unchanged(&problem),
    }
}

pub(super) async fn rejoin(it: Arc<Dashboard>, request: Request) -> Response {
    let fields = match Fields::of(&request) {
        Ok(fields) => fields,
        Err(response) => return response,
    };
    let (agent_id, group_name) = (fields.text("agent_id"), fields.text("group_name"));
    if agent_id.is_empty() {
        return error(400, "agent_id required", None);
    }
    match it.membership.rejoin(&agent_id, &group_name).await {
        Ok(Some(rejoined)) => Response::json(&rejoined.restored),
        Ok(None) => error(404, "no previous config found for this agent", None),
        Err(problem) => unchanged(&problem),
    }
}

pub(super) async fn config(it: Arc<Dashboard>) -> Response {
    shown(it.membership.config().await)
}

pub(super) async fn configure(it: Arc<Dashboard>, request: Request) -> Response {
    let fields = match Fields::of(&request) {
        Ok(Fields(Value::Object(fields))) => fields,
        Ok(_) => return error(400, "invalid body", None),
        Err(response) => return response,
    };
    let mut changes = Changes::default();
    for (field, value) in &fields {
        let said = match value {
            Value::String(text) => changes.say(field, text),
            Value::Number(number) => changes.say(field, &number.to_string()),
            _ => {
                return error(400, "invalid body", Some("send texts, blank ones to go back to the configuration file"));
            }
        };
        if let Err(problem) = said {
            return unchanged(&problem.into());
        }
    }
    match it.membership.configure(changes).await {
        Ok(requires_rejoin) => Response::json(&json!({"requires_rejoin": requires_rejoin, "status": "ok"})),
        Err(problem) => unchanged(&problem),
    }
}

/// Why the membership is as it was.
pub(super) fn unchanged(problem: &MembershipError) -> Response {
    match problem {
        MembershipError::NotIn => error(400, "not in a group", Some(HOW_TO_JOIN)),
        MembershipError::Change(_) | MembershipError::Plan(_) => error(400, &chain(problem), None),
        MembershipError::Store { source } => unstored(source),
        MembershipError::Closing | MembershipError::Ended => error(503, &problem.to_string(), None),
    }
}

pub(super) async fn history(it: Arc<Dashboard>, request: Request) -> Response {
    let filter = roster::HistoryFilter {
        agent_id: asked(&request, "agent_id"),
        group_name: asked(&request, "group_name"),
        limit: limit(&request, LIMIT_DEFAULT, LIMIT_MAX),
        offset: offset(&request),
    };
    shown(it.db.read(move |conn| roster::history(conn, &filter)).await)
}

pub(super) async fn decide(it: Arc<Dashboard>, request: Request) -> Response {
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
