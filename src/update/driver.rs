//! The loop around the ledger: does what comes next, as root, and writes down what came of it before the next step.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::update::errors::UpdateError;
use crate::update::fetch;
use crate::update::index;
use crate::update::judge::Refusal;
use crate::update::keep::{self, Lasting, Patience, Request};
use crate::update::ledger::{Ledger, Order, Phase};
use crate::update::machine::{Fact, Step};
use crate::update::places::Places;
use crate::update::port::{Hands, Slots, Standing};

/// Bytes between two words about a download whose length nobody knows.
const WORD_BYTES: u64 = 4 * 1024 * 1024;

/// How far the step is that is being taken; forgotten when it is over.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    pub phase: Phase,
    pub percent: Option<u8>,
    pub bytes: u64,
    pub bytes_total: Option<u64>,
    pub words: String,
    /// Why the last request was not even begun.
    pub refused: Option<String>,
}

/// What a driver works with.
pub struct Driver<'a> {
    pub places: &'a Places,
    pub slots: &'a dyn Slots,
    pub hands: &'a mut dyn Hands,
    pub clock: &'a Clock,
    /// Hears of every change of the progress.
    pub tell: &'a mut dyn FnMut(&Progress),
}

/// The ledger while nobody else may change it.
struct Held {
    ledger: Ledger,
    _lock: File,
}

impl Driver<'_> {
    /// Installs what `order` names; returns when it waits for a restart, or why it does not.
    pub fn install(&mut self, order: Order) -> Result<Ledger, UpdateError> {
        index::check(&order.source)?;
        let lock = self.lock(Patience::None)?;
        self.install_under(lock, order)
    }

    /// Starts the system that was installed.
    pub fn restart(&mut self) -> Result<Ledger, UpdateError> {
        let lock = self.lock(Patience::None)?;
        self.begin(lock, |_, _| Ok(Fact::RestartAsked))
    }

    /// Goes to the system of the other slot, takes back what waits for a restart, or calls off what lost its driver on the way here.
    pub fn roll_back(&mut self) -> Result<Ledger, UpdateError> {
        let lock = self.lock(Patience::None)?;
        self.begin(lock, |driver, _| Ok(Fact::RollbackAsked(driver.places.here())))
    }

    /// Does what the gateway asked for, if it did, else what was under way when the power was cut.
    pub fn apply(&mut self) -> Result<Ledger, UpdateError> {
        // A request waits while somebody is at work, who may take it up too.
        let lock = self.lock(Patience::Endless)?;
        let request = keep::take_request(&self.places.request());
        // What was said to the one before is no answer to this one.
        let _ = fs::remove_file(self.places.progress());
        let result = match request {
            Some(Request::Install { order }) => self.install_under(lock, order),
            Some(Request::Restart) => self.begin(lock, |_, _| Ok(Fact::RestartAsked)),
            Some(Request::Rollback) => self.begin(lock, |driver, _| Ok(Fact::RollbackAsked(driver.places.here()))),
            None => self.begin(lock, |driver, _| Ok(Fact::Resumed(driver.places.here()))),
        };
        if let Err(UpdateError::Refused(refusal)) = &result {
            self.show(&Progress { refused: Some(refusal.to_string()), ..Progress::default() });
        }
        result
    }

    fn lock(&self, patience: Patience) -> Result<File, UpdateError> {
        if !self.places.has_slots() {
            return Err(UpdateError::Refused(Refusal::NoRauc));
        }
        keep::lock(&self.places.lock(), patience)
    }

    fn install_under(&mut self, lock: File, order: Order) -> Result<Ledger, UpdateError> {
        self.begin(lock, |driver, ledger| {
            let here = driver.places.here();
            // Writing over the only system that is known to be good, while the one that runs has not shown that it is.
            let is_good = driver.places.proved().exists() || ledger.has_proved(&here.slot);
            if here.other == Standing::Ready && !is_good {
                return Err(UpdateError::Refused(Refusal::Proving));
            }
            Ok(Fact::Asked(order))
        })
    }

    fn begin(
        &mut self,
        lock: File,
        fact: impl FnOnce(&Self, &Ledger) -> Result<Fact, UpdateError>,
    ) -> Result<Ledger, UpdateError> {
        let mut held = Held { ledger: keep::read_ledger(&self.places.ledger), _lock: lock };
        // Else whoever notes it later would take what is installed now for something that did not start.
        keep::note_start(self.places, &mut held.ledger, self.clock.now())?;
        let fact = fact(self, &held.ledger)?;
        let before = held.ledger.clone();
        let done = self.drive(&mut held, fact);
        let _ = fs::remove_file(self.places.progress());
        done?;
        let ledger = held.ledger;
        // One that waits for a restart has a reason when it could not be taken back.
        let has_ended_badly = matches!(ledger.phase, Phase::Failed | Phase::AwaitingRestart) && ledger != before;
        match ledger.reason.clone().filter(|_| has_ended_badly) {
            Some(reason) => Err(UpdateError::Told(reason)),
            None => Ok(ledger),
        }
    }

    fn drive(&mut self, held: &mut Held, fact: Fact) -> Result<(), UpdateError> {
        let mut step = self.note(held, fact)?;
        loop {
            let was = held.ledger.phase;
            if matches!(step, Step::Fetch | Step::Check | Step::BackUp) && self.places.is_called_off() {
                return self.call_off(held);
            }
            let fact = match step {
                Step::Rest | Step::Watch => return Ok(()),
                Step::Refuse(refusal) => return Err(UpdateError::Refused(refusal)),
                Step::Fetch => self.fetch(&held.ledger).map(|()| Fact::Fetched),
                Step::Check => self.check(),
                Step::BackUp => self.back_up(),
                Step::Install => self.write_slot(),
                Step::Restart => return self.slots.restart(),
                Step::SwitchOver => match self.slots.choose_other() {
                    Ok(()) => return self.slots.restart(),
                    Err(error) => Err(error),
                },
                // The first of the two is enough; without the second, the boot loader would look there first when this one fails.
                Step::Stay => self.slots.bar_other().and_then(|()| self.slots.choose_this()).map(|()| Fact::Stayed),
                Step::Abandon => {
                    self.slots.mark_bad()?;
                    return self.slots.restart();
                }
            };
            // Whoever brings it has seen the same request.
            if fact.is_err() && was.is_coming() && self.places.is_called_off() {
                return self.call_off(held);
            }
            let fact = fact.unwrap_or_else(|error| Fact::Broke(chain(&error), self.places.here()));
            step = self.note(held, fact)?;
            if held.ledger.phase != was {
                tracing::info!(from = was.name(), to = held.ledger.phase.name(), "An update has come further.");
            }
        }
    }

    fn call_off(&self, held: &mut Held) -> Result<(), UpdateError> {
        keep::take_request(&self.places.request());
        self.note(held, Fact::RollbackAsked(self.places.here()))?;
        Err(UpdateError::Refused(Refusal::CalledOff))
    }

    fn note(&self, held: &mut Held, fact: Fact) -> Result<Step, UpdateError> {
        keep::note(&self.places.ledger, &mut held.ledger, fact, self.clock.now())
    }

    fn fetch(&mut self, ledger: &Ledger) -> Result<(), UpdateError> {
        let order = ledger.order.clone().unwrap_or_default();
        let mut shown = Progress { phase: Phase::Fetching, ..Progress::default() };
        self.show(&shown);
        let (places, tell) = (self.places, &mut *self.tell);
        let brought = self.hands.fetch(&order, &mut |bytes, total| {
            let percent = total.filter(|total| *total > 0).map(|total| percent(bytes, total));
            let is_news = match percent {
                Some(_) => percent != shown.percent,
                None => bytes >= shown.bytes + WORD_BYTES,
            };
            if is_news {
                shown = Progress { percent, bytes, bytes_total: total, ..shown.clone() };
                show(places, tell, &shown);
            }
        })?;
        // What was said about the one before is not said about this one.
        let _ = fs::remove_file(places.bundle_facts());
        keep::make_folder(&places.store, 0o755)
            .and_then(|()| take_over(&brought, &places.bundle()))
            .map_err(UpdateError::file("take over", &brought))?;
        // Other hands may have begun before the power was cut.
        for folder in [&places.incoming, &places.store] {
            let _ = fs::remove_file(fetch::part(folder, &order.source));
        }
        Ok(())
    }

    fn check(&mut self) -> Result<Fact, UpdateError> {
        self.show(&Progress { phase: Phase::Checking, ..Progress::default() });
        let bundle = self.places.bundle();
        let checked = self.slots.read(&bundle);
        let facts = match checked {
            Ok(facts) => facts,
            Err(error) => {
                // Nothing that nobody has signed stays where bundles for others lie.
                let _ = fs::remove_file(&bundle);
                return Err(error);
            }
        };
        let text = serde_json::to_vec(&facts).expect("invariant: facts are JSON");
        keep::write(&self.places.bundle_facts(), &text, 0o644, Lasting::Yes)?;
        Ok(Fact::Checked(facts, self.places.here()))
    }

    fn back_up(&mut self) -> Result<Fact, UpdateError> {
        self.show(&Progress { phase: Phase::BackingUp, ..Progress::default() });
        let copy = self.hands.back_up()?;
        Ok(Fact::BackedUp(copy.map(|copy| copy.display().to_string())))
    }

    fn write_slot(&mut self) -> Result<Fact, UpdateError> {
        let (places, tell) = (self.places, &mut *self.tell);
        let mut shown = Progress { phase: Phase::Installing, ..Progress::default() };
        show(places, tell, &shown);
        self.slots.install(&places.bundle(), &mut |percent, words| {
            if shown.percent != Some(percent) || shown.words != words {
                shown = Progress { percent: Some(percent), words: words.to_owned(), ..shown.clone() };
                show(places, tell, &shown);
            }
        })?;
        Ok(Fact::Installed)
    }

    fn show(&mut self, progress: &Progress) {
        show(self.places, self.tell, progress);
    }
}

/// Progress is for looking at: whether it can be written decides nothing.
fn show(places: &Places, tell: &mut dyn FnMut(&Progress), progress: &Progress) {
    if let Ok(text) = serde_json::to_vec(progress) {
        let _ = keep::write(&places.progress(), &text, 0o644, Lasting::No);
    }
    tell(progress);
}

fn percent(bytes: u64, total: u64) -> u8 {
    u8::try_from(bytes.saturating_mul(100) / total).unwrap_or(100).min(100)
}

/// Makes what another user has brought root's own: the name first, so that nobody else can put something there, then the file.
fn take_over(from: &Path, to: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(from)?.is_file() {
        let _ = fs::remove_file(from);
        return Err(io::ErrorKind::InvalidInput.into());
    }
    fs::rename(from, to)?;
    // It may have become a link between the two; nothing but a file of root's stays.
    own(to).inspect_err(|_| drop(fs::remove_file(to)))?;
    File::open(to.parent().unwrap_or(Path::new("/")))?.sync_all()
}

fn own(path: &Path) -> io::Result<()> {
    let flags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    let facts = file.metadata()?;
    if !facts.is_file() || facts.nlink() != 1 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if rustix::process::geteuid().is_root() {
        fchown(&file, Some(0), Some(0))?;
    }
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    file.sync_all()
}
