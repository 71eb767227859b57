//! The inbox: duplicates, crashes, refusals, and figures about the traffic.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::db::Db;
use crate::domain::record::Stamp;
use crate::group;
use crate::timeline;

const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_000);

pub(crate) fn received(sender: &str, seq: u64) -> Received {
    Received {
        topic: "group.g.responses".to_owned(),
        partition: 0,
        offset: i64::try_from(seq).expect("small"),
        bytes: 10,
        hash: [7; 32],
        class: Class::Answer,
        kind: "response".to_owned(),
        sender_id: sender.to_owned(),
        correlation_id: "t1".to_owned(),
        stamp: Some(Stamp { epoch: 1, seq }),
        sent_at: None,
        deadline_at: None,
        depth: 0,
        target: None,
        behind_ms: 0,
    }
}

fn fresh() -> Db {
    Db::memory_for_tests(&[timeline::MIGRATIONS, group::MIGRATIONS])
}

fn take(db: &Db, message: &Received, now: Timestamp) -> Verdict {
    let message = message.clone();
    db.write_blocking(move |tx| receive(tx, &message, Verdict::Accepted, now)).expect("received")
}

#[test]
fn a_message_is_applied_once() {
    let db = fresh();
    let first = received("peer", 1);
    assert_eq!(take(&db, &first, NOW), Verdict::Accepted);
    let again = Received { offset: 9, hash: [8; 32], ..first.clone() };
    assert_eq!(take(&db, &again, NOW), Verdict::Duplicate, "its stamp says so, whatever the record looks like");
    assert_eq!(take(&db, &received("peer", 2), NOW), Verdict::Accepted);
    assert_eq!(take(&db, &received("other", 1), NOW), Verdict::Accepted);
    let life = Received { stamp: Some(Stamp { epoch: 2, seq: 1 }), ..first };
    assert_eq!(take(&db, &life, NOW), Verdict::Accepted, "a member that lost its memory counts anew");
}

#[test]
fn peers_without_numbers_are_known_by_what_they_say() {
    let db = fresh();
    let first = Received { stamp: None, ..received("go-peer", 1) };
    assert_eq!(take(&db, &first, NOW), Verdict::Accepted);
    assert_eq!(take(&db, &Received { offset: 5, ..first.clone() }, NOW), Verdict::Duplicate);
    assert_eq!(take(&db, &Received { hash: [8; 32], ..first.clone() }, NOW), Verdict::Accepted);
    assert_eq!(take(&db, &Received { correlation_id: "t2".to_owned(), ..first.clone() }, NOW), Verdict::Accepted);
    assert_eq!(take(&db, &Received { topic: "group.g.requests".to_owned(), ..first }, NOW), Verdict::Accepted);
}

#[test]
fn who_is_there_may_be_said_again() {
    let db = fresh();
    let announce = Received { class: Class::Control, ..received("peer", 1) };
    assert_eq!(take(&db, &announce, NOW), Verdict::Accepted);
    assert_eq!(take(&db, &announce, NOW), Verdict::Accepted);
}

#[test]
fn what_was_rolled_back_was_never_received() {
    let db = fresh();
    let message = received("peer", 1);
    let lost = message.clone();
    let failed: Result<(), _> = db.write_blocking(move |tx| {
        assert_eq!(receive(tx, &lost, Verdict::Accepted, NOW)?, Verdict::Accepted);
        Err(rusqlite::Error::InvalidQuery)
    });
    assert!(failed.is_err());
    let next = |db: &Db| db.read_blocking(|conn| resume_at(conn, "group.g.responses", 0)).expect("read");
    assert_eq!(next(&db), None);
    assert_eq!(take(&db, &message, NOW), Verdict::Accepted);
    assert_eq!(next(&db), Some(2));
}

#[test]
fn refusals_are_kept_with_their_reason_and_within_bounds() {
    let db = fresh();
    db.write_blocking(|tx| {
        for seq in 0..3_000 {
            let message = Received { sender_id: "ß".repeat(200), ..received("", seq) };
            let verdict = receive(tx, &message, Verdict::Refused(Objection::TooOld), NOW)?;
            assert_eq!(verdict, Verdict::Refused(Objection::TooOld));
        }
        refuse(tx, &received("peer", 1), "not_json", NOW)
    })
    .expect("written");
    let kept = db.read_blocking(|conn| refusals(conn, u32::MAX)).expect("read");
    assert!(kept.len() <= 2_100, "{}", kept.len());
    assert_eq!((kept[0].reason.as_str(), kept[1].reason.as_str()), ("not_json", "too_old"));
    assert_eq!(kept[1].sender_id.len(), 128);
    let counts = db.read_blocking(refusal_counts).expect("read");
    assert_eq!(counts.iter().map(|count| count.count).collect::<Vec<_>>(), [1, 3_000]);
}

#[test]
fn the_ledger_forgets_the_oldest() {
    let db = fresh();
    for seq in 0..10 {
        take(&db, &received("peer", seq), NOW.plus(Duration::from_secs(seq)));
    }
    let keep = Keep { ledger: Duration::from_secs(60), ledger_rows_max: 4 };
    let later = NOW.plus(Duration::from_secs(63));
    assert_eq!(db.write_blocking(move |tx| prune(tx, &keep, later)).expect("pruned"), 6);
    assert_eq!(take(&db, &received("peer", 0), later), Verdict::Accepted);
    assert_eq!(take(&db, &received("peer", 9), later), Verdict::Duplicate);
}

#[test]
fn figures_of_the_topics_come_from_the_log() {
    let db = fresh();
    for (minutes, sender) in [(0, "a"), (1, "b"), (2, "a"), (20, "b"), (300, "a")] {
        let at = NOW.plus(Duration::from_secs(minutes * 60));
        take(&db, &received(sender, minutes), at);
    }
    let now = NOW.plus(Duration::from_secs(301 * 60));
    let (stats, edges, healths, density) = db
        .read_blocking(move |conn| {
            let density = density(conn, "group.g.responses", 6, now)?;
            Ok((topic_stats(conn, now)?, flow(conn, now)?, health(conn, now)?, density))
        })
        .expect("read");
    assert_eq!((stats[0].message_count, stats[0].last_24h, stats[0].unique_agents), (5, 5, 2));
    assert_eq!(stats[0].last_message_at, NOW.plus(Duration::from_secs(300 * 60)).to_sql()[..19]);
    let edges: Vec<_> = edges.iter().map(|edge| (edge.source_agent_id.as_str(), edge.message_count)).collect();
    assert_eq!(edges, [("a", 1), ("b", 1)]);
    assert_eq!((healths[0].score, healths[0].active_agents, healths[0].is_stale), (50, 1, false));
    assert_eq!(density.buckets.iter().map(|bucket| bucket.count).collect::<Vec<_>>(), [1, 3, 0, 0, 0, 1]);
    assert_eq!(density.envelope_types["response"], 5);
    let logged = db.read_blocking(|conn| messages(conn, "group.g.responses", 2)).expect("read");
    assert_eq!(logged.len(), 2);
    assert_eq!(logged[0].created_at, NOW.plus(Duration::from_secs(300 * 60)));
}

#[test]
fn words_of_objections_read_back() {
    for objection in Objection::ALL {
        assert_eq!(Objection::parse(objection.as_str()), Some(objection));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Records are repeated from a random earlier one after every crash; a crash loses the transaction that was open.
    #[test]
    fn crashes_and_repeats_apply_everything_once(steps in proptest::collection::vec((0_usize..5, any::<bool>()), 1..40)) {
        let db = fresh();
        let records: Vec<Received> = (0..20).map(|seq| received(["a", "b"][seq % 2], seq as u64 / 2)).collect();
        let mut applied = vec![0_u32; records.len()];
        let mut next = 0;
        for (back, crash) in steps {
            let Some(message) = records.get(next).cloned() else { break };
            let result = db.write_blocking(move |tx| {
                let verdict = receive(tx, &message, Verdict::Accepted, NOW)?;
                if crash { Err(rusqlite::Error::InvalidQuery) } else { Ok(verdict) }
            });
            match result {
                Ok(verdict) => {
                    applied[next] += u32::from(verdict == Verdict::Accepted);
                    next += 1;
                }
                Err(_) => next = next.saturating_sub(back),
            }
        }
        for (seq, count) in applied[..next].iter().enumerate() {
            prop_assert_eq!(*count, 1, "record {}", seq);
        }
    }
}
