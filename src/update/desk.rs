//! What the gateway sees of updates and may ask for: it looks, and leaves requests.

use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::base::clock::Timestamp;
use crate::base::lane::Lane;
use crate::update::driver::Progress;
use crate::update::errors::UpdateError;
use crate::update::fetch::{Fetching, look};
use crate::update::index::{self, Entry, Index, Offer};
use crate::update::judge::Refusal;
use crate::update::keep::{self, Lasting, Request};
use crate::update::ledger::{Bundle, Ledger};
use crate::update::machine::{Fact, Step};
use crate::update::places::Places;

/// The bundle that this hub hands on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Served {
    pub path: PathBuf,
    pub facts: Bundle,
}

pub struct Desk {
    places: Places,
    /// What was found when somebody last looked, and when.
    found: Mutex<Option<(Timestamp, Result<Offer, String>)>>,
}

impl Desk {
    pub fn new(places: Places) -> Self {
        Self { places, found: Mutex::default() }
    }

    pub fn places(&self) -> &Places {
        &self.places
    }

    pub fn ledger(&self) -> Ledger {
        keep::read_ledger(&self.places.ledger)
    }

    /// Whether a driver is at work. One that died, or whose power was cut, has left its phase behind and no more.
    pub fn is_at_work(&self) -> bool {
        self.ledger().phase.is_working() && keep::is_locked(&self.places.lock())
    }

    /// Everything that a page or a script wants to know.
    pub fn view(&self) -> Value {
        let here = self.places.here();
        let ledger = self.ledger();
        let at_work = self.is_at_work();
        // What a driver that died said last is not how far it is; a refusal is said by one that has ended.
        let progress: Option<Progress> = keep::read_json(&self.places.progress());
        let progress = progress.filter(|progress| at_work || progress.refused.is_some());
        let found = self.found.lock().expect("invariant: nobody panics while holding the offer").clone();
        let checked_at = found.as_ref().map(|(at, _)| *at);
        let (available, check_error) = match found {
            Some((_, Ok(offer))) => (Some(offer), None),
            Some((_, Err(why))) => (None, Some(why)),
            None => (None, None),
        };
        json!({
            "supported": self.places.has_slots(),
            "version": here.version,
            "compatible": here.compatible,
            "slot": here.slot,
            "other_slot": here.other_slot,
            "proved": self.places.proved().exists(),
            "phase": ledger.phase,
            "coming": ledger.phase.is_coming(),
            "working": ledger.phase.is_working(),
            "at_work": at_work,
            "changed_at": ledger.changed_at,
            "order": ledger.order,
            "bundle": ledger.bundle,
            "from_version": ledger.from_version,
            "from_slot": ledger.from_slot,
            "to_slot": ledger.to_slot,
            "backup": ledger.backup,
            "reason": ledger.reason,
            "past": ledger.past,
            "requested": self.places.request().exists(),
            "progress": progress,
            "available": available.as_ref().map(|offer| json!({
                "version": offer.version, "released_at": offer.released_at, "bytes": offer.bytes, "source": offer.source,
                "newer": offer.is_newer_than(&here.version),
            })),
            "checked_at": checked_at,
            "check_error": check_error,
        })
    }

    /// Asks `source` what it offers, and remembers the answer.
    pub async fn check(&self, fetching: Fetching, source: String, now: Timestamp) -> Result<Offer, UpdateError> {
        let told = |why: &dyn std::fmt::Display| UpdateError::Told(why.to_string());
        // A thread for the while: looking for updates is rare, and whoever looks waits for networks.
        let lane = Lane::start("update-look", 1, fetching).map_err(|error| told(&error))?;
        let found = lane.call(move |fetching| look(fetching, &source)).await.map_err(|error| told(&error))?;
        let kept = match &found {
            Ok(offer) => Ok(offer.clone()),
            Err(error) => Err(crate::base::error::chain(error)),
        };
        *self.found.lock().expect("invariant: nobody panics while holding the offer") = Some((now, kept));
        found
    }

    /// Leaves a request for the driver, which a unit of systemd starts when it sees one.
    pub fn ask(&self, request: &Request) -> Result<(), UpdateError> {
        if !self.places.has_slots() {
            return Err(UpdateError::Refused(Refusal::NoRauc));
        }
        if let Request::Install { order } = request {
            index::check(&order.source)?;
        }
        // Who is at work looks for this one before anything is written.
        let calls_off = *request == Request::Rollback && self.ledger().phase.is_coming();
        if self.places.request().exists() || (self.is_at_work() && !calls_off) {
            return Err(UpdateError::Refused(Refusal::Busy));
        }
        if *request == Request::Restart
            && let Step::Refuse(refusal) = self.ledger().next(Fact::RestartAsked, Timestamp::default())
        {
            return Err(UpdateError::Refused(refusal));
        }
        let text = serde_json::to_vec(request).expect("invariant: a request is JSON");
        keep::write(&self.places.request(), &text, 0o600, Lasting::Yes)
    }

    /// The bundle that was checked here and can be handed on. One that was refused here, or came back, can not.
    pub fn served(&self) -> Option<Served> {
        let path = self.places.bundle();
        let facts: Bundle = keep::read_json(&self.places.bundle_facts())?;
        if !self.ledger().may_hand_on(&facts.version) {
            return None;
        }
        let bytes = std::fs::symlink_metadata(&path).ok().filter(std::fs::Metadata::is_file)?.len();
        (bytes == facts.bytes).then_some(Served { path, facts })
    }

    /// What other hubs may get here, as the index of updates that it is to them.
    pub fn index(&self) -> Option<Index> {
        let Served { facts, .. } = self.served()?;
        let bundle = Entry { compatible: facts.compatible, url: "bundle".to_owned(), bytes: Some(facts.bytes) };
        Some(Index { version: facts.version, released_at: day(&facts.build), bundles: vec![bundle] })
    }
}

/// `20261120T000000Z`, as builds are called, in the form of the index; blank for anything else.
fn day(build: &str) -> String {
    let parsed = chrono::NaiveDateTime::parse_from_str(build, "%Y%m%dT%H%M%SZ");
    parsed.map(|time| Timestamp::from_millis(time.and_utc().timestamp_millis()).to_rfc3339()).unwrap_or_default()
}
