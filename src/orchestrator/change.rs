//! Zones changed by this member itself.

use crate::base::clock::Timestamp;
use crate::base::id::{PeerId, ZoneId};
use crate::db::Tx;
use crate::orchestrator::store;
use crate::orchestrator::zone::{Change, ZoneRefusal};

/// A change of this member's own making; refused ones are errors of the inner result. Returns the zone that is different now.
pub fn change_own(
    tx: &Tx<'_>,
    me: &PeerId,
    change: Change,
    now: Timestamp,
) -> rusqlite::Result<Result<Option<ZoneId>, ZoneRefusal>> {
    let mut chart = store::load(tx)?;
    let changed = match chart.zones.change(me, change) {
        Ok(changed) => changed,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Some(id) = &changed {
        store::save_zone(tx, &chart.zones, id, now)?;
    }
    Ok(Ok(changed))
}
