//! Updates that nobody has to ask for, where the owner has said so: looked for now and then, installed in the maintenance window.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::base::clock::{Clock, Timestamp};
use crate::base::error::chain;
use crate::base::secret::Secret;
use crate::base::shutdown::Shutdown;
use crate::update::calendar::{Due, Window, due, wave_of};
use crate::update::desk::Desk;
use crate::update::errors::UpdateError;
use crate::update::fetch::Fetching;
use crate::update::index::Offer;
use crate::update::keep::Request;
use crate::update::ledger::{Ledger, Order, Outcome, Phase};

/// Between two looks; a window is longer.
const LOOK_INTERVAL: Duration = Duration::from_secs(5 * 60);
const REST_AFTER_FAILURE: Duration = Duration::from_secs(24 * 3600);

/// What the owner said.
#[derive(Clone, Debug)]
pub struct Automatic {
    pub is_on: bool,
    /// An index, or another hub; blank for none.
    pub source: String,
    pub token: Secret<String>,
    pub window: Option<Window>,
    pub waves: u32,
    /// Chosen by hand instead of by the hub's id.
    pub wave: Option<u32>,
    pub wave_interval: Duration,
    /// What tells this hub from all others.
    pub id: String,
}

impl Automatic {
    pub fn wave(&self) -> u32 {
        self.wave.unwrap_or_else(|| wave_of(&self.id, self.waves))
    }

    /// Who asks for `source`: the token is shown to the configured server alone.
    pub fn fetching(&self, desk: &Desk, source: &str) -> Fetching {
        let places = desk.places();
        let token = (source == self.source && !self.token.is_empty()).then(|| self.token.clone());
        Fetching { folder: places.incoming.clone(), compatible: places.compatible(), token, ..Fetching::default() }
    }

    pub fn view(&self) -> Value {
        json!({"on": self.is_on, "source": self.source, "wave": self.wave(), "waves": self.waves})
    }
}

/// Whether this machine installs `offer` by itself now.
fn decide(it: &Automatic, ledger: &Ledger, running: &str, offer: &Offer, (now, minute): (Timestamp, u16)) -> bool {
    // An update whose driver died is one that nobody works on: whoever is at work refuses the next one.
    let is_busy =
        [Phase::AwaitingRestart, Phase::Confirming, Phase::TakingBack, Phase::GoingBack].contains(&ledger.phase);
    // What came back once would come back every night.
    let came_back = ledger.past.iter().any(|past| past.outcome == Outcome::RolledBack && past.version == offer.version);
    // Nor is one that came and was refused, or could not be written, fetched again all night; one that did not come has no version.
    let has_failed = ledger.past.iter().any(|past| {
        let at = Timestamp::parse(&past.at);
        past.outcome == Outcome::Failed
            && past.version == offer.version
            && at.is_some_and(|at| (at..at.plus(REST_AFTER_FAILURE)).contains(&now))
    });
    let (Some(window), Some(released_at)) = (it.window, offer.released_at) else { return false };
    let delay = it.wave_interval.saturating_mul(it.wave());
    !is_busy
        && !came_back
        && !has_failed
        && offer.is_newer_than(running)
        && due(now, minute, released_at, delay, window) == Due::Now
}

/// Looks and asks until the gateway stops. `minute_of_day` tells the house's own time.
pub async fn run(
    it: Automatic,
    desk: Arc<Desk>,
    clock: Clock,
    minute_of_day: impl Fn(Timestamp) -> u16 + Send + 'static,
    shutdown: Shutdown,
) {
    if !it.is_on || it.source.is_empty() || !desk.places().has_slots() {
        return;
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
            () = shutdown.triggered() => return,
        }
        let now = clock.now();
        let minute = minute_of_day(now);
        // Outside of it there is nothing to do, so that nobody is asked in vain.
        if !it.window.is_some_and(|window| window.contains(minute)) {
            continue;
        }
        if let Err(error) = look_and_ask(&it, &desk, (now, minute)).await {
            tracing::info!(error = chain(&error), "No update could be looked for.");
        }
    }
}

/// Whether what waits for a restart came by itself: nobody else starts it.
fn waits_for_its_window(ledger: &Ledger) -> bool {
    ledger.phase == Phase::AwaitingRestart && ledger.order.as_ref().is_some_and(|order| order.automatic)
}

async fn look_and_ask(it: &Automatic, desk: &Desk, (now, minute): (Timestamp, u16)) -> Result<(), UpdateError> {
    if waits_for_its_window(&desk.ledger()) {
        return desk.ask(&Request::Restart);
    }
    let offer = desk.check(it.fetching(desk, &it.source), it.source.clone(), now).await?;
    if desk.is_at_work() || !decide(it, &desk.ledger(), &desk.places().version(), &offer, (now, minute)) {
        return Ok(());
    }
    tracing::info!("A newer version is there, and this is the time for it.");
    // Not started at once: by the time that it is here, or after a power cut, the window may be over.
    let order = Order {
        source: it.source.clone(),
        only_newer: true,
        automatic: true,
        offered: offer.version,
        ..Order::default()
    };
    desk.ask(&Request::Install { order })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::ledger::Past;

    #[test]
    fn a_machine_updates_itself_only_when_everything_says_so() {
        let released = Timestamp::from_millis(1_000_000_000_000);
        let hour = Duration::from_secs(3600);
        let it = Automatic {
            is_on: true,
            source: "https://x.org/index.json".to_owned(),
            token: Secret::default(),
            window: Window::parse("02:00-05:00"),
            waves: 4,
            wave: Some(2),
            wave_interval: hour,
            id: "kitchen".to_owned(),
        };
        let offer = Offer {
            version: "0.2.0".to_owned(),
            released_at: Some(released),
            source: "https://x.org/a.raucb".to_owned(),
            bytes: None,
        };
        let ledger = Ledger::default();
        let at = |hours: u32, minute: u16| (released.plus(hour * hours), minute);
        assert!(decide(&it, &ledger, "0.1.0", &offer, at(2, 180)));
        assert!(!decide(&it, &ledger, "0.1.0", &offer, at(1, 180)), "earlier waves first");
        assert!(!decide(&it, &ledger, "0.1.0", &offer, at(2, 720)), "not in the middle of the day");
        assert!(!decide(&it, &ledger, "0.2.0", &offer, at(2, 180)), "it runs already");
        assert!(!decide(&it, &ledger, "0.3.0", &offer, at(2, 180)), "never back");
        let busy = Ledger { phase: Phase::AwaitingRestart, ..Ledger::default() };
        assert!(!decide(&it, &busy, "0.1.0", &offer, at(2, 180)));
        let lost = Ledger { phase: Phase::Fetching, ..Ledger::default() };
        assert!(decide(&it, &lost, "0.1.0", &offer, at(2, 180)), "its driver died");
        let past = Past { version: "0.2.0".to_owned(), outcome: Outcome::RolledBack, ..Past::default() };
        let burnt = Ledger { past: vec![past], ..Ledger::default() };
        assert!(!decide(&it, &burnt, "0.1.0", &offer, at(2, 180)), "it came back once");
        let past = |version: &str| Past { version: version.to_owned(), at: released.to_rfc3339(), ..Past::default() };
        let failed = |version: &str| Ledger { past: vec![past(version)], ..Ledger::default() };
        assert!(!decide(&it, &failed("0.2.0"), "0.1.0", &offer, at(2, 180)), "it failed this night");
        assert!(decide(&it, &failed("0.2.0"), "0.1.0", &offer, at(24, 180)), "and is tried in the next");
        assert!(decide(&it, &failed(""), "0.1.0", &offer, at(2, 180)), "it did not come");
        let undated = Offer { released_at: None, ..offer.clone() };
        assert!(!decide(&it, &ledger, "0.1.0", &undated, at(2, 180)));
        let no_window = Automatic { window: None, ..it.clone() };
        assert!(!decide(&no_window, &ledger, "0.1.0", &offer, at(2, 180)));
        let order = Order { automatic: true, ..Order::default() };
        let waits = |phase, order: &Order| {
            waits_for_its_window(&Ledger { phase, order: Some(order.clone()), ..Ledger::default() })
        };
        assert!(waits(Phase::AwaitingRestart, &order) && !waits(Phase::Installing, &order));
        assert!(!waits(Phase::AwaitingRestart, &Order::default()), "somebody else's");
        let by_id = Automatic { wave: None, ..it };
        assert!(by_id.wave() < 4);
    }
}
