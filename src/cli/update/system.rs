//! What root does: driving an update, and proving a system after its start.

use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::cli::update::hands::HouseHands;
use crate::cli::update::show::Bar;
use crate::cli::{Failure, Terminal};
use crate::config::{Loaded, Variables};
use crate::update::{Confirmation, Driver, Ledger, Places, Progress, Rauc, Times, UpdateError};

/// After a power cut a home's router comes up later than its hub.
const NETWORK_WAIT: Duration = Duration::from_secs(300);

/// Runs `work` with a driver; how far it is goes to the terminal.
pub(super) fn drive(
    loaded: &Loaded,
    places: &Places,
    (is_json, terminal): (bool, &mut Terminal<'_>),
    work: impl FnOnce(&mut Driver<'_>) -> Result<Ledger, UpdateError>,
) -> Result<(), Failure> {
    let clock = terminal.clock.clone();
    let mut bar = Bar::new(terminal.output_is_person, is_json);
    let mut hands = HouseHands::new(loaded, places).trusting_files();
    // Nobody to tell is no reason to stop.
    let mut say = |line: &str| drop(terminal.print(line));
    with_driver((places, &clock), &mut hands, (&mut bar, &mut say), work)
}

pub(super) fn apply(loaded: &Loaded, places: &Places, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    apply_with(HouseHands::new(loaded, places), places, terminal)
}

fn apply_with(mut hands: HouseHands<'_>, places: &Places, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let clock = terminal.clock.clone();
    let mut bar = Bar::new(false, false);
    let mut say = |line: &str| terminal.note(line);
    with_driver((places, &clock), &mut hands, (&mut bar, &mut say), |driver| driver.apply())
}

/// Runs `work` with a driver whose progress goes to `say`, in the bar's words.
fn with_driver(
    (places, clock): (&Places, &Clock),
    hands: &mut HouseHands<'_>,
    (bar, say): (&mut Bar, &mut dyn FnMut(&str)),
    work: impl FnOnce(&mut Driver<'_>) -> Result<Ledger, UpdateError>,
) -> Result<(), Failure> {
    let mut tell = |progress: &Progress| {
        if let Some(line) = bar.tell(progress) {
            say(&line);
        }
    };
    work(&mut Driver { places, slots: &Rauc, hands, clock, tell: &mut tell }).map(drop).map_err(Failure::Update)
}

pub(super) fn confirm(loaded: &Loaded, places: &Places, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let times = times(&terminal.variables);
    let clock: Clock = terminal.clock.clone();
    let mut hands = HouseHands::new(loaded, places);
    let mut confirmation = Confirmation {
        places,
        slots: &Rauc,
        hands: &mut hands,
        clock: &clock,
        times,
        tell: &mut |line| terminal.note(line),
    };
    let ledger = confirmation.run().map_err(Failure::Update)?;
    if ledger.phase.is_working() && ledger.has_proved(&places.slot()) {
        terminal.note("The power was cut during an update; it goes on.");
        // This system is proved whatever comes of that; the ledger has the reason.
        let patient = HouseHands::new(loaded, places).waiting_for_network(NETWORK_WAIT);
        if let Err(failure) = apply_with(patient, places, terminal) {
            terminal.note(&chain(&failure));
        }
    }
    Ok(())
}

/// Tests have less time.
fn times(variables: &Variables) -> Times {
    let usual = Times::default();
    let seconds = |name: &str, usual: Duration| {
        let given = variables.get(name).and_then(|text| text.parse::<u64>().ok());
        given.map_or(usual, Duration::from_secs)
    };
    let steady = seconds("KAFCLAW_CONFIRM_STEADY_S", usual.steady);
    let patience = seconds("KAFCLAW_CONFIRM_PATIENCE_S", usual.patience);
    let pause = usual.pause.min(steady.min(patience) / 4).max(Duration::from_millis(100));
    Times { steady, patience, pause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_have_less_time() {
        assert_eq!(times(&Variables::default()), Times::default());
        let short = Variables::from([("KAFCLAW_CONFIRM_STEADY_S", "2"), ("KAFCLAW_CONFIRM_PATIENCE_S", "8")]);
        let times = times(&short);
        assert_eq!((times.steady, times.patience), (Duration::from_secs(2), Duration::from_secs(8)));
        assert_eq!(times.pause, Duration::from_millis(500));
    }
}
