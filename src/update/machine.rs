//! The update as a state machine without I/O: facts in, the next step out. The caller writes the ledger before it takes the step,
//! so that whoever reads it after a power cut takes that step again.

use crate::base::clock::Timestamp;
use crate::update::judge::{Refusal, judge};
use crate::update::ledger::{Bundle, Ledger, Order, Outcome, Past, Phase, short};
use crate::update::port::{Here, Standing};

const DID_NOT_START: &str = "the new system did not start, and the boot loader came back to this one by itself";

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fact {
    /// Somebody wants this update.
    Asked(Order),
    /// The driver was started again, here.
    Resumed(Here),
    /// The bundle is here, whole.
    Fetched,
    /// RAUC believes its signature, and this is what it says; and this is where we are.
    Checked(Bundle, Here),
    /// The database was copied to this file; none where there is none yet.
    BackedUp(Option<String>),
    /// The other slot holds the new system and is to be started next.
    Installed,
    /// The boot loader will not start what waited.
    Stayed,
    /// A step could not be taken, for this reason; and this is where we are.
    Broke(String, Here),
    /// The machine came up. Said once for each time that it did.
    Started(Here),
    /// Health checks fail, and for this reason.
    Troubled(String),
    /// The system that runs has passed its health checks for long enough and is marked good.
    Proved(Here),
    /// It has not within its deadline, and the boot loader would start the other one.
    Despaired(String, Here),
    RestartAsked,
    RollbackAsked(Here),
}

/// What is to be done next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    Rest,
    Fetch,
    Check,
    BackUp,
    Install,
    Restart,
    /// Look at the health of the system that runs.
    Watch,
    /// Give this slot up, so that the boot loader leaves it at once, and start the other one.
    Abandon,
    /// Make the other slot the one that is started, and start it.
    SwitchOver,
    /// Make the slot that runs the one that is started, as before the update, and the other one no slot to start.
    Stay,
    Refuse(Refusal),
}

impl Ledger {
    /// Takes in what happened at `now`.
    pub fn next(&mut self, fact: Fact, now: Timestamp) -> Step {
        match (self.phase, fact) {
            (_, Fact::Asked(order)) => self.asked(order, now),
            (_, Fact::Resumed(here)) => self.resumed(&here),
            (Phase::Fetching, Fact::Fetched) => self.go(Phase::Checking, Step::Check, now),
            (Phase::Checking, Fact::Checked(bundle, here)) => self.checked(bundle, &here, now),
            (Phase::BackingUp, Fact::BackedUp(copy)) => {
                self.backup = copy;
                // What is written there now has proved nothing.
                self.untried_slot.clone_from(&self.to_slot);
                if self.proved_slot == self.to_slot {
                    self.proved_slot.clear();
                }
                self.go(Phase::Installing, Step::Install, now)
            }
            (Phase::Installing, Fact::Installed) => {
                self.waiting = None;
                let restarts = self.order.as_ref().is_some_and(|order| order.restart);
                self.go(Phase::AwaitingRestart, if restarts { Step::Restart } else { Step::Rest }, now)
            }
            // It waits as before, and may be taken back again; what the boot loader would not start anyhow is gone.
            (Phase::TakingBack, Fact::Broke(why, here)) if here.other != Standing::Barred => {
                self.reason = Some(short(&why));
                self.go(Phase::AwaitingRestart, Step::Rest, now)
            }
            // Only now: whoever reads that it was taken back must not find it started.
            (Phase::TakingBack, Fact::Stayed | Fact::Broke(..)) => {
                self.untried_slot.clear();
                self.end(Outcome::RolledBack, Some("it was taken back before it was started".to_owned()), now);
                Step::Rest
            }
            (phase, Fact::Broke(why, here)) if phase.is_working() || phase == Phase::GoingBack => {
                // RAUC bars what it begins to write, and may end it later, when only its driver died. Else there is what there was.
                if phase == Phase::Installing && here.other == Standing::Ready && self.waiting.is_none() {
                    self.untried_slot.clear();
                }
                if phase == Phase::GoingBack {
                    self.bundle = None;
                }
                self.fail(why, &here, now)
            }
            (_, Fact::Started(here)) => self.started(&here, now),
            (Phase::Confirming, Fact::Troubled(why)) => {
                self.reason = Some(short(&why));
                Step::Watch
            }
            (_, Fact::Proved(here)) => self.proved(here, now),
            (_, Fact::Despaired(why, here)) => self.despaired(&why, &here),
            (Phase::AwaitingRestart, Fact::RestartAsked) => Step::Restart,
            (_, Fact::RestartAsked) => Step::Refuse(Refusal::NothingWaits),
            (_, Fact::RollbackAsked(here)) => self.roll_back(&here, now),
            // A fact that comes late changes nothing.
            _ => Step::Rest,
        }
    }

    fn go(&mut self, phase: Phase, step: Step, now: Timestamp) -> Step {
        self.enter(phase, now);
        step
    }

    /// Ends what was asked for.
    fn fail(&mut self, why: String, here: &Here, now: Timestamp) -> Step {
        self.end(Outcome::Failed, Some(why), now);
        self.let_wait(here, now);
        Step::Rest
    }

    /// What waited for a restart before goes on waiting, if the boot loader would still start it.
    fn let_wait(&mut self, here: &Here, now: Timestamp) {
        let waiting = self.waiting.take().filter(|_| here.other == Standing::Ready);
        if let Some(waiting) = waiting {
            self.bundle = Some(waiting);
            self.enter(Phase::AwaitingRestart, now);
        }
    }

    /// Whoever asks holds the lock: what is under way by the ledger has lost its driver, and this takes its place.
    fn asked(&mut self, order: Order, now: Timestamp) -> Step {
        if matches!(self.phase, Phase::Confirming | Phase::GoingBack) {
            return Step::Refuse(Refusal::Proving);
        }
        let before = std::mem::take(self);
        // One that was being written may have been ended by RAUC, which outlives a driver.
        let may_wait = matches!(before.phase, Phase::AwaitingRestart | Phase::Installing | Phase::TakingBack);
        let waiting = before.waiting.or(before.bundle.filter(|_| may_wait));
        *self = Self {
            order: Some(order),
            past: before.past,
            proved_slot: before.proved_slot,
            home_slot: before.home_slot,
            untried_slot: before.untried_slot,
            ..Self::default()
        };
        if waiting.is_some() {
            (self.from_slot, self.from_version) = (before.from_slot, before.from_version);
            (self.to_slot, self.backup, self.waiting) = (before.to_slot, before.backup, waiting);
        }
        self.go(Phase::Fetching, Step::Fetch, now)
    }

    fn checked(&mut self, bundle: Bundle, here: &Here, now: Timestamp) -> Step {
        let order = self.order.clone().unwrap_or_default();
        let verdict = judge(&bundle, here, &order);
        self.bundle = Some(bundle);
        self.from_slot.clone_from(&here.slot);
        self.from_version.clone_from(&here.version);
        self.to_slot.clone_from(&here.other_slot);
        match verdict {
            Ok(()) => self.go(Phase::BackingUp, Step::BackUp, now),
            Err(same @ Refusal::Same { .. }) => {
                self.enter(Phase::Idle, now);
                self.let_wait(here, now);
                Step::Refuse(same)
            }
            Err(refusal) => self.fail(refusal.to_string(), here, now),
        }
    }

    fn started(&mut self, here: &Here, now: Timestamp) -> Step {
        let is_there = !self.to_slot.is_empty() && here.slot == self.to_slot;
        let is_untried = !self.untried_slot.is_empty() && here.slot == self.untried_slot;
        let waiting = self.waiting.take();
        if let Some(waiting) = waiting.as_ref().filter(|_| !is_untried && here.other != Standing::Barred) {
            // It was its turn before that of what was under way.
            self.untried_slot.clear();
            let (version, reason) = (waiting.version.clone(), Some(DID_NOT_START.to_owned()));
            self.remember(Past { at: now.to_rfc3339(), version, outcome: Outcome::RolledBack, reason });
        }
        match self.phase {
            // Written and started, and the power was cut before that was written down.
            Phase::Installing if is_there => self.begin_proof(now),
            Phase::AwaitingRestart if is_there => self.begin_proof(now),
            // The power was cut before the boot loader knew; nobody wants this system.
            Phase::TakingBack if is_there && here.other == Standing::Ready => return Step::Abandon,
            Phase::TakingBack if is_there => self.begin_proof(now),
            Phase::AwaitingRestart => {
                self.untried_slot.clear();
                self.end(Outcome::RolledBack, Some(DID_NOT_START.to_owned()), now);
            }
            Phase::Confirming if !is_there => {
                let why = self.reason.take().unwrap_or_else(|| {
                    "the new system started and was cut off before it had proved itself, again and again".to_owned()
                });
                self.end(Outcome::RolledBack, Some(why), now);
            }
            Phase::GoingBack if is_there => {
                self.end(Outcome::RolledBack, Some("as it was asked for".to_owned()), now);
            }
            Phase::GoingBack => {
                let why = format!("the system in slot {} did not start; this one goes on", self.to_slot);
                self.bundle = None;
                self.end(Outcome::Failed, Some(why), now);
            }
            // Written to its end by RAUC, which outlives a driver, or before another order took the place of the update.
            _ if is_untried => {
                (self.order, self.bundle) = (None, waiting);
                self.from_slot.clone_from(&here.other_slot);
                self.to_slot.clone_from(&here.slot);
                self.begin_proof(now);
            }
            // A slot that may still be started was left by somebody's hand, not by the boot loader.
            Phase::Idle | Phase::Confirmed | Phase::RolledBack | Phase::Failed
                if !self.home().is_empty() && self.home() != here.slot && here.other != Standing::Ready =>
            {
                let why = self.reason.take().filter(|_| self.phase == Phase::Confirmed);
                // Nobody knows whether it would have been well: the power may have been cut each time.
                let why = why.unwrap_or_else(|| "no start of it lasted until it had shown that it is well".to_owned());
                let why = format!("the system in slot {} was left: {why}", self.home());
                self.bundle = None;
                self.end(Outcome::RolledBack, Some(why), now);
            }
            _ => {}
        }
        if is_untried {
            self.untried_slot.clear();
        }
        // Whatever was left was told; it is not told again.
        if self.phase != Phase::Confirming && !self.home().is_empty() {
            self.home_slot.clone_from(&here.slot);
        }
        Step::Watch
    }

    fn proved(&mut self, here: Here, now: Timestamp) -> Step {
        let what_runs = what_runs(&here);
        self.proved_slot.clone_from(&here.slot);
        self.home_slot = here.slot;
        if self.phase == Phase::Confirming {
            // Whatever was written down before it was started: this is what it is.
            if self.bundle.as_ref().is_none_or(|bundle| bundle.version != what_runs.version) {
                self.bundle = Some(what_runs);
            }
            self.end(Outcome::Confirmed, None, now);
        }
        Step::Rest
    }

    fn despaired(&mut self, why: &str, here: &Here) -> Step {
        // It was well before, and the other one shares its configuration and its disk: what troubles this one would trouble that one
        // too. One that does not come up at all the boot loader leaves by its own counting.
        if self.has_proved(&here.slot) {
            return Step::Watch;
        }
        self.reason = Some(short(why));
        // One that is no update may be good after a start, and the boot loader counts.
        if self.phase == Phase::Confirming { Step::Abandon } else { Step::Restart }
    }

    fn begin_proof(&mut self, now: Timestamp) {
        // What was said of the update before is no trouble of the system that it brought.
        self.reason = None;
        self.enter(Phase::Confirming, now);
    }

    fn roll_back(&mut self, here: &Here, now: Timestamp) -> Step {
        if self.phase.is_coming() {
            self.bundle = None;
            self.enter(Phase::Idle, now);
            self.let_wait(here, now);
            return Step::Rest;
        }
        // One that was started already does not wait, whether or not that has been written down.
        let may_wait = matches!(self.phase, Phase::Installing | Phase::AwaitingRestart | Phase::TakingBack);
        let waits = may_wait && here.slot != self.to_slot;
        if !waits && (here.other_slot.is_empty() || here.other == Standing::Barred) {
            return Step::Refuse(Refusal::NothingBefore);
        }
        self.from_slot.clone_from(&here.slot);
        self.from_version.clone_from(&here.version);
        self.to_slot.clone_from(&here.other_slot);
        // A system that was never started is none to go back to.
        if waits || self.untried_slot == here.other_slot {
            self.bundle = self.waiting.take().or_else(|| self.bundle.take());
            return self.go(Phase::TakingBack, Step::Stay, now);
        }
        // What is left is what runs, whatever was asked for last.
        self.bundle = Some(what_runs(here));
        self.go(Phase::GoingBack, Step::SwitchOver, now)
    }

    /// What was under way is done again: every step can be. But not by the system that it has brought, whose start is written down
    /// first: to that one the other slot is the one that must not be touched.
    fn resumed(&self, here: &Here) -> Step {
        match self.phase {
            _ if !self.to_slot.is_empty() && here.slot == self.to_slot => Step::Rest,
            Phase::Fetching => Step::Fetch,
            Phase::Checking => Step::Check,
            Phase::BackingUp => Step::BackUp,
            Phase::Installing => Step::Install,
            Phase::TakingBack => Step::Stay,
            Phase::GoingBack => Step::SwitchOver,
            _ => Step::Rest,
        }
    }
}

/// The system here, as a bundle would name it.
fn what_runs(here: &Here) -> Bundle {
    Bundle { version: here.version.clone(), compatible: here.compatible.clone(), ..Bundle::default() }
}
