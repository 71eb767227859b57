//! Forgets this home when that was asked for, before anything of it is read.

use std::io;
use std::path::Path;

use crate::app::gateway::GatewayError;
use crate::app::state;
use crate::config::{self, Config, ConfigError, Paths, Reader, Variables};
use crate::reset::{self, Reach, Wiped};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forgotten {
    /// It was not asked for, or the machine itself does it.
    Nothing,
    Now(Wiped),
}

/// The configuration of a home of which no file is read: where its state lies does not depend on any.
pub fn bare_config(variables: Variables) -> Result<Config, ConfigError> {
    let nothing = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    Ok(config::load(variables, &Reader::new(&nothing))?.config)
}

/// Empties the state folder when that was asked for; refused while a gateway runs.
pub fn forget(paths: &Paths) -> Result<Forgotten, GatewayError> {
    if !reset::is_requested(&paths.state_dir) || reset::reach() == Reach::Machine {
        return Ok(Forgotten::Nothing);
    }
    state::prepare(paths)?;
    let _lock = state::lock(paths)?;
    let wiped = reset::wipe(&paths.state_dir)?;
    Ok(Forgotten::Now(wiped))
}
