//! What became of the last update.

use crate::doctor::Finding;
use crate::update::{Desk, Phase, Places};

pub(super) fn last(places: &Places) -> Finding {
    if !places.has_slots() {
        return Finding::skip("update", "this system has no second one to update");
    }
    let ledger = Desk::new(places.clone()).ledger();
    let version = ledger.bundle.map(|bundle| bundle.version).unwrap_or_default();
    let reason = ledger.reason.unwrap_or_default();
    match ledger.phase {
        Phase::RolledBack
            if ledger.past.first().is_some_and(|past| past.reason.as_deref() == Some("as it was asked for")) =>
        {
            Finding::pass("update", "gone back, as it was asked for")
        }
        Phase::RolledBack => {
            let advice = "this system goes on as before; try a later version, and send what `journalctl -b -1` says to who makes it";
            Finding::fail("update", format!("version {version} was taken back: {reason}"), advice)
        }
        // Nothing was written: what was refused is nothing that ails this machine.
        Phase::Failed if ledger.untried_slot.is_empty() => {
            Finding::pass("update", format!("the last one was not taken: {reason}"))
        }
        Phase::Failed => {
            let advice =
                "the other slot has no whole system; install an update again, so that there is one to fall back to";
            Finding::fail("update", reason, advice)
        }
        Phase::AwaitingRestart => Finding::pass("update", format!("version {version} waits for a restart")),
        Phase::Confirmed => Finding::pass("update", format!("version {version} has proved itself")),
        phase => Finding::pass("update", phase.name().replace('_', " ")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::doctor::Verdict;
    use crate::update::Ledger;

    #[test]
    fn an_update_that_came_back_is_told_with_its_reason() {
        let folder = tempfile::tempdir().expect("a folder");
        let places = Places::new(folder.path(), folder.path());
        assert_eq!(last(&places).verdict, Verdict::Skip);
        for path in [&places.rauc_config, &places.ledger] {
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        }
        fs::write(&places.rauc_config, "compatible=x\n").expect("written");
        assert_eq!(last(&places).verdict, Verdict::Pass);
        let reason = Some("the doors do not answer".to_owned());
        let ledger = Ledger { phase: Phase::RolledBack, reason, ..Ledger::default() };
        fs::write(&places.ledger, ledger.to_bytes()).expect("written");
        let found = last(&places);
        assert!(found.verdict == Verdict::Fail && found.detail.contains("the doors do not answer"));
        for (untried_slot, expected) in [("", Verdict::Pass), ("B", Verdict::Fail)] {
            let untried_slot = untried_slot.to_owned();
            let ledger = Ledger { phase: Phase::Failed, untried_slot, ..Ledger::default() };
            fs::write(&places.ledger, ledger.to_bytes()).expect("written");
            assert_eq!(last(&places).verdict, expected);
        }
    }
}
