//! What updates need from outside: the slots, and hands for what the house's own user does.

use std::path::{Path, PathBuf};

use crate::update::errors::UpdateError;
use crate::update::ledger::{Bundle, Order};

/// The system that runs, and the other one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Here {
    /// The kind of board, as bundles name it.
    pub compatible: String,
    /// Of the system that runs.
    pub version: String,
    /// Boot name of the slot that runs, such as `A`.
    pub slot: String,
    /// Blank where there is none.
    pub other_slot: String,
    /// What the boot loader makes of the other one.
    pub other: Standing,
}

/// How the boot loader stands to a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Standing {
    /// It is not started: there is none, it is half written, or it was given up. Also when nobody can tell.
    #[default]
    Barred,
    /// It was started as often as it may be without proving itself. Whoever chooses it gives it new tries.
    Spent,
    /// It is started as soon as the other one is left.
    Ready,
}

/// The machine's two systems. Everything here may wait for a disk.
pub trait Slots {
    /// What a bundle says about itself, if its signature is believed.
    fn read(&self, bundle: &Path) -> Result<Bundle, UpdateError>;

    /// Writes it to the other slot, which is started next; `tell` hears percent and words.
    fn install(&self, bundle: &Path, tell: &mut dyn FnMut(u8, &str)) -> Result<(), UpdateError>;

    /// The slot that runs has proved itself.
    fn mark_good(&self) -> Result<(), UpdateError>;

    /// The slot that runs is not to be started again.
    fn mark_bad(&self) -> Result<(), UpdateError>;

    /// The other slot is started next.
    fn choose_other(&self) -> Result<(), UpdateError>;

    /// The other slot is not to be started.
    fn bar_other(&self) -> Result<(), UpdateError>;

    /// The slot that runs is started next.
    fn choose_this(&self) -> Result<(), UpdateError>;

    fn restart(&self) -> Result<(), UpdateError>;
}

/// What is done by the house's own user, so that nothing that anybody sends is handled with more rights than it needs.
pub trait Hands {
    /// Brings the bundle and says where it is now; what has come of it earlier is gone on from.
    fn fetch(&mut self, order: &Order, tell: &mut dyn FnMut(u64, Option<u64>)) -> Result<PathBuf, UpdateError>;

    /// Copies the database; none where there is none.
    fn back_up(&mut self) -> Result<Option<PathBuf>, UpdateError>;

    /// What is wrong with the system that runs; nothing when it is well.
    fn troubles(&mut self) -> Vec<String>;
}
