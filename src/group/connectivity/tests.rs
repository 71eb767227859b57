//! The machine: its ways one by one, and any sequence of facts with what must hold in all of them.

use std::time::Duration;

use proptest::prelude::*;

use super::state::Moment;
use super::{Action, Config, Fact, Machine, State};

const SECOND: Duration = Duration::from_secs(1);

fn machine() -> Machine {
    Machine::new(Config::default(), 7, 42)
}

/// Up to the first announcement.
fn joining() -> Machine {
    let mut machine = machine();
    assert_eq!(machine.next(Fact::Configured, SECOND), [Action::StartProbe { number: 1 }]);
    let actions = machine.next(Fact::ProbePassed { number: 1 }, SECOND);
    assert_eq!(actions, [Action::CreateClient, Action::AnnounceJoin { epoch: 8 }]);
    machine
}

fn online() -> Machine {
    let mut machine = joining();
    assert_eq!(machine.next(Fact::Joined { epoch: 8 }, 2 * SECOND), []);
    assert_eq!(machine.state(), State::Online { epoch: 8 });
    machine
}

#[test]
fn without_a_group_nothing_is_waited_for_and_nothing_is_done() {
    let mut machine = machine();
    for fact in [Fact::NetworkCame, Fact::TimeCame, Fact::ConnectionLost, Fact::Joined { epoch: 7 }, Fact::Leave] {
        assert_eq!(machine.next(fact, SECOND), []);
        assert_eq!(machine.timer(), None);
    }
}

#[test]
fn probes_that_fail_are_repeated_for_ever_with_growing_waits() {
    let mut machine = machine();
    machine.next(Fact::Configured, Duration::ZERO);
    let mut now = Duration::ZERO;
    for number in 1..1_000 {
        assert_eq!(machine.next(Fact::ProbeFailed { number, is_lasting: false }, now), []);
        let at = machine.timer().expect("another probe");
        assert!(at - now <= Config::default().probe_wait_max);
        assert!(number < 6 || at - now >= Config::default().probe_wait_max / 2);
        now = at;
        assert_eq!(machine.next(Fact::TimeCame, now), [Action::StartProbe { number: number + 1 }]);
    }
}

#[test]
fn a_wrong_password_is_tried_rarely_until_the_network_changes() {
    let mut machine = machine();
    machine.next(Fact::Configured, Duration::ZERO);
    machine.next(Fact::ProbeFailed { number: 1, is_lasting: true }, SECOND);
    assert!(machine.timer().expect("another probe") > Config::default().lasting_wait / 2);
    machine.next(Fact::NetworkCame, 2 * SECOND);
    assert_eq!(machine.timer(), Some(2 * SECOND + Config::default().settle));
}

#[test]
fn a_client_that_lost_its_way_is_made_anew_when_the_network_comes_back() {
    let mut machine = online();
    assert_eq!(machine.next(Fact::NetworkCame, 3 * SECOND), [], "another network is no reason");
    assert_eq!(machine.next(Fact::ConnectionLost, 4 * SECOND), [Action::AnnounceJoin { epoch: 9 }]);
    assert_eq!(machine.next(Fact::NetworkCame, 9 * SECOND), [Action::DestroyClient]);
    assert_eq!(machine.timer(), Some(9 * SECOND + Config::default().settle));
    assert_eq!(machine.next(Fact::NetworkCame, 9 * SECOND), []);
    assert_eq!(machine.next(Fact::TimeCame, 10 * SECOND), [Action::StartProbe { number: 2 }]);
    assert_eq!(joining().next(Fact::NetworkCame, 2 * SECOND), [], "a new client has not lost anything");
}

#[test]
fn a_network_that_changes_during_a_probe_is_probed_again_soon() {
    let mut machine = machine();
    machine.next(Fact::Configured, Duration::ZERO);
    machine.next(Fact::NetworkCame, SECOND);
    machine.next(Fact::ProbeFailed { number: 1, is_lasting: false }, 2 * SECOND);
    assert_eq!(machine.timer(), Some(2 * SECOND + Config::default().settle));
}

#[test]
fn a_probe_that_says_nothing_has_failed_and_its_late_word_does_not_count() {
    let mut machine = machine();
    machine.next(Fact::Configured, Duration::ZERO);
    assert_eq!(machine.next(Fact::TimeCame, Config::default().probe_max), []);
    assert_eq!(machine.next(Fact::ProbePassed { number: 1 }, Config::default().probe_max), []);
    assert!(!machine.state().has_client());
}

#[test]
fn a_lost_connection_is_announced_anew_and_given_up_after_a_while() {
    let mut machine = online();
    assert!(machine.health().can_speak);
    assert_eq!(machine.next(Fact::ConnectionLost, 5 * SECOND), [Action::AnnounceJoin { epoch: 9 }]);
    assert!(!machine.health().can_speak);
    // Of before the loss.
    machine.next(Fact::Joined { epoch: 8 }, 6 * SECOND);
    assert!(matches!(machine.state(), State::Joining { epoch: 9, .. }));
    let deadline = 5 * SECOND + Config::default().offline_after;
    assert_eq!(machine.timer(), Some(deadline));
    assert_eq!(machine.next(Fact::TimeCame, deadline), [Action::DestroyClient]);
    assert!(machine.timer().is_some());
}

#[test]
fn a_refused_announcement_is_repeated_for_ever_with_new_epochs() {
    let mut machine = joining();
    let mut now = SECOND;
    for epoch in 8..500 {
        assert_eq!(machine.next(Fact::JoinFailed { epoch }, now), []);
        now = machine.timer().expect("another announcement");
        assert_eq!(machine.next(Fact::TimeCame, now), [Action::AnnounceJoin { epoch: epoch + 1 }]);
    }
}

#[test]
fn leaving_lets_what_is_on_its_way_arrive_and_says_farewell() {
    let mut machine = online();
    assert_eq!(machine.next(Fact::Leave, 3 * SECOND), [Action::Drain]);
    assert_eq!(machine.next(Fact::Drained, 3 * SECOND), [Action::AnnounceLeave { epoch: 8 }]);
    assert_eq!(machine.next(Fact::Left, 3 * SECOND), [Action::DestroyClient]);
    assert_eq!((machine.state(), machine.timer()), (State::Offline { probe_at: None }, None));
    assert_eq!(machine.next(Fact::Configured, 4 * SECOND), [Action::StartProbe { number: 2 }]);
}

#[test]
fn who_joins_again_while_leaving_is_probed_for_at_once_when_that_is_over() {
    let mut machine = online();
    machine.next(Fact::Leave, 3 * SECOND);
    assert_eq!(machine.next(Fact::Configured, 3 * SECOND), []);
    machine.next(Fact::Drained, 3 * SECOND);
    assert_eq!(machine.next(Fact::Left, 3 * SECOND), [Action::DestroyClient]);
    assert_eq!(machine.timer(), Some(3 * SECOND));
}

#[test]
fn a_house_that_closes_does_not_wait_for_a_silent_broker() {
    let mut machine = online();
    machine.next(Fact::Shutdown, 3 * SECOND);
    let drained = machine.timer().expect("a deadline");
    assert_eq!(machine.next(Fact::TimeCame, drained), [Action::AnnounceLeave { epoch: 8 }]);
    let left = machine.timer().expect("a deadline");
    assert!(left - 3 * SECOND < crate::base::limits::DRAIN_MAX);
    assert_eq!(machine.next(Fact::TimeCame, left), [Action::DestroyClient, Action::Finish]);
    assert_eq!(machine.next(Fact::Configured, left), []);
    assert_eq!(machine.next(Fact::Shutdown, left), []);
}

fn fact() -> impl Strategy<Value = Fact> {
    // Numbers and epochs are small, so that stale and right ones both occur.
    prop_oneof![
        2 => Just(Fact::Configured),
        1 => Just(Fact::Leave),
        1 => prop_oneof![20 => Just(Fact::TimeCame), 1 => Just(Fact::Shutdown)],
        2 => Just(Fact::NetworkCame),
        1 => Just(Fact::NetworkWent),
        1 => Just(Fact::ClientFailed),
        2 => Just(Fact::ConnectionLost),
        1 => Just(Fact::ClientUseless),
        4 => (0..3_u64).prop_map(|number| Fact::ProbePassed { number }),
        2 => (0..3_u64, any::<bool>()).prop_map(|(number, is_lasting)| Fact::ProbeFailed { number, is_lasting }),
        4 => (0..3_u64).prop_map(|epoch| Fact::Joined { epoch }),
        2 => (0..3_u64).prop_map(|epoch| Fact::JoinFailed { epoch }),
        1 => any::<bool>().prop_map(Fact::Hearing),
        1 => any::<bool>().prop_map(Fact::Thinking),
        1 => Just(Fact::Drained),
        1 => Just(Fact::Left),
        5 => Just(Fact::TimeCame),
    ]
}

/// What the world outside knows.
#[derive(Default)]
struct World {
    now: Moment,
    has_client: bool,
    is_wanted: bool,
    is_closed: bool,
    last_probe: u64,
    last_epoch: u64,
}

impl World {
    /// Small numbers mean: the last one, or one before it.
    fn fitting(&self, fact: Fact) -> Fact {
        match fact {
            Fact::ProbePassed { number } => Fact::ProbePassed { number: self.last_probe.saturating_sub(number) },
            Fact::ProbeFailed { number, is_lasting } => {
                Fact::ProbeFailed { number: self.last_probe.saturating_sub(number), is_lasting }
            }
            Fact::Joined { epoch } => Fact::Joined { epoch: self.last_epoch.saturating_sub(epoch) },
            Fact::JoinFailed { epoch } => Fact::JoinFailed { epoch: self.last_epoch.saturating_sub(epoch) },
            other => other,
        }
    }

    fn see(&mut self, fact: Fact, action: Action) {
        match action {
            Action::StartProbe { number } => {
                assert!(!self.has_client, "a probe beside a client");
                assert!(number > self.last_probe);
                self.last_probe = number;
            }
            Action::CreateClient => {
                assert!(!self.has_client, "two clients");
                assert_eq!(fact, Fact::ProbePassed { number: self.last_probe }, "a client without a probe");
                self.has_client = true;
            }
            Action::DestroyClient => {
                assert!(self.has_client, "no client to end");
                self.has_client = false;
            }
            Action::AnnounceJoin { epoch } => {
                assert!(self.has_client && epoch > self.last_epoch, "an epoch twice");
                self.last_epoch = epoch;
            }
            Action::Drain => assert!(self.has_client),
            Action::AnnounceLeave { epoch } => assert!(self.has_client && epoch == self.last_epoch),
            Action::Finish => {
                assert!(!self.has_client && !self.is_closed);
                self.is_closed = true;
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_machine_keeps_its_promises(
        facts in prop::collection::vec((fact(), 0_u64..40_000, any::<bool>()), 1..200),
        seed: u64,
    ) {
        let mut machine = Machine::new(Config::default(), 0, seed);
        let mut world = World::default();
        for (fact, millis, to_timer) in facts {
            let fact = world.fitting(fact);
            world.now += Duration::from_millis(millis);
            if let (true, Fact::TimeCame, Some(at)) = (to_timer, fact, machine.timer()) {
                world.now = world.now.max(at);
            }
            let had_client = world.has_client;
            match fact {
                Fact::Configured if !world.is_closed => world.is_wanted = true,
                Fact::Leave | Fact::Shutdown => world.is_wanted = false,
                // Whoever tells this has none.
                Fact::ClientFailed if !had_client => continue,
                Fact::ClientFailed => world.has_client = false,
                _ => {}
            }
            for action in machine.next(fact, world.now) {
                world.see(fact, action);
            }
            prop_assert_eq!(machine.state().has_client(), world.has_client);
            let may_speak =
                matches!(machine.state(), State::Online { .. } | State::Draining { .. } | State::Leaving { .. });
            prop_assert!(may_speak || !machine.health().can_speak);
            prop_assert!(world.has_client || !machine.health().can_hear);
            match machine.state() {
                State::Finished => prop_assert!(world.is_closed && machine.timer().is_none()),
                // Online, the client's word is awaited.
                State::Online { .. } => prop_assert!(machine.timer().is_none()),
                State::Offline { .. } => prop_assert_eq!(machine.timer().is_some(), machine.is_wanted()),
                _ => prop_assert!(machine.timer().is_some()),
            }
            let waits_max = Config::default().lasting_wait.max(Config::default().offline_after);
            prop_assert!(machine.timer().is_none_or(|at| at <= world.now + waits_max));
        }
    }

    #[test]
    fn a_network_that_holds_always_ends_online(facts in prop::collection::vec(fact(), 0..60), seed: u64) {
        let mut machine = Machine::new(Config::default(), 0, seed);
        let mut world = World::default();
        for fact in facts.into_iter().filter(|fact| *fact != Fact::Shutdown) {
            let fact = world.fitting(fact);
            if fact == Fact::ClientFailed && !world.has_client {
                continue;
            }
            world.has_client &= fact != Fact::ClientFailed;
            machine.next(fact, world.now).into_iter().for_each(|action| world.see(fact, action));
        }
        let mut next = vec![Fact::Configured];
        for _ in 0..12 {
            for fact in std::mem::take(&mut next) {
                for action in machine.next(fact, world.now) {
                    world.see(fact, action);
                    match action {
                        Action::StartProbe { number } => next.push(Fact::ProbePassed { number }),
                        Action::AnnounceJoin { epoch } => next.push(Fact::Joined { epoch }),
                        Action::Drain => next.push(Fact::Drained),
                        Action::AnnounceLeave { .. } => next.push(Fact::Left),
                        _ => {}
                    }
                }
            }
            if next.is_empty() && let Some(at) = machine.timer() {
                world.now = world.now.max(at);
                next.push(Fact::TimeCame);
            }
        }
        prop_assert!(matches!(machine.state(), State::Online { .. }), "{:?}", machine.state());
    }
}
