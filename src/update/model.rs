//! The ledger against a model of a machine: two slots, a boot loader that counts, and a power supply that may fail between any two
//! steps. Whatever happens, the machine ends in a system that works, and the ledger tells the truth about it.

use proptest::prelude::*;

use crate::base::clock::Timestamp;
use crate::update::ledger::{Bundle, Ledger, Order, Outcome, Phase};
use crate::update::machine::{Fact, Step};
use crate::update::port::{Here, Standing};

const NOW: Timestamp = Timestamp::from_millis(1_000_000_000_000);
const TRIES_MAX: u8 = 3;
/// Steps in which everything must have come to rest.
const STEPS_MAX: usize = 200;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Health {
    Well,
    /// It starts and never passes its checks.
    Sick,
    /// Its kernel panics.
    Dead,
    /// Half written.
    Torn,
}

/// What happens at a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Luck {
    Good,
    /// The power is cut before the step, and before what it led to was written.
    CutBefore,
    /// The step was taken, and the power is cut before that was written.
    CutAfter,
    /// The step fails.
    Fails,
    /// The power is cut, or the step fails, before RAUC has touched the other slot.
    CutUntouched,
    FailsUntouched,
    /// The driver dies before the step was taken; the machine goes on.
    DiesBefore,
    /// The driver dies while the step is taken by others, who end it: RAUC goes on with what it was told.
    DiesAfter,
}

/// How long a start of the machine lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lasts {
    /// The power is cut before anybody has looked at its health.
    Blink,
    /// As long as one look takes, which is less than what an update has to show.
    Look,
    Long,
}

struct World {
    /// On the disk.
    ledger: Ledger,
    /// Something that both systems share is wrong: the configuration, the disk.
    is_troubled: bool,
    slots: [Health; 2],
    versions: [&'static str; 2],
    allowed: [bool; 2],
    tries: [u8; 2],
    first: usize,
    booted: usize,
    coming: Health,
    /// What comes is for another board.
    is_foreign: bool,
    /// What comes.
    version: &'static str,
    installs: usize,
}

impl World {
    fn new(coming: Health) -> Self {
        Self {
            ledger: Ledger::default(),
            is_troubled: false,
            slots: [Health::Well, Health::Torn],
            versions: ["0.1.0", ""],
            allowed: [true, false],
            tries: [0; 2],
            first: 0,
            booted: 0,
            coming,
            is_foreign: false,
            version: "0.2.0",
            installs: 0,
        }
    }

    fn here(&self) -> Here {
        let other = 1 - self.booted;
        Here {
            compatible: "x".to_owned(),
            version: self.versions[self.booted].to_owned(),
            slot: name(self.booted),
            other_slot: name(other),
            other: match (self.allowed[other], self.tries[other]) {
                (false, _) => Standing::Barred,
                (true, TRIES_MAX) => Standing::Spent,
                (true, _) => Standing::Ready,
            },
        }
    }

    /// As `image/grub/grub.cfg` does it.
    fn boot(&mut self) {
        loop {
            let order = [self.first, 1 - self.first];
            let found = order.into_iter().find(|slot| self.allowed[*slot] && self.tries[*slot] < TRIES_MAX);
            let Some(slot) = found else {
                self.allowed = [true; 2];
                self.tries = [0; 2];
                continue;
            };
            self.tries[slot] += 1;
            assert!(self.slots[slot] != Health::Torn, "a half-written slot is started");
            if self.slots[slot] != Health::Dead {
                self.booted = slot;
                return;
            }
        }
    }

    /// From the start of the machine to the next step that is left to do.
    fn start(&mut self) -> Step {
        loop {
            if let Some(step) = self.start_once(Lasts::Long) {
                return step;
            }
        }
    }

    /// As `Confirmation` does it. None when the machine starts anew.
    fn start_once(&mut self, lasts: Lasts) -> Option<Step> {
        self.boot();
        if lasts == Lasts::Blink {
            return None;
        }
        let here = self.here();
        let step = self.ledger.next(Fact::Started(here.clone()), NOW);
        if step == Step::Abandon {
            // Who resumes now would take the wrong one back.
            assert_eq!(self.ledger.clone().next(Fact::Resumed(here), NOW), Step::Rest);
            self.allowed[self.booted] = false;
            return None;
        }
        assert_eq!(step, Step::Watch);
        if self.slots[self.booted] == Health::Well && !self.is_troubled {
            if lasts == Lasts::Look && !self.ledger.has_proved(&here.slot) {
                return None;
            }
            self.tries[self.booted] = 0;
            self.allowed[self.booted] = true;
            self.ledger.next(Fact::Proved(here.clone()), NOW);
            return Some(self.ledger.next(Fact::Resumed(here), NOW));
        }
        if lasts == Lasts::Look {
            return None;
        }
        if here.other != Standing::Ready {
            assert!(self.is_troubled, "a sick system with nowhere to go");
            return Some(Step::Rest);
        }
        match self.ledger.next(Fact::Despaired("the doors are shut".to_owned(), here), NOW) {
            Step::Watch => return Some(Step::Rest),
            Step::Abandon => self.allowed[self.booted] = false,
            step => assert_eq!(step, Step::Restart),
        }
        None
    }

    /// What a step does to the machine; the fact that comes of it.
    fn take(&mut self, step: &Step) -> Option<Fact> {
        let other = 1 - self.booted;
        match step {
            Step::Fetch => Some(Fact::Fetched),
            Step::Check => {
                let compatible = if self.is_foreign { "y" } else { "x" }.to_owned();
                let version = self.version.to_owned();
                let bundle = Bundle { compatible, version, ..Bundle::default() };
                Some(Fact::Checked(bundle, self.here()))
            }
            Step::BackUp => Some(Fact::BackedUp(None)),
            Step::Install => {
                assert_eq!(self.slots[self.booted], Health::Well, "an update over the only system that works");
                self.installs += 1;
                (self.slots[other], self.versions[other]) = (self.coming, self.version);
                (self.allowed[other], self.tries[other], self.first) = (true, 0, other);
                Some(Fact::Installed)
            }
            Step::SwitchOver => {
                (self.allowed[other], self.tries[other], self.first) = (true, 0, other);
                None
            }
            Step::Stay => {
                self.allowed[other] = false;
                self.first = self.booted;
                Some(Fact::Stayed)
            }
            _ => None,
        }
    }

    /// An interrupted write leaves half a system, which RAUC has forbidden before.
    fn tear(&mut self, step: &Step) {
        if *step == Step::Install {
            let other = 1 - self.booted;
            self.slots[other] = Health::Torn;
            self.allowed[other] = false;
        }
    }

    fn run(&mut self, first: Fact, luck: &[Luck]) {
        let mut luck = luck.iter().copied();
        let mut step = self.ledger.next(first, NOW);
        for _ in 0..STEPS_MAX {
            step = match (luck.next().unwrap_or(Luck::Good), step) {
                (_, Step::Rest | Step::Refuse(_)) => return,
                (_, Step::Restart) => self.start(),
                (Luck::CutBefore, step) => {
                    self.tear(&step);
                    self.start()
                }
                (Luck::CutAfter, step) => {
                    self.take(&step);
                    self.start()
                }
                (Luck::CutUntouched, _) => self.start(),
                (luck @ (Luck::Fails | Luck::FailsUntouched), step) => {
                    if luck == Luck::Fails {
                        self.tear(&step);
                    }
                    self.ledger.next(Fact::Broke("it did not work".to_owned(), self.here()), NOW)
                }
                (Luck::DiesBefore, step) => {
                    self.tear(&step);
                    return;
                }
                (Luck::DiesAfter, step) => {
                    self.take(&step);
                    return;
                }
                (Luck::Good, step) => match self.take(&step) {
                    Some(fact) => self.ledger.next(fact, NOW),
                    None => self.start(),
                },
            };
            // What another program reads is what was meant.
            assert_eq!(Ledger::parse(&self.ledger.to_bytes()), self.ledger);
        }
        panic!("it never comes to rest: {:?}", self.ledger);
    }

    fn check(&self) {
        assert_eq!(self.slots[self.booted], Health::Well, "{:?}", self.ledger);
        match self.ledger.phase {
            Phase::Confirmed => {
                assert_eq!(self.coming, Health::Well);
                let told = &self.ledger.past[0];
                assert_eq!((told.outcome, told.version.as_str()), (Outcome::Confirmed, self.versions[self.booted]));
            }
            Phase::RolledBack | Phase::Failed => {
                assert!(self.ledger.reason.as_ref().is_some_and(|reason| !reason.is_empty()));
            }
            Phase::AwaitingRestart => assert_eq!(self.slots[1 - self.booted], self.coming),
            _ => {}
        }
        if self.ledger.phase == Phase::Failed {
            let is_next = self.first != self.booted && self.here().other == Standing::Ready;
            assert!(!is_next, "another system is started next than the ledger says: {:?}", self.ledger);
        }
        let last = self.ledger.past.first().filter(|_| self.ledger.phase == Phase::RolledBack);
        if last.and_then(|past| past.reason.as_deref()).is_some_and(|reason| reason.contains("before it was started")) {
            assert_ne!(self.here().other, Standing::Ready, "what was taken back would be started: {:?}", self.ledger);
            assert!(self.first == self.booted || !self.allowed[1 - self.booted]);
        }
        let outcomes = self.ledger.past.iter().filter(|past| past.outcome == Outcome::Confirmed).count();
        assert!(outcomes <= self.installs, "{:?}", self.ledger);
    }
}

fn name(slot: usize) -> String {
    ["A", "B"][slot].to_owned()
}

fn order(restart: bool) -> Fact {
    Fact::Asked(Order { source: "/x.raucb".to_owned(), restart, ..Order::default() })
}

fn luck() -> impl Strategy<Value = Vec<Luck>> {
    let one = prop_oneof![
        6 => Just(Luck::Good), 1 => Just(Luck::CutBefore), 1 => Just(Luck::CutAfter), 1 => Just(Luck::Fails),
        1 => Just(Luck::DiesBefore), 1 => Just(Luck::DiesAfter), 1 => Just(Luck::CutUntouched), 1 => Just(Luck::FailsUntouched),
    ];
    proptest::collection::vec(one, 0..12)
}

proptest! {
    #[test]
    fn an_update_ends_in_a_system_that_works(coming in prop_oneof![Just(Health::Well), Just(Health::Sick), Just(Health::Dead)],
        restart in any::<bool>(), first in luck(), second in luck(), goes_back in any::<bool>()) {
        let mut world = World::new(coming);
        world.run(order(restart), &first);
        world.check();
        world.run(Fact::RestartAsked, &second);
        world.check();
        if goes_back {
            let here = world.here();
            world.run(Fact::RollbackAsked(here), &second);
            world.check();
        }
        // Where the driver died on the way to the other slot, somebody asks again.
        if world.ledger.phase == Phase::GoingBack {
            let here = world.here();
            world.run(Fact::RollbackAsked(here), &[]);
            world.check();
        }
        // However it ended, the next one is not refused, and the machine comes to rest.
        world.run(order(true), &[]);
        world.check();
        prop_assert!(!world.ledger.phase.is_working(), "{:?}", world.ledger);
        prop_assert_eq!(world.ledger.past.first().map(|past| past.version.as_str()), Some("0.2.0"));
    }
}

fn lasts() -> impl Strategy<Value = Lasts> {
    prop_oneof![1 => Just(Lasts::Blink), 2 => Just(Lasts::Look), 1 => Just(Lasts::Long)]
}

proptest! {
    #[test]
    fn a_system_that_was_well_keeps_its_home(starts in proptest::collection::vec((lasts(), any::<bool>()), 1..40)) {
        let mut world = World::new(Health::Well);
        world.run(order(true), &[]);
        prop_assert_eq!((world.ledger.phase, world.booted), (Phase::Confirmed, 1));
        let mut unproved = 0;
        for (lasts, is_troubled) in starts {
            world.is_troubled = is_troubled;
            world.start_once(lasts);
            if unproved == TRIES_MAX {
                break;
            }
            prop_assert_eq!(world.booted, 1, "one look that finds it well is enough");
            prop_assert_eq!(world.ledger.phase, Phase::Confirmed);
            unproved = if lasts == Lasts::Blink || is_troubled { unproved + 1 } else { 0 };
        }
        world.is_troubled = false;
        world.start();
        world.check();
        // Where the boot loader had to leave it, somebody may go back.
        if world.booted == 0 {
            prop_assert_eq!(world.ledger.phase, Phase::RolledBack);
            let here = world.here();
            world.run(Fact::RollbackAsked(here), &[]);
            prop_assert_eq!(world.booted, 1);
            world.check();
        }
    }
}

#[test]
fn trouble_that_both_systems_share_changes_no_slot() {
    let mut world = World::new(Health::Well);
    world.run(order(true), &[]);
    world.is_troubled = true;
    let told = world.ledger.clone();
    assert_eq!(world.start_once(Lasts::Long), Some(Step::Rest));
    assert_eq!((world.booted, &world.ledger), (1, &told));
}

proptest! {
    /// Whatever is cut, breaks or dies: what was taken back is never started, and asking twice does not start it either.
    #[test]
    fn what_waits_is_taken_back_for_good(coming in prop_oneof![Just(Health::Well), Just(Health::Sick), Just(Health::Dead)],
        asks in proptest::collection::vec(luck(), 1..4)) {
        let mut world = World::new(coming);
        world.run(order(false), &[]);
        prop_assert_eq!(world.ledger.phase, Phase::AwaitingRestart);
        for luck in asks {
            let here = world.here();
            world.run(Fact::RollbackAsked(here), &luck);
            world.check();
            prop_assert_eq!(world.booted, 0, "{:?}", world.ledger);
        }
        let here = world.here();
        world.run(Fact::RollbackAsked(here), &[]);
        world.start();
        world.check();
        prop_assert_eq!((world.booted, world.ledger.phase), (0, Phase::RolledBack));
    }
}

proptest! {
    #[test]
    fn what_waits_waits_on_until_it_is_written_over(coming in prop_oneof![Just(Health::Well), Just(Health::Sick), Just(Health::Dead)],
        is_foreign in any::<bool>(), asks in proptest::collection::vec(luck(), 1..4)) {
        let mut world = World::new(coming);
        world.run(order(false), &[]);
        prop_assert_eq!(world.ledger.phase, Phase::AwaitingRestart);
        world.is_foreign = is_foreign;
        world.version = "0.3.0";
        let had_luck = asks.iter().flatten().all(|luck| *luck == Luck::Good);
        for luck in asks {
            world.run(order(false), &luck);
            world.check();
        }
        prop_assert!(!had_luck || world.ledger.phase == Phase::AwaitingRestart, "{:?}", world.ledger);
        let (waits, before) = (world.ledger.phase == Phase::AwaitingRestart, world.booted);
        world.run(Fact::RestartAsked, &[]);
        world.check();
        if waits {
            prop_assert_eq!(world.ledger.phase, if coming == Health::Well { Phase::Confirmed } else { Phase::RolledBack });
            prop_assert_eq!(world.booted != before, coming == Health::Well);
        }
    }
}

proptest! {
    /// Whatever its driver died of and wherever: nothing of it is gone on with or started.
    #[test]
    fn what_lost_its_driver_can_be_called_off(coming in prop_oneof![Just(Health::Well), Just(Health::Sick), Just(Health::Dead)],
        waits in any::<bool>(), luck in luck()) {
        let mut world = World::new(coming);
        if waits {
            world.run(order(false), &[]);
        }
        world.run(order(false), &luck);
        let phase = world.ledger.phase;
        if !phase.is_working() || world.booted != 0 {
            return Ok(());
        }
        let here = world.here();
        world.run(Fact::RollbackAsked(here), &[]);
        world.check();
        let installs = world.installs;
        // What waited before waits on, and can be taken back too.
        if world.ledger.phase == Phase::AwaitingRestart {
            prop_assert!(waits && phase.is_coming());
            let here = world.here();
            world.run(Fact::RollbackAsked(here), &[]);
        }
        world.start();
        world.check();
        prop_assert!(!world.ledger.phase.is_working() && world.ledger.phase != Phase::GoingBack, "{:?}", world.ledger);
        prop_assert_eq!((world.booted, world.installs), (0, installs));
    }
}

#[test]
fn a_good_update_is_confirmed_and_a_bad_one_comes_back_with_its_reason() {
    let check = |coming: Health, phase: Phase, part: &str| {
        let mut world = World::new(coming);
        world.run(order(false), &[]);
        assert_eq!(world.ledger.phase, Phase::AwaitingRestart);
        world.run(Fact::RestartAsked, &[]);
        assert_eq!(world.ledger.phase, phase);
        let reason = world.ledger.reason.clone().unwrap_or_default();
        assert!(reason.contains(part), "{reason}");
        assert_eq!(world.ledger.past[0].version, "0.2.0");
    };
    check(Health::Well, Phase::Confirmed, "");
    check(Health::Sick, Phase::RolledBack, "doors are shut");
    check(Health::Dead, Phase::RolledBack, "did not start");
}

#[test]
fn whoever_asks_at_the_wrong_time_is_told() {
    let refusal = |ledger: &mut Ledger, fact: Fact| match ledger.next(fact, NOW) {
        Step::Refuse(refusal) => refusal.to_string(),
        step => panic!("{step:?}"),
    };
    let here = World::new(Health::Well).here();
    // Whoever is at work holds the lock; so whoever asks finds what a driver left that died.
    for phase in Phase::ALL.into_iter().filter(|phase| phase.is_working()) {
        let mut ledger = Ledger { phase, ..Ledger::default() };
        assert_eq!(ledger.next(order(false), NOW), Step::Fetch);
        assert_eq!(ledger.order.map(|order| order.source).as_deref(), Some("/x.raucb"));
    }
    let mut ledger = Ledger { phase: Phase::Confirming, ..Ledger::default() };
    assert!(refusal(&mut ledger, order(false)).contains("proving itself"));
    let mut ledger = Ledger::default();
    assert!(refusal(&mut ledger, Fact::RestartAsked).contains("install one first"));
    assert!(refusal(&mut ledger, Fact::RollbackAsked(here)).contains("nothing to go back to"));
}

#[test]
fn a_confirmed_system_that_stops_starting_is_told_once() {
    let mut world = World::new(Health::Well);
    world.run(order(true), &[]);
    assert_eq!((world.ledger.phase, world.booted), (Phase::Confirmed, 1));
    world.slots[1] = Health::Dead;
    world.start();
    assert_eq!((world.ledger.phase, world.booted), (Phase::RolledBack, 0));
    assert!(world.ledger.reason.as_ref().is_some_and(|reason| reason.contains("slot B")));
    let told = world.ledger.clone();
    world.start();
    assert_eq!(world.ledger.past, told.past);
}

#[test]
fn a_slot_that_somebody_chose_by_hand_is_nothing_to_tell() {
    let mut world = World::new(Health::Well);
    world.start();
    // As `rauc install` does it.
    (world.slots[1], world.allowed[1], world.first) = (Health::Well, true, 1);
    world.start();
    assert_eq!((world.ledger.phase, world.booted, world.ledger.past.len()), (Phase::Idle, 1, 0));
}
