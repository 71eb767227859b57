//! After every start: has this system proved itself, or does the other one get its turn?

use std::time::{Duration, Instant};

use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::update::counters;
use crate::update::errors::UpdateError;
use crate::update::keep::{self, Lasting};
use crate::update::ledger::{Ledger, Phase};
use crate::update::machine::{Fact, Step};
use crate::update::places::Places;
use crate::update::port::{Hands, Slots, Standing};
use crate::update::watch::{Limits, Look, Verdict, Watch};

/// How long proving may take, and how often it is looked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// Health that a system must show which has not proved itself yet. One that has is proved anew by the first look that finds it
    /// well: a home whose power comes and goes must not lose it by short starts.
    pub steady: Duration,
    pub patience: Duration,
    pub pause: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let (steady, patience) = (Duration::from_secs(60), Duration::from_secs(600));
        Self { steady, patience, pause: Duration::from_secs(5) }
    }
}

/// How often the pause doubles while a proof cannot be noted: from seconds to minutes.
const PAUSE_DOUBLINGS_MAX: u32 = 6;

pub struct Confirmation<'a> {
    pub places: &'a Places,
    pub slots: &'a dyn Slots,
    pub hands: &'a mut dyn Hands,
    pub clock: &'a Clock,
    pub times: Times,
    /// Hears what is worth a line in the journal.
    pub tell: &'a mut dyn FnMut(&str),
}

impl Confirmation<'_> {
    /// Returns when this system has proved itself, or when the machine is told to start anew.
    pub fn run(&mut self) -> Result<Ledger, UpdateError> {
        let started = Instant::now();
        // First of all: without counters nobody knows whether there is another slot to go to.
        match mend_counters(self.places) {
            Ok(Counters::Whole) => {}
            Ok(Counters::Mended) => (self.tell)("GRUB's counters were lost and have been made anew."),
            Err(error) => (self.tell)(&format!("GRUB's counters cannot be used: {}", chain(&error))),
        }
        let before = keep::read_ledger(&self.places.ledger).phase;
        let (ledger, step) = note_start(self.places, self.clock).unwrap_or_else(|error| {
            // Somebody is at work, or the disk is full: whether this system is well is looked at all the same.
            (self.tell)(&format!("That this system was started could not be noted yet: {}", chain(&error)));
            self.imagine_start()
        });
        if step == Step::Abandon {
            (self.tell)("This slot was to be taken back before it was started. Starting anew.");
            self.abandon();
            self.slots.restart()?;
            return Ok(ledger);
        }
        if ledger.phase == Phase::RolledBack && before != Phase::RolledBack {
            let why = ledger.reason.clone().unwrap_or_default();
            (self.tell)(&format!("The machine is back in slot {}: {why}", self.places.here().slot));
        }
        let was_proved = ledger.has_proved(&self.places.slot());
        let steady = if was_proved { Duration::ZERO } else { self.times.steady };
        let limits = Limits { steady, patience: self.times.patience };
        let mut watch = Watch::new(limits, Duration::ZERO);
        let (mut misses, mut missed) = (0, String::new());
        loop {
            if !self.places.started().exists() {
                let _ = note_start(self.places, self.clock);
            }
            let troubles = self.hands.troubles();
            let other_may_do_better = !troubles.is_empty() && self.places.here().other == Standing::Ready;
            match watch.next(&Look { at: started.elapsed(), troubles, other_may_do_better }) {
                Verdict::LookAgain => {}
                Verdict::Troubled(why) => {
                    (self.tell)(&format!("Not well yet: {why}"));
                    // Whether it can be written now decides nothing.
                    let _ = note(self.places, self.clock, Fact::Troubled(why));
                }
                Verdict::NowhereToGo(why) => {
                    (self.tell)(&format!("This slot is {why}. There is no other to go to; waiting on."));
                }
                Verdict::Proved => match prove(self.places, self.slots, self.clock) {
                    Ok(ledger) => return Ok(ledger),
                    // RAUC may be busy; the proof does not get worse.
                    Err(error) => {
                        let why = chain(&error);
                        if missed != why {
                            (self.tell)(&format!("Well, but it could not be noted: {why}"));
                        }
                        (misses, missed) = (misses + 1, why);
                    }
                },
                Verdict::Despaired(why) => {
                    if let Some(ledger) = self.give_up(why)? {
                        return Ok(ledger);
                    }
                }
            }
            // Each attempt may write to the flash that the boot loader starts from.
            std::thread::sleep(self.times.pause.saturating_mul(1 << misses.min(PAUSE_DOUBLINGS_MAX)));
        }
    }

    /// Starts the machine anew, unless there is a reason to stay.
    fn give_up(&mut self, why: String) -> Result<Option<Ledger>, UpdateError> {
        let fact = Fact::Despaired(why.clone(), self.places.here());
        // Asked of a copy first: a ledger that cannot be written must not keep a sick system running.
        let step = self.imagine_start().0.next(fact.clone(), self.clock.now());
        if step == Step::Watch {
            (self.tell)(&format!("This slot is {why}. It was well before, and stays."));
            return Ok(None);
        }
        (self.tell)(&format!("This slot is {why}. Starting anew."));
        let noted = note(self.places, self.clock, fact);
        if step == Step::Abandon {
            self.abandon();
        }
        self.slots.restart()?;
        noted.map(|(ledger, _)| Some(ledger))
    }

    /// What the ledger would be, and the step, if it could be written.
    fn imagine_start(&self) -> (Ledger, Step) {
        let mut ledger = keep::read_ledger(&self.places.ledger);
        let step = match self.places.started().exists() {
            true => Step::Watch,
            false => ledger.next(Fact::Started(self.places.here()), self.clock.now()),
        };
        (ledger, step)
    }

    /// The boot loader's own counting comes to the same, two starts later.
    fn abandon(&mut self) {
        if let Err(error) = self.slots.mark_bad() {
            (self.tell)(&format!("This slot could not be given up: {}", chain(&error)));
        }
    }
}

enum Counters {
    Whole,
    Mended,
}

/// A power cut while they were written leaves nothing that anybody could write to: RAUC would refuse every mark and every update.
fn mend_counters(places: &Places) -> Result<Counters, UpdateError> {
    let here = places.here();
    if here.other_slot.is_empty()
        || !counters::is_lost(&places.grubenv).map_err(UpdateError::file("read", &places.grubenv))?
    {
        return Ok(Counters::Whole);
    }
    let is_other_good = keep::read_ledger(&places.ledger).vouches_for(&here.other_slot, &here.slot);
    let block = counters::block(&here.slot, &here.other_slot, is_other_good);
    keep::write(&places.grubenv, &block, 0o600, Lasting::Yes)?;
    Ok(Counters::Mended)
}

/// Marks the system that runs as good, for whoever has seen that it is.
pub fn prove(places: &Places, slots: &dyn Slots, clock: &Clock) -> Result<Ledger, UpdateError> {
    mend_counters(places)?;
    slots.mark_good()?;
    keep::write(&places.proved(), b"", 0o644, Lasting::No)?;
    // Nobody need have noted that it was started.
    note_start(places, clock)?;
    let (ledger, _) = note(places, clock, Fact::Proved(places.here()))?;
    Ok(ledger)
}

fn note_start(places: &Places, clock: &Clock) -> Result<(Ledger, Step), UpdateError> {
    let _lock = keep::lock(&places.lock(), keep::Patience::None)?;
    let mut ledger = keep::read_ledger(&places.ledger);
    let step = keep::note_start(places, &mut ledger, clock.now())?;
    Ok((ledger, step))
}

/// Takes a fact in while nobody else may change the ledger.
fn note(places: &Places, clock: &Clock, fact: Fact) -> Result<(Ledger, Step), UpdateError> {
    let _lock = keep::lock(&places.lock(), keep::Patience::None)?;
    let mut ledger = keep::read_ledger(&places.ledger);
    let step = keep::note(&places.ledger, &mut ledger, fact, clock.now())?;
    Ok((ledger, step))
}
