//! Floor 6: the home's devices over MQTT, as Home Assistant's discovery describes them, without Home Assistant.
//!
//! Who may do what: one loop owns the [`registry`] and is the only one to change it; everybody reads the household as a
//! snapshot ([`Home::household`]), sends commands and edits through the handle. What was announced survives a restart, so that
//! the house is known before the broker answers. Owner of tables `home_announcements`, `home_devices`, `home_rooms`,
//! `home_groups` and `home_states`.
//!
//! Absent on purpose: pairing and device configuration (Zigbee2MQTT and its like do that), history of states.

mod ability;
mod announce;
mod binding;
mod color;
mod command;
mod confirm;
mod discovery;
mod drive;
mod edit;
mod keys;
mod known;
mod light;
mod people;
mod publish;
mod registry;
mod state;
mod store;
mod template;
#[cfg(test)]
mod tests;
mod wanted;

pub use announce::{HubFacts, Vitals};
pub use edit::{DeviceEdit, EditError, GroupEdit, RoomEdit};
pub use store::MIGRATIONS;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::base::clock::Clock;
use crate::base::id::EntityId;
use crate::base::shutdown::Shutdown;
use crate::db::{Db, DbError};
use crate::domain::household::{Action, CommandResult, Household};
use crate::link::mqtt::{MqttHandle, Reliability, Route, RouteConfig};

/// Commands and edits that wait for the loop.
const REQUESTS_LEN: usize = 64;

#[derive(Clone, Debug)]
pub struct Config {
    /// `mqtt.discoveryPrefix`.
    pub discovery_prefix: String,
    /// How long a device may take to report the state that was asked for.
    pub confirm_wait: Duration,
    /// Our own object id in discovery topics, which is not read back.
    pub own_id: String,
}

impl Config {
    /// What the link has to subscribe for [`Home::start`]; topics of devices are added as they are discovered.
    pub fn route(&self) -> RouteConfig {
        let prefix = &self.discovery_prefix;
        let filters = vec![format!("{prefix}/+/+/config"), format!("{prefix}/+/+/+/config")];
        RouteConfig { reliability: Reliability::Present, filters }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    #[error("could not read the known devices")]
    Load { source: DbError },
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error("could not store the change")]
    Store { source: DbError },
    #[error("the home is shutting down")]
    Stopped,
}

/// Something the loop is asked to do.
enum Request {
    Command { commands: Vec<(EntityId, Action)>, reply: oneshot::Sender<Vec<(EntityId, CommandResult)>> },
    Edit { edit: edit::Edit, reply: oneshot::Sender<Result<(), HomeError>> },
}

/// Handle to the home; clones share it.
#[derive(Clone)]
pub struct Home {
    requests: mpsc::Sender<Request>,
    household: watch::Receiver<Arc<Household>>,
}

impl Home {
    /// Loads what is known and begins to listen. Without a broker the home is what it was, and no command can be sent.
    pub async fn start(
        db: Db,
        clock: Clock,
        broker: Option<(MqttHandle, Route)>,
        config: Config,
        shutdown: Shutdown,
    ) -> Result<Self, HomeError> {
        let (requests, inbox) = mpsc::channel(REQUESTS_LEN);
        let known = db.read(store::load).await.map_err(|source| HomeError::Load { source })?;
        let registry = registry::Registry::new(config.clone(), known);
        let (snapshot, household) = watch::channel(Arc::new(registry.household()));
        let (driver, publications) = drive::Driver::new(registry, db, clock, snapshot, &config);
        tokio::spawn(driver.run(broker, inbox, publications, shutdown));
        Ok(Self { requests, household })
    }

    pub fn household(&self) -> Arc<Household> {
        self.household.borrow().clone()
    }

    /// Changes with every new snapshot.
    pub fn changes(&self) -> watch::Receiver<Arc<Household>> {
        self.household.clone()
    }

    /// Sends commands and waits, for a bounded time, for the devices to report; one result each, in order.
    pub async fn command(&self, commands: Vec<(EntityId, Action)>) -> Vec<(EntityId, CommandResult)> {
        let (reply, answer) = oneshot::channel();
        let ids: Vec<EntityId> = commands.iter().map(|(id, _)| id.clone()).collect();
        let sent = self.requests.send(Request::Command { commands, reply }).await.is_ok();
        match answer.await {
            Ok(results) if sent => results,
            _ => ids.into_iter().map(|id| (id, CommandResult::NotConnected)).collect(),
        }
    }

    /// Returns once the home has stopped and the last states are stored.
    pub async fn stopped(&self) {
        self.requests.closed().await;
    }

    pub async fn edit_device(&self, edit: DeviceEdit) -> Result<(), HomeError> {
        self.edit(edit::Edit::Device(edit)).await
    }

    /// Removes a device until it announces itself again, with everything that people gave it.
    pub async fn forget_device(&self, id: crate::base::id::DeviceId) -> Result<(), HomeError> {
        self.edit(edit::Edit::ForgetDevice(id)).await
    }

    pub async fn edit_room(&self, edit: RoomEdit) -> Result<(), HomeError> {
        self.edit(edit::Edit::Room(edit)).await
    }

    pub async fn set_group(&self, edit: GroupEdit) -> Result<(), HomeError> {
        self.edit(edit::Edit::Group(edit)).await
    }

    pub async fn delete_group(&self, name: String) -> Result<(), HomeError> {
        self.edit(edit::Edit::DeleteGroup(name)).await
    }

    async fn edit(&self, edit: edit::Edit) -> Result<(), HomeError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Edit { edit, reply }).await.map_err(|_| HomeError::Stopped)?;
        answer.await.map_err(|_| HomeError::Stopped)?
    }
}
