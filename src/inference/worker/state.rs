//! The life of a worker as a value without I/O: when it is started, where, when it is stopped, and what follows its end.
//!
//! Places are rungs of a ladder: the GPU's worker, the CPU's worker, a thread of this process. One that cannot work is left for
//! the next. Only a worker that never came up is replaced by a thread: a model that kills its worker must not be let into the
//! home.

use std::time::Duration;

/// Time since the supervisor began; only differences count.
pub type Moment = Duration;

/// Where a worker runs, best first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rung {
    Gpu,
    Cpu,
    /// A thread of this process.
    Here,
}

/// How long things may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// Without work for so long, the worker ends and its memory is everybody's again.
    pub idle: Duration,
    /// From start to welcome.
    pub start: Duration,
    /// A working worker that says nothing for so long hangs; it is asked for a sign in between.
    pub silence: Duration,
    /// From being asked to end until it is made to.
    pub end: Duration,
    pub backoff: Duration,
    pub backoff_max: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(300),
            start: Duration::from_secs(20),
            silence: Duration::from_secs(45),
            end: Duration::from_secs(3),
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
        }
    }
}

/// Starts that fail one after the other before a rung is left, or the waiting are told.
const STARTS_MAX: u32 = 3;
/// A rung that was left is tried again after the next rest, but not for ever.
const FALLS_MAX: u32 = 3;
/// Signs of life asked for within the time of silence.
const PINGS: u32 = 3;

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fact {
    /// A request came in.
    Wanted,
    /// The worker is ready.
    Welcomed,
    /// The worker said something.
    Heard,
    /// A request came out with a result, or with a fault that is not the worker's.
    Finished,
    /// A request failed because the machinery did.
    Broke,
    /// There is no worker any more, or there never was.
    Ended(Ending),
    /// Time has passed.
    Tick,
    Shutdown,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It cannot work here at all: no program, no driver, another version.
    Unfit,
    /// It did not come up, or it fell.
    Failed,
}

/// How many requests there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Load {
    pub waiting: usize,
    /// Given to the worker.
    pub sent: usize,
}

/// What is to be done, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    Start(Rung),
    /// Give the worker what waits.
    Send,
    Ping,
    /// Close the socket; the worker ends.
    Stop,
    /// End it at once.
    Kill,
    /// What the worker had waits again, as far as nobody has heard a piece of it.
    Return,
    /// Tell those whose work the worker had.
    FailSent,
    FailWaiting,
    /// Say that another place works from now on; once.
    Say {
        left: Rung,
        now: Rung,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Nobody works, and nobody is started before this.
    Off {
        not_before: Moment,
    },
    Starting {
        deadline: Moment,
    },
    Ready {
        idle_since: Moment,
        heard_at: Moment,
        pinged_at: Moment,
    },
    /// On its way out.
    Ending {
        deadline: Moment,
        cause: Cause,
    },
    Down,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cause {
    /// It rests, or the house goes down.
    Rest,
    /// It was made to end for what it did.
    Fault,
    Shutdown,
}

#[derive(Clone, Debug)]
pub struct Machine {
    ladder: Vec<Rung>,
    at: usize,
    patience: Patience,
    state: State,
    /// Ends without a result in between.
    failures: u32,
    falls: u32,
    has_said: bool,
}

impl Machine {
    /// `ladder` has at least one rung.
    pub fn new(ladder: Vec<Rung>, patience: Patience) -> Self {
        assert!(!ladder.is_empty(), "invariant: somebody has to work");
        let state = State::Off { not_before: Moment::ZERO };
        Self { ladder, at: 0, patience, state, failures: 0, falls: 0, has_said: false }
    }

    pub fn rung(&self) -> Rung {
        self.ladder[self.at]
    }

    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. })
    }

    /// When a [`Fact::Tick`] is due; none while nothing can happen by itself.
    pub fn wake_at(&self, load: Load) -> Option<Moment> {
        match self.state {
            State::Off { not_before } if load.waiting > 0 => Some(not_before),
            State::Off { .. } | State::Down => None,
            State::Starting { deadline } | State::Ending { deadline, .. } => Some(deadline),
            State::Ready { heard_at, pinged_at, .. } if load.sent > 0 => {
                let hangs_at = heard_at + self.patience.silence;
                Some(hangs_at.min(heard_at.max(pinged_at) + self.patience.silence / PINGS))
            }
            State::Ready { idle_since, .. } => Some(idle_since + self.patience.idle),
        }
    }

    /// Takes a fact in; `load` is as it stands after it.
    pub fn next(&mut self, fact: Fact, load: Load, now: Moment) -> Vec<Step> {
        match fact {
            Fact::Shutdown => self.shut_down(now),
            Fact::Ended(ending) => self.ended(ending, load, now),
            Fact::Wanted => self.wanted(load, now),
            Fact::Welcomed => self.welcomed(load, now),
            Fact::Heard => {
                self.heard(now);
                Vec::new()
            }
            Fact::Finished => self.finished(load, now),
            Fact::Broke => self.broke(load, now),
            Fact::Tick => self.tick(load, now),
        }
    }

    fn shut_down(&mut self, now: Moment) -> Vec<Step> {
        let mut steps = vec![Step::FailSent, Step::FailWaiting];
        match self.state {
            State::Starting { .. } | State::Ready { .. } => {
                steps.push(Step::Stop);
                self.state = State::Ending { deadline: now + self.patience.end, cause: Cause::Shutdown };
            }
            State::Ending { deadline, .. } => self.state = State::Ending { deadline, cause: Cause::Shutdown },
            State::Off { .. } | State::Down => self.state = State::Down,
        }
        steps
    }

    fn wanted(&mut self, load: Load, now: Moment) -> Vec<Step> {
        match self.state {
            State::Off { not_before } if now >= not_before && load.waiting > 0 => self.start(now),
            State::Ready { ref mut heard_at, .. } => {
                if load.sent == 0 {
                    // An idle worker was not listened to.
                    *heard_at = now;
                }
                vec![Step::Send]
            }
            State::Down | State::Ending { cause: Cause::Shutdown, .. } => vec![Step::FailWaiting],
            _ => Vec::new(),
        }
    }

    fn start(&mut self, now: Moment) -> Vec<Step> {
        self.state = State::Starting { deadline: now + self.patience.start };
        vec![Step::Start(self.rung())]
    }

    fn welcomed(&mut self, load: Load, now: Moment) -> Vec<Step> {
        let State::Starting { .. } = self.state else { return Vec::new() };
        self.state = State::Ready { idle_since: now, heard_at: now, pinged_at: now };
        if load.waiting > 0 { vec![Step::Send] } else { Vec::new() }
    }

    fn heard(&mut self, now: Moment) {
        if let State::Ready { heard_at, .. } = &mut self.state {
            *heard_at = now;
        }
    }

    fn finished(&mut self, load: Load, now: Moment) -> Vec<Step> {
        self.failures = 0;
        if let State::Ready { idle_since, heard_at, .. } = &mut self.state {
            (*idle_since, *heard_at) = (now, now);
            if load.waiting > 0 {
                return vec![Step::Send];
            }
        }
        Vec::new()
    }

    /// On the GPU the request is asked again elsewhere; the CPU's fault is an answer.
    fn broke(&mut self, load: Load, now: Moment) -> Vec<Step> {
        if self.rung() != Rung::Gpu || !self.is_ready() {
            return self.finished(load, now);
        }
        self.state = State::Ending { deadline: now + self.patience.end, cause: Cause::Fault };
        vec![Step::Return, Step::Kill]
    }

    fn tick(&mut self, load: Load, now: Moment) -> Vec<Step> {
        match self.state {
            State::Off { not_before } if now >= not_before && load.waiting > 0 => self.start(now),
            State::Starting { deadline } if now >= deadline => {
                self.state = State::Ending { deadline: now + self.patience.end, cause: Cause::Fault };
                vec![Step::Kill]
            }
            State::Ending { deadline, cause } if now >= deadline => {
                self.state = State::Ending { deadline: now + self.patience.end, cause };
                vec![Step::Kill]
            }
            State::Ready { idle_since, .. } if load == Load::default() && now >= idle_since + self.patience.idle => {
                self.state = State::Ending { deadline: now + self.patience.end, cause: Cause::Rest };
                vec![Step::Stop]
            }
            State::Ready { heard_at, .. } if load.sent > 0 && now >= heard_at + self.patience.silence => {
                self.state = State::Ending { deadline: now + self.patience.end, cause: Cause::Fault };
                vec![Step::Kill]
            }
            State::Ready { heard_at, ref mut pinged_at, .. }
                if load.sent > 0 && now >= heard_at.max(*pinged_at) + self.patience.silence / PINGS =>
            {
                *pinged_at = now;
                vec![Step::Ping]
            }
            State::Ready { .. } if load.waiting > 0 => vec![Step::Send],
            _ => Vec::new(),
        }
    }

    fn ended(&mut self, ending: Ending, load: Load, now: Moment) -> Vec<Step> {
        let (came_up, was_asked) = match self.state {
            State::Ending { cause: Cause::Shutdown, .. } | State::Down => {
                self.state = State::Down;
                return Vec::new();
            }
            State::Ending { cause: Cause::Rest, .. } => (true, true),
            State::Ending { cause: Cause::Fault, .. } | State::Ready { .. } => (true, false),
            State::Starting { .. } => (false, false),
            State::Off { .. } => return Vec::new(),
        };
        if was_asked {
            return self.rested(load, now);
        }
        self.failures = self.failures.saturating_add(1);
        let mut steps = self.settle(ending, came_up);
        let not_before = now + self.backoff();
        self.state = State::Off { not_before };
        if now >= not_before && (load.waiting > 0 || steps.contains(&Step::Return)) {
            steps.extend(self.start(now));
        }
        steps
    }

    /// What becomes of the requests, and of the rung.
    fn settle(&mut self, ending: Ending, came_up: bool) -> Vec<Step> {
        let left = self.rung();
        let has_next = self.at + 1 < self.ladder.len();
        let falls = match (left, ending) {
            (_, Ending::Unfit) => has_next,
            // Whatever the GPU's worker died of, the CPU's may do better.
            (Rung::Gpu, Ending::Failed) => has_next && (came_up || self.failures >= STARTS_MAX),
            (Rung::Cpu, Ending::Failed) => has_next && !came_up && self.failures >= STARTS_MAX,
            (Rung::Here, Ending::Failed) => false,
        };
        if falls {
            self.at += 1;
            self.failures = 0;
            self.falls = self.falls.saturating_add(1);
            let mut steps = vec![Step::Return];
            if !std::mem::replace(&mut self.has_said, true) {
                steps.push(Step::Say { left, now: self.rung() });
            }
            return steps;
        }
        let mut steps = vec![Step::FailSent];
        if !came_up && (ending == Ending::Unfit || self.failures >= STARTS_MAX) {
            steps.push(Step::FailWaiting);
        }
        steps
    }

    fn rested(&mut self, load: Load, now: Moment) -> Vec<Step> {
        self.failures = 0;
        if self.falls < FALLS_MAX {
            self.at = 0;
        }
        self.state = State::Off { not_before: now };
        if load.waiting > 0 { self.start(now) } else { Vec::new() }
    }

    fn backoff(&self) -> Duration {
        match self.failures {
            0 => Duration::ZERO,
            failures => {
                let doubled = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
                self.patience.backoff.saturating_mul(doubled).min(self.patience.backoff_max)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LADDER: [Rung; 3] = [Rung::Gpu, Rung::Cpu, Rung::Here];

    fn at(secs: u64) -> Moment {
        Duration::from_secs(secs)
    }

    fn load(waiting: usize, sent: usize) -> Load {
        Load { waiting, sent }
    }

    fn ready(ladder: &[Rung]) -> Machine {
        let mut machine = Machine::new(ladder.to_vec(), Patience::default());
        assert_eq!(machine.next(Fact::Wanted, load(1, 0), at(0)), [Step::Start(ladder[0])]);
        assert_eq!(machine.next(Fact::Welcomed, load(1, 0), at(0)), [Step::Send]);
        machine
    }

    #[test]
    fn it_starts_on_demand_and_rests_when_idle() {
        let mut machine = ready(&[Rung::Cpu]);
        assert_eq!(machine.next(Fact::Finished, load(0, 0), at(10)), []);
        assert_eq!(machine.wake_at(load(0, 0)), Some(at(310)));
        assert_eq!(machine.next(Fact::Tick, load(0, 0), at(309)), []);
        assert_eq!(machine.next(Fact::Tick, load(0, 0), at(310)), [Step::Stop]);
        assert_eq!(machine.next(Fact::Wanted, load(1, 0), at(310)), [], "it is on its way out");
        assert_eq!(machine.next(Fact::Ended(Ending::Failed), load(1, 0), at(311)), [Step::Start(Rung::Cpu)]);
    }

    #[test]
    fn a_crash_is_told_and_the_next_start_waits_longer_each_time() {
        let mut machine = ready(&[Rung::Cpu, Rung::Here]);
        let mut now = at(0);
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(machine.next(Fact::Ended(Ending::Failed), load(1, 1), now), [Step::FailSent]);
            assert_eq!(machine.wake_at(load(1, 0)), Some(now + at(wait)));
            now += at(wait);
            assert_eq!(machine.next(Fact::Tick, load(1, 0), now), [Step::Start(Rung::Cpu)], "never in the home");
            assert_eq!(machine.next(Fact::Welcomed, load(1, 0), now), [Step::Send]);
        }
        machine.next(Fact::Finished, load(0, 0), now);
        machine.next(Fact::Ended(Ending::Failed), load(1, 0), now);
        assert_eq!(machine.wake_at(load(1, 0)), Some(now + at(1)), "a result forgives");
    }

    #[test]
    fn a_gpu_that_fails_leaves_its_work_to_the_cpu_and_that_is_said_once() {
        let mut machine = ready(&LADDER);
        let fell = machine.next(Fact::Ended(Ending::Failed), load(0, 1), at(1));
        assert_eq!(fell, [Step::Return, Step::Say { left: Rung::Gpu, now: Rung::Cpu }, Step::Start(Rung::Cpu)]);
        machine.next(Fact::Welcomed, load(1, 0), at(2));
        machine.next(Fact::Finished, load(0, 0), at(3));
        assert_eq!(machine.next(Fact::Tick, load(0, 0), at(400)), [Step::Stop]);
        machine.next(Fact::Ended(Ending::Failed), load(0, 0), at(401));
        assert_eq!(
            machine.next(Fact::Wanted, load(1, 0), at(402)),
            [Step::Start(Rung::Gpu)],
            "after a rest it is tried again"
        );
        machine.next(Fact::Welcomed, load(1, 0), at(403));
        assert_eq!(machine.next(Fact::Broke, load(0, 1), at(404)), [Step::Return, Step::Kill]);
        let fell = machine.next(Fact::Ended(Ending::Failed), load(1, 0), at(405));
        assert_eq!(fell, [Step::Return, Step::Start(Rung::Cpu)], "said before");
        machine.next(Fact::Welcomed, load(1, 0), at(406));
        assert_eq!(machine.next(Fact::Broke, load(0, 0), at(407)), [], "the CPU's fault is an answer");
    }

    #[test]
    fn without_a_program_a_thread_works_and_without_a_thread_the_waiting_are_told() {
        let mut machine = Machine::new(LADDER.to_vec(), Patience::default());
        machine.next(Fact::Wanted, load(1, 0), at(0));
        let fell = machine.next(Fact::Ended(Ending::Unfit), load(1, 0), at(0));
        assert_eq!(fell, [Step::Return, Step::Say { left: Rung::Gpu, now: Rung::Cpu }, Step::Start(Rung::Cpu)]);
        let fell = machine.next(Fact::Ended(Ending::Unfit), load(1, 0), at(0));
        assert_eq!(fell, [Step::Return, Step::Start(Rung::Here)]);
        let told = machine.next(Fact::Ended(Ending::Unfit), load(1, 0), at(0));
        assert_eq!(told, [Step::FailSent, Step::FailWaiting]);
    }

    #[test]
    fn one_that_says_nothing_is_asked_and_then_ended() {
        let mut machine = ready(&[Rung::Cpu]);
        assert_eq!(machine.wake_at(load(0, 1)), Some(at(15)));
        assert_eq!(machine.next(Fact::Tick, load(0, 1), at(15)), [Step::Ping]);
        machine.next(Fact::Heard, load(0, 1), at(16));
        assert_eq!(machine.next(Fact::Tick, load(0, 1), at(60)), [Step::Ping]);
        assert_eq!(machine.next(Fact::Tick, load(0, 1), at(61)), [Step::Kill]);
        assert_eq!(machine.next(Fact::Ended(Ending::Failed), load(0, 1), at(61)), [Step::FailSent]);
    }

    /// What a supervisor would have: a worker that lives or not, and requests.
    #[derive(Default)]
    struct World {
        alive: bool,
        waiting: usize,
        sent: usize,
        is_down: bool,
    }

    impl World {
        fn load(&self) -> Load {
            load(self.waiting, self.sent)
        }

        /// Carries the steps out, and checks what no step may do.
        fn obey(&mut self, steps: &[Step], rung_after: Rung) {
            for step in steps {
                match step {
                    Step::Start(rung) => {
                        assert!(!self.alive, "two workers at a time");
                        assert!(!self.is_down && *rung == rung_after);
                        self.alive = true;
                    }
                    Step::Send => {
                        assert!(self.alive);
                        self.sent += std::mem::take(&mut self.waiting);
                    }
                    Step::Stop => assert!(self.alive && (self.is_down || self.load() == Load::default())),
                    Step::Ping | Step::Kill => assert!(self.alive),
                    Step::Return => self.waiting += std::mem::take(&mut self.sent),
                    Step::FailSent => self.sent = 0,
                    Step::FailWaiting => self.waiting = 0,
                    Step::Say { .. } => {}
                }
            }
        }
    }

    proptest! {
        /// Whatever happens in whatever order: never two workers, never work lost without word, nobody waits for ever, and
        /// after the end nothing is started.
        #[test]
        fn nobody_is_forgotten(
            facts in proptest::collection::vec((0_u8..9, 0_u64..400), 1..60), first in 0_usize..3
        ) {
            let mut machine = Machine::new(LADDER[first..].to_vec(), Patience::default());
            let (mut world, mut now) = (World::default(), Moment::ZERO);
            for (what, secs) in facts {
                now += at(secs);
                let fact = match what {
                    0 | 1 => { world.waiting += 1; Fact::Wanted }
                    2 if world.alive => Fact::Welcomed,
                    3 if world.sent > 0 => { world.sent -= 1; Fact::Finished }
                    4 if world.sent > 0 && machine.is_ready() => Fact::Broke,
                    5 if world.alive => { world.alive = false; Fact::Ended(Ending::Failed) }
                    6 if world.alive => { world.alive = false; Fact::Ended(Ending::Unfit) }
                    7 => Fact::Heard,
                    8 if secs > 390 => { world.is_down = true; Fact::Shutdown }
                    _ => Fact::Tick,
                };
                let was_here = machine.rung() == Rung::Here;
                let steps = machine.next(fact, world.load(), now);
                world.obey(&steps, machine.rung());
                prop_assert!(world.sent == 0 || world.alive, "work with nobody");
                prop_assert!(!was_here || !steps.contains(&Step::Return));
                prop_assert!(world.is_down || world.waiting == 0 || world.alive || machine.wake_at(world.load()).is_some());
            }
            // From here on everything goes well: whoever waits is served.
            for _ in 0..8 {
                if world.is_down { break; }
                if let Some(wake) = machine.wake_at(world.load()) { now = now.max(wake); }
                let steps = machine.next(Fact::Tick, world.load(), now);
                world.obey(&steps, machine.rung());
                if steps.contains(&Step::Kill) || steps.contains(&Step::Stop) {
                    world.alive = false;
                    let steps = machine.next(Fact::Ended(Ending::Failed), world.load(), now);
                    world.obey(&steps, machine.rung());
                }
                if world.alive && !machine.is_ready() {
                    let steps = machine.next(Fact::Welcomed, world.load(), now);
                    world.obey(&steps, machine.rung());
                }
                world.sent = 0;
            }
            prop_assert_eq!(world.waiting, 0);
        }
    }
}
