//! Votes and decisions (group specification §2.15, "Quorum"). Pure.
//!
//! A decision is a claim like any other: it counts when the votes that it names are known here and make the quorum. Votes are never
//! forgotten while their proposal lives, in all their versions, so a decision stays provable however often somebody thought again
//! afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::knowledge::wire::{self, Outcome, VoteWord};

/// How the group decides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Without votes everything is approved.
    pub is_voting: bool,
    /// In a smaller group everything is approved.
    pub pool_min: usize,
    pub quorum_yes: usize,
    pub quorum_no: usize,
    /// How long a proposal is open.
    pub open_max: Duration,
    /// Whether the proposer's own vote counts.
    pub counts_own: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            is_voting: true,
            pool_min: 3,
            quorum_yes: 2,
            quorum_no: 2,
            open_max: Duration::from_secs(120),
            counts_own: false,
        }
    }
}

/// One vote in one version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ballot {
    pub claw_id: String,
    pub version: i64,
    pub word: VoteWord,
    /// By the voter's clock.
    pub voted_at: Timestamp,
}

/// What a vote is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    pub proposer: String,
    /// By the proposer's clock.
    pub expires_at: Timestamp,
}

/// Votes for and against.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    pub yes: usize,
    pub no: usize,
}

/// What the votes say; `None` while the question is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    pub outcome: Option<Outcome>,
    pub tally: Tally,
    pub reason: &'static str,
}

/// What is thought of somebody's decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Proven,
    /// Votes that it rests on have not arrived.
    Unproven,
    Refuted(&'static str),
}

/// The newest vote of each voter that was cast in time.
pub fn newest<'a>(ballots: &'a [Ballot], question: &Question) -> Vec<&'a Ballot> {
    let mut newest: BTreeMap<&str, &Ballot> = BTreeMap::new();
    for ballot in ballots.iter().filter(|ballot| ballot.voted_at <= question.expires_at) {
        let known = newest.entry(&ballot.claw_id).or_insert(ballot);
        if ballot.version > known.version {
            *known = ballot;
        }
    }
    newest.into_values().collect()
}

/// How the question stands at `now`, with `pool` members in the group.
pub fn standing(policy: &Policy, question: &Question, ballots: &[Ballot], pool: usize, now: Timestamp) -> Standing {
    let counted = newest(ballots, question);
    let tally = tally(policy, question, counted.into_iter());
    let stands = |outcome, reason| Standing { outcome, tally, reason };
    if let Some(reason) = needs_no_vote(policy, pool) {
        return stands(Some(Outcome::Approved), reason);
    }
    if approves(policy, tally) {
        stands(Some(Outcome::Approved), "quorum reached")
    } else if rejects(policy, tally) {
        stands(Some(Outcome::Rejected), "rejected by quorum")
    } else if now >= question.expires_at {
        stands(Some(Outcome::Expired), "voting timeout")
    } else {
        stands(None, "waiting for votes")
    }
}

/// Whether `decision`, made at `decided_at`, follows from the votes that are known here.
pub fn judge(
    policy: &Policy,
    question: &Question,
    ballots: &[Ballot],
    pool: usize,
    (decision, decided_at): (&wire::Decision, Timestamp),
) -> Verdict {
    let Some(outcome) = Outcome::parse(&decision.outcome) else { return Verdict::Refuted("no outcome") };
    if outcome == Outcome::Approved && needs_no_vote(policy, pool).is_some() {
        return Verdict::Proven;
    }
    if outcome == Outcome::Expired && decided_at < question.expires_at {
        return Verdict::Refuted("expired too early");
    }
    let names_votes = !decision.votes.is_empty();
    let counted = if names_votes {
        match named(&decision.votes, ballots) {
            Ok(Some(counted)) => counted,
            Ok(None) => return Verdict::Unproven,
            Err(reason) => return Verdict::Refuted(reason),
        }
    } else {
        newest(ballots, question)
    };
    let tally = tally(policy, question, counted.into_iter());
    let follows = match outcome {
        Outcome::Approved => approves(policy, tally),
        Outcome::Rejected => rejects(policy, tally),
        Outcome::Expired => !approves(policy, tally) && !rejects(policy, tally),
    };
    match (follows, names_votes) {
        (true, _) => Verdict::Proven,
        (false, true) => Verdict::Refuted("the votes it names do not decide it so"),
        // Without names, more votes may still be on their way.
        (false, false) if outcome == Outcome::Expired => Verdict::Refuted("the votes decided it otherwise"),
        (false, false) => Verdict::Unproven,
    }
}

/// The votes that a decision names, when all of them are known.
fn named<'a>(votes: &[wire::Ballot], ballots: &'a [Ballot]) -> Result<Option<Vec<&'a Ballot>>, &'static str> {
    let mut counted = Vec::new();
    let mut voters = BTreeSet::new();
    for vote in votes {
        if !voters.insert(vote.claw_id.as_str()) {
            return Err("it names a voter twice");
        }
        let is_it = |ballot: &&Ballot| ballot.claw_id == vote.claw_id && ballot.version == vote.version;
        match ballots.iter().find(is_it) {
            None => return Ok(None),
            Some(ballot) if Some(ballot.word) != VoteWord::parse(&vote.vote) => return Err("it turns a vote around"),
            Some(ballot) => counted.push(ballot),
        }
    }
    Ok(Some(counted))
}

fn tally<'a>(policy: &Policy, question: &Question, ballots: impl Iterator<Item = &'a Ballot>) -> Tally {
    let mut tally = Tally::default();
    for ballot in ballots {
        if !policy.counts_own && ballot.claw_id.eq_ignore_ascii_case(&question.proposer) {
            continue;
        }
        match ballot.word {
            VoteWord::Yes => tally.yes += 1,
            VoteWord::No => tally.no += 1,
        }
    }
    tally
}

fn needs_no_vote(policy: &Policy, pool: usize) -> Option<&'static str> {
    if !policy.is_voting {
        Some("voting disabled")
    } else if pool < policy.pool_min {
        Some("pool below min size")
    } else {
        None
    }
}

fn approves(policy: &Policy, tally: Tally) -> bool {
    tally.yes >= policy.quorum_yes.max(1) && tally.yes > tally.no
}

fn rejects(policy: &Policy, tally: Tally) -> bool {
    !approves(policy, tally) && tally.no >= policy.quorum_no.max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXPIRES: Timestamp = Timestamp::from_millis(100_000);
    const POOL: usize = 5;

    fn ballot(claw_id: &str, version: i64, word: VoteWord) -> Ballot {
        Ballot { claw_id: claw_id.to_owned(), version, word, voted_at: Timestamp::from_millis(version) }
    }

    fn question() -> Question {
        Question { proposer: "p".to_owned(), expires_at: EXPIRES }
    }

    fn outcome(ballots: &[Ballot], now: i64) -> Option<Outcome> {
        standing(&Policy::default(), &question(), ballots, POOL, Timestamp::from_millis(now)).outcome
    }

    fn decision(outcome: Outcome, votes: &[(&str, i64, &str)]) -> wire::Decision {
        let votes = votes.iter().map(|(claw, version, vote)| wire::Ballot {
            claw_id: (*claw).to_owned(),
            version: *version,
            vote: (*vote).to_owned(),
        });
        let outcome = outcome.as_str().to_owned();
        wire::Decision { proposal_id: "kp".to_owned(), outcome, votes: votes.collect(), ..wire::Decision::default() }
    }

    fn verdict(ballots: &[Ballot], decision: &wire::Decision, at: i64) -> Verdict {
        judge(&Policy::default(), &question(), ballots, POOL, (decision, Timestamp::from_millis(at)))
    }

    #[test]
    fn votes_decide_as_in_go() {
        use VoteWord::{No, Yes};
        let (a, b, c) = (ballot("a", 1, Yes), ballot("b", 1, Yes), ballot("c", 1, No));
        assert_eq!(outcome(std::slice::from_ref(&a), 5), None);
        assert_eq!(outcome(&[a.clone(), b.clone(), c.clone()], 5), Some(Outcome::Approved));
        assert_eq!(outcome(&[a.clone(), ballot("p", 1, Yes)], 5), None, "the proposer's own vote does not count");
        assert_eq!(outcome(&[c.clone(), ballot("d", 1, No)], 5), Some(Outcome::Rejected));
        assert_eq!(outcome(std::slice::from_ref(&a), 100_000), Some(Outcome::Expired));
        assert_eq!(outcome(&[a.clone(), b.clone(), ballot("b", 2, No)], 5), None, "the newest vote counts");
        assert_eq!(outcome(&[a, Ballot { voted_at: EXPIRES.plus(Duration::from_millis(1)), ..b }], 5), None);
        let alone = standing(&Policy::default(), &question(), &[], 2, Timestamp::default());
        assert_eq!((alone.outcome, alone.reason), (Some(Outcome::Approved), "pool below min size"));
    }

    #[test]
    fn a_decision_counts_when_its_votes_are_known_and_say_so() {
        use VoteWord::{No, Yes};
        let approved = decision(Outcome::Approved, &[("a", 1, "yes"), ("b", 1, "yes")]);
        assert_eq!(verdict(&[ballot("a", 1, Yes)], &approved, 5), Verdict::Unproven);
        let changed = [ballot("a", 1, Yes), ballot("b", 1, Yes), ballot("b", 2, No), ballot("c", 1, No)];
        assert_eq!(verdict(&changed, &approved, 5), Verdict::Proven, "a later change does not undo it");
        let turned = [ballot("a", 1, Yes), ballot("b", 1, No)];
        assert!(matches!(verdict(&turned, &approved, 5), Verdict::Refuted(_)));
        let twice = decision(Outcome::Approved, &[("a", 1, "yes"), ("a", 1, "yes")]);
        assert!(matches!(verdict(&changed, &twice, 5), Verdict::Refuted(_)));
        let thin = decision(Outcome::Approved, &[("a", 1, "yes")]);
        assert!(matches!(verdict(&changed, &thin, 5), Verdict::Refuted(_)));
        let early = decision(Outcome::Expired, &[]);
        assert!(matches!(verdict(&[], &early, 5), Verdict::Refuted(_)));
        assert_eq!(verdict(&[], &early, 100_000), Verdict::Proven);
    }

    #[test]
    fn a_decision_of_go_names_no_votes_and_waits_for_them() {
        let approved = decision(Outcome::Approved, &[]);
        let (a, b) = (ballot("a", 1, VoteWord::Yes), ballot("b", 1, VoteWord::Yes));
        assert_eq!(verdict(std::slice::from_ref(&a), &approved, 5), Verdict::Unproven);
        assert_eq!(verdict(&[a, b], &approved, 5), Verdict::Proven);
    }

    fn any_ballots() -> impl Strategy<Value = Vec<Ballot>> {
        let word = proptest::sample::select(vec![VoteWord::Yes, VoteWord::No]);
        let one = ("[a-fp]", 1_i64..4, word).prop_map(|(claw, version, word)| ballot(&claw, version, word));
        proptest::collection::vec(one, 0..12).prop_map(|mut all| {
            all.sort_by(|a, b| (&a.claw_id, a.version).cmp(&(&b.claw_id, b.version)));
            all.dedup_by(|a, b| (&a.claw_id, a.version) == (&b.claw_id, b.version));
            all
        })
    }

    proptest! {
        #[test]
        fn what_one_decides_from_its_votes_every_other_one_with_these_votes_proves(
            ballots in any_ballots(), more in any_ballots(), now in 0_i64..200_000,
        ) {
            let stands = standing(&Policy::default(), &question(), &ballots, POOL, Timestamp::from_millis(now));
            if let Some(outcome) = stands.outcome {
                let votes: Vec<wire::Ballot> = newest(&ballots, &question()).iter().map(|ballot| wire::Ballot {
                    claw_id: ballot.claw_id.clone(), vote: ballot.word.as_str().to_owned(), version: ballot.version,
                }).collect();
                let decided = wire::Decision { votes, ..decision(outcome, &[]) };
                prop_assert_eq!(verdict(&ballots, &decided, now), Verdict::Proven);
                // Votes that came later, in other versions, change nothing as long as the decision names any.
                let mut all = ballots.clone();
                all.extend(more.into_iter().filter(|one| !ballots.iter().any(|b| (&b.claw_id, b.version) == (&one.claw_id, one.version))));
                if !decided.votes.is_empty() {
                    prop_assert_eq!(verdict(&all, &decided, now), Verdict::Proven);
                }
            }
        }
    }
}
