//! The house as the group sees it: somebody who works for others, and a memory.

use std::sync::Arc;

use tokio::sync::watch;

use crate::base::clock::Timestamp;
use crate::base::id::{SessionKey, TaskId, TraceId};
use crate::bus::{Accepted, Bus, WaitsFor, task};
use crate::db::Tx;
use crate::domain::message::{Channel, Inbound, Origin};
use crate::domain::peer::Request;
use crate::group::hub::House;
use crate::group::share::{Note, Shelf};
use crate::memory;
use crate::provider::Chain;

pub(super) struct Household {
    pub bus: Bus,
    pub chain: Arc<Chain>,
}

impl House for Household {
    fn begin(&self, tx: &Tx<'_>, request: &Request, now: Timestamp) -> rusqlite::Result<TaskId> {
        let name = format!("{}:{}", request.requester, request.task_id);
        let inbound = Inbound {
            channel: Channel::new(Channel::GROUP),
            chat_id: request.requester.to_string(),
            thread_id: None,
            sender_id: request.requester.to_string(),
            session: SessionKey::from(format!("{}:{name}", Channel::GROUP)),
            trace_id: TraceId::from(request.task_id.as_str()),
            idempotency_key: Some(format!("{}:{name}", Channel::GROUP)),
            message_id: Some(request.task_id.clone()),
            content: request.content.clone(),
            origin: Origin::Peer,
            reply_hint: None,
            received_at: now,
        };
        match task::insert(tx, &TaskId::random(), &inbound, now)? {
            Accepted::New(id) | Accepted::Duplicate(id) => Ok(id),
        }
    }

    fn resume(&self, tx: &Tx<'_>, waits_for: &WaitsFor, now: Timestamp) -> rusqlite::Result<Option<TaskId>> {
        task::unpark(tx, waits_for, now)
    }

    fn moved(&self, begun: usize, resumed: Vec<TaskId>) {
        if begun > 0 {
            self.bus.wake_dispatcher(begun);
        }
        resumed.into_iter().for_each(|task_id| self.bus.resume(task_id));
    }

    fn shelf(&self) -> &dyn Shelf {
        &MemoryShelf
    }

    fn can_think(&self) -> watch::Receiver<bool> {
        self.chain.can_think()
    }
}

/// Shared texts are memories of the layer `group`.
pub(super) struct MemoryShelf;

impl Shelf for MemoryShelf {
    fn keep(&self, tx: &Tx<'_>, note: &Note<'_>, now: Timestamp) -> rusqlite::Result<()> {
        memory::forget_source(tx, note.source)?;
        for piece in memory::split(note.text, &memory::Cut::default()) {
            let Ok(chunk) = memory::Chunk::new(&note.text[piece.range], note.source, note.tags) else { continue };
            let chunk = match note.expires_at {
                Some(expiry) => chunk.until(expiry),
                None => chunk,
            };
            memory::remember(tx, &chunk, now)?;
        }
        Ok(())
    }

    fn drop(&self, tx: &Tx<'_>, source: &str) -> rusqlite::Result<()> {
        memory::forget_source(tx, source).map(drop)
    }
}
