//! Being in a group at all: joined, left and joined again while the house runs, in any order.
//!
//! Who may do what: [`Membership`] is the one place that starts and ends a [`Group`]; whoever needs the group asks for the one there is
//! now ([`Membership::current`]) each time and keeps none. Changes come one after the other. What was said at run time ([`words`]) is
//! kept in the settings and weighs more than the configuration file, so that a restart rejoins what was joined and stays out of
//! what was left. The house brings the plan of a group through [`port`].
//!
//! Absent on purpose: when there are clients (that is [`crate::group::connectivity`]'s), and what is said.

mod change;
mod port;
mod words;

pub use change::{Joined, MembershipError, Rejoined};
pub use port::{Blueprint, Plan, PlanError};
pub use words::{ChangeError, Changes, ConfigView, Words};

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Mutex;

use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::db::{Db, DbError};
use crate::group::hub::{self, Group, House, Life};

use words::Kept;

/// What the membership stands on.
pub struct Parts {
    pub db: Db,
    pub clock: Clock,
    pub house: Arc<dyn House>,
    pub blueprint: Arc<dyn Blueprint>,
    /// Makes waits differ from hub to hub.
    pub seed: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the configuration's group cannot be joined")]
    Plan { source: PlanError },
    #[error("could not read what is kept of the group")]
    Store {
        #[from]
        source: DbError,
    },
}

/// Handle; clones share it.
#[derive(Clone)]
pub struct Membership {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    present: RwLock<Present>,
    /// Held by whoever joins or leaves.
    running: Mutex<Running>,
}

/// How it is now.
#[derive(Default)]
struct Present {
    group: Option<Group>,
    /// What the group was joined with.
    words: Option<Words>,
    /// Why a group that is wanted is not there.
    trouble: Option<String>,
}

#[derive(Default)]
struct Running {
    life: Option<Life>,
    /// The house closes: nothing is joined any more.
    is_closing: bool,
}

impl Membership {
    /// Joins what was joined last, or what the configuration file names.
    ///
    /// # Errors
    /// Only for what stands in the configuration file; what was said at run time and cannot be done keeps nobody out of the house,
    /// see [`Membership::trouble`].
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        let file = parts.blueprint.file();
        let read = file.clone();
        let Kept { words, is_told } = parts.db.read(move |conn| Kept::read(conn, &read)).await?;
        let is_told = is_told || words != file;
        let running = Mutex::new(Running::default());
        let membership = Self { inner: Arc::new(Inner { parts, present: RwLock::default(), running }) };
        if !words.is_wanted {
            membership.call_off_alone().await?;
            return Ok(membership);
        }
        match membership.inner.parts.blueprint.plan(&words) {
            Ok(plan) => {
                let mut running = membership.inner.running.lock().await;
                membership.begin(&mut running, words, plan).await?;
            }
            Err(error) if is_told => {
                tracing::warn!(error = chain(&error), "The group that was joined last cannot be joined.");
                membership.set(Present { trouble: Some(chain(&error)), ..Present::default() });
                membership.call_off_alone().await?;
            }
            Err(source) => return Err(StartError::Plan { source }),
        }
        Ok(membership)
    }

    /// The group there is now, if any. To be asked for anew each time.
    pub fn current(&self) -> Option<Group> {
        self.inner.present.read().unwrap_or_else(PoisonError::into_inner).group.clone()
    }

    /// Why a group that is wanted is not there.
    pub fn trouble(&self) -> Option<String> {
        self.inner.present.read().unwrap_or_else(PoisonError::into_inner).trouble.clone()
    }

    /// Says farewell, and joins nothing any more; what is kept stays as it is.
    pub async fn stop(&self) {
        let mut running = self.inner.running.lock().await;
        running.is_closing = true;
        if let Some(life) = running.life.take() {
            life.end().await;
        }
    }

    async fn begin(&self, running: &mut Running, words: Words, plan: Plan) -> Result<Group, DbError> {
        let Parts { db, clock, house, seed, .. } = &self.inner.parts;
        let parts = hub::Parts {
            db: db.clone(),
            clock: clock.clone(),
            house: house.clone(),
            config: plan.config,
            address: plan.address,
            lfs_proxy_url: words.lfs_proxy_url.clone(),
            seed: *seed,
        };
        let (group, life) = Group::start(parts).await?;
        running.life = Some(life);
        self.set(Present { group: Some(group.clone()), words: Some(words), trouble: None });
        Ok(group)
    }

    /// Tasks of a group that is gone have nobody who answers them.
    async fn call_off_alone(&self) -> Result<(), DbError> {
        let (house, now) = (self.inner.parts.house.clone(), self.inner.parts.clock.now());
        let work = house.clone();
        let resumed = self.inner.parts.db.write(move |tx| hub::call_off_alone(tx, &*work, now)).await?;
        if !resumed.is_empty() {
            house.moved(0, resumed);
        }
        Ok(())
    }

    fn set(&self, present: Present) {
        *self.inner.present.write().unwrap_or_else(PoisonError::into_inner) = present;
    }

    fn words_in_use(&self) -> Option<Words> {
        self.inner.present.read().unwrap_or_else(PoisonError::into_inner).words.clone()
    }
}
