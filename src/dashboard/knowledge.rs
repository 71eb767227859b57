//! What the group knows together. KafClaw has this on its command line only (group specification §11); the shapes are those, so that
//! the command line prints what comes from here.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::dashboard::{Dashboard, group_of, limit, route, unstored};
use crate::group::hub::{Group, Voted};
use crate::http::{Access, Method, Request, Response, Route, Status, error};
use crate::knowledge::fact::Fact;
use crate::knowledge::wire::{Outcome, VoteWord};
use crate::knowledge::{self, FactDraft, Proposal, ProposalDraft, PublishRefusal};

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 500;
const OFF: &str = "knowledge governance is disabled";
const OFF_HINT: &str = "set knowledge.enabled and knowledge.governanceEnabled, and start again";

#[rustfmt::skip]
pub(super) fn routes() -> Vec<Route<Dashboard>> {
    use Access::Token;
    use Method::{Get, Post};
    vec![
        route(Get, "/api/v1/knowledge/status", Token, "How this hub shares knowledge, and how much there is.", |it, _| Box::pin(status(it))),
        route(Get, "/api/v1/knowledge/decisions", Token, "Proposals, newest first: ?status=approved|rejected|expired|pending|all&limit.", |it, request| Box::pin(decisions(it, request))),
        route(Get, "/api/v1/knowledge/facts", Token, "Facts, newest first: ?group&limit.", |it, request| Box::pin(facts(it, request))),
        route(Post, "/api/v1/knowledge/propose", Token, "Propose {statement, title?, tags?, proposalId?}.", |it, request| Box::pin(propose(it, request))),
        route(Post, "/api/v1/knowledge/vote", Token, "Vote {proposalId, vote: yes|no, reason?} as this hub.", |it, request| Box::pin(vote(it, request))),
        route(Post, "/api/v1/knowledge/facts", Token, "Publish a fact, or its next version: {subject, predicate, object, factId?, proposalId?, tags?}.", |it, request| Box::pin(publish(it, request))),
    ]
}

/// The group, where knowledge is shared in it, or what is said where it is not.
fn sharing(it: &Dashboard) -> Result<Group, Response> {
    let hint = "set group.enabled, group.groupName and group.kafkaBrokers, and start again";
    let group = group_of(it).ok_or_else(|| error(400, "not in a group", Some(hint)))?;
    let config = group.knowledge();
    if config.is_enabled && config.is_governed { Ok(group) } else { Err(error(400, OFF, Some(OFF_HINT))) }
}

async fn status(it: Arc<Dashboard>) -> Response {
    let counts = match it.db.read(knowledge::counts).await {
        Ok(counts) => counts,
        Err(problem) => return unstored(&problem),
    };
    let Some(group) = group_of(&it) else {
        return Response::json(&json!({"enabled": false, "counts": counts, "reason": "not in a group"}));
    };
    let config = group.knowledge();
    let topics: Map<String, Value> =
        group.knowledge_topics().all().map(|(kind, name)| (kind.as_str().to_owned(), json!(name))).collect();
    Response::json(&json!({
        "clawId": config.claw_id,
        "counts": counts,
        "enabled": config.is_enabled,
        "governanceEnabled": config.is_governed,
        "group": config.group,
        "instanceId": config.instance_id,
        "topics": topics,
        "online": group.is_online(),
    }))
}

async fn decisions(it: Arc<Dashboard>, request: Request) -> Response {
    let filter = request.query("status").filter(|text| !text.is_empty()).unwrap_or("approved").to_owned();
    let wanted = match filter.as_str() {
        "all" => None,
        "pending" => Some(filter.clone()),
        word if Outcome::parse(word).is_some() => Some(filter.clone()),
        _ => return error(400, "status is one of approved, rejected, expired, pending, all", None),
    };
    let limit = limit(&request, LIMIT_DEFAULT, LIMIT_MAX);
    match it.db.read(move |conn| knowledge::proposals(conn, wanted.as_deref(), limit)).await {
        Ok(proposals) => {
            let rows: Vec<Value> = proposals.iter().map(proposal_row).collect();
            let answer = json!({"action": "decisions", "status": "ok", "count": rows.len(), "filter": filter, "decisions": rows});
            Response::json(&answer)
        }
        Err(problem) => unstored(&problem),
    }
}

async fn facts(it: Arc<Dashboard>, request: Request) -> Response {
    let group = request.query("group").filter(|text| !text.is_empty()).map(str::to_owned);
    let (limit, wanted) = (limit(&request, LIMIT_DEFAULT, LIMIT_MAX), group.clone());
    match it.db.read(move |conn| knowledge::facts(conn, wanted.as_deref(), limit)).await {
        Ok(facts) => {
            let rows: Vec<Value> = facts.iter().map(fact_row).collect();
            let group = group.unwrap_or_default();
            let answer = json!({"action": "facts", "status": "ok", "count": rows.len(), "group": group, "facts": rows});
            Response::json(&answer)
        }
        Err(problem) => unstored(&problem),
    }
}

/// KafClaw's column names.
fn proposal_row(proposal: &Proposal) -> Value {
    json!({
        "proposal_id": proposal.id,
        "group_name": proposal.group,
        "title": proposal.title,
        "statement": proposal.statement,
        "tags": proposal.tags,
        "proposer_claw_id": proposal.proposer,
        "proposer_instance_id": proposal.proposer_instance,
        "status": proposal.outcome.map_or("pending", Outcome::as_str),
        "yes_votes": proposal.tally.yes,
        "no_votes": proposal.tally.no,
        "reason": proposal.reason,
        "created_at": proposal.created_at,
        "expires_at": proposal.expires_at,
        "decided_at": proposal.decided_at,
        "decided_by": proposal.decided_by,
    })
}

fn fact_row(fact: &Fact) -> Value {
    json!({
        "fact_id": fact.id,
        "group_name": fact.group,
        "subject": fact.subject,
        "predicate": fact.predicate,
        "object": fact.object,
        "version": fact.version,
        "source": fact.source,
        "proposal_id": fact.proposal_id,
        "decision_id": fact.decision_id,
        "tags": fact.tags,
        "published_at": fact.published_at,
    })
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct ProposeBody {
    proposal_id: String,
    /// Only this hub's own one.
    group: String,
    title: String,
    statement: String,
    tags: Vec<String>,
}

async fn propose(it: Arc<Dashboard>, request: Request) -> Response {
    let group = match sharing(&it) {
        Ok(group) => group,
        Err(response) => return response,
    };
    let body: ProposeBody = match serde_json::from_slice(&request.body) {
        Ok(body) => body,
        Err(problem) => return error(400, "invalid body", Some(&problem.to_string())),
    };
    let own = group.knowledge().group.clone();
    if !body.group.is_empty() && body.group != own {
        return error(400, "this hub shares knowledge with another group", Some(&own));
    }
    let ProposeBody { proposal_id: id, title, statement, tags, .. } = body;
    match group.propose(ProposalDraft { id, title, statement, tags }).await {
        Ok(Ok(known)) => Response::json(&json!({
            "action": "propose",
            "status": "ok",
            "group": own,
            "idempotency": known.idempotency_key,
            "proposalId": known.id,
            "published": true,
            "queued": !group.is_online(),
        })),
        Ok(Err(refusal)) => refused(&refusal),
        Err(problem) => unstored(&problem),
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct VoteBody {
    proposal_id: String,
    vote: String,
    reason: String,
}

async fn vote(it: Arc<Dashboard>, request: Request) -> Response {
    let group = match sharing(&it) {
        Ok(group) => group,
        Err(response) => return response,
    };
    let VoteBody { proposal_id, vote, reason } = match serde_json::from_slice(&request.body) {
        Ok(body) => body,
        Err(problem) => return error(400, "invalid body", Some(&problem.to_string())),
    };
    let Some(word) = VoteWord::parse(&vote) else { return error(400, "vote is yes or no", None) };
    match group.vote(proposal_id.clone(), word, reason).await {
        Ok(Ok(voted)) => {
            let Voted { status, yes, no, reason, pool } = voted;
            Response::json(&json!({
                "action": "vote",
                "status": "ok",
                "decision": {"Status": status, "Yes": yes, "No": no, "Reason": reason},
                "poolSize": pool,
                "proposalId": proposal_id,
                "published": true,
                "vote": word.as_str(),
                "queued": !group.is_online(),
            }))
        }
        Ok(Err(refusal)) => refused(&refusal),
        Err(problem) => unstored(&problem),
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct FactBody {
    fact_id: String,
    subject: String,
    predicate: String,
    object: String,
    proposal_id: String,
    tags: Vec<String>,
}

async fn publish(it: Arc<Dashboard>, request: Request) -> Response {
    let group = match sharing(&it) {
        Ok(group) => group,
        Err(response) => return response,
    };
    let FactBody { fact_id, subject, predicate, object, proposal_id, tags } =
        match serde_json::from_slice(&request.body) {
            Ok(body) => body,
            Err(problem) => return error(400, "invalid body", Some(&problem.to_string())),
        };
    match group.publish_fact(FactDraft { fact_id, subject, predicate, object, proposal_id, tags }).await {
        Ok(Ok(known)) => Response::json(&json!({
            "action": "publish",
            "status": "ok",
            "factId": known.id,
            "idempotency": known.idempotency_key,
            "published": true,
            "queued": !group.is_online(),
        })),
        Ok(Err(refusal)) => refused(&refusal),
        Err(problem) => unstored(&problem),
    }
}

fn refused(refusal: &PublishRefusal) -> Response {
    let (status, code): (Status, &str) = match refusal {
        PublishRefusal::Disabled => return error(400, OFF, Some(OFF_HINT)),
        PublishRefusal::DeniedTag { .. } => (403, "denied_tag"),
        PublishRefusal::NoAllowedTag { .. } => (403, "no_allowed_tag"),
        PublishRefusal::UnknownProposal { .. } => (404, "unknown_proposal"),
        PublishRefusal::Decided { .. } => (409, "decided"),
        PublishRefusal::Taken { .. } => (409, "taken"),
        PublishRefusal::NotApproved => (409, "not_approved"),
        PublishRefusal::OwnProposal => (409, "own_proposal"),
        PublishRefusal::Text { .. } => (400, "text"),
    };
    Response::json_with(status, &json!({"error": refusal.to_string(), "reason": code}))
}
