//! Floor 4: whose house this is: the owner's password for the web page, and the setup code that lets somebody become the owner.
//!
//! Who may do what: a house begins without an owner. It then has a [`SetupCode`], which stands on the device's screen and on the
//! command line, and [`Owner::set_up`] takes that code with a password. Then there is no code until [`Store::reset`], for which one
//! needs the home directory. The dashboard asks an [`Owner`]; the command line uses the [`Store`] beneath it, while the gateway runs
//! or not: all of it is one small file, and a lock beside it.
//!
//! Absent on purpose: user names (the page has one login, see `webuser`), default passwords, recovery by questions, any way
//! of the code into a log.

mod code;
mod password;
mod record;
mod store;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use code::SetupCode;
pub use password::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN, Password, PasswordError};
pub use record::{Offer, TRIES};
pub use store::{FILE, Glance, Store, StoreError};

use crate::base::clock::Clock;
use crate::base::lane::{Lane, LaneError};
use crate::base::secret::Secret;

/// Logins that wait for their turn; one more is sent away. One runs at a time, so that they never take more memory than one does.
const QUEUE_LEN: usize = 4;

#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("could not let the thread for passwords work")]
    Lane(#[from] LaneError),
    #[error("a password is set already")]
    Owned,
    #[error("no password is set yet")]
    NotOwned,
    #[error("the password is wrong")]
    WrongPassword,
    #[error("the setup code is wrong; {tries_left} tries are left")]
    WrongCode { tries_left: u32 },
    #[error("the setup code was wrong too often; a new one was made")]
    CodeReplaced,
    #[error("setup codes were wrong too often")]
    Wait { wait: Duration },
}

/// The owner's file as a running gateway asks it. Clones share the thread on which passwords are hashed.
#[derive(Clone)]
pub struct Owner {
    lane: Lane<Store>,
    view: Arc<store::View>,
}

impl Owner {
    /// Opens `folder`'s record of the owner; a house without one gets one, with a new setup code.
    pub fn open(folder: &Path, clock: Clock) -> Result<Self, LaneError> {
        let store = Store::new(folder, clock);
        if let Err(error) = store.ensure() {
            // A house without a web page is better than none.
            tracing::error!(error = crate::base::error::chain(&error), "The record of the owner cannot be used.");
        }
        let view = Arc::new(store::View::new(folder));
        Ok(Self { lane: Lane::start("owner", QUEUE_LEN, store)?, view })
    }

    /// What every request may ask: whether there is a password, and the epoch of the sessions.
    pub fn glance(&self) -> Glance {
        self.view.glance()
    }

    /// Makes whoever knows the setup code the owner.
    pub async fn set_up(&self, code: Secret<String>, password: Secret<String>) -> Result<(), OwnerError> {
        let password = Password::new(&password)?;
        self.lane.call(move |store| store.set_up(code.reveal(), &password)).await?
    }

    /// Whether this is the owner's password.
    pub async fn check(&self, password: Secret<String>) -> Result<(), OwnerError> {
        self.lane.call(move |store| store.check(&password)).await?
    }

    /// Replaces the password by another and ends all sessions.
    pub async fn change(&self, current: Secret<String>, password: Secret<String>) -> Result<(), OwnerError> {
        let password = Password::new(&password)?;
        self.lane.call(move |store| store.change(&current, &password)).await?
    }
}
