//! Replicas end equal: whatever the order, however often, and after having missed things.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const TABLES: [&str; 8] = [
    "knowledge_idempotency",
    "knowledge_facts",
    "knowledge_proposals",
    "knowledge_votes",
    "knowledge_ballots",
    "knowledge_gaps",
    "knowledge_unproven",
    "knowledge_claws",
];

fn forget(replica: &Replica) {
    let each = |tx: &Tx<'_>, table: &str| tx.execute(&format!("DELETE FROM {table}"), []).map(|_| ());
    replica.tx(move |tx, _| TABLES.iter().try_for_each(|table| each(tx, table)));
}

/// Everything that a replica holds, as text.
fn state_after(replica: &Replica, messages: Vec<Message>) -> String {
    forget(replica);
    replica.tx(move |tx, context| {
        for message in &messages {
            apply(tx, context, TOPIC, message)?;
        }
        let mut held = facts(tx, None, 1_000)?;
        held.sort_by(|a, b| a.id.cmp(&b.id));
        let waiting: Vec<Option<Fact>> = (0..3)
            .flat_map(|id| (1..9).map(move |version| (format!("f{id}"), version)))
            .map(|(id, version)| store::gap(tx, &id, version))
            .collect::<rusqlite::Result<_>>()?;
        let mut decided: Vec<_> = proposals(tx, None, 100)?
            .into_iter()
            .map(|proposal| (proposal.id, proposal.outcome, proposal.decided_by, proposal.tally))
            .collect();
        decided.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(format!("{held:#?}\n{:#?}\n{decided:#?}", waiting.into_iter().flatten().collect::<Vec<_>>()))
    })
}

/// The same messages, some of them twice, in another order.
fn shuffled(messages: &[Message], order: &[(u16, bool)]) -> Vec<Message> {
    let mut keyed = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let (key, twice) = order[at % order.len()];
        keyed.push((key.wrapping_mul(at as u16 + 1), message.clone()));
        if twice {
            keyed.push((key.rotate_left(5), message.clone()));
        }
    }
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, message)| message).collect()
}

fn any_fact() -> impl Strategy<Value = Message> {
    (0_u8..3, 1_i64..8, 0_u8..3, 0_u64..3, 0_u8..6).prop_map(|(id, version, object, ms, snapshot)| {
        let mut message = fact_said(&format!("f{id}"), version, &format!("o{object}"));
        if let Body::Fact(fact) = &mut message.body {
            fact.snapshot = snapshot == 0;
            fact.published_at = Some(NOW.plus(std::time::Duration::from_millis(ms)).into());
        }
        message.head.idempotency_key = format!("{id}:{version}:{object}:{ms}:{snapshot}");
        message
    })
}

/// A proposal, votes on it in several versions, and decisions that name votes; some of them lie.
fn any_votes() -> impl Strategy<Value = Vec<Message>> {
    let ballot = (0_u8..4, 1_i64..4, any::<bool>());
    let decision = (0_u8..3, 0_u64..5, proptest::collection::vec(0_usize..6, 0..4), any::<bool>());
    let parts = (proptest::collection::vec(ballot, 2..8), proptest::collection::vec(decision, 0..4));
    parts.prop_map(|(mut votes, decisions)| {
        votes.sort_by_key(|(claw, version, _)| (*claw, *version));
        votes.dedup_by_key(|(claw, version, _)| (*claw, *version));
        let word = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        let at = |ms: u64| NOW.plus(std::time::Duration::from_millis(ms));
        let proposal = wire::Proposal {
            proposal_id: "kp".to_owned(),
            group: "g1".to_owned(),
            statement: "S".to_owned(),
            ..Default::default()
        };
        let mut all = vec![said("p", "proposal", NOW, Body::Proposal(proposal))];
        for (claw, version, yes) in &votes {
            let vote =
                wire::Vote { proposal_id: "kp".to_owned(), vote: word(*yes), version: *version, ..Default::default() };
            all.push(said(&format!("c{claw}"), &format!("vote:{version}"), NOW, Body::Vote(vote)));
        }
        for (claw, ms, named, yes) in decisions {
            let votes: Vec<wire::Ballot> = named
                .iter()
                .filter_map(|at| votes.get(*at))
                .map(|(claw, version, yes)| wire::Ballot {
                    claw_id: format!("c{claw}"),
                    vote: word(*yes),
                    version: *version,
                })
                .collect();
            if votes.is_empty() {
                continue;
            }
            let outcome = if yes { "approved" } else { "rejected" }.to_owned();
            let decision = wire::Decision { proposal_id: "kp".to_owned(), outcome, votes, ..Default::default() };
            all.push(said(&format!("d{claw}"), "decision", at(ms), Body::Decision(decision)));
        }
        // One decider says one thing.
        let mut deciders = std::collections::BTreeSet::new();
        all.retain(|message| {
            !matches!(message.body, Body::Decision(_)) || deciders.insert(message.head.claw_id.clone())
        });
        all
    })
}

/// Carries messages between the two until both are quiet; returns how many went over.
fn talk(one: &Replica, other: &Replica, first: Vec<Outgoing>) -> usize {
    let mut under_way: VecDeque<Outgoing> = first.into();
    let mut count = 0;
    while let Some(Outgoing { mut message, .. }) = under_way.pop_front() {
        count += 1;
        assert!(count < 5_000, "they never stop");
        message.head.stamp = Some(Stamp { epoch: 1, seq: count as u64 });
        let bytes = wire::encode(&message);
        assert!(bytes.len() < 1024 * 1024);
        let message = wire::decode(&bytes).expect("our own");
        for replica in [one, other] {
            under_way.extend(replica.hear(&message).outgoing);
        }
    }
    count
}

fn meet(one: &Replica, other: &Replica) -> usize {
    one.tx(|tx, _| reconnected(tx));
    let here = other.tx(|_, context| Ok(presence(context, "active")));
    talk(one, other, vec![here])
}

#[test]
fn after_a_comparison_both_hold_everything() {
    let [one, other] = ["one", "other"].map(Replica::new);
    // A thousand facts: some known to both, some to one, some newer here or there, some in conflict.
    for (replica, own) in [(&one, 0_usize), (&other, 1)] {
        let messages: Vec<Message> = (0..1_000_usize)
            .filter(|id| id % 5 != own)
            .flat_map(|id| {
                let conflict = if id % 7 == 0 { own } else { 9 };
                let versions = 1 + ((id + own) % 4) as i64;
                (1..=versions)
                    .map(move |version| fact_said(&format!("f{id:04}"), version, &format!("{version}-{conflict}")))
            })
            .collect();
        replica.tx(move |tx, context| {
            messages.iter().try_for_each(|message| apply(tx, context, TOPIC, message).map(|_| ()))
        });
    }
    assert_ne!(one.facts(), other.facts());
    let count = meet(&one, &other);
    assert_eq!(one.facts(), other.facts());
    assert_eq!(one.facts().len(), 1_000);
    assert!(count > 10, "{count}");
    let quiet = meet(&one, &other);
    assert!(quiet <= 20, "nothing is left to give: {quiet} messages");
}

#[test]
fn a_newcomer_learns_everything_and_agents_in_go_are_left_alone() {
    let [one, newcomer] = ["one", "newcomer"].map(Replica::new);
    for version in 1..4 {
        one.hear(&fact_said("f", version, "x"));
    }
    meet(&newcomer, &one);
    assert_eq!((newcomer.facts(), newcomer.facts().len()), (one.facts(), 1));
    let mut from_go = one.tx(|_, context| Ok(presence(context, "active"))).message;
    from_go.head.stamp = None;
    newcomer.tx(|tx, _| reconnected(tx));
    assert_eq!(newcomer.hear(&from_go).outgoing, []);
}

thread_local! {
    /// Opened once for all cases of a test.
    static REPLICAS: [Replica; 2] = ["one", "other"].map(Replica::new);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_repetition_of_facts_ends_the_same(
        messages in proptest::collection::vec(any_fact(), 1..40),
        orders in proptest::collection::vec(proptest::collection::vec((any::<u16>(), any::<bool>()), 8), 3),
    ) {
        let replica = REPLICAS.with(|replicas| replicas[0].clone());
        let first = state_after(&replica, messages.clone());
        for order in orders {
            prop_assert_eq!(&state_after(&replica, shuffled(&messages, &order)), &first);
        }
    }

    #[test]
    fn any_order_and_repetition_of_votes_and_decisions_ends_the_same(
        messages in any_votes(),
        orders in proptest::collection::vec(proptest::collection::vec((any::<u16>(), any::<bool>()), 8), 3),
    ) {
        let replica = REPLICAS.with(|replicas| replicas[0].clone());
        let first = state_after(&replica, messages.clone());
        for order in orders {
            prop_assert_eq!(&state_after(&replica, shuffled(&messages, &order)), &first);
        }
    }

    #[test]
    fn replicas_that_missed_things_end_equal_after_they_compared(
        messages in proptest::collection::vec((any_fact(), 0_u8..3), 1..40),
    ) {
        let [one, other] = REPLICAS.with(Clone::clone);
        for replica in [&one, &other] {
            forget(replica);
        }
        for (replica, skipped) in [(&one, 1), (&other, 2)] {
            let heard: Vec<Message> = messages.iter().filter(|(_, who)| *who != skipped).map(|(message, _)| message.clone()).collect();
            replica.tx(move |tx, context| heard.iter().try_for_each(|message| apply(tx, context, TOPIC, message).map(|_| ())));
        }
        meet(&one, &other);
        prop_assert_eq!(one.facts(), other.facts());
    }
}
