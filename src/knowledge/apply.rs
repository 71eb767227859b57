//! Taking what another member says.

use rusqlite::Connection;
use serde_json::json;

use crate::base::clock::Timestamp;
use crate::base::id::{TraceId, to_hex};
use crate::db::Tx;
use crate::domain::event::Event;
use crate::knowledge::ballot::{self, Ballot, Verdict};
use crate::knowledge::fact::{Fact, Passing, Reception, receive};
use crate::knowledge::wire::{self, Body, Kind, Outcome};
use crate::knowledge::{Context, Proposal, compare, own, store};
use crate::timeline;

/// Waiting versions of one fact, and of all facts; one more is dropped and comes again when replicas compare.
const GAPS_OF_ONE_MAX: u32 = 64;
const GAPS_MAX: u32 = 4_096;
/// Votes on proposals that have not come.
const STRAYS_MAX: u32 = 10_000;

/// Versions of one vote.
const VERSIONS_MAX: u32 = 32;
/// Open proposals.
const OPEN_MAX: u32 = 1_000;
/// Decisions that wait for votes.
const UNPROVEN_MAX: u32 = 1_000;

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Accepted,
    /// Known, or older than what is known.
    Stale,
    /// It lost against what is held.
    Conflict,
    /// It waits for what has to come before it.
    Waiting,
    /// This very message had its effect before.
    Duplicate,
    /// Our own, or not of our concern.
    Skipped,
    Refused,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Stale => "stale",
            Self::Conflict => "conflict",
            Self::Waiting => "waiting",
            Self::Duplicate => "duplicate",
            Self::Skipped => "skipped",
            Self::Refused => "refused",
        }
    }

    /// Whether the message is over and done with, so that it need not be looked at again.
    const fn is_final(self) -> bool {
        matches!(self, Self::Accepted | Self::Stale | Self::Conflict)
    }
}

/// A message of ours, to be put into the outbox in the same transaction. The sender adds its stamp and signs.
#[derive(Clone, PartialEq, Debug)]
pub struct Outgoing {
    pub kind: Kind,
    /// Keeps the order of what is about one thing: the proposal, the fact, the member.
    pub key: String,
    pub message: wire::Message,
}

/// What came of a message. The caller writes events and messages in the same transaction.
#[derive(Clone, PartialEq, Debug)]
pub struct Applied {
    pub status: Status,
    pub reason: &'static str,
    pub events: Vec<Event>,
    pub outgoing: Vec<Outgoing>,
}

impl Applied {
    pub(super) fn new(status: Status, reason: &'static str) -> Self {
        Self { status, reason, events: Vec::new(), outgoing: Vec::new() }
    }

    fn with(mut self, outgoing: Vec<Outgoing>) -> Self {
        self.outgoing = outgoing;
        self
    }
}

/// Takes `message`, which came on `topic`.
pub fn apply(tx: &Tx<'_>, context: &Context<'_>, topic: &str, message: &wire::Message) -> rusqlite::Result<Applied> {
    let head = &message.head;
    if let Some(applied) = beforehand(context, message) {
        return Ok(told(applied, context.now, topic, message));
    }
    let hash = content_hash(message);
    if store::is_done(tx, head, &hash)? {
        return Ok(Applied::new(Status::Duplicate, "known"));
    }
    let applied = match &message.body {
        Body::Presence(presence) => compare::meet(tx, context, head, presence)?,
        Body::Capabilities(_) => Applied::new(Status::Accepted, ""),
        Body::Proposal(proposal) => take_proposal(tx, context, head, proposal)?,
        Body::Vote(vote) => take_vote(tx, context, head, vote)?,
        Body::Decision(decision) => take_decision(tx, context, message, decision)?,
        Body::Fact(fact) => {
            let passing = if fact.snapshot { Passing::Snapshot } else { Passing::Author };
            take_fact(tx, context, &Fact::from(fact.clone()), passing)?
        }
        // Asking again is asking: these are never done.
        Body::Digest(digest) => return compare::answer(tx, context, head, digest),
        Body::Want(want) => return compare::give(tx, context, head, want),
        Body::DigestEnd(end) => return compare::go_on(tx, context, head, end),
    };
    if applied.status.is_final() {
        store::set_done(tx, message, &hash, topic, context.now)?;
    }
    Ok(told(applied, context.now, topic, message))
}

/// What can be said without looking anything up.
fn beforehand(context: &Context<'_>, message: &wire::Message) -> Option<Applied> {
    let (config, head) = (context.config, &message.head);
    if head.claw_id.eq_ignore_ascii_case(&config.claw_id) {
        let is_other = head.instance_id != config.instance_id;
        let taken = Applied::new(Status::Refused, "another instance uses our claw id");
        return Some(if is_other { taken } else { Applied::new(Status::Skipped, "own") });
    }
    let group = match &message.body {
        Body::Presence(_) | Body::Capabilities(_) => return None,
        Body::Proposal(proposal) => Some(&proposal.group),
        Body::Fact(fact) => Some(&fact.group),
        Body::Digest(digest) => Some(&digest.group),
        Body::Want(want) => Some(&want.group),
        Body::DigestEnd(end) => Some(&end.group),
        Body::Vote(_) | Body::Decision(_) => None,
    };
    if !config.is_governed {
        return Some(Applied::new(Status::Skipped, "governance is off"));
    }
    let is_other = group.is_some_and(|group| *group != config.group);
    is_other.then(|| Applied::new(Status::Refused, "it belongs to another group"))
}

fn take_proposal(
    tx: &Tx<'_>,
    context: &Context<'_>,
    head: &wire::Head,
    wire: &wire::Proposal,
) -> rusqlite::Result<Applied> {
    let open_max = context.config.policy.open_max;
    let created_at = head.timestamp.to_timestamp();
    let proposal = Proposal {
        id: wire.proposal_id.clone(),
        group: wire.group.clone(),
        title: wire.title.clone(),
        statement: wire.statement.clone(),
        tags: wire.tags.clone(),
        proposer: head.claw_id.clone(),
        proposer_instance: head.instance_id.clone(),
        outcome: None,
        tally: ballot::Tally::default(),
        reason: String::new(),
        created_at,
        expires_at: Some(wire.expires_at.map_or_else(|| created_at.plus(open_max), |time| time.to_timestamp())),
        decided_at: None,
        decided_by: String::new(),
    };
    if store::pending_count(tx)? >= OPEN_MAX {
        return Ok(Applied::new(Status::Refused, "too many proposals are open"));
    }
    if !store::insert_proposal(tx, &proposal, context.now)? {
        return Ok(Applied::new(Status::Stale, "the proposal is known"));
    }
    judge_waiting(tx, context, &proposal.id)?;
    Ok(Applied::new(Status::Accepted, ""))
}

fn take_vote(tx: &Tx<'_>, context: &Context<'_>, head: &wire::Head, vote: &wire::Vote) -> rusqlite::Result<Applied> {
    let Some(word) = vote.word() else { return Ok(Applied::new(Status::Refused, "no vote")) };
    let voted_at = head.timestamp.to_timestamp();
    // Who does not count versions is counted by the clock.
    let version = if vote.version > 0 { vote.version } else { voted_at.as_millis() };
    let known = store::proposal(tx, &vote.proposal_id)?;
    if known.is_none() && store::stray_ballots(tx)? >= STRAYS_MAX {
        return Ok(Applied::new(Status::Refused, "too many votes wait for their proposals"));
    }
    if store::versions(tx, &vote.proposal_id, &head.claw_id)? >= VERSIONS_MAX {
        return Ok(Applied::new(Status::Refused, "the voter has changed its mind too often"));
    }
    let ballot = Ballot { claw_id: head.claw_id.clone(), version, word, voted_at };
    store::put_ballot(tx, &ballot, (head, vote), context.now)?;
    judge_waiting(tx, context, &vote.proposal_id)?;
    let decided = match known {
        Some(proposal) if proposal.proposer == context.config.claw_id => own::decide_if_due(tx, context, &proposal.id)?,
        _ => None,
    };
    Ok(Applied::new(Status::Accepted, "").with(decided.into_iter().collect()))
}

fn take_decision(
    tx: &Tx<'_>,
    context: &Context<'_>,
    message: &wire::Message,
    decision: &wire::Decision,
) -> rusqlite::Result<Applied> {
    let (status, reason) = judge(tx, context, message, decision)?;
    if status == Status::Waiting && store::unproven_count(tx)? >= UNPROVEN_MAX {
        return Ok(Applied::new(Status::Refused, "too many decisions wait for votes"));
    }
    match status {
        Status::Waiting => store::put_unproven(tx, message, &decision.proposal_id, context.now)?,
        _ => store::drop_unproven(tx, &decision.proposal_id, &message.head.claw_id)?,
    }
    Ok(Applied::new(status, reason))
}

/// Judges again what waits on a proposal, after something about it has come.
fn judge_waiting(tx: &Tx<'_>, context: &Context<'_>, proposal: &str) -> rusqlite::Result<()> {
    for message in store::unproven(tx, proposal)? {
        if let Body::Decision(decision) = &message.body {
            let (status, _) = judge(tx, context, &message, decision)?;
            if status != Status::Waiting {
                store::drop_unproven(tx, proposal, &message.head.claw_id)?;
            }
        }
    }
    Ok(())
}

/// Of all decisions that the votes prove, the earliest one counts.
fn judge(
    tx: &Tx<'_>,
    context: &Context<'_>,
    message: &wire::Message,
    decision: &wire::Decision,
) -> rusqlite::Result<(Status, &'static str)> {
    let Some(proposal) = store::proposal(tx, &decision.proposal_id)? else {
        return Ok((Status::Waiting, "the proposal has not come"));
    };
    let policy = &context.config.policy;
    let question = proposal.question(policy.open_max);
    let ballots = store::ballots(tx, &proposal.id)?;
    let decided_at = message.head.timestamp.to_timestamp();
    match ballot::judge(policy, &question, &ballots, context.pool, (decision, decided_at)) {
        Verdict::Unproven => return Ok((Status::Waiting, "its votes have not come")),
        Verdict::Refuted(reason) => return Ok((Status::Refused, reason)),
        Verdict::Proven => {}
    }
    let Some(outcome) = Outcome::parse(&decision.outcome) else { return Ok((Status::Refused, "no outcome")) };
    let theirs = (decided_at, outcome, message.head.claw_id.as_str());
    if let Some((known, at)) = proposal.outcome.zip(proposal.decided_at)
        && (at, known, proposal.decided_by.as_str()) <= theirs
    {
        let same = known == outcome;
        let status = if same { Status::Stale } else { Status::Conflict };
        return Ok((status, "an earlier decision counts"));
    }
    store::decide(tx, decision, &message.head.claw_id, decided_at, context.now)?;
    Ok((Status::Accepted, ""))
}

/// Takes one fact, and after it whatever waited for it.
pub(super) fn take_fact(
    tx: &Tx<'_>,
    context: &Context<'_>,
    fact: &Fact,
    passing: Passing,
) -> rusqlite::Result<Applied> {
    let now = context.now;
    let held = store::fact(tx, &fact.id)?;
    let reason = match receive(held.as_ref(), fact, passing) {
        Reception::Take(reason) => reason,
        Reception::Stale => return Ok(Applied::new(Status::Stale, "duplicate_or_stale")),
        Reception::Lost => return Ok(Applied::new(Status::Conflict, "conflict_lost")),
        Reception::Wait => return wait(tx, fact, now),
    };
    let mut newest = fact.clone();
    // What waited may compete with it, and what comes behind may be taken now.
    loop {
        if let Some(rival) = store::gap(tx, &newest.id, newest.version)?
            && rival.beats(&newest)
        {
            newest = rival;
        }
        match store::gap(tx, &newest.id, newest.version.saturating_add(1))? {
            Some(next) if next.version > newest.version => newest = next,
            _ => break,
        }
    }
    store::save_fact(tx, &newest, now)?;
    store::drop_gaps(tx, &newest.id, newest.version)?;
    let mut applied = Applied::new(Status::Accepted, reason);
    if passing == Passing::Snapshot && newest != *fact {
        // Whoever sent the snapshot lacks what had waited here.
        applied.outgoing.push(compare::snapshot(context, &newest));
    }
    Ok(applied)
}

fn wait(tx: &Tx<'_>, fact: &Fact, now: Timestamp) -> rusqlite::Result<Applied> {
    if let Some(waiting) = store::gap(tx, &fact.id, fact.version)? {
        if fact.beats(&waiting) {
            store::put_gap(tx, fact, now)?;
        }
        return Ok(Applied::new(Status::Waiting, "version_gap"));
    }
    if store::gaps_of(tx, &fact.id)? >= GAPS_OF_ONE_MAX || store::gap_count(tx)? >= GAPS_MAX {
        return Ok(Applied::new(Status::Refused, "too many facts wait"));
    }
    store::put_gap(tx, fact, now)?;
    Ok(Applied::new(Status::Waiting, "version_gap"))
}

/// 32 hexadecimal digits over what the message says.
fn content_hash(message: &wire::Message) -> String {
    use sha2::{Digest, Sha256};
    let without_stamp = wire::Message { head: wire::Head { stamp: None, ..message.head.clone() }, ..message.clone() };
    let mut text = to_hex(&Sha256::digest(wire::encode(&without_stamp)));
    text.truncate(32);
    text
}

/// Adds KafClaw's event: `KNOWLEDGE_<TYPE>_<STATUS>`. What concerns nobody is not told.
fn told(mut applied: Applied, now: Timestamp, topic: &str, message: &wire::Message) -> Applied {
    let is_news = !matches!(applied.status, Status::Skipped | Status::Duplicate);
    if is_news {
        let classification = classification(message.body.type_name(), applied.status);
        let head = &message.head;
        let event = Event::system("KNOW", TraceId::new(head.trace_id.as_str()), now, classification);
        applied.events.push(Event {
            sender_id: head.claw_id.clone(),
            sender_name: head.claw_id.clone(),
            content: subject(&message.body).to_owned(),
            metadata: json!({
                "topic": topic,
                "idempotencyKey": head.idempotency_key,
                "applyStatus": applied.status.as_str(),
                "applyReason": applied.reason,
            }),
            ..event
        });
    }
    applied
}

fn classification(type_name: &str, status: Status) -> String {
    format!("knowledge_{type_name}_{}", status.as_str()).to_uppercase()
}

/// What became of the facts that others said, as far back as the timeline goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FactsHeard {
    pub accepted: u64,
    pub stale: u64,
    pub conflict: u64,
}

pub fn facts_heard(conn: &Connection) -> rusqlite::Result<FactsHeard> {
    let count = |status| timeline::count_of_knowledge(conn, &classification("fact", status));
    Ok(FactsHeard {
        accepted: count(Status::Accepted)?,
        stale: count(Status::Stale)?,
        conflict: count(Status::Conflict)?,
    })
}

/// What the message is about, for the timeline.
fn subject(body: &Body) -> &str {
    match body {
        Body::Capabilities(payload) => &payload.display_name,
        Body::Presence(payload) => &payload.status,
        Body::Proposal(payload) => &payload.proposal_id,
        Body::Vote(payload) => &payload.proposal_id,
        Body::Decision(payload) => &payload.proposal_id,
        Body::Fact(payload) => &payload.fact_id,
        Body::Digest(_) | Body::Want(_) | Body::DigestEnd(_) => "",
    }
}
