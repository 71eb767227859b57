//! This member's own place, taken up from the configuration when the program starts.

use crate::base::clock::Timestamp;
use crate::base::id::PeerId;
use crate::db::Tx;
use crate::orchestrator::zone::{Change, Zone};
use crate::orchestrator::{Config, store};

/// Notes where this member stands, and makes the zone that the configuration names unless another member owns it. What the
/// configuration says of that zone holds from every start on; everything else about zones is as it was left.
pub fn begin(tx: &Tx<'_>, config: &Config, me: &PeerId, name: &str, now: Timestamp) -> rusqlite::Result<()> {
    if !config.is_enabled {
        return Ok(());
    }
    let mut chart = store::load(tx)?;
    store::save_node(tx, &config.node(me, name, now))?;
    let Some(own) = config.own_zone(me, now) else { return Ok(()) };
    let stated = match chart.zones.get(&own.id) {
        None => own,
        Some(known) if known.owner.as_ref() == Some(me) => Zone {
            visibility: config.visibility.unwrap_or(known.visibility),
            allowed: if config.allowed.is_empty() { known.allowed.clone() } else { own.allowed },
            ..known.clone()
        },
        Some(_) => return Ok(()),
    };
    match chart.zones.change(me, Change::Put(stated)) {
        Ok(Some(id)) => store::save_zone(tx, &chart.zones, &id, now),
        // A thousand zones are known: this one is not needed to work in the public one.
        Ok(None) | Err(_) => Ok(()),
    }
}
