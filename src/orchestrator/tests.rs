//! What members say becomes the chart, and the chart survives a restart.

use super::hierarchy::{LEFT, Source};
use super::zone::{Change, Zone};
use super::*;
use crate::db::{Db, Tx};
use crate::domain::record::Stamp;

const NOW: Timestamp = Timestamp::from_millis(1_795_219_761_120);

fn db() -> Db {
    Db::memory_for_tests(&[MIGRATIONS])
}

fn in_tx<R: Send + 'static>(db: &Db, job: impl FnOnce(&Tx<'_>) -> rusqlite::Result<R> + Send + 'static) -> R {
    db.write_blocking(job).expect("written")
}

fn say(db: &Db, by: &str, seq: Option<u64>, message: wire::Message) -> Applied {
    let (by, stamp) = (PeerId::from(by), seq.map(|seq| Stamp { epoch: 1, seq }));
    in_tx(db, move |tx| apply(tx, &Said { by: &by, stamp, at: NOW }, &message))
}

fn discover(by: &str, parent: &str, zone: &str, zones: Vec<wire::Zone>) -> wire::Message {
    let node = wire::Node {
        agent_id: by.to_owned(),
        parent_id: parent.to_owned(),
        zone_id: zone.to_owned(),
        role: "worker".to_owned(),
        status: "active".to_owned(),
        ..wire::Node::default()
    };
    wire::Message::Discovery(wire::Discovery { action: "discover".to_owned(), node, zones, hierarchy: Vec::new() })
}

fn zone_of(owner: &str, id: &str, visibility: &str) -> wire::Zone {
    wire::Zone {
        zone_id: id.to_owned(),
        name: id.to_owned(),
        visibility: visibility.to_owned(),
        owner_id: owner.to_owned(),
        created_at: NOW.into(),
        ..wire::Zone::default()
    }
}

fn chart(db: &Db) -> Chart {
    db.read_blocking(load).expect("read")
}

#[test]
fn the_discovery_of_the_go_code_is_taken_and_its_zone_has_its_members() {
    let db = db();
    let zones = vec![zone_of("", "public", "public"), zone_of("a1", "z1", "shared")];
    let applied = say(&db, "a1", None, discover("a1", "", "z1", zones));
    assert!(applied.changed && applied.refused.is_empty(), "{applied:?}");
    say(&db, "b1", None, discover("b1", "a1", "z1", vec![zone_of("b1", "z1", "shared")]));
    let chart = chart(&db);
    assert_eq!(chart.zones.members(&ZoneId::from("z1")).len(), 2);
    assert!(chart.zones.judge(Some(&ZoneId::from("z1")), &PeerId::from("a1"), &PeerId::from("b1")).is_ok());
    assert_eq!(chart.hierarchy.parent(&PeerId::from("b1")), Some(&PeerId::from("a1")));
}

#[test]
fn nobody_speaks_for_another_and_old_words_do_not_return() {
    let db = db();
    let refused = say(&db, "b", Some(1), discover("a", "b", "", Vec::new()));
    assert!(matches!(refused.refused[..], [apply::Reason::NotItself { .. }]), "{refused:?}");
    say(&db, "a", Some(5), discover("a", "x", "", Vec::new()));
    let stale = say(&db, "a", Some(4), discover("a", "y", "", Vec::new()));
    assert_eq!(stale.refused, [apply::Reason::Stale]);
    let parent = chart(&db).hierarchy.get(&PeerId::from("a")).expect("a node").parent.clone();
    assert_eq!(parent, Some(PeerId::from("x")));
    let move_a = |by: &str, action: &str| {
        let change =
            wire::HierarchyChange { action: action.to_owned(), agent_id: "a".to_owned(), parent_id: "z".to_owned() };
        say(&db, by, Some(9), wire::Message::Hierarchy(change)).refused.len()
    };
    assert_eq!((move_a("b", "set_parent"), move_a("b", "remove_child")), (1, 1));
    assert_eq!((move_a("x", "remove_child"), move_a("a", "set_parent")), (0, 0));
}

#[test]
fn a_zone_that_its_owner_lists_no_more_is_gone() {
    let db = db();
    say(
        &db,
        "a",
        Some(1),
        discover("a", "", "", vec![zone_of("a", "z1", "private"), zone_of("b", "theirs", "public")]),
    );
    assert!(chart(&db).zones.get(&ZoneId::from("z1")).is_some());
    assert!(chart(&db).zones.get(&ZoneId::from("theirs")).is_none(), "only the owner speaks for a zone");
    let ask = wire::ZoneChange {
        action: "join_request".to_owned(),
        zone: zone_of("a", "z1", "private"),
        agent_id: "c".to_owned(),
    };
    say(&db, "c", Some(1), wire::Message::Zone(ask));
    assert_eq!(chart(&db).zones.get(&ZoneId::from("z1")).expect("a zone").waiting.len(), 1);
    say(&db, "a", Some(2), discover("a", "", "", Vec::new()));
    assert!(chart(&db).zones.get(&ZoneId::from("z1")).is_none());
}

#[test]
fn what_this_member_says_is_what_another_one_learns() {
    let (ours, theirs) = (db(), db());
    let me = PeerId::from("hub-a");
    let config =
        Config { zone: Some(ZoneId::from("garage")), parent: Some(PeerId::from("hub-b")), ..Config::default() };
    let own = config.own_zone(&me, NOW).expect("a zone");
    let mut private = Zone::new(ZoneId::from("attic"), Visibility::Private, me.clone(), NOW);
    private.allowed.insert(PeerId::from("hub-c"));
    private.members.insert(PeerId::from("hub-d"));
    for zone in [own, private] {
        let me = me.clone();
        in_tx(&ours, move |tx| change_own(tx, &me, Change::Put(zone), NOW)).expect("made");
    }
    let said = discovery(&chart(&ours), &config.node(&me, "Garage hub", NOW));
    let applied = say(&theirs, "hub-a", Some(1), wire::Message::Discovery(said));
    assert_eq!(applied.refused, []);
    let (ours, theirs) = (chart(&ours), chart(&theirs));
    for id in ["garage", "attic"].map(ZoneId::from) {
        for peer in ["hub-a", "hub-c", "hub-d", "hub-x"].map(PeerId::from) {
            assert_eq!(ours.zones.is_allowed(&id, &peer), theirs.zones.is_allowed(&id, &peer), "{id} {peer}");
        }
    }
    let node = theirs.hierarchy.get(&me).expect("a node");
    assert_eq!(
        (node.parent.clone(), node.source, node.name.as_str()),
        (Some(PeerId::from("hub-b")), Source::Itself, "Garage hub")
    );
}

#[test]
fn the_configuration_makes_this_members_zone_and_leaves_those_of_others_alone() {
    let db = db();
    let me = PeerId::from("hub-a");
    let config = |zone: &str, visibility, allowed: &[&str]| Config {
        is_enabled: true,
        zone: Some(ZoneId::from(zone)),
        visibility,
        allowed: allowed.iter().map(|id| PeerId::from(*id)).collect(),
        ..Config::default()
    };
    let start = |config: Config| {
        let me = me.clone();
        in_tx(&db, move |tx| begin(tx, &config, &me, "Hub", NOW));
        chart(&db)
    };
    say(&db, "hub-b", Some(1), discover("hub-b", "", "", vec![zone_of("hub-b", "theirs", "private")]));
    let theirs = start(config("theirs", Some(Visibility::Public), &[])).zones;
    assert_eq!(theirs.get(&ZoneId::from("theirs")).expect("a zone").visibility, Visibility::Private);

    let zone = |chart: &Chart| chart.zones.get(&ZoneId::from("garage")).cloned().expect("a zone");
    let first = start(config("garage", None, &[]));
    assert_eq!((zone(&first).visibility, zone(&first).owner), (Visibility::Shared, Some(me.clone())));
    assert!(first.hierarchy.get(&me).is_some() && first.zones.is_allowed(&ZoneId::from("garage"), &me));
    // What was changed at run time stays until the configuration says otherwise.
    let changed = Zone { visibility: Visibility::Public, members: [PeerId::from("m")].into(), ..zone(&first) };
    let by = me.clone();
    in_tx(&db, move |tx| change_own(tx, &by, Change::Put(changed), NOW)).expect("changed");
    assert_eq!(zone(&start(config("garage", None, &[]))).visibility, Visibility::Public);
    let stated = zone(&start(config("garage", Some(Visibility::Private), &["hub-c"])));
    assert_eq!((stated.visibility, stated.members.len(), stated.allowed.len()), (Visibility::Private, 1, 1));
    assert!(config("garage", Some(Visibility::Private), &[]).states(&ZoneId::from("garage")));
    assert!(!config("garage", None, &[]).states(&ZoneId::from("garage")));
}

#[test]
fn whoever_speaks_for_the_first_time_is_met_once() {
    let db = db();
    let met = |seq: u64| say(&db, "a", Some(seq), discover("a", "", "", Vec::new())).is_met;
    assert_eq!((met(1), met(2)), (true, false));
    in_tx(&db, |tx| leave(tx, &PeerId::from("a")));
    assert!(met(3), "it has been away");
    let asked = wire::ZoneChange::question(
        &Zone::new(ZoneId::from("z"), Visibility::Shared, PeerId::from("a"), NOW),
        &PeerId::from("b"),
    );
    assert!(say(&db, "b", None, wire::Message::Zone(asked.clone())).zones.is_empty(), "nobody knows the zone");
    say(&db, "a", Some(4), discover("a", "", "", vec![zone_of("a", "z", "shared")]));
    assert_eq!(say(&db, "b", None, wire::Message::Zone(asked)).zones, [ZoneId::from("z")]);
}

#[test]
fn a_member_that_leaves_is_passed_over() {
    let db = db();
    for (id, parent) in [("root", ""), ("mid", "root"), ("leaf", "mid")] {
        say(&db, id, Some(1), discover(id, parent, "", Vec::new()));
    }
    assert!(in_tx(&db, |tx| leave(tx, &PeerId::from("mid"))));
    assert!(!in_tx(&db, |tx| leave(tx, &PeerId::from("nobody"))));
    let chart = chart(&db);
    assert_eq!(chart.hierarchy.get(&PeerId::from("mid")).expect("a node").status, LEFT);
    assert_eq!(chart.hierarchy.parent(&PeerId::from("leaf")), Some(&PeerId::from("root")));
}

#[test]
fn a_database_of_kafclaw_opens() {
    const KAFCLAW: &[crate::db::Migration] = &[crate::db::Migration {
        number: 1,
        name: "kafclaw",
        apply: |connection| {
            connection.execute_batch(
                "CREATE TABLE orchestrator_hierarchy (agent_id TEXT PRIMARY KEY, parent_id TEXT, role TEXT NOT NULL DEFAULT 'worker',
                    endpoint TEXT, zone_id TEXT, updated_at DATETIME DEFAULT CURRENT_TIMESTAMP);
                 INSERT INTO orchestrator_hierarchy (agent_id, updated_at) VALUES ('old', '2026-02-24 10:00:00.1 +0100 CET m=+0.1');
                 CREATE TABLE orchestrator_zones (zone_id TEXT PRIMARY KEY, name TEXT NOT NULL, visibility TEXT NOT NULL DEFAULT 'public',
                    owner_id TEXT, parent_zone TEXT, created_at DATETIME DEFAULT CURRENT_TIMESTAMP);
                 INSERT INTO orchestrator_zones (zone_id, name, visibility) VALUES ('z', 'Z', 'strange')",
            )
        },
    }];
    let db = Db::memory_for_tests(&[KAFCLAW, MIGRATIONS]);
    let chart = chart(&db);
    assert_eq!(chart.hierarchy.get(&PeerId::from("old")).expect("a node").source, Source::Another);
    assert!(!chart.zones.is_allowed(&ZoneId::from("z"), &PeerId::from("anybody")));
}
