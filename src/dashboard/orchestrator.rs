//! Who stands where in the group, zones, and tasks given to the best member of one (group specification §6, §7). Shapes are
//! KafClaw's; fields of ours stand behind them.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::base::error::chain;
use crate::base::id::{PeerId, ZoneId, random_hex};
use crate::dashboard::{Dashboard, group_of, route, unstored};
use crate::domain::peer::Visibility;
use crate::group::hub::{AskError, Group, Order, Patience, PlaceError, ZoneDraft, ZoneOrder};
use crate::group::wire::SkillName;
use crate::http::{Access, Method, Request, Response, Route, Status, error};
use crate::orchestrator::NobodyReason;
use crate::orchestrator::zone::{PUBLIC, ZoneRefusal};

/// KafClaw's ids of tasks, in bytes.
const TASK_ID_BYTES: usize = 8;
/// Longest name of a zone, in bytes; longer ones are not taken from the wire either.
const NAME_BYTES_MAX: usize = 256;
/// Members or guests that one request may name.
const PEERS_LEN_MAX: usize = 1_000;

#[rustfmt::skip]
pub(super) fn routes() -> Vec<Route<Dashboard>> {
    use Access::Token;
    use Method::{Get, Post};
    vec![
        route(Get, "/api/v1/orchestrator/status", Token, "Where this hub stands in its group.", |it, _| Box::pin(status(it))),
        route(Get, "/api/v1/orchestrator/hierarchy", Token, "Who reports to whom.", |it, _| Box::pin(nodes(it))),
        route(Get, "/api/v1/orchestrator/agents", Token, "The same list, by KafClaw's other name.", |it, _| Box::pin(nodes(it))),
        route(Get, "/api/v1/orchestrator/zones", Token, "Zones and their members.", |it, _| Box::pin(zones(it))),
        route(Post, "/api/v1/orchestrator/zones", Token, "Change a zone: {zone_id, action: create|update|delete|join|approve|deny, name?, visibility?, parent_zone?, allowed_ids?, members?, agent_id?}.", |it, request| Box::pin(change(it, request))),
        route(Post, "/api/v1/orchestrator/dispatch", Token, "Give a task to the best member: {description, content?, target_zone?, skill?, delegation_depth?}.", |it, request| Box::pin(dispatch(it, request))),
    ]
}

/// The group, where this hub has a place in it.
fn placed(it: &Dashboard) -> Option<Group> {
    group_of(it).filter(Group::is_placed)
}

/// The same for routes that change something, or what is said where there is none.
fn active(it: &Dashboard) -> Result<Group, Response> {
    if !it.is_orchestrator_enabled {
        return Err(error(400, "orchestrator not enabled", Some("set orchestrator.enabled, and start again")));
    }
    placed(it).ok_or_else(|| {
        let hint = "set group.enabled, group.groupName and group.kafkaBrokers, and start again";
        error(503, "orchestrator enabled but not active: no group manager", Some(hint))
    })
}

async fn status(it: Arc<Dashboard>) -> Response {
    let Some(group) = placed(&it) else {
        return Response::json(&json!({"active": false, "enabled": it.is_orchestrator_enabled}));
    };
    match group.place().await {
        Ok(view) => Response::json(&view),
        Err(problem) => unstored(&problem),
    }
}

async fn nodes(it: Arc<Dashboard>) -> Response {
    let Some(group) = placed(&it) else { return Response::json(&json!([])) };
    match group.nodes().await {
        Ok(nodes) => Response::json(&nodes),
        Err(problem) => unstored(&problem),
    }
}

async fn zones(it: Arc<Dashboard>) -> Response {
    let Some(group) = placed(&it) else { return Response::json(&json!([])) };
    match group.zones().await {
        Ok(zones) => Response::json(&zones),
        Err(problem) => unstored(&problem),
    }
}

/// `POST /api/v1/orchestrator/zones`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ZoneBody {
    zone_id: String,
    /// `create` where it is left out.
    action: Option<String>,
    name: Option<String>,
    visibility: Option<String>,
    parent_zone: Option<String>,
    allowed_ids: Option<Vec<String>>,
    members: Option<Vec<String>>,
    /// Whom to let in or to turn away.
    agent_id: Option<String>,
}

async fn change(it: Arc<Dashboard>, request: Request) -> Response {
    let group = match active(&it) {
        Ok(group) => group,
        Err(response) => return response,
    };
    let (id, order) = match serde_json::from_slice::<ZoneBody>(&request.body).map(ZoneBody::read) {
        Ok(Ok(read)) => read,
        Ok(Err(sentence)) => return error(400, sentence, None),
        Err(problem) => return error(400, "invalid body", Some(&problem.to_string())),
    };
    match group.change_zone(id, order).await {
        Ok(Some(zone)) => Response::json(&json!({"status": "ok", "zone": zone})),
        Ok(None) => Response::json(&json!({"status": "deleted"})),
        Err(PlaceError::Db(problem)) => unstored(&problem),
        Err(refused) => {
            let (status, code) = refusal(&refused);
            Response::json_with(status, &json!({"error": refused.to_string(), "reason": code}))
        }
    }
}

fn refusal(refused: &PlaceError) -> (Status, &'static str) {
    match refused {
        PlaceError::Exists { .. } => (409, "exists"),
        PlaceError::Configured { .. } => (409, "configured"),
        PlaceError::Refused(ZoneRefusal::Unknown { .. }) => (404, "unknown"),
        PlaceError::Refused(ZoneRefusal::NotOwner { .. }) => (403, "not_owner"),
        PlaceError::Refused(ZoneRefusal::NotAllowed { .. }) => (403, "not_allowed"),
        PlaceError::Refused(ZoneRefusal::Reserved) => (403, "reserved"),
        PlaceError::Refused(ZoneRefusal::Taken { .. }) => (409, "taken"),
        PlaceError::Refused(ZoneRefusal::NotWaiting { .. }) => (409, "not_waiting"),
        PlaceError::Refused(ZoneRefusal::Full) => (409, "full"),
        PlaceError::Db(_) => (503, "store"),
    }
}

impl ZoneBody {
    fn read(self) -> Result<(ZoneId, ZoneOrder), &'static str> {
        // What may stand in a topic may stand in a zone.
        if SkillName::parse(&self.zone_id).is_none() {
            return Err("zone_id required: one word of letters, digits, dashes and underscores");
        }
        let id = ZoneId::from(self.zone_id.as_str());
        let peer = match self.agent_id.as_deref().map(str::trim) {
            Some(name) if !name.is_empty() && name.len() <= NAME_BYTES_MAX => Ok(PeerId::from(name)),
            _ => Err("agent_id required"),
        };
        let order = match self.action.as_deref().unwrap_or("create") {
            "create" => ZoneOrder::Create(self.draft()?),
            "update" => ZoneOrder::Update(self.draft()?),
            "delete" => ZoneOrder::Remove,
            "join" => ZoneOrder::Join,
            "approve" => ZoneOrder::LetIn(peer?),
            "deny" => ZoneOrder::TurnAway(peer?),
            _ => return Err("action is one of create, update, delete, join, approve, deny"),
        };
        Ok((id, order))
    }

    fn draft(self) -> Result<ZoneDraft, &'static str> {
        let visibility = match self.visibility.as_deref() {
            None => None,
            Some(text) => Some(Visibility::parse(text).ok_or("visibility is one of public, shared, private")?),
        };
        if self.name.as_ref().is_some_and(|name| name.len() > NAME_BYTES_MAX) {
            return Err("the name is too long");
        }
        Ok(ZoneDraft {
            name: self.name,
            visibility,
            parent: self.parent_zone.filter(|id| !id.is_empty()).map(ZoneId::from),
            allowed: self.allowed_ids.map(peers).transpose()?,
            members: self.members.map(peers).transpose()?,
        })
    }
}

fn peers(names: Vec<String>) -> Result<Vec<PeerId>, &'static str> {
    let is_fine = |name: &String| !name.trim().is_empty() && name.len() <= NAME_BYTES_MAX;
    if names.len() > PEERS_LEN_MAX || !names.iter().all(is_fine) {
        return Err("a list of agent ids is too long or names nobody");
    }
    Ok(names.into_iter().map(PeerId::from).collect())
}

async fn dispatch(it: Arc<Dashboard>, request: Request) -> Response {
    let group = match active(&it) {
        Ok(group) => group,
        Err(response) => return response,
    };
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else { return error(400, "invalid body", None) };
    let order = order(&body);
    if order.description.is_empty() {
        return error(400, "description required", None);
    }
    let (task_id, asker, now) = (order.task_id.clone(), group.clone(), it.clock.now());
    let asked = it.db.write(move |tx| match asker.ask(tx, &order, now) {
        Ok(asked) => Ok(Ok(asked)),
        Err(AskError::Store { source }) => Err(source),
        Err(refused) => Ok(Err(refused)),
    });
    match asked.await {
        Ok(Ok(asked)) => {
            group.asked();
            let id = asked.id.map(|id| id.to_string());
            Response::json(
                &json!({"status": "dispatched", "task_id": task_id, "member": id, "member_name": asked.member}),
            )
        }
        Ok(Err(refused)) => {
            let answer = json!({"error": sentence(&refused), "reason": refused.code()});
            Response::json_with(status_of(&refused), &answer)
        }
        Err(problem) => unstored(&problem),
    }
}

fn order(body: &Value) -> Order {
    let field = |name: &str| body[name].as_str().unwrap_or_default().trim().to_owned();
    let (description, content) = (field("description"), field("content"));
    Order {
        task_id: random_hex(TASK_ID_BYTES),
        skill: Some(field("skill")).filter(|skill| !skill.is_empty()),
        zone: Some(field("target_zone")).filter(|zone| !zone.is_empty() && zone != PUBLIC).map(ZoneId::from),
        // KafClaw sent nothing to do.
        content: if content.is_empty() { description.clone() } else { content },
        description,
        depth: u32::try_from(body["delegation_depth"].as_u64().unwrap_or(0)).unwrap_or(u32::MAX),
        patience: Patience::NowOrNever,
        ..Order::default()
    }
}

/// KafClaw's words for a zone that is closed to us; for everything else, the whole reason.
fn sentence(refused: &AskError) -> String {
    match refused {
        AskError::Nobody(NobodyReason::Zone { source: ZoneRefusal::NotAllowed { peer, zone } }) => {
            format!("agent {peer} not allowed in zone {zone}")
        }
        other => chain(other),
    }
}

fn status_of(refused: &AskError) -> Status {
    match refused {
        AskError::Nobody(NobodyReason::Zone { source: ZoneRefusal::Unknown { .. } }) => 404,
        AskError::Nobody(NobodyReason::Zone { .. }) => 403,
        AskError::Outbox(_) => 503,
        _ => 409,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: Value) -> Result<(ZoneId, ZoneOrder), &'static str> {
        serde_json::from_value::<ZoneBody>(body).map_err(|_| "invalid body")?.read()
    }

    #[test]
    fn a_change_of_a_zone_is_read_or_refused_with_a_sentence() {
        let (id, order) =
            read(json!({"zone_id": "attic", "visibility": "private", "allowed_ids": ["b"]})).expect("read");
        let allowed = Some(vec![PeerId::from("b")]);
        let draft = ZoneDraft { visibility: Some(Visibility::Private), allowed, ..ZoneDraft::default() };
        assert_eq!((id.as_str(), order), ("attic", ZoneOrder::Create(draft)));
        let approve = read(json!({"zone_id": "attic", "action": "approve", "agent_id": "c"})).expect("read").1;
        assert_eq!(approve, ZoneOrder::LetIn(PeerId::from("c")));
        for (body, says) in [
            (json!({"zone_id": ""}), "zone_id"),
            (json!({"zone_id": "a b"}), "zone_id"),
            (json!({"zone_id": "a", "action": "burn"}), "action"),
            (json!({"zone_id": "a", "action": "approve"}), "agent_id"),
            (json!({"zone_id": "a", "visibility": "secret"}), "visibility"),
            (json!({"zone_id": "a", "members": [""]}), "list"),
            (json!({"zone_id": "a", "owner_id": "me"}), "invalid body"),
        ] {
            let sentence = read(body.clone()).expect_err("refused");
            assert!(sentence.contains(says), "{body}: {sentence}");
        }
    }

    #[test]
    fn a_dispatched_task_has_something_to_do() {
        let order = order(&json!({"description": "water the plants", "target_zone": "public"}));
        assert_eq!(
            (order.content.as_str(), order.zone, order.patience),
            ("water the plants", None, Patience::NowOrNever)
        );
    }

    proptest! {
        #[test]
        fn any_body_is_read_without_a_panic(text in ".{0,200}", id in "[a-z ]{0,5}", action in "[a-z]{0,7}") {
            let _ = serde_json::from_str::<ZoneBody>(&text).map(ZoneBody::read);
            if let Ok((read, _)) = read(json!({"zone_id": id, "action": action, "agent_id": text})) {
                prop_assert_eq!(read.as_str(), id);
            }
        }
    }
}
