//! The places at the door, and who makes room when all are taken.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::http::Config;
use crate::http::lockout::household_line;

/// Connections by number, so that the longest idle one can make room.
#[derive(Default)]
pub(super) struct Slots {
    table: Mutex<Table>,
    pub emptied: Notify,
}

#[derive(Default)]
struct Table {
    next: u64,
    slots: HashMap<u64, Slot>,
}

struct Slot {
    peer: IpAddr,
    /// Since when it waits for a request; none while one is worked on.
    idle_since: Option<Instant>,
    close: Arc<Notify>,
}

impl Slots {
    /// A place for a connection of `peer`; the longest idle one is asked to leave when there is none. `None`: all are busy.
    pub(super) fn take(&self, peer: IpAddr, config: &Config) -> Option<(u64, Arc<Notify>)> {
        let peer = household_line(peer);
        let mut table = self.lock();
        let of_peer = table.slots.values().filter(|slot| slot.peer == peer).count();
        let crowded = of_peer >= config.connections_per_address_max;
        if crowded || table.slots.len() >= config.connections_max {
            let idle = table.slots.iter().filter(|(_, slot)| !crowded || slot.peer == peer);
            let longest = idle.filter_map(|(id, slot)| Some((slot.idle_since?, *id))).min();
            let (_, id) = longest?;
            if let Some(slot) = table.slots.remove(&id) {
                slot.close.notify_one();
            }
        }
        table.next += 1;
        let (id, close) = (table.next, Arc::new(Notify::new()));
        table.slots.insert(id, Slot { peer, idle_since: Some(Instant::now()), close: close.clone() });
        Some((id, close))
    }

    /// The connection has no whole request; it may be asked to leave.
    pub(super) fn idles(&self, id: u64) {
        if let Some(slot) = self.lock().slots.get_mut(&id) {
            slot.idle_since = Some(Instant::now());
        }
    }

    /// A request is worked on. `false`: the connection was asked to leave just before.
    pub(super) fn works(&self, id: u64) -> bool {
        self.lock().slots.get_mut(&id).map(|slot| slot.idle_since = None).is_some()
    }

    pub(super) fn give_back(&self, id: u64) {
        let mut table = self.lock();
        table.slots.remove(&id);
        if table.slots.values().all(|slot| slot.idle_since.is_some()) {
            self.emptied.notify_one();
        }
    }

    /// Requests that are worked on now.
    pub(super) fn busy_len(&self) -> usize {
        self.lock().slots.values().filter(|slot| slot.idle_since.is_none()).count()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().slots.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
