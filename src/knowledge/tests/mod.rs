//! Shared knowledge as its members live it: messages in any order, twice, or never.

mod converge;

use super::ballot::Policy;
use super::fact::{Fact, Passing};
use super::wire::{Body, Message, Outcome, VoteWord};
use super::*;
use crate::db::{Db, Tx};
use crate::domain::record::Stamp;

const NOW: Timestamp = Timestamp::from_millis(1_795_219_761_120);
const TOPIC: &str = "group.g1.knowledge.test";

/// One member with its own database.
#[derive(Clone)]
struct Replica {
    db: Db,
    config: Config,
    now: Timestamp,
    pool: usize,
}

impl Replica {
    fn new(claw_id: &str) -> Self {
        let config = Config {
            is_enabled: true,
            group: "g1".to_owned(),
            claw_id: claw_id.to_owned(),
            instance_id: format!("{claw_id}-1"),
            ..Config::default()
        };
        Self { db: Db::memory_for_tests(&[MIGRATIONS]), config, now: NOW, pool: 5 }
    }

    fn tx<R: Send + 'static>(
        &self,
        job: impl FnOnce(&Tx<'_>, &Context<'_>) -> rusqlite::Result<R> + Send + 'static,
    ) -> R {
        let (config, pool, now) = (self.config.clone(), self.pool, self.now);
        let job = move |tx: &Tx<'_>| job(tx, &Context { config: &config, pool, now });
        self.db.write_blocking(job).expect("written")
    }

    fn hear(&self, message: &Message) -> Applied {
        let message = message.clone();
        self.tx(move |tx, context| apply(tx, context, TOPIC, &message))
    }

    fn propose(&self, tags: &[&str]) -> Result<Outgoing, PublishRefusal> {
        let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let (title, statement) = ("Title".to_owned(), "A statement.".to_owned());
        let draft = ProposalDraft { title, statement, tags, ..ProposalDraft::default() };
        self.tx(move |tx, context| propose(tx, context, &draft))
    }

    fn vote(&self, proposal: &str, word: VoteWord) -> Result<Vec<Outgoing>, PublishRefusal> {
        let proposal = proposal.to_owned();
        self.tx(move |tx, context| vote(tx, context, &proposal, word, ""))
    }

    fn publish(&self, draft: FactDraft) -> Result<Outgoing, PublishRefusal> {
        self.tx(move |tx, context| publish_fact(tx, context, &draft))
    }

    fn tick(&self) -> Applied {
        self.tx(tick)
    }

    fn outcome(&self, id: &str) -> Option<Outcome> {
        let id = id.to_owned();
        self.db.read_blocking(move |conn| proposal(conn, &id)).expect("read").expect("a proposal").outcome
    }

    fn facts(&self) -> Vec<Fact> {
        let mut facts = self.db.read_blocking(|conn| facts(conn, None, 10_000)).expect("read");
        facts.sort_by(|a, b| a.id.cmp(&b.id));
        facts
    }

    fn counts(&self) -> Counts {
        self.db.read_blocking(counts).expect("read")
    }
}

fn id_of(outgoing: &Outgoing) -> String {
    outgoing.key.clone()
}

fn draft(fact_id: &str, object: &str) -> FactDraft {
    let text = |text: &str| text.to_owned();
    FactDraft {
        fact_id: text(fact_id),
        subject: text("boiler"),
        predicate: text("serviced_on"),
        object: text(object),
        proposal_id: String::new(),
        tags: vec![text("ops")],
    }
}

fn said(claw: &str, key: &str, at: Timestamp, body: Body) -> Message {
    let text = |text: &str| text.to_owned();
    let head = wire::Head {
        trace_id: text("8912a54da39e7fe5"),
        timestamp: at.into(),
        idempotency_key: text(key),
        claw_id: text(claw),
        instance_id: format!("{claw}-1"),
        stamp: Some(Stamp { epoch: 1, seq: 1 }),
    };
    Message { head, body }
}

fn fact_said(id: &str, version: i64, object: &str) -> Message {
    let fact = Fact {
        id: id.to_owned(),
        group: "g1".to_owned(),
        subject: "s".to_owned(),
        predicate: "p".to_owned(),
        object: object.to_owned(),
        version,
        source: "x".to_owned(),
        proposal_id: String::new(),
        decision_id: String::new(),
        tags: Vec::new(),
        published_at: Some(NOW),
    };
    said("x", &format!("f:{id}:{version}:{object}"), NOW, Body::Fact(fact.to_wire(Passing::Author)))
}

#[test]
fn a_group_proposes_votes_and_decides_and_everybody_proves_it() {
    let [a, b, c, d] = ["a", "b", "c", "d"].map(Replica::new);
    let proposal = a.propose(&["ops"]).expect("may leave");
    let id = id_of(&proposal);
    for other in [&b, &c, &d] {
        assert_eq!(other.hear(&proposal.message).status, Status::Accepted);
    }
    let yes_b = b.vote(&id, VoteWord::Yes).expect("voted");
    let yes_c = c.vote(&id, VoteWord::Yes).expect("voted");
    assert_eq!(a.hear(&yes_b[0].message).outgoing, []);
    let decided = a.hear(&yes_c[0].message).outgoing;
    assert!(matches!(&decided[..], [Outgoing { message: Message { body: Body::Decision(_), .. }, .. }]), "{decided:?}");
    assert_eq!(a.outcome(&id), Some(Outcome::Approved));
    // The decision overtakes the votes on its way to d.
    assert_eq!(d.hear(&decided[0].message).status, Status::Waiting);
    d.hear(&yes_c[0].message);
    assert_eq!((d.outcome(&id), d.counts().unproven), (None, 1));
    d.hear(&yes_b[0].message);
    assert_eq!((d.outcome(&id), d.counts().unproven), (Some(Outcome::Approved), 0));
}

#[test]
fn a_decision_that_the_votes_do_not_prove_changes_nothing() {
    let [a, b] = ["a", "b"].map(Replica::new);
    let proposal = a.propose(&["ops"]).expect("may leave");
    b.hear(&proposal.message);
    let id = id_of(&proposal);
    let claim =
        wire::Decision { proposal_id: id.clone(), outcome: "approved".to_owned(), yes: 9, ..Default::default() };
    let applied = b.hear(&said("liar", "k1", NOW, Body::Decision(claim.clone())));
    assert_eq!((applied.status, b.outcome(&id)), (Status::Waiting, None));
    let votes = vec![wire::Ballot { claw_id: "b".to_owned(), vote: "yes".to_owned(), version: NOW.as_millis() }];
    b.vote(&id, VoteWord::No).expect("voted");
    let applied = b.hear(&said("liar", "k2", NOW, Body::Decision(wire::Decision { votes, ..claim })));
    assert_eq!((applied.status, b.outcome(&id)), (Status::Refused, None));
    assert_eq!(applied.events[0].classification, "KNOWLEDGE_DECISION_REFUSED");
}

#[test]
fn whoever_thinks_again_is_counted_once_and_as_it_thinks_now() {
    let (a, mut b, c) = (Replica::new("a"), Replica::new("b"), Replica::new("c"));
    let proposal = a.propose(&["ops"]).expect("may leave");
    let id = id_of(&proposal);
    for other in [&b, &c] {
        other.hear(&proposal.message);
    }
    let first = b.vote(&id, VoteWord::Yes).expect("voted").remove(0);
    b.now = NOW.plus(std::time::Duration::from_secs(1));
    let second = b.vote(&id, VoteWord::No).expect("voted").remove(0);
    // The older word comes last.
    a.hear(&second.message);
    a.hear(&first.message);
    let yes = c.vote(&id, VoteWord::Yes).expect("voted").remove(0);
    assert_eq!(a.hear(&yes.message).outgoing, [], "one yes and one no decide nothing");
    assert_eq!(a.outcome(&id), None);
}

#[test]
fn proposals_expire_with_time_and_others_decide_when_the_proposer_is_gone() {
    let (a, mut b) = (Replica::new("a"), Replica::new("b"));
    let proposal = a.propose(&["ops"]).expect("may leave");
    let id = id_of(&proposal);
    b.hear(&proposal.message);
    b.now = NOW.plus(Policy::default().open_max);
    assert_eq!(b.tick().outgoing, [], "the proposer has a moment to say it");
    assert!(b.vote(&id, VoteWord::Yes).is_ok(), "the last moment");
    b.now = b.now.plus(std::time::Duration::from_secs(60));
    assert!(matches!(b.vote(&id, VoteWord::Yes), Err(PublishRefusal::Decided { .. })));
    let told = b.tick().outgoing;
    assert_eq!((told.len(), b.outcome(&id), b.tick().outgoing.len()), (1, Some(Outcome::Expired), 0));
    a.hear(&told[0].message);
    assert_eq!(a.outcome(&id), None, "a does not know the vote that the decision names");
}

#[test]
fn what_may_not_leave_stays() {
    let mut a = Replica::new("a");
    assert!(matches!(a.propose(&["ops", "PII"]), Err(PublishRefusal::DeniedTag { .. })));
    assert!(matches!(a.propose(&["gossip"]), Err(PublishRefusal::NoAllowedTag { .. })));
    assert!(matches!(a.propose(&[]), Err(PublishRefusal::NoAllowedTag { .. })));
    assert!(matches!(a.publish(draft("", "x")), Err(PublishRefusal::NotApproved)));
    a.config.share_mode = ShareMode::Direct;
    let secret = FactDraft { tags: vec!["ops".to_owned(), "secrets".to_owned()], ..draft("", "x") };
    assert!(matches!(a.publish(secret), Err(PublishRefusal::DeniedTag { .. })));
    let fact = a.publish(draft("", "2026")).expect("published");
    let again = a.publish(draft(&fact.key, "2027")).expect("published");
    assert!(matches!(&again.message.body, Body::Fact(fact) if fact.version == 2));
    a.config.allow_tags.clear();
    assert!(a.propose(&[]).is_ok());
    a.config.is_enabled = false;
    assert!(matches!(a.propose(&[]), Err(PublishRefusal::Disabled)));
}

#[test]
fn an_approved_proposal_opens_the_way_for_its_facts() {
    let mut a = Replica::new("a");
    a.pool = 1;
    let id = id_of(&a.propose(&["ops"]).expect("may leave"));
    assert_eq!(a.tick().outgoing.len(), 1, "alone, one decides at once");
    assert!(a.publish(FactDraft { proposal_id: id, ..draft("", "x") }).is_ok());
}

#[test]
fn a_fact_that_comes_too_early_waits_for_its_predecessors() {
    let a = Replica::new("a");
    for (version, status) in [(3, Status::Waiting), (4, Status::Waiting), (1, Status::Accepted)] {
        assert_eq!(a.hear(&fact_said("f", version, &format!("v{version}"))).status, status);
    }
    assert_eq!((a.facts()[0].version, a.counts().gaps), (1, 2));
    assert_eq!(a.hear(&fact_said("f", 2, "v2")).status, Status::Accepted);
    assert_eq!((a.facts()[0].object.as_str(), a.counts().gaps), ("v4", 0));
    assert_eq!(a.hear(&fact_said("f", 2, "v2")).status, Status::Duplicate);
    assert_eq!(a.hear(&fact_said("f", 2, "other")).status, Status::Stale);
}

#[test]
fn what_became_of_facts_is_counted_from_the_timeline() {
    let mut a = Replica::new("a");
    a.db = Db::memory_for_tests(&[MIGRATIONS, crate::timeline::MIGRATIONS]);
    // Of one version and one time the smaller hash wins: one of the last loses against another.
    let heard =
        [("f", 1, "x"), ("f", 2, "y"), ("f", 1, "other"), ("f", 1, "x"), ("g", 1, "a"), ("g", 1, "b"), ("g", 1, "c")];
    for (id, version, object) in heard {
        let events = a.hear(&fact_said(id, version, object)).events;
        let append =
            move |tx: &Tx<'_>| events.iter().try_for_each(|event| crate::timeline::append(tx, event).map(drop));
        a.db.write_blocking(append).expect("written");
    }
    let told = a.db.read_blocking(facts_heard).expect("read");
    assert_eq!((told.accepted + told.conflict, told.stale, a.counts().facts), (5, 1, 2), "{told:?}");
    assert!(told.conflict > 0, "{told:?}");
}

#[test]
fn a_gap_that_nobody_fills_is_passed_over() {
    let mut a = Replica::new("a");
    for version in [3, 4, 7] {
        a.hear(&fact_said("f", version, &format!("v{version}")));
    }
    assert_eq!(a.tick().events, []);
    a.now = NOW.plus(std::time::Duration::from_secs(3600));
    assert_eq!((a.tick().events.len(), a.facts()[0].version, a.counts().gaps), (1, 4, 1));
    a.tick();
    assert_eq!((a.facts()[0].version, a.counts().gaps), (7, 0));
}

#[test]
fn waiting_facts_are_bounded_and_what_was_refused_may_come_again() {
    let a = Replica::new("a");
    for version in 2..66 {
        assert_eq!(a.hear(&fact_said("f", version, "x")).status, Status::Waiting);
    }
    assert_eq!(a.hear(&fact_said("f", 66, "x")).status, Status::Refused);
    a.hear(&fact_said("f", 1, "x"));
    assert_eq!(a.hear(&fact_said("f", 66, "x")).status, Status::Accepted);
}

#[test]
fn a_message_is_noted_only_together_with_its_effect() {
    let a = Replica::new("a");
    let message = fact_said("f", 1, "x");
    let (config, failing) = (a.config.clone(), message.clone());
    let failed = a.db.write_blocking(move |tx| {
        apply(tx, &Context { config: &config, pool: 5, now: NOW }, TOPIC, &failing)?;
        Err::<(), _>(rusqlite::Error::InvalidQuery)
    });
    assert!(failed.is_err());
    let applied = a.hear(&message);
    assert_eq!((applied.status, applied.events.len()), (Status::Accepted, 1));
    assert_eq!(applied.events[0].classification, "KNOWLEDGE_FACT_ACCEPTED");
    assert_eq!(applied.events[0].metadata["topic"], TOPIC);
    let again = a.hear(&message);
    assert_eq!((again.status, again.events.len()), (Status::Duplicate, 0));
}

#[test]
fn two_with_one_claw_id_are_noticed_and_other_groups_are_not_taken() {
    let mut a = Replica::new("a");
    let mut own = fact_said("f", 1, "x");
    own.head.claw_id = "A".to_owned();
    own.head.instance_id = a.config.instance_id.clone();
    assert_eq!(a.hear(&own).status, Status::Skipped);
    own.head.instance_id = "elsewhere".to_owned();
    let taken = a.hear(&own);
    assert_eq!((taken.status, taken.events[0].classification.as_str()), (Status::Refused, "KNOWLEDGE_FACT_REFUSED"));
    let mut other = fact_said("f", 1, "x");
    if let Body::Fact(fact) = &mut other.body {
        fact.group = "g2".to_owned();
    }
    assert_eq!(a.hear(&other).status, Status::Refused);
    a.config.is_governed = false;
    assert_eq!(a.hear(&fact_said("f", 1, "x")).status, Status::Skipped);
    assert_eq!(distinct_claw_id("claw-local", "pi"), "claw-pi");
    assert_eq!(distinct_claw_id("mine", "pi"), "mine");
}

#[test]
fn the_key_of_one_member_does_not_burn_that_of_another() {
    let [a, b] = ["a", "b"].map(Replica::new);
    let id = id_of(&a.propose(&["ops"]).expect("may leave"));
    let vote =
        |word: &str| Body::Vote(wire::Vote { proposal_id: id.clone(), vote: word.to_owned(), ..Default::default() });
    // Agents in Go use one key for a vote and for its change.
    let at = |ms: u64| NOW.plus(std::time::Duration::from_millis(ms));
    for (claw, word, ms) in [("go", "yes", 1), ("go", "no", 2), ("other", "yes", 3)] {
        assert_eq!(b.hear(&said(claw, "one key", at(ms), vote(word))).status, Status::Accepted);
    }
    let held = b.db.read_blocking(move |conn| ballots(conn, &id)).expect("read");
    assert_eq!(held.len(), 3);
}

#[test]
fn a_database_of_kafclaw_opens() {
    const KAFCLAW: &[crate::db::Migration] = &[crate::db::Migration {
        number: 1,
        name: "kafclaw",
        apply: |connection| {
            connection.execute_batch(
                "CREATE TABLE knowledge_votes (id INTEGER PRIMARY KEY AUTOINCREMENT, proposal_id TEXT NOT NULL, claw_id TEXT NOT NULL,
                    instance_id TEXT NOT NULL, vote TEXT NOT NULL, reason TEXT, trace_id TEXT, updated_at DATETIME, UNIQUE (proposal_id, claw_id));
                 INSERT INTO knowledge_votes (proposal_id, claw_id, instance_id, vote, updated_at) VALUES ('p', 'c', 'i', 'yes', '2026-02-24 10:00:00');
                 CREATE TABLE knowledge_facts (id INTEGER PRIMARY KEY AUTOINCREMENT, fact_id TEXT UNIQUE NOT NULL, group_name TEXT NOT NULL,
                    subject TEXT NOT NULL, predicate TEXT NOT NULL, object TEXT NOT NULL, version INTEGER NOT NULL, source TEXT NOT NULL,
                    proposal_id TEXT, decision_id TEXT, tags TEXT, updated_at DATETIME);
                 INSERT INTO knowledge_facts (fact_id, group_name, subject, predicate, object, version, source) VALUES ('f', 'g', 's', 'p', 'o', 4, 'c')",
            )
        },
    }];
    let db = Db::memory_for_tests(&[KAFCLAW, MIGRATIONS]);
    let (votes, facts) = db.read_blocking(|conn| Ok((ballots(conn, "p")?, facts(conn, Some("g"), 9)?))).expect("read");
    assert_eq!((votes.len(), facts.len(), facts[0].version, facts[0].tags.len()), (1, 1, 4, 0));
}
