//! A driver with pretend slots and hands: what it does, what it refuses, and what it leaves on the disk.

use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::base::clock::Clock;
use crate::update::confirm::{Confirmation, Times};
use crate::update::driver::{Driver, Progress};
use crate::update::errors::UpdateError;
use crate::update::fetch::{self, Fetching};
use crate::update::ledger::{Bundle, Ledger, Order, Outcome, Phase};
use crate::update::places::Places;
use crate::update::port::{Hands, Slots};
use crate::update::{Desk, Request, keep};

/// A bundle is what it says about itself, with the two ends of a real one.
fn bundle(compatible: &str, version: &str) -> Vec<u8> {
    let mut bytes = format!("hsqs{compatible}\n{version}\n").into_bytes();
    bytes.extend([0x30, 1]);
    bytes.extend(2_u64.to_be_bytes());
    bytes
}

#[derive(Default)]
struct PretendSlots {
    calls: RefCell<Vec<&'static str>>,
    fails: Option<&'static str>,
    /// How often it fails; always where there is no number.
    fails_left: RefCell<Option<u32>>,
}

impl PretendSlots {
    fn called(&self, name: &'static str) -> Result<(), UpdateError> {
        self.calls.borrow_mut().push(name);
        match self.fails {
            Some(fails) if fails == name && self.still_fails() => {
                Err(UpdateError::Install { said: "the disk is worn out".to_owned() })
            }
            _ => Ok(()),
        }
    }
}

impl PretendSlots {
    fn still_fails(&self) -> bool {
        match self.fails_left.borrow_mut().as_mut() {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }
}

impl Slots for PretendSlots {
    fn read(&self, bundle: &Path) -> Result<Bundle, UpdateError> {
        let bytes = crate::update::shape::check(bundle)?;
        let text = String::from_utf8_lossy(&fs::read(bundle).expect("a bundle")).into_owned();
        let mut lines = text.trim_start_matches("hsqs").lines().map(str::to_owned);
        let (compatible, version) = (lines.next().expect("a kind"), lines.next().expect("a version"));
        if version == "unsigned" {
            return Err(UpdateError::Signature { said: "signature verification failed".to_owned() });
        }
        Ok(Bundle { compatible, version, bytes, ..Bundle::default() })
    }

    fn install(&self, _: &Path, tell: &mut dyn FnMut(u8, &str)) -> Result<(), UpdateError> {
        tell(20, "Checking bundle");
        self.called("install")
    }

    fn mark_good(&self) -> Result<(), UpdateError> {
        self.called("mark_good")
    }

    fn mark_bad(&self) -> Result<(), UpdateError> {
        self.called("mark_bad")
    }

    fn choose_other(&self) -> Result<(), UpdateError> {
        self.called("choose_other")
    }

    fn bar_other(&self) -> Result<(), UpdateError> {
        self.called("bar_other")
    }

    fn choose_this(&self) -> Result<(), UpdateError> {
        self.called("choose_this")
    }

    fn restart(&self) -> Result<(), UpdateError> {
        self.called("restart")
    }
}

struct PretendHands {
    fetching: Fetching,
    troubles: Vec<String>,
    /// Looks after which the troubles are over; for ever where there are none.
    looks_left: Option<u32>,
    /// What somebody else holds until then.
    lock: Option<fs::File>,
}

impl Hands for PretendHands {
    fn fetch(&mut self, order: &Order, tell: &mut dyn FnMut(u64, Option<u64>)) -> Result<PathBuf, UpdateError> {
        fetch::bring(&self.fetching, order, tell)
    }

    fn back_up(&mut self) -> Result<Option<PathBuf>, UpdateError> {
        Ok(Some(PathBuf::from("/backups/before.db")))
    }

    fn troubles(&mut self) -> Vec<String> {
        match &mut self.looks_left {
            Some(0) => {
                self.lock = None;
                return Vec::new();
            }
            Some(looks) => *looks -= 1,
            None => {}
        }
        self.troubles.clone()
    }
}

struct House {
    folder: tempfile::TempDir,
    places: Places,
    slots: PretendSlots,
    hands: PretendHands,
    told: Vec<Progress>,
    /// What is in the journal.
    said: Vec<String>,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let places = Places::new(&folder.path().join("home"), folder.path());
        let write = |path: &Path, text: &str| {
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        };
        write(
            &places.rauc_config,
            "[system]\ncompatible=kafclaw-x\n[slot.rootfs.0]\nbootname=A\n[slot.rootfs.1]\nbootname=B\n",
        );
        write(&places.os_release, "NAME=x\nIMAGE_VERSION=0.2.0\n");
        write(&places.proved(), "");
        let fetching = Fetching { folder: places.incoming.clone(), ..Fetching::default() };
        let hands = PretendHands { fetching, troubles: Vec::new(), looks_left: None, lock: None };
        let house = Self { folder, places, slots: PretendSlots::default(), hands, told: Vec::new(), said: Vec::new() };
        house.runs("A");
        house.counters("B_OK=1\nB_TRY=0");
        house
    }

    /// The machine is started, into `slot`; what runs in B is newer.
    fn runs(&self, slot: &str) {
        self.runs_version(slot, if slot == "A" { "0.2.0" } else { "0.3.0" });
    }

    fn runs_version(&self, slot: &str, version: &str) {
        fs::write(&self.places.os_release, format!("NAME=x\nIMAGE_VERSION={version}\n")).expect("written");
        let path = &self.places.cmdline;
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, format!("quiet rauc.slot={slot} ro\n")).expect("written");
        let _ = fs::remove_file(self.places.started());
    }

    fn counters(&self, lines: &str) {
        let path = &self.places.grubenv;
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        let block = format!("# GRUB Environment Block\nORDER=A B\n{lines}\n");
        fs::write(path, format!("{block:#<1024}")).expect("written");
    }

    fn driver<T>(&mut self, run: impl FnOnce(&mut Driver<'_>) -> T) -> T {
        let told = &mut self.told;
        let mut driver = Driver {
            places: &self.places,
            slots: &self.slots,
            hands: &mut self.hands,
            clock: &Clock::System,
            tell: &mut |progress| told.push(progress.clone()),
        };
        run(&mut driver)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> Order {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).expect("written");
        Order { source: path.display().to_string(), ..Order::default() }
    }

    fn confirm(&mut self) -> Result<Ledger, UpdateError> {
        self.confirm_within(Times { steady: Duration::ZERO, patience: Duration::ZERO, pause: Duration::from_millis(1) })
    }

    fn confirm_within(&mut self, times: Times) -> Result<Ledger, UpdateError> {
        let said = &mut self.said;
        let mut confirmation = Confirmation {
            places: &self.places,
            slots: &self.slots,
            hands: &mut self.hands,
            clock: &Clock::System,
            times,
            tell: &mut |line| said.push(line.to_owned()),
        };
        confirmation.run()
    }

    fn ledger(&self) -> Ledger {
        keep::read_ledger(&self.places.ledger)
    }

    fn calls(&self) -> Vec<&'static str> {
        self.slots.calls.take()
    }
}

#[test]
fn an_update_is_installed_started_and_confirmed() {
    let mut house = House::new();
    let order = house.file("new.raucb", &bundle("kafclaw-x", "0.3.0"));
    let ledger = house.driver(|driver| driver.install(order)).expect("installed");
    assert_eq!((ledger.phase, ledger.to_slot.as_str()), (Phase::AwaitingRestart, "B"));
    assert_eq!(ledger.backup.as_deref(), Some("/backups/before.db"));
    assert_eq!(house.calls(), ["install"]);
    let percents: Vec<(Phase, Option<u8>)> = house.told.iter().map(|told| (told.phase, told.percent)).collect();
    assert!(percents.contains(&(Phase::Fetching, Some(100))) && percents.contains(&(Phase::Installing, Some(20))));
    assert!(!house.places.progress().exists(), "what is over is not shown any more");
    let served = Desk::new(house.places.clone()).index().expect("other hubs may have it");
    assert_eq!((served.version.as_str(), served.kinds().as_str()), ("0.3.0", "kafclaw-x"));

    house.driver(|driver| driver.restart()).expect("restarts");
    assert_eq!(house.calls(), ["restart"]);
    house.runs("B");
    let ledger = house.confirm().expect("confirmed");
    assert_eq!((ledger.phase, ledger.past[0].outcome), (Phase::Confirmed, Outcome::Confirmed));
    assert_eq!(house.calls(), ["mark_good"]);
    let ledger = house.confirm().expect("each start proves itself again");
    assert_eq!((ledger.past.len(), house.calls()), (1, vec!["mark_good"]));
}

#[test]
fn a_system_that_is_not_well_is_given_up_and_the_reason_survives() {
    let mut house = House::new();
    let order = house.file("new.raucb", &bundle("kafclaw-x", "0.3.0"));
    house.driver(|driver| driver.install(order)).expect("installed");
    house.runs("B");
    house.counters("A_OK=1\nA_TRY=0");
    house.hands.troubles = vec!["the doors do not answer".to_owned()];
    house.confirm().expect("given up");
    assert_eq!(house.calls(), ["install", "mark_bad", "restart"]);
    house.runs("A");
    house.hands.troubles.clear();
    let ledger = house.confirm().expect("the old one is well");
    assert_eq!(ledger.phase, Phase::RolledBack);
    assert!(house.ledger().reason.is_some_and(|reason| reason.contains("the doors do not answer")));
    assert!(house.places.bundle_facts().exists());
    assert_eq!(Desk::new(house.places.clone()).served(), None, "what came back here is nothing for others");
}

/// What both systems share troubles both: leaving the one that was well before would mend nothing.
#[test]
fn a_system_that_was_well_before_stays_in_trouble_and_is_proved_by_one_look() {
    let mut house = House::new();
    house.confirm().expect("proved for the first time");
    assert_eq!(house.calls(), ["mark_good"]);
    house.hands.troubles = vec!["the broker's address is wrong".to_owned()];
    house.hands.looks_left = Some(3);
    // A minute is not waited for: the test would not end.
    let hour = Duration::from_secs(3600);
    let times = Times { steady: hour, patience: Duration::ZERO, pause: Duration::from_millis(1) };
    house.confirm_within(times).expect("well again");
    assert_eq!(house.calls(), ["mark_good"]);
    assert!(house.said.iter().any(|line| line.contains("It was well before, and stays.")), "{:?}", house.said);
    assert_eq!((house.ledger().phase, house.ledger().reason), (Phase::Idle, None));
}

/// Root's own hands begin in another folder than the house's user, who goes on after a power cut.
#[test]
fn a_beginning_by_other_hands_does_not_take_the_place_of_what_is_whole() {
    for (whole_by_root, folder) in [(false, "store"), (true, "incoming")] {
        let mut house = House::new();
        let whole = bundle("kafclaw-x", "0.3.0");
        let order = house.file("new.raucb", &whole);
        let (store, incoming) = (house.places.store.clone(), house.places.incoming.clone());
        let other = if whole_by_root { incoming } else { store.clone() };
        if whole_by_root {
            house.hands.fetching.folder = store;
        }
        fs::create_dir_all(&other).expect("made");
        let beginning = fetch::part(&other, &order.source);
        fs::write(&beginning, &whole[..whole.len() / 2]).expect("written");
        let ledger = house.driver(|driver| driver.install(order)).unwrap_or_else(|error| panic!("{folder}: {error}"));
        assert_eq!(ledger.phase, Phase::AwaitingRestart, "{folder}");
        assert!(!beginning.exists(), "{folder}");
    }
}

/// RAUC could mark nothing and install nothing, and a sick system would have had nowhere to go.
#[test]
fn counters_that_a_power_cut_has_torn_are_made_anew_for_the_slot_that_runs() {
    for torn in [&b""[..], &[0; 1024]] {
        let mut house = House::new();
        let order = house.file("new.raucb", &bundle("kafclaw-x", "0.3.0"));
        house.driver(|driver| driver.install(order)).expect("installed");
        house.runs("B");
        fs::write(&house.places.grubenv, torn).expect("written");
        house.hands.troubles = vec!["the doors do not answer".to_owned()];
        house.confirm().expect("given up");
        assert_eq!(house.calls(), ["install", "mark_bad", "restart"]);
        let block = fs::read_to_string(&house.places.grubenv).expect("text");
        assert!(block.len() == 1024 && block.contains("\nORDER=B A\nB_OK=1\nB_TRY=1\nA_OK=1\nA_TRY=0\n"), "{block}");
        assert_eq!(house.said.iter().filter(|line| line.contains("made anew")).count(), 1, "{:?}", house.said);
    }
}

#[test]
fn a_proof_that_cannot_be_noted_is_told_once() {
    let mut house = House::new();
    house.slots.fails = Some("mark_good");
    house.slots.fails_left = RefCell::new(Some(4));
    house.confirm().expect("noted after all");
    assert_eq!(house.calls().len(), 5);
    assert_eq!(house.said.iter().filter(|line| line.contains("could not be noted")).count(), 1, "{:?}", house.said);
}

#[test]
fn what_is_handed_on_has_not_failed_here() {
    let mut house = House::new();
    let desk = Desk::new(house.places.clone());
    let served = || desk.served().map(|served| served.facts.version);
    let order = house.file("new.raucb", &bundle("kafclaw-x", "0.3.0"));
    house.driver(|driver| driver.install(order)).expect("installed");
    house.runs("B");
    house.confirm().expect("confirmed");
    assert_eq!(served().as_deref(), Some("0.3.0"));
    // A download that breaks off says nothing about the bundle that is here.
    let order = Order { source: "http://127.0.0.1:1/x.raucb".to_owned(), ..Order::default() };
    house.driver(|driver| driver.install(order)).expect_err("nobody is there");
    assert_eq!(served().as_deref(), Some("0.3.0"));
    let order = house.file("other.raucb", &bundle("kafclaw-y", "0.4.0"));
    house.driver(|driver| driver.install(order)).expect_err("for another board");
    assert_eq!(served(), None);
    let order = house.file("worn.raucb", &bundle("kafclaw-x", "0.5.0"));
    house.slots.fails = Some("install");
    house.driver(|driver| driver.install(order.clone())).expect_err("it could not be written");
    assert_eq!(served(), None);
    house.slots.fails = None;
    house.driver(|driver| driver.install(order)).expect("installed");
    assert_eq!(served(), None, "not before it has proved itself after all");
    house.runs_version("A", "0.5.0");
    house.confirm().expect("confirmed");
    assert_eq!(served().as_deref(), Some("0.5.0"));
}

#[test]
fn every_no_is_a_sentence_and_changes_no_slot() {
    let check = |bytes: &[u8], order: &dyn Fn(Order) -> Order, part: &str| {
        let mut house = House::new();
        let order = order(house.file("new.raucb", bytes));
        let error = house.driver(|driver| driver.install(order)).expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
        assert_eq!((house.calls(), house.ledger().phase), (vec![], Phase::Failed));
        assert!(house.ledger().reason.is_some_and(|reason| reason.contains(part)));
    };
    let same = |order| order;
    check(&bundle("kafclaw-x", "0.1.0"), &same, "--downgrade");
    check(&bundle("kafclaw-y", "0.3.0"), &same, "this machine is kafclaw-x");
    check(&bundle("kafclaw-x", "unsigned"), &same, "has signed");
    check(&bundle("kafclaw-x", "0.3.0")[..20], &same, "cut off");
    check(b"PK a zip file, which is no update at all", &same, "is no update");
    check(b"", &|order| Order { source: "/nonexistent/new.raucb".to_owned(), ..order }, "could not read");
    check(b"", &|order| Order { source: "http://127.0.0.1:1/x.raucb".to_owned(), ..order }, "could not get the update");
}

#[test]
fn a_downgrade_that_is_wanted_is_done() {
    let mut house = House::new();
    let order = Order { downgrade: true, ..house.file("old.raucb", &bundle("kafclaw-x", "0.1.0")) };
    assert!(house.driver(|driver| driver.install(order)).is_ok());
}

#[test]
fn what_the_power_cut_is_gone_on_from() {
    for phase in [Phase::Fetching, Phase::Checking, Phase::BackingUp, Phase::Installing] {
        let mut house = House::new();
        let order = house.file("new.raucb", &bundle("kafclaw-x", "0.3.0"));
        house.driver(|driver| driver.install(order.clone())).expect("installed");
        // As if the power had been cut then: the bundle is in the store, or it has to be brought again.
        let ledger = Ledger { phase, ..house.ledger() };
        fs::write(&house.places.ledger, ledger.to_bytes()).expect("written");
        let ledger = house.driver(|driver| driver.apply()).expect("gone on from");
        assert_eq!(ledger.phase, Phase::AwaitingRestart, "{phase:?}");
        assert_eq!(house.calls(), ["install", "install"]);
    }
}

/// A stick that is pulled out takes its driver along.
#[test]
fn an_update_whose_driver_died_gives_way_to_the_next_one() {
    for phase in Phase::ALL.into_iter().filter(|phase| phase.is_working()) {
        let mut house = House::new();
        let ledger = Ledger { phase, to_slot: "B".to_owned(), ..Ledger::default() };
        fs::create_dir_all(house.places.ledger.parent().expect("a folder")).expect("made");
        fs::write(&house.places.ledger, ledger.to_bytes()).expect("written");
        let order = house.file("new.raucb", &bundle("kafclaw-x", "0.3.0"));
        let desk = Desk::new(house.places.clone());
        desk.ask(&Request::Install { order: order.clone() }).expect("nobody is at work");
        let ledger = house.driver(|driver| driver.apply()).expect("installed");
        assert_eq!((ledger.phase, house.calls()), (Phase::AwaitingRestart, vec!["install"]), "{phase:?}");
        // While somebody is at work, nobody else begins.
        fs::write(&house.places.ledger, Ledger { phase, ..ledger }.to_bytes()).expect("written");
        let _lock = keep::lock(&house.places.lock(), keep::Patience::None).expect("free");
        let said = desk.ask(&Request::Install { order }).expect_err("somebody is at work").to_string();
        assert!(said.contains("under way"), "{said}");
        assert_eq!(desk.view()["at_work"], true);
    }
}

#[test]
fn what_could_not_be_taken_back_waits_on_and_says_so() {
    for (fails, calls) in [("bar_other", vec!["bar_other"]), ("choose_this", vec!["bar_other", "choose_this"])] {
        let mut house = House::new();
        let order = house.file("new.raucb", &bundle("kafclaw-x", "0.3.0"));
        house.driver(|driver| driver.install(order)).expect("installed");
        house.calls();
        house.slots.fails = Some(fails);
        let said = house.driver(|driver| driver.roll_back()).expect_err("RAUC is busy").to_string();
        assert!(said.contains("worn out"), "{said}");
        assert_eq!((house.ledger().phase, house.calls()), (Phase::AwaitingRestart, calls));
        house.slots.fails = None;
        house.driver(|driver| driver.roll_back()).expect("taken back");
        assert_eq!((house.ledger().phase, house.ledger().past.len()), (Phase::RolledBack, 1));
    }
}

/// The power was cut when that was written down and the boot loader did not know yet.
#[test]
fn a_system_that_was_to_be_taken_back_is_left_at_once() {
    let mut house = House::new();
    let order = house.file("new.raucb", &bundle("kafclaw-x", "0.3.0"));
    house.driver(|driver| driver.install(order)).expect("installed");
    let ledger = Ledger { phase: Phase::TakingBack, ..house.ledger() };
    fs::write(&house.places.ledger, ledger.to_bytes()).expect("written");
    house.calls();
    house.runs("B");
    house.counters("A_OK=1\nA_TRY=0");
    house.driver(|driver| driver.apply()).expect("nothing for this one to do");
    house.confirm().expect("left");
    assert_eq!(house.calls(), ["mark_bad", "restart"]);
    house.runs("A");
    house.counters("B_OK=0\nB_TRY=0");
    assert_eq!(house.confirm().expect("well").phase, Phase::TakingBack);
    house.driver(|driver| driver.apply()).expect("ended");
    assert_eq!(house.calls(), ["mark_good", "bar_other", "choose_this"]);
    assert_eq!(house.ledger().phase, Phase::RolledBack);
}

#[test]
fn what_waits_for_a_restart_waits_on_when_the_next_order_comes_to_nothing() {
    let mut house = House::new();
    let order = house.file("new.raucb", &bundle("kafclaw-x", "0.3.0"));
    house.driver(|driver| driver.install(order)).expect("installed");
    let before = house.ledger();
    let (unsigned, foreign) = (bundle("kafclaw-x", "unsigned"), bundle("kafclaw-y", "0.4.0"));
    for (bytes, part) in [(unsigned, "has signed"), (foreign, "this machine is kafclaw-x")] {
        let order = house.file("other.raucb", &bytes);
        let said = house.driver(|driver| driver.install(order)).expect_err(part).to_string();
        assert!(said.contains(part), "{said}");
        let ledger = house.ledger();
        assert_eq!((ledger.phase, &ledger.bundle), (Phase::AwaitingRestart, &before.bundle));
        assert_eq!((&ledger.to_slot, &ledger.from_version), (&before.to_slot, &before.from_version));
        assert_eq!((ledger.past[0].outcome, ledger.reason), (Outcome::Failed, ledger.past[0].reason.clone()));
    }
    let order = Order { only_newer: true, ..house.file("same.raucb", &bundle("kafclaw-x", "0.2.0")) };
    house.driver(|driver| driver.install(order)).expect_err("it runs already");
    assert_eq!((house.ledger().phase, &house.ledger().bundle), (Phase::AwaitingRestart, &before.bundle));
    assert_eq!(house.calls(), ["install"]);
    house.runs("B");
    let ledger = house.confirm().expect("confirmed");
    let past = &ledger.past[0];
    assert_eq!((ledger.phase, past.version.as_str(), past.outcome), (Phase::Confirmed, "0.3.0", Outcome::Confirmed));
}

/// A stick that stays in the machine is looked at before anybody has noted its start.
#[test]
fn an_update_that_comes_before_its_start_was_noted_waits_all_the_same() {
    let mut house = House::new();
    let order = house.file("new.raucb", &bundle("kafclaw-x", "0.3.0"));
    house.driver(|driver| driver.install(order)).expect("installed");
    assert_eq!(house.confirm().expect("proved").phase, Phase::AwaitingRestart);
    assert_eq!(house.ledger().untried_slot, "B");
}

#[test]
fn a_system_proves_itself_while_somebody_else_is_at_work() {
    let mut house = House::new();
    house.hands.lock = Some(keep::lock(&house.places.lock(), keep::Patience::None).expect("free"));
    house.hands.troubles = vec!["the doors do not answer".to_owned()];
    house.hands.looks_left = Some(3);
    let hour = Duration::from_secs(3600);
    let times = Times { steady: Duration::ZERO, patience: hour, pause: Duration::from_millis(1) };
    let ledger = house.confirm_within(times).expect("proved in the end");
    assert_eq!((ledger.proved_slot.as_str(), house.calls()), ("A", vec!["mark_good"]));
    assert!(house.said.iter().any(|line| line.contains("could not be noted yet")), "{:?}", house.said);
}

#[test]
fn a_sick_system_is_given_up_although_the_ledger_cannot_be_written() {
    let mut house = House::new();
    let order = house.file("new.raucb", &bundle("kafclaw-x", "0.3.0"));
    house.driver(|driver| driver.install(order)).expect("installed");
    house.calls();
    house.runs("B");
    house.counters("A_OK=1\nA_TRY=0");
    house.hands.troubles = vec!["the doors do not answer".to_owned()];
    // What is written there first cannot be.
    fs::create_dir(house.places.ledger.with_extension("json.new")).expect("made");
    house.confirm().expect_err("it could not be written down");
    assert_eq!(house.calls(), ["mark_bad", "restart"]);
}

/// Or the next night would bring it back.
#[test]
fn what_somebody_went_back_from_is_remembered_whatever_was_asked_for_and_failed() {
    let mut house = House::new();
    let order = house.file("new.raucb", &bundle("kafclaw-x", "0.3.0"));
    house.driver(|driver| driver.install(order)).expect("installed");
    house.runs("B");
    house.confirm().expect("confirmed");
    house.counters("A_OK=1\nA_TRY=0");
    let order = house.file("old.raucb", &bundle("kafclaw-x", "0.2.0"));
    house.driver(|driver| driver.install(order)).expect_err("a downgrade");
    house.driver(|driver| driver.roll_back()).expect("goes back");
    house.runs("A");
    house.confirm().expect("back");
    let gone = |ledger: Ledger| {
        let mut gone = ledger.past.into_iter().filter(|past| past.outcome == Outcome::RolledBack);
        gone.next().map(|past| past.version)
    };
    assert_eq!(gone(house.ledger()).as_deref(), Some("0.3.0"));
    for _ in 0..12 {
        let order = Order { source: "http://127.0.0.1:1/x.raucb".to_owned(), ..Order::default() };
        house.driver(|driver| driver.install(order)).expect_err("nobody is there");
    }
    assert_eq!(gone(house.ledger()).as_deref(), Some("0.3.0"));
    assert_eq!(Desk::new(house.places.clone()).served(), None);
}

/// Over a line that would take for ever.
#[test]
fn an_update_on_its_way_is_called_off() {
    let mut house = House::new();
    house.hands.fetching.places = Some(house.places.clone());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let source = format!("http://{}/new.raucb", listener.local_addr().expect("an address"));
    let desk = Desk::new(house.places.clone());
    let server = thread::spawn(move || {
        let (mut door, _) = listener.accept().expect("somebody");
        let _ = door.read(&mut [0; 4096]);
        let _ = door.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
        let mut asked = None;
        while door.write_all(&[7; 65_536]).is_ok() {
            if asked.is_none() && desk.is_at_work() {
                let is_coming = desk.view()["coming"] == true;
                asked = Some(is_coming && desk.ask(&Request::Rollback).is_ok());
            }
        }
        asked
    });
    let order = Order { source, ..Order::default() };
    Desk::new(house.places.clone()).ask(&Request::Install { order }).expect("asked");
    let said = house.driver(|driver| driver.apply()).expect_err("called off").to_string();
    assert!(said.contains("called off"), "{said}");
    assert_eq!(server.join().expect("a server"), Some(true));
    assert_eq!((house.ledger().phase, house.ledger().past.len(), house.calls()), (Phase::Idle, 0, vec![]));
    assert!(!house.places.request().exists());
    let view = Desk::new(house.places.clone()).view();
    assert_eq!(view["coming"], false);
    assert!(view["progress"]["refused"].as_str().is_some_and(|said| said.contains("called off")), "{view}");
    // Nothing of it is left for the next start.
    house.driver(|driver| driver.apply()).expect("nothing to do");
    assert_eq!(house.calls(), [""; 0]);
}

#[test]
fn a_slot_that_cannot_be_written_is_told() {
    let mut house = House::new();
    house.slots.fails = Some("install");
    let order = house.file("new.raucb", &bundle("kafclaw-x", "0.3.0"));
    let error = house.driver(|driver| driver.install(order)).expect_err("worn out").to_string();
    assert!(error.contains("the disk is worn out") && error.contains("journalctl -u rauc"), "{error}");
}

#[test]
fn nobody_writes_over_the_other_slot_before_this_one_has_proved_itself() {
    let mut house = House::new();
    fs::remove_file(house.places.proved()).expect("removed");
    let order = house.file("new.raucb", &bundle("kafclaw-x", "0.3.0"));
    let error = house.driver(|driver| driver.install(order.clone())).expect_err("too early").to_string();
    assert!(error.contains("proving itself"), "{error}");
    // Nothing is lost where the other one is no good.
    house.counters("B_OK=0\nB_TRY=0");
    assert!(house.driver(|driver| driver.install(order)).is_ok());
}

#[test]
fn a_password_in_an_address_is_written_nowhere() {
    let mut house = House::new();
    let order = Order { source: "https://anna:geheim7@x.org/new.raucb".to_owned(), ..Order::default() };
    let before = house.ledger();
    let said = house.driver(|driver| driver.install(order.clone())).expect_err("a password").to_string();
    let asked = Desk::new(house.places.clone()).ask(&Request::Install { order }).expect_err("a password").to_string();
    assert!(said == asked && said.contains("without a password") && !said.contains("geheim7"), "{said}, {asked}");
    assert!(house.ledger() == before && !house.places.request().exists());
}

#[test]
fn a_machine_without_slots_says_so() {
    let mut house = House::new();
    fs::remove_file(&house.places.rauc_config).expect("removed");
    let error = house.driver(|driver| driver.install(Order::default())).expect_err("no RAUC").to_string();
    assert!(error.contains("no second system"), "{error}");
    let desk = Desk::new(house.places.clone());
    assert_eq!(desk.view()["supported"], false);
    assert!(desk.ask(&Request::Restart).is_err());
}

#[test]
fn what_the_gateway_asks_for_is_done_once() {
    let mut house = House::new();
    let desk = Desk::new(house.places.clone());
    let order = house.file("new.raucb", &bundle("kafclaw-x", "0.3.0"));
    desk.ask(&Request::Install { order: order.clone() }).expect("asked");
    assert!(desk.ask(&Request::Install { order }).expect_err("twice").to_string().contains("under way"));
    assert_eq!(desk.view()["requested"], true);
    house.driver(|driver| driver.apply()).expect("done");
    assert_eq!(house.calls(), ["install"]);
    house.driver(|driver| driver.apply()).expect("nothing left");
    assert_eq!(house.calls(), [""; 0]);
    let view = desk.view();
    assert_eq!((&view["phase"], &view["bundle"]["version"]), (&"awaiting_restart".into(), &"0.3.0".into()));
    desk.ask(&Request::Restart).expect("asked");
    house.driver(|driver| driver.apply()).expect("restarts");
    assert_eq!(house.calls(), ["restart"]);
    desk.ask(&Request::Rollback).expect("asked");
    house.driver(|driver| driver.apply()).expect("taken back");
    assert_eq!((house.calls(), house.ledger().phase), (vec!["bar_other", "choose_this"], Phase::RolledBack));
    assert!(desk.ask(&Request::Restart).expect_err("nothing waits").to_string().contains("install one first"));
    house.counters("B_OK=0\nB_TRY=0");
    let said = house.driver(|driver| driver.roll_back()).expect_err("what was refused is not started").to_string();
    assert!(said.contains("nothing to go back to"), "{said}");
    house.counters("B_OK=1\nB_TRY=0");
    desk.ask(&Request::Rollback).expect("asked");
    house.driver(|driver| driver.apply()).expect("to the other one");
    assert_eq!((house.calls(), house.ledger().phase), (vec!["choose_other", "restart"], Phase::GoingBack));
    house.runs("B");
    assert_eq!(house.confirm().expect("there").phase, Phase::RolledBack);
}
