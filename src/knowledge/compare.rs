//! Replicas compare what they hold, after a reconnect and now and then, and give each other what is missing.
//!
//! A digest names the facts of one range of ids with version and hash, so that what it does not name is known to be missing. The one
//! it is meant for answers with facts that are missing or older there (as snapshots), with a wish for those that are missing or older
//! here, and with how far it got. Everything is bounded: [`DIGEST_LEN_MAX`] facts in a digest, [`ANSWER_BYTES_MAX`] in an answer;
//! what does not fit comes with the next digest, which goes on where the answer ended. Only hubs like this one take part, on a topic
//! that agents in Go do not read.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::Connection;

use crate::base::id::random_hex;
use crate::db::Tx;
use crate::knowledge::fact::{Fact, Passing};
use crate::knowledge::wire::{self, Body, DigestEntry};
use crate::knowledge::{Applied, Context, Outgoing, Status, own, store};

/// Facts in one digest, one wish or one answer.
const DIGEST_LEN_MAX: u32 = 200;
/// Facts in one answer, in bytes on the wire; at least one fact is sent.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Between comparisons with the same member while nothing was interrupted.
const COMPARE_EVERY: Duration = Duration::from_secs(6 * 3600);

/// The network was away: whoever shows up next is compared with.
pub fn reconnected(tx: &Tx<'_>) -> rusqlite::Result<()> {
    store::forget_comparisons(tx)
}

/// Somebody is there. If it can compare and it is time, a digest goes to it.
pub(super) fn meet(
    tx: &Tx<'_>,
    context: &Context<'_>,
    head: &wire::Head,
    presence: &wire::Presence,
) -> rusqlite::Result<Applied> {
    store::see_claw(tx, head, presence, context.now)?;
    let applied = Applied::new(Status::Accepted, "");
    let can_compare = head.stamp.is_some() && presence.status == "active";
    let is_ours = presence.group == context.config.group && context.config.is_governed;
    let last = store::compared_at(tx, &head.claw_id)?;
    if !can_compare || !is_ours || last.is_some_and(|at| context.now.since(at) < COMPARE_EVERY) {
        return Ok(applied);
    }
    store::set_compared(tx, &head.claw_id, Some(context.now))?;
    Ok(Applied { outgoing: vec![digest(tx, context, &head.claw_id, "")?], ..applied })
}

/// Answers a digest.
pub(super) fn answer(
    tx: &Tx<'_>,
    context: &Context<'_>,
    head: &wire::Head,
    digest: &wire::Digest,
) -> rusqlite::Result<Applied> {
    if !is_meant(context, &digest.target_claw) {
        return Ok(Applied::new(Status::Skipped, "meant for another"));
    }
    let mut applied = Applied::new(Status::Accepted, "");
    let theirs: BTreeMap<&str, &DigestEntry> =
        digest.facts.iter().map(|entry| (entry.fact_id.as_str(), entry)).collect();
    let mut wanted: Vec<String> = Vec::new();
    let mut covered = digest.until.as_str();
    let mut bytes = 0;
    let ours = range(tx, context, digest)?;
    let is_cut = ours.len() >= DIGEST_LEN_MAX as usize;
    for (at, fact) in ours.iter().enumerate() {
        let there = theirs.get(fact.id.as_str());
        let is_same = there.is_some_and(|there| there.version == fact.version && there.hash == fact.hash());
        if there.is_some_and(|there| there.version >= fact.version) && !is_same {
            wanted.push(fact.id.clone());
        }
        if !is_same && there.is_none_or(|there| there.version <= fact.version) {
            let snapshot = snapshot(context, fact);
            bytes += wire::encode(&snapshot.message).len();
            applied.outgoing.push(snapshot);
        }
        if bytes > ANSWER_BYTES_MAX || (is_cut && at + 1 == ours.len()) {
            covered = &fact.id;
            break;
        }
    }
    let is_here = |id: &str| ours.binary_search_by(|fact| fact.id.as_str().cmp(id)).is_ok();
    let is_covered = |id: &str| covered.is_empty() || id <= covered;
    let missing = theirs.keys().filter(|id| is_covered(id) && **id > digest.after.as_str() && !is_here(id));
    wanted.extend(missing.map(|id| (*id).to_owned()));
    wanted.truncate(DIGEST_LEN_MAX as usize);
    if !wanted.is_empty() {
        let (group, target_claw) = (context.config.group.clone(), head.claw_id.clone());
        applied.outgoing.push(compared(context, Body::Want(wire::Want { group, target_claw, fact_ids: wanted })));
    }
    let (group, target_claw) = (context.config.group.clone(), head.claw_id.clone());
    let end = wire::DigestEnd { group, target_claw, covered: covered.to_owned() };
    applied.outgoing.push(compared(context, Body::DigestEnd(end)));
    Ok(applied)
}

/// Gives what somebody wishes.
pub(super) fn give(tx: &Tx<'_>, context: &Context<'_>, _: &wire::Head, want: &wire::Want) -> rusqlite::Result<Applied> {
    if !is_meant(context, &want.target_claw) {
        return Ok(Applied::new(Status::Skipped, "meant for another"));
    }
    let mut applied = Applied::new(Status::Accepted, "");
    let mut bytes = 0;
    for id in &want.fact_ids {
        let Some(fact) = store::fact(tx, id)?.filter(|fact| fact.group == context.config.group) else { continue };
        let snapshot = snapshot(context, &fact);
        bytes += wire::encode(&snapshot.message).len();
        applied.outgoing.push(snapshot);
        if bytes > ANSWER_BYTES_MAX {
            break;
        }
    }
    Ok(applied)
}

/// Goes on where an answer ended.
pub(super) fn go_on(
    tx: &Tx<'_>,
    context: &Context<'_>,
    head: &wire::Head,
    end: &wire::DigestEnd,
) -> rusqlite::Result<Applied> {
    if !is_meant(context, &end.target_claw) {
        return Ok(Applied::new(Status::Skipped, "meant for another"));
    }
    let mut applied = Applied::new(Status::Accepted, "");
    if !end.covered.is_empty() {
        applied.outgoing.push(digest(tx, context, &head.claw_id, &end.covered)?);
    }
    Ok(applied)
}

/// What is held here of the ids behind `after`, for `target`.
fn digest(conn: &Connection, context: &Context<'_>, target: &str, after: &str) -> rusqlite::Result<Outgoing> {
    let facts = store::facts_after(conn, &context.config.group, after, DIGEST_LEN_MAX)?;
    let is_cut = facts.len() >= DIGEST_LEN_MAX as usize;
    let entry = |fact: &Fact| DigestEntry { fact_id: fact.id.clone(), version: fact.version, hash: fact.hash() };
    let digest = wire::Digest {
        group: context.config.group.clone(),
        target_claw: target.to_owned(),
        after: after.to_owned(),
        until: facts.last().filter(|_| is_cut).map(|fact| fact.id.clone()).unwrap_or_default(),
        facts: facts.iter().map(entry).collect(),
    };
    Ok(compared(context, Body::Digest(digest)))
}

/// Facts here within the range of a digest, in the order of their ids, at most [`DIGEST_LEN_MAX`].
fn range(conn: &Connection, context: &Context<'_>, digest: &wire::Digest) -> rusqlite::Result<Vec<Fact>> {
    let mut facts = store::facts_after(conn, &context.config.group, &digest.after, DIGEST_LEN_MAX)?;
    if !digest.until.is_empty() {
        facts.retain(|fact| fact.id <= digest.until);
    }
    Ok(facts)
}

pub(super) fn snapshot(context: &Context<'_>, fact: &Fact) -> Outgoing {
    let key = format!("knowledge:fact:{}:{}:{}", fact.id, fact.version, &fact.hash()[..8]);
    own::outgoing(context, fact.id.clone(), key, Body::Fact(fact.to_wire(Passing::Snapshot)))
}

fn compared(context: &Context<'_>, body: Body) -> Outgoing {
    let key = format!("knowledge:{}:{}:{}", body.type_name(), context.config.claw_id, random_hex(8));
    own::outgoing(context, context.config.claw_id.clone(), key, body)
}

fn is_meant(context: &Context<'_>, target: &str) -> bool {
    target.eq_ignore_ascii_case(&context.config.claw_id)
}
