//! Whether an update may be installed here: one plain question, and a sentence for every no.

use crate::update::ledger::{Bundle, Order};
use crate::update::port::Here;
use crate::update::version::Version;

/// Why not, and what to do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    #[error(
        "this machine has no second system to install to (RAUC is not set up here); update the program the way it was installed"
    )]
    NoRauc,
    #[error("an update is under way already; wait until it is done, `kafclaw update status` shows how far it is")]
    Busy,
    #[error("the update was called off before anything of it was written; this system goes on")]
    CalledOff,
    #[error("the system that runs is still proving itself; wait a few minutes and try again")]
    Proving,
    #[error("no update waits for a restart; install one first")]
    NothingWaits,
    #[error("the other slot holds no system that may be started; there is nothing to go back to")]
    NothingBefore,
    #[error("this update is for {bundle}, and this machine is {here}; get the file for {here}")]
    WrongBoard { bundle: String, here: String },
    #[error(
        "this update is version {bundle}, older than {here} that runs here; add --downgrade if that is what you want"
    )]
    Downgrade { bundle: String, here: String },
    #[error("version {version} runs here already, so there is nothing to do")]
    Same { version: String },
    #[error("this update calls itself version {version:?}, which is no version; it was not made for this product")]
    NoVersion { version: String },
}

/// Whether `bundle`, whose signature is believed, may be installed `here` under this order.
pub(super) fn judge(bundle: &Bundle, here: &Here, order: &Order) -> Result<(), Refusal> {
    if here.other_slot.is_empty() {
        return Err(Refusal::NoRauc);
    }
    if bundle.compatible != here.compatible {
        let (bundle, here) = (bundle.compatible.clone(), here.compatible.clone());
        return Err(Refusal::WrongBoard { bundle, here });
    }
    let Some(version) = Version::parse(&bundle.version) else {
        return Err(Refusal::NoVersion { version: bundle.version.clone() });
    };
    // A system that does not know its own version takes any.
    let Some(running) = Version::parse(&here.version) else { return Ok(()) };
    // A person may want a slot written again; nobody wants that of a machine by itself, nor to hear of an old stick at each start.
    if version <= running && order.only_newer {
        return Err(Refusal::Same { version: running.to_string() });
    }
    if version < running && !order.downgrade {
        return Err(Refusal::Downgrade { bundle: version.to_string(), here: running.to_string() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::port::Standing;

    #[test]
    fn each_no_has_its_reason() {
        let here = Here {
            compatible: "kafclaw-x".to_owned(),
            version: "0.2.0".to_owned(),
            slot: "A".to_owned(),
            other_slot: "B".to_owned(),
            other: Standing::Ready,
        };
        let check = |compatible: &str, version: &str, order: Order, expected: Result<(), &str>| {
            let bundle = Bundle { compatible: compatible.to_owned(), version: version.to_owned(), ..Bundle::default() };
            let said = judge(&bundle, &here, &order).map_err(|refusal| refusal.to_string());
            match (&said, expected) {
                (Ok(()), Ok(())) => {}
                (Err(said), Err(part)) => assert!(said.contains(part), "{said}"),
                _ => panic!("{compatible} {version}: {said:?}"),
            }
        };
        let plain = Order::default;
        check("kafclaw-x", "0.3.0", plain(), Ok(()));
        check("kafclaw-x", "0.2.0", plain(), Ok(()));
        check("kafclaw-x", "0.2.0", Order { only_newer: true, ..plain() }, Err("already"));
        check("kafclaw-x", "0.1.9", Order { only_newer: true, ..plain() }, Err("0.2.0 runs here already"));
        check("kafclaw-x", "0.1.9", plain(), Err("--downgrade"));
        check("kafclaw-x", "0.1.9", Order { downgrade: true, ..plain() }, Ok(()));
        check("kafclaw-y", "0.3.0", plain(), Err("for kafclaw-y, and this machine is kafclaw-x"));
        check("kafclaw-x", "newest", plain(), Err("no version"));
        let alone = Here { other_slot: String::new(), ..here.clone() };
        assert_eq!(judge(&Bundle::default(), &alone, &plain()), Err(Refusal::NoRauc));
    }
}
