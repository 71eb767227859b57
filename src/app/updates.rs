//! Updates in the gateway: the desk through which it looks and asks, and the loop of automatic ones.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::Timelike;
use serde::Deserialize;

use crate::app::GatewayError;
use crate::app::wiring;
use crate::base::clock::{Clock, Timestamp};
use crate::base::secret::Secret;
use crate::base::shutdown::Shutdown;
use crate::config::{Config, deserialize_duration};
use crate::dashboard::update::Updates;
use crate::scheduler::Zone;
use crate::update::{self, Automatic, Desk, Places, Window};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keys {
    automatic: bool,
    source: String,
    token: Secret<String>,
    window: String,
    waves: u32,
    wave: i64,
    #[serde(deserialize_with = "deserialize_duration")]
    wave_interval: Duration,
}

pub(super) fn start(config: &Config, clock: &Clock, edges: &Shutdown) -> Result<Updates, GatewayError> {
    let keys: Keys = config.section("/update").map_err(|source| GatewayError::Updates { source })?;
    // Tests have slots of their own.
    let root = std::env::var_os("KAFCLAW_UPDATE_ROOT").filter(|root| !root.is_empty()).unwrap_or_else(|| "/".into());
    let desk = Arc::new(Desk::new(Places::new(&config.paths.state_dir, Path::new(&root))));
    let automatic = Automatic {
        is_on: keys.automatic,
        source: keys.source,
        token: keys.token,
        window: Window::parse(&keys.window),
        waves: keys.waves,
        wave: u32::try_from(keys.wave).ok(),
        wave_interval: keys.wave_interval,
        id: id(config),
    };
    let run = update::run_automatic(automatic.clone(), desk.clone(), clock.clone(), minute_of_day, edges.clone());
    tokio::spawn(run);
    Ok(Updates { desk, automatic })
}

/// What tells this hub from those that were set up alike: the machine's own id, else its names.
fn id(config: &Config) -> String {
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    match machine.trim() {
        "" => format!("{}/{}/{}", config.node.claw_id, config.node.instance_id, wiring::hostname()),
        machine => machine.to_owned(),
    }
}

/// On the wall of this house.
fn minute_of_day(at: Timestamp) -> u16 {
    let wall = Zone::Local.wall(at);
    u16::try_from(wall.hour() * 60 + wall.minute()).unwrap_or(0)
}
