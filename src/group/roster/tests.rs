//! The roster: who belongs and who is there, with lives, wrong clocks, two of one name, and the database.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::db::Db;
use crate::domain::record::Stamp;
use crate::group;
use crate::timeline;

const START: Timestamp = Timestamp::from_millis(1_787_063_412_000);
const SILENCE: u64 = 90;

fn at(seconds: u64) -> Moment {
    Moment { wall: START.plus(Duration::from_secs(seconds)), run: Duration::from_secs(seconds) }
}

fn identity(id: &str) -> Identity {
    Identity {
        id: PeerId::from(id),
        name: "KafClaw".to_owned(),
        soul: String::new(),
        capabilities: vec!["read_file".to_owned()],
        skills: vec!["weather".to_owned()],
        channels: vec!["cli".to_owned()],
        model: "m".to_owned(),
        status: "active".to_owned(),
        role: "worker".to_owned(),
        parent: None,
        zone: None,
        endpoint: None,
        joined_at: Some(START),
        public_key: None,
        load: None,
        can_think: None,
    }
}

fn said(said: Said, id: &str, life: u64, seq: u64) -> Fact {
    Fact::Announced {
        said,
        identity: Box::new(identity(id)),
        stamp: Some(Stamp { epoch: life, seq }),
        key: None,
        sent_at: None,
        heard: Heard::Live,
    }
}

fn replayed(fact: Fact) -> Fact {
    match fact {
        Fact::Announced { said, identity, stamp, key, sent_at, .. } => {
            Fact::Announced { said, identity, stamp, key, sent_at, heard: Heard::Replayed }
        }
        other => other,
    }
}

fn roster() -> Roster {
    Roster::new(Config::of(PeerId::from("me")), 10, Vec::new())
}

fn happenings(steps: &[Step]) -> Vec<&Happening> {
    let mut happenings = Vec::new();
    for step in steps {
        if let Step::Happened(happening) = step {
            happenings.push(happening);
        }
    }
    happenings
}

fn alive(roster: &Roster, moment: Moment) -> Vec<String> {
    roster.alive(moment).map(|member| member.id().to_string()).collect()
}

#[test]
fn a_member_comes_stays_goes_stale_and_comes_back() {
    let mut roster = roster();
    let peer = PeerId::from("a");
    let steps = roster.next(said(Said::Join, "a", 1, 1), at(0));
    assert_eq!(happenings(&steps), [&Happening::Joined(peer.clone())]);
    assert!(steps.contains(&Step::Greet));
    assert_eq!(roster.next(said(Said::Heartbeat, "a", 1, 2), at(30)).len(), 1, "written once");
    assert_eq!(roster.next(said(Said::Heartbeat, "a", 1, 3), at(60)), [], "nothing new");
    assert_eq!(alive(&roster, at(60 + SILENCE - 1)), ["a"]);
    assert_eq!(roster.wait(at(60)), Some(Duration::from_secs(SILENCE)));
    assert!(!roster.is_alive(&peer, at(60 + SILENCE)));
    let steps = roster.next(Fact::TimePassed, at(60 + SILENCE));
    assert_eq!(happenings(&steps), [&Happening::WentStale(peer.clone())]);
    let steps = roster.next(said(Said::Heartbeat, "a", 1, 4), at(200));
    assert_eq!(happenings(&steps), [&Happening::CameBack(peer.clone())]);
    let steps = roster.next(said(Said::Leave, "a", 1, 5), at(210));
    assert_eq!(happenings(&steps), [&Happening::Left(peer.clone())]);
    assert!(roster.member(&peer).is_some_and(|member| member.left_at.is_some()));
    let steps = roster.next(said(Said::Join, "a", 2, 6), at(220));
    assert_eq!(happenings(&steps), [&Happening::Joined(peer.clone())]);
    assert!(roster.member(&peer).is_some_and(|member| member.left_at.is_none()), "rejoined");
}

#[test]
fn the_past_of_a_topic_makes_nobody_alive() {
    let mut roster = roster();
    let steps = roster.next(replayed(said(Said::Join, "a", 1, 1)), at(0));
    assert!(!steps.contains(&Step::Greet));
    assert_eq!(alive(&roster, at(1)), [""; 0]);
    roster.next(said(Said::Heartbeat, "a", 5, 9), at(2));
    let outdated = roster.next(replayed(said(Said::Leave, "a", 4, 8)), at(3));
    assert_eq!(happenings(&outdated), [&Happening::Outdated(PeerId::from("a"))]);
    let overtaken = roster.next(said(Said::Leave, "a", 5, 8), at(3));
    assert_eq!(happenings(&overtaken), [&Happening::Outdated(PeerId::from("a"))]);
    assert_eq!(alive(&roster, at(4)), ["a"]);
}

#[test]
fn wrong_wall_clocks_change_nothing() {
    let mut roster = roster();
    for (seconds, wall) in [(0, 0_i64), (30, -9_000_000), (60, 4_102_444_800_000), (90, 5)] {
        let moment = Moment { wall: Timestamp::from_millis(wall), run: Duration::from_secs(seconds) };
        let mut fact = said(Said::Heartbeat, "a", 1, seconds);
        if let Fact::Announced { sent_at, .. } = &mut fact {
            *sent_at = Some(Timestamp::from_millis(wall * 7));
        }
        roster.next(fact, moment);
        assert!(roster.is_alive(&PeerId::from("a"), moment));
        assert_eq!(roster.next(Fact::TimePassed, moment), []);
    }
}

#[test]
fn the_difference_of_clocks_is_that_of_the_quickest_message() {
    let mut roster = roster();
    for (seconds, delay) in [(0, 400), (30, 20), (60, 900)] {
        let mut fact = said(Said::Heartbeat, "a", 1, seconds);
        if let Fact::Announced { sent_at, .. } = &mut fact {
            *sent_at = Some(at(seconds).wall.minus(Duration::from_millis(3_600_000 + delay)));
        }
        roster.next(fact, at(seconds));
    }
    assert_eq!(roster.behind_ms(&PeerId::from("a")), 3_600_020);
    assert_eq!(roster.behind_ms(&PeerId::from("b")), 0);
}

#[test]
fn two_of_one_name_are_told_apart() {
    let mut roster = roster();
    let collided = Happening::Collided(PeerId::from("a"));
    roster.next(said(Said::Heartbeat, "a", 5, 9), at(0));
    assert_eq!(happenings(&roster.next(said(Said::Heartbeat, "a", 4, 90), at(1))), [&collided]);
    assert_eq!(roster.next(said(Said::Heartbeat, "a", 4, 91), at(2)), [], "told once");
    assert_eq!(
        happenings(&roster.next(said(Said::Leave, "a", 4, 92), at(3))),
        [&Happening::Outdated(PeerId::from("a"))]
    );
    let later = said(Said::Heartbeat, "a", 4, 91);
    assert!(happenings(&roster.next(later, at(SILENCE + 9))).is_empty(), "it lost its memory and its clock");
    assert_eq!(alive(&roster, at(SILENCE + 9)), ["a"]);

    let signed = |key: Option<&str>, seq| match said(Said::Heartbeat, "b", 1, seq) {
        Fact::Announced { said, identity, stamp, sent_at, heard, .. } => {
            Fact::Announced { said, identity, stamp, key: key.map(str::to_owned), sent_at, heard }
        }
        other => other,
    };
    roster.next(signed(Some("k1"), 1), at(0));
    let collided = Happening::Collided(PeerId::from("b"));
    assert_eq!(happenings(&roster.next(signed(Some("k2"), 2), at(1))), [&collided]);
    assert_eq!(roster.next(signed(None, 3), at(2)), []);
    assert!(happenings(&roster.next(signed(Some("k1"), 4), at(3))).is_empty());
}

#[test]
fn agents_in_go_are_told_apart_by_their_time_of_joining() {
    let mut roster = roster();
    let go = |joined: u64| {
        let identity = Identity { joined_at: Some(at(joined).wall), ..identity("go") };
        Fact::Announced {
            said: Said::Heartbeat,
            identity: Box::new(identity),
            stamp: None,
            key: None,
            sent_at: None,
            heard: Heard::Live,
        }
    };
    roster.next(go(5), at(10));
    assert!(happenings(&roster.next(go(7), at(11))).is_empty(), "started anew");
    assert_eq!(happenings(&roster.next(go(5), at(12))), [&Happening::Collided(PeerId::from("go"))]);
}

#[test]
fn our_own_name_in_other_hands_is_told_once() {
    let mut roster = roster();
    assert_eq!(roster.next(said(Said::Heartbeat, "me", 10, 1), at(0)), []);
    assert_eq!(roster.next(said(Said::Heartbeat, "me", 9, 1), at(0)), [], "our earlier life");
    assert_eq!(roster.next(replayed(said(Said::Join, "me", 11, 1)), at(0)), []);
    let steps = roster.next(said(Said::Heartbeat, "me", 11, 1), at(0));
    assert_eq!(steps, [Step::Happened(Happening::CollidedWithUs)]);
    assert_eq!(roster.next(said(Said::Heartbeat, "me", 11, 2), at(30)), []);
    assert_eq!(roster.members().count(), 0);
}

#[test]
fn a_full_roster_forgets_those_who_left_first() {
    let mut roster = roster();
    for number in 0..1_000 {
        roster.next(said(Said::Join, &format!("m{number}"), 1, 1), at(0));
    }
    let steps = roster.next(said(Said::Join, "late", 1, 1), at(1));
    assert_eq!(steps, [Step::Happened(Happening::Full)]);
    roster.next(said(Said::Leave, "m7", 1, 2), at(2));
    roster.next(said(Said::Join, "late", 1, 1), at(3));
    assert!(roster.is_alive(&PeerId::from("late"), at(3)) && roster.member(&PeerId::from("m7")).is_none());
}

#[test]
fn members_history_and_skills_are_stored() {
    let db = Db::memory_for_tests(&[timeline::MIGRATIONS, group::MIGRATIONS]);
    let mut roster = roster();
    for (fact, seconds) in
        [(said(Said::Join, "a", 3, 1), 0), (said(Said::Join, "b", 4, 1), 1), (said(Said::Leave, "a", 3, 2), 2)]
    {
        let steps = roster.next(fact, at(seconds));
        db.write_blocking(move |tx| apply(tx, &steps, "g", at(seconds).wall)).expect("written");
    }
    let known = db.read_blocking(load).expect("read");
    let mut expected: Vec<Member> = roster.members().cloned().collect();
    expected.sort_by_key(|member| std::cmp::Reverse(member.last_seen));
    assert_eq!(known, expected);
    let reborn = Roster::new(Config::of(PeerId::from("me")), 11, known);
    assert_eq!(alive(&reborn, at(3)), [""; 0], "nobody has been heard yet");
    let shown = db.read_blocking(members).expect("read");
    assert_eq!((shown.len(), shown[0].agent_id.as_str(), shown[0].capabilities.as_str()), (1, "b", "[\"read_file\"]"));
    assert_eq!(db.read_blocking(previous_members).expect("read")[0].agent_id, "a");
    let filter = HistoryFilter { agent_id: "a".to_owned(), group_name: String::new(), limit: 10, offset: 0 };
    let entries = db.read_blocking(move |conn| history(conn, &filter)).expect("read");
    assert_eq!(entries.iter().map(|entry| entry.action.as_str()).collect::<Vec<_>>(), ["left", "joined"]);
    let restored = db.write_blocking(|tx| restore(tx, "a", "g")).expect("written").expect("it was there");
    assert_eq!((restored.status, restored.restored_config.action.as_str()), ("rejoined", "joined"));
    assert_eq!(db.read_blocking(members).expect("read").len(), 2);
    assert_eq!(db.write_blocking(|tx| restore(tx, "nobody", "")).expect("written"), None);
    let register = |tx: &crate::db::Tx<'_>| register_skill(tx, "g", "weather", &PeerId::from("b"), START);
    assert!(db.write_blocking(register).expect("written"));
    assert!(!db.write_blocking(register).expect("written"));
    assert_eq!(
        db.read_blocking(|conn| skills(conn, "")).expect("read")[0].requests_topic,
        "group.g.skill.weather.requests"
    );
    let gone = db.write_blocking(|tx| prune(tx, at(60).wall)).expect("written");
    assert_eq!(gone, 1, "who is there is not forgotten");
}

proptest! {
    #[test]
    fn whoever_is_there_said_so_a_short_while_ago(
        steps in proptest::collection::vec((0_u64..40, 0_usize..3, 0_u64..3, 0_u64..20, 0_u8..4), 1..60),
    ) {
        let mut roster = roster();
        // The last time each was heard to be there, and the life it was in.
        let mut heard: BTreeMap<&str, u64> = BTreeMap::new();
        let mut now = 0;
        for (wait, who, life, seq, what) in steps {
            now += wait;
            let name = ["a", "b", "c"][who];
            let id = PeerId::from(name);
            let word = [Said::Join, Said::Heartbeat, Said::Leave, Said::Heartbeat][usize::from(what)];
            let before = roster.member(&id).cloned();
            let was_alive = roster.is_alive(&id, at(now));
            let fact = said(word, name, life, seq);
            let is_live = what != 3;
            let steps = roster.next(if is_live { fact } else { replayed(fact) }, at(now));
            let is_newest = before.is_none_or(|known| (known.life, known.seq) <= (Some(Life::Epoch(life)), seq));
            if is_live && is_newest {
                prop_assert_eq!(roster.is_alive(&id, at(now)), word != Said::Leave);
            }
            if roster.is_alive(&id, at(now)) && !was_alive {
                prop_assert!(is_live && word != Said::Leave, "{:?}", steps);
            }
            if is_live && word != Said::Leave {
                heard.insert(name, now);
            }
            roster.next(Fact::TimePassed, at(now));
            for member in roster.members() {
                let is_alive = roster.is_alive(member.id(), at(now));
                prop_assert_eq!(is_alive, member.standing == Standing::Active && is_alive);
                prop_assert!(!is_alive || now - heard[member.id().as_str()] < SILENCE);
                prop_assert_eq!(member.standing == Standing::Left, member.left_at.is_some());
            }
        }
    }
}
