//! Floor 6: updates of the whole system: fetched, checked, written to the other slot, started, proved, or taken back.
//!
//! Who may do what: [`Ledger`] knows what comes next and does nothing; [`Driver`] does it, as root, and keeps the ledger where it
//! survives the way back ([`Places`]). The gateway runs without rights: it looks through [`Desk`] and leaves a request, which a unit
//! of systemd hands to a driver. Whatever needs the network or the house's files, the driver has done by the house's own user
//! ([`Hands`]). Only RAUC ([`Slots`]) decides whether a bundle is signed by somebody this machine believes; where it came from
//! never matters.
//!
//! Absent on purpose: formats of bundles and slots (RAUC's), the boot loader's counting (GRUB's), what is healthy (the caller's),
//! and any other way than a bundle: a part of a system is never updated alone.

mod automatic;
mod calendar;
mod confirm;
mod counters;
mod desk;
mod driver;
mod errors;
mod fetch;
mod index;
mod judge;
mod keep;
mod ledger;
mod machine;
mod places;
mod port;
mod rauc;
mod shape;
mod version;
mod watch;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use automatic::{Automatic, run as run_automatic};
pub use calendar::{Due, Window, due, wave_of};
pub use confirm::{Confirmation, Times, prove};
pub use desk::{Desk, Served};
pub use driver::{Driver, Progress};
pub use errors::UpdateError;
pub use fetch::{Fetching, Tell, bring, bundle_on_stick, check_room, look, part};
pub use index::{Index, Offer};
pub use judge::Refusal;
pub use keep::{Request, make_folder};
pub use ledger::{Bundle, Ledger, Order, Outcome, Past, Phase};
pub use machine::{Fact, Step};
pub use places::Places;
pub use port::{Hands, Here, Slots, Standing};
pub use rauc::Rauc;
pub use version::Version;
