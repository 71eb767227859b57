//! This member's own words: proposals, votes, decisions, facts, and that it is there.

use crate::base::gojson::GoTime;
use crate::base::id::{TraceId, random_hex};
use crate::db::Tx;
use crate::domain::refusal::ID_BYTES_MAX;
use crate::knowledge::ballot::{self, Ballot};
use crate::knowledge::fact::{Fact, Passing, Reception, receive};
use crate::knowledge::wire::{self, Body, Outcome, VoteWord};
use crate::knowledge::{Config, Context, Outgoing, Proposal, ShareMode, apply, store};

/// Longest statement, title, reason, or part of a fact, in bytes.
const TEXT_BYTES_MAX: usize = 16 * 1024;

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PublishRefusal {
    #[error("shared knowledge is switched off")]
    Disabled,
    #[error("what is tagged {tag} stays here")]
    DeniedTag { tag: String },
    #[error("only what has one of these tags may leave: {}", allowed.join(", "))]
    NoAllowedTag { allowed: Vec<String> },
    #[error("proposal {proposal} is not known")]
    UnknownProposal { proposal: String },
    #[error("proposal {proposal} is there already")]
    Taken { proposal: String },
    #[error("proposal {proposal} has been decided")]
    Decided { proposal: String },
    #[error("a fact needs a proposal that was approved")]
    NotApproved,
    #[error("who proposes does not vote")]
    OwnProposal,
    #[error("`{field}` is missing or too long")]
    Text { field: &'static str },
}

/// Whether something with these tags may leave this member.
pub fn may_leave(config: &Config, tags: &[String]) -> Result<(), PublishRefusal> {
    let is_in = |list: &[String], tag: &String| list.iter().any(|other| other.trim().eq_ignore_ascii_case(tag.trim()));
    if let Some(tag) = tags.iter().find(|tag| is_in(&config.deny_tags, tag)) {
        return Err(PublishRefusal::DeniedTag { tag: tag.clone() });
    }
    if !config.allow_tags.is_empty() && !tags.iter().any(|tag| is_in(&config.allow_tags, tag)) {
        return Err(PublishRefusal::NoAllowedTag { allowed: config.allow_tags.clone() });
    }
    Ok(())
}

/// Something that this member wants the group to agree on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProposalDraft {
    /// Blank for a new one.
    pub id: String,
    pub title: String,
    pub statement: String,
    pub tags: Vec<String>,
}

/// A new proposal of ours; it is open from now on. Its id is the answer's key.
pub fn propose(
    tx: &Tx<'_>,
    context: &Context<'_>,
    draft: &ProposalDraft,
) -> rusqlite::Result<Result<Outgoing, PublishRefusal>> {
    let config = context.config;
    if let Err(refusal) = may_propose(config, draft) {
        return Ok(Err(refusal));
    }
    let proposal = Proposal {
        id: if draft.id.is_empty() { format!("kp-{}", random_hex(8)) } else { draft.id.clone() },
        group: config.group.clone(),
        title: draft.title.clone(),
        statement: draft.statement.clone(),
        tags: draft.tags.clone(),
        proposer: config.claw_id.clone(),
        proposer_instance: config.instance_id.clone(),
        outcome: None,
        tally: ballot::Tally::default(),
        reason: String::new(),
        created_at: context.now,
        expires_at: Some(context.now.plus(config.policy.open_max)),
        decided_at: None,
        decided_by: String::new(),
    };
    if !store::insert_proposal(tx, &proposal, context.now)? {
        return Ok(Err(PublishRefusal::Taken { proposal: proposal.id }));
    }
    let wire = wire::Proposal {
        proposal_id: proposal.id.clone(),
        group: proposal.group,
        title: proposal.title,
        statement: proposal.statement,
        tags: proposal.tags,
        expires_at: proposal.expires_at.map(GoTime::from),
    };
    let key = format!("knowledge:proposal:{}", proposal.id);
    Ok(Ok(outgoing(context, proposal.id, key, Body::Proposal(wire))))
}

fn may_propose(config: &Config, draft: &ProposalDraft) -> Result<(), PublishRefusal> {
    may_speak(config)?;
    may_leave(config, &draft.tags)?;
    text("statement", &draft.statement)?;
    let is_id = draft.id.is_empty() || (!draft.id.trim().is_empty() && draft.id.len() <= ID_BYTES_MAX);
    if draft.title.len() > TEXT_BYTES_MAX {
        Err(PublishRefusal::Text { field: "title" })
    } else if is_id {
        few_tags(&draft.tags)
    } else {
        Err(PublishRefusal::Text { field: "proposalId" })
    }
}

/// No more, and no longer ones, than others take.
fn few_tags(tags: &[String]) -> Result<(), PublishRefusal> {
    let fits = tags.len() <= wire::TAGS_LEN_MAX && tags.iter().all(|tag| tag.len() <= ID_BYTES_MAX);
    if fits { Ok(()) } else { Err(PublishRefusal::Text { field: "tags" }) }
}

/// Our vote, or our new one when we have thought again. Ours may be the one that decides, so there may be two messages.
pub fn vote(
    tx: &Tx<'_>,
    context: &Context<'_>,
    proposal: &str,
    word: VoteWord,
    reason: &str,
) -> rusqlite::Result<Result<Vec<Outgoing>, PublishRefusal>> {
    let config = context.config;
    if let Err(refusal) = may_speak(config) {
        return Ok(Err(refusal));
    }
    if reason.len() > TEXT_BYTES_MAX {
        return Ok(Err(PublishRefusal::Text { field: "reason" }));
    }
    let Some(known) = store::proposal(tx, proposal)? else {
        return Ok(Err(PublishRefusal::UnknownProposal { proposal: proposal.to_owned() }));
    };
    if known.outcome.is_some() || known.question(config.policy.open_max).expires_at < context.now {
        return Ok(Err(PublishRefusal::Decided { proposal: proposal.to_owned() }));
    }
    if known.proposer == config.claw_id && !config.policy.counts_own {
        return Ok(Err(PublishRefusal::OwnProposal));
    }
    let ballots = store::ballots(tx, proposal)?;
    let last = ballots.iter().filter(|ballot| ballot.claw_id == config.claw_id).map(|ballot| ballot.version).max();
    let version = context.now.as_millis().max(last.map_or(1, |last| last.saturating_add(1)));
    let wire = wire::Vote {
        proposal_id: proposal.to_owned(),
        vote: word.as_str().to_owned(),
        reason: reason.to_owned(),
        version,
    };
    let key = format!("knowledge:vote:{proposal}:{}:{version}", config.claw_id);
    let outgoing = outgoing(context, proposal.to_owned(), key, Body::Vote(wire.clone()));
    let ballot = Ballot { claw_id: config.claw_id.clone(), version, word, voted_at: context.now };
    store::put_ballot(tx, &ballot, (&outgoing.message.head, &wire), context.now)?;
    let mut all = vec![outgoing];
    if known.proposer == config.claw_id {
        all.extend(decide_if_due(tx, context, proposal)?);
    }
    Ok(Ok(all))
}

/// Decides an open proposal when the votes or the time say so, and names the votes.
pub(super) fn decide_if_due(tx: &Tx<'_>, context: &Context<'_>, proposal: &str) -> rusqlite::Result<Option<Outgoing>> {
    let Some(known) = store::proposal(tx, proposal)?.filter(|proposal| proposal.outcome.is_none()) else {
        return Ok(None);
    };
    let policy = &context.config.policy;
    let question = known.question(policy.open_max);
    let ballots = store::ballots(tx, proposal)?;
    let standing = ballot::standing(policy, &question, &ballots, context.pool, context.now);
    let Some(outcome) = standing.outcome else { return Ok(None) };
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let votes = ballot::newest(&ballots, &question).into_iter().map(|ballot| wire::Ballot {
        claw_id: ballot.claw_id.clone(),
        vote: ballot.word.as_str().to_owned(),
        version: ballot.version,
    });
    let decision = wire::Decision {
        proposal_id: proposal.to_owned(),
        outcome: outcome.as_str().to_owned(),
        yes: count(standing.tally.yes),
        no: count(standing.tally.no),
        reason: standing.reason.to_owned(),
        votes: votes.collect(),
    };
    store::decide(tx, &decision, &context.config.claw_id, context.now, context.now)?;
    let key = format!("knowledge:decision:{proposal}");
    Ok(Some(outgoing(context, proposal.to_owned(), key, Body::Decision(decision))))
}

/// A fact that this member wants to publish; its version follows from the one that is held.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FactDraft {
    /// Blank for a new fact.
    pub fact_id: String,
    pub subject: String,
    pub predicate: String,
    pub object: String,
    /// The proposal it rests on; needed unless facts are shared directly.
    pub proposal_id: String,
    pub tags: Vec<String>,
}

/// Publishes a fact, or its next version.
pub fn publish_fact(
    tx: &Tx<'_>,
    context: &Context<'_>,
    draft: &FactDraft,
) -> rusqlite::Result<Result<Outgoing, PublishRefusal>> {
    if let Err(refusal) = may_publish(tx, context.config, draft)? {
        return Ok(Err(refusal));
    }
    let id = match draft.fact_id.as_str() {
        "" => format!("kf-{}", random_hex(8)),
        id => id.to_owned(),
    };
    let held = store::fact(tx, &id)?;
    let fact = Fact {
        version: held.as_ref().map_or(1, |held| held.version.saturating_add(1)),
        group: context.config.group.clone(),
        subject: draft.subject.clone(),
        predicate: draft.predicate.clone(),
        object: draft.object.clone(),
        source: context.config.claw_id.clone(),
        proposal_id: draft.proposal_id.clone(),
        decision_id: String::new(),
        tags: draft.tags.clone(),
        published_at: Some(context.now),
        id,
    };
    debug_assert!(matches!(receive(held.as_ref(), &fact, Passing::Author), Reception::Take(_)));
    apply::take_fact(tx, context, &fact, Passing::Author)?;
    let key = format!("knowledge:fact:{}:{}:{}", fact.id, fact.version, &fact.hash()[..8]);
    Ok(Ok(outgoing(context, fact.id.clone(), key, Body::Fact(fact.to_wire(Passing::Author)))))
}

fn may_publish(tx: &Tx<'_>, config: &Config, draft: &FactDraft) -> rusqlite::Result<Result<(), PublishRefusal>> {
    let checked = may_speak(config)
        .and_then(|()| may_leave(config, &draft.tags))
        .and_then(|()| few_tags(&draft.tags))
        .and_then(|()| text("subject", &draft.subject))
        .and_then(|()| text("predicate", &draft.predicate))
        .and_then(|()| text("object", &draft.object));
    if checked.is_err() || draft.fact_id.len() > ID_BYTES_MAX {
        return Ok(checked.and(Err(PublishRefusal::Text { field: "factId" })));
    }
    if config.share_mode == ShareMode::Direct {
        return Ok(Ok(()));
    }
    let proposal = store::proposal(tx, &draft.proposal_id)?;
    let is_approved = proposal.is_some_and(|proposal| proposal.outcome == Some(Outcome::Approved));
    Ok(if is_approved { Ok(()) } else { Err(PublishRefusal::NotApproved) })
}

/// Says that this member is there (every 45 s), or that it stops.
pub fn presence(context: &Context<'_>, status: &str) -> Outgoing {
    let config = context.config;
    let payload = wire::Presence {
        display_name: config.display_name.clone(),
        group: config.group.clone(),
        status: status.to_owned(),
        updated_at: GoTime::seconds_text(context.now),
    };
    let key = timed_key(context, "presence");
    outgoing(context, config.claw_id.clone(), key, Body::Presence(payload))
}

/// Says what this member can do (every 5 min).
pub fn capabilities(context: &Context<'_>, capabilities: &[String], model: &str) -> Outgoing {
    let config = context.config;
    let payload = wire::Capabilities {
        capabilities: Some(capabilities.to_vec()),
        display_name: config.display_name.clone(),
        group: config.group.clone(),
        model: model.to_owned(),
        updated_at: GoTime::seconds_text(context.now),
    };
    let key = timed_key(context, "capabilities");
    outgoing(context, config.claw_id.clone(), key, Body::Capabilities(payload))
}

/// A message of this member, with a new trace.
pub(super) fn outgoing(context: &Context<'_>, key: String, idempotency_key: String, body: Body) -> Outgoing {
    let config = context.config;
    let head = wire::Head {
        trace_id: TraceId::random().to_string(),
        timestamp: context.now.into(),
        idempotency_key,
        claw_id: config.claw_id.clone(),
        instance_id: config.instance_id.clone(),
        stamp: None,
    };
    Outgoing { kind: body.kind(), key, message: wire::Message { head, body } }
}

fn timed_key(context: &Context<'_>, what: &str) -> String {
    let (config, seconds) = (context.config, context.now.as_millis() / 1000);
    format!("knowledge:{what}:{}:{}:{seconds}", config.claw_id, config.instance_id)
}

fn may_speak(config: &Config) -> Result<(), PublishRefusal> {
    if config.is_enabled && config.is_governed { Ok(()) } else { Err(PublishRefusal::Disabled) }
}

fn text(field: &'static str, text: &str) -> Result<(), PublishRefusal> {
    let fits = !text.trim().is_empty() && text.len() <= TEXT_BYTES_MAX;
    if fits { Ok(()) } else { Err(PublishRefusal::Text { field }) }
}
