//! What is written down about updates: one small file that both systems of a machine read, the older one too.

use serde::{Deserialize, Deserializer, Serialize};

use crate::base::clock::Timestamp;

/// Of what is written. A file of a later format is read as far as its fields are known.
pub const FORMAT: u32 = 1;
/// Outcomes that are remembered.
const PAST_LEN_MAX: usize = 8;
/// Of a reason, in characters; what other programs say can be long.
const REASON_CHARS_MAX: usize = 500;

/// Where an update stands. Fields that are not known are ignored and those that are missing are blank, so that each version of the
/// program reads what any other has written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    pub format: u32,
    pub phase: Phase,
    /// What was asked for last.
    pub order: Option<Order>,
    /// What it turned out to be.
    pub bundle: Option<Bundle>,
    /// What waited for a restart, or may have been written whole, when that was asked for; it waits on until it is written over.
    pub waiting: Option<Bundle>,
    /// The slot and version that ran when it was asked for.
    pub from_slot: String,
    pub from_version: String,
    /// The slot that the machine is to come up in.
    pub to_slot: String,
    /// The copy of the database from before.
    pub backup: Option<String>,
    /// Why the last update failed or was taken back, or what troubles the one that proves itself.
    pub reason: Option<String>,
    /// The slot that proved itself last.
    pub proved_slot: String,
    /// The slot that the machine is at home in; that it was left is told once. Blank in what older versions wrote: the one that
    /// proved itself.
    pub home_slot: String,
    /// The slot that may hold a system which was written and never started; a power cut or another order does not make that forgotten.
    pub untried_slot: String,
    pub changed_at: String,
    /// The newest first.
    pub past: Vec<Past>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            format: FORMAT,
            phase: Phase::Idle,
            order: None,
            bundle: None,
            waiting: None,
            from_slot: String::new(),
            from_version: String::new(),
            to_slot: String::new(),
            backup: None,
            reason: None,
            proved_slot: String::new(),
            home_slot: String::new(),
            untried_slot: String::new(),
            changed_at: String::new(),
            past: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    #[default]
    Idle,
    Fetching,
    Checking,
    BackingUp,
    Installing,
    AwaitingRestart,
    Confirming,
    Confirmed,
    /// What waits for a restart is made not to be started, because somebody asked for that.
    TakingBack,
    /// On the way to the other slot because somebody asked for it.
    GoingBack,
    RolledBack,
    Failed,
}

impl Phase {
    pub const ALL: [Self; 12] = [
        Self::Idle,
        Self::Fetching,
        Self::Checking,
        Self::BackingUp,
        Self::Installing,
        Self::AwaitingRestart,
        Self::Confirming,
        Self::Confirmed,
        Self::TakingBack,
        Self::GoingBack,
        Self::RolledBack,
        Self::Failed,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Fetching => "fetching",
            Self::Checking => "checking",
            Self::BackingUp => "backing_up",
            Self::Installing => "installing",
            Self::AwaitingRestart => "awaiting_restart",
            Self::Confirming => "confirming",
            Self::Confirmed => "confirmed",
            Self::TakingBack => "taking_back",
            Self::GoingBack => "going_back",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
        }
    }

    /// Nothing has been written to the other slot yet: what is under way can be called off.
    pub const fn is_coming(self) -> bool {
        matches!(self, Self::Fetching | Self::Checking | Self::BackingUp)
    }

    /// A driver is at work, or would be if it had not died or the power had not been cut: whether there is one the lock says.
    pub const fn is_working(self) -> bool {
        self.is_coming() || matches!(self, Self::Installing | Self::TakingBack)
    }
}

/// A phase that a later version has invented is one in which this one has nothing to do.
impl<'de> Deserialize<'de> for Phase {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(Self::ALL.into_iter().find(|phase| phase.name() == name).unwrap_or(Self::Idle))
    }
}

/// What somebody asked for. It holds no secret: the file can be read by everybody.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Order {
    /// An absolute path, or a web address of a bundle, of an index, or of another hub.
    pub source: String,
    /// An older version than the one that runs is wanted.
    pub downgrade: bool,
    /// Start the new system at once.
    pub restart: bool,
    /// The version that runs is not written again; nobody is there to want that.
    pub only_newer: bool,
    /// Nobody asked for it by hand: what came of it is started in the maintenance window.
    pub automatic: bool,
    /// The version that an index has promised there; blank where none was asked.
    pub offered: String,
}

impl Order {
    pub fn is_url(&self) -> bool {
        is_url(&self.source)
    }
}

pub(super) fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// What a bundle says about itself, under its signature.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Bundle {
    pub version: String,
    /// The kind of board that it is for.
    pub compatible: String,
    /// The day of its packages.
    pub build: String,
    pub bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Confirmed,
    RolledBack,
    #[default]
    Failed,
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match String::deserialize(deserializer)?.as_str() {
            "confirmed" => Self::Confirmed,
            "rolled_back" => Self::RolledBack,
            _ => Self::Failed,
        })
    }
}

/// One update that is over.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Past {
    pub at: String,
    pub version: String,
    pub outcome: Outcome,
    pub reason: Option<String>,
}

impl Ledger {
    /// Reads what any version has written; what is no such file at all counts as nothing written.
    pub fn parse(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("invariant: a ledger is JSON");
        bytes.push(b'\n');
        bytes
    }

    /// Whether other hubs may have `version` from here: it is not being judged, and what came of it last, if anything did, is that it
    /// proved itself. A system that was left without anybody knowing its version may be any.
    pub(super) fn may_hand_on(&self, version: &str) -> bool {
        let is_about =
            |past: &&Past| past.version == version || (past.version.is_empty() && past.outcome == Outcome::RolledBack);
        let last = self.past.iter().find(is_about);
        self.phase != Phase::Checking && last.is_none_or(|past| past.outcome == Outcome::Confirmed)
    }

    /// Whether the system in `slot` was well before: it need not show anew that it can be.
    pub fn has_proved(&self, slot: &str) -> bool {
        self.phase != Phase::Confirming && !slot.is_empty() && self.proved_slot == slot
    }

    /// Whether the system in `other` is known to have been good, by what is written here while the one in `slot` runs.
    pub(super) fn vouches_for(&self, other: &str, slot: &str) -> bool {
        if other.is_empty() || other == self.untried_slot {
            return false;
        }
        // The one that runs was installed, or gone to, by the other; whether its start is written down already is no matter.
        self.proved_slot == other || (self.from_slot == other && self.to_slot == slot)
    }

    /// The slot that the machine is at home in; blank before any has proved itself.
    pub(super) fn home(&self) -> &str {
        if self.home_slot.is_empty() { &self.proved_slot } else { &self.home_slot }
    }

    pub(super) fn enter(&mut self, phase: Phase, now: Timestamp) {
        self.phase = phase;
        self.changed_at = now.to_rfc3339();
    }

    /// Ends the update that is under way.
    pub(super) fn end(&mut self, outcome: Outcome, reason: Option<String>, now: Timestamp) {
        self.reason = reason.map(|reason| short(&reason));
        // What did not come says nothing about what it is; what came and could not be read is what was promised.
        let offered = self.order.as_ref().map(|order| order.offered.clone()).filter(|_| self.phase != Phase::Fetching);
        let version = self.bundle.as_ref().map(|bundle| bundle.version.clone()).or(offered).unwrap_or_default();
        let phase = match outcome {
            Outcome::Confirmed => Phase::Confirmed,
            Outcome::RolledBack => Phase::RolledBack,
            Outcome::Failed => Phase::Failed,
        };
        self.enter(phase, now);
        self.remember(Past { at: self.changed_at.clone(), version, outcome, reason: self.reason.clone() });
    }

    pub(super) fn remember(&mut self, past: Past) {
        // One that fails again and again must not push out what came back once.
        let is_again = |last: &&mut Past| {
            last.outcome == Outcome::Failed && past.outcome == Outcome::Failed && last.version == past.version
        };
        if let Some(last) = self.past.first_mut().filter(is_again) {
            *last = past;
            return;
        }
        self.past.insert(0, past);
        self.past.truncate(PAST_LEN_MAX);
    }
}

/// One line that fits on a page.
pub(super) fn short(reason: &str) -> String {
    let line = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|letter| !letter.is_control()).take(REASON_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_older_program_reads_what_a_newer_one_wrote() {
        let newer = br#"{"format": 9, "phase": "confirming", "to_slot": "B", "mood": {"good": true}, "order": {"source": "/a", "color": 3},
            "past": [{"outcome": "admired", "version": "9.0.0", "stars": 5}]}"#;
        let ledger = Ledger::parse(newer);
        assert_eq!((ledger.phase, ledger.to_slot.as_str(), ledger.format), (Phase::Confirming, "B", 9));
        assert_eq!(ledger.order.as_ref().map(|order| order.source.as_str()), Some("/a"));
        assert_eq!(ledger.past[0].outcome, Outcome::Failed);
        assert_eq!(Ledger::parse(br#"{"phase": "dreaming"}"#).phase, Phase::Idle);
        assert_eq!(Ledger::parse(b""), Ledger::default());
    }

    #[test]
    fn the_ledger_vouches_for_what_it_has_seen_run() {
        let update = Ledger { from_slot: "A".to_owned(), to_slot: "B".to_owned(), ..Ledger::default() };
        let check = |phase, slot: &str, other: &str, expected: bool| {
            let ledger = Ledger { phase, ..update.clone() };
            assert_eq!(ledger.vouches_for(other, slot), expected, "{phase:?}, in {slot}");
        };
        check(Phase::AwaitingRestart, "B", "A", true);
        check(Phase::Confirming, "B", "A", true);
        check(Phase::Confirmed, "B", "A", true);
        check(Phase::RolledBack, "B", "A", true);
        // The update came back, or was never written to its end.
        check(Phase::RolledBack, "A", "B", false);
        check(Phase::Installing, "A", "B", false);
        check(Phase::Failed, "A", "B", false);
        check(Phase::Confirmed, "B", "", false);
        let proved = Ledger { proved_slot: "B".to_owned(), ..Ledger::default() };
        assert!(proved.vouches_for("B", "A") && !proved.vouches_for("A", "B"));
        assert!(!Ledger { untried_slot: "B".to_owned(), ..proved }.vouches_for("B", "A"));
    }

    #[test]
    fn a_version_is_handed_on_unless_the_last_that_came_of_it_was_bad() {
        let past = |version: &str, outcome| Past { version: version.to_owned(), outcome, ..Past::default() };
        let check = |past: Vec<Past>, expected: bool| {
            let ledger = Ledger { phase: Phase::Fetching, past, ..Ledger::default() };
            assert_eq!(ledger.may_hand_on("0.3.0"), expected, "{ledger:?}");
            assert!(!Ledger { phase: Phase::Checking, ..ledger }.may_hand_on("0.3.0"));
        };
        let (good, bad, gone) = (Outcome::Confirmed, Outcome::Failed, Outcome::RolledBack);
        check(vec![], true);
        check(vec![past("0.3.0", good), past("0.3.0", gone)], true);
        check(vec![past("0.3.0", gone), past("0.3.0", good)], false);
        check(vec![past("0.4.0", bad), past("0.3.0", bad)], false);
        // A download that broke off says nothing about what is here; a slot that was left might be this one.
        check(vec![past("", bad), past("0.4.0", gone), past("0.3.0", good)], true);
        check(vec![past("", gone), past("0.3.0", good)], false);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_and_nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,40}", phase in 0..Phase::ALL.len()) {
            let _ = Ledger::parse(&bytes);
            let order = Some(Order { source: text.clone(), restart: true, ..Order::default() });
            let ledger = Ledger { phase: Phase::ALL[phase], order, reason: Some(short(&text)), ..Ledger::default() };
            prop_assert_eq!(Ledger::parse(&ledger.to_bytes()), ledger);
        }
    }
}
