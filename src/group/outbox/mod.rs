//! What is to be told to the group, kept in the database until the broker has it.
//!
//! Who may do what: whoever changes something that others must hear appends the record in the transaction of that change, so
//! that both happen or neither. The relay leases rows ([`Relay`]), gives them to the producer, and takes those out that the
//! broker has confirmed. A row that was produced but not yet taken out when the power failed is sent again with the same stamp;
//! receivers know it by that. There is no lease in the table: one process owns the database, so what is there at start is not
//! in anybody's hands.
//!
//! Bounds: every class has its room in rows and bytes, traces and audits make way for what may not be lost, and
//! [`Class::when_full`] says what happens then. Whatever is not kept is counted in `group_outbox_totals`, and told in the
//! timeline once per burst. Owner of the tables `group_outbox`, `group_outbox_totals` and `group_self`.
//!
//! Absent on purpose: Kafka, encoding, and heartbeats: an old one says nothing.

mod bucket;
mod read;
mod relay;
mod room;
mod schema;
mod spent;
mod store;
#[cfg(test)]
mod tests;

pub use bucket::{Bucket, Rate};
pub use read::{Batch, Row, last_id, read};
pub use relay::{Failure, Pace, Plan, Relay};
pub use room::{Limits, Room};
pub use schema::{add_receipts, create_tables};
pub use store::{
    Expired, Leased, Totals, append, begin_epoch, drop_foreign, give_up, next_deadline, next_stamp, next_sweep, sent,
    sweep, totals,
};

use crate::domain::record::Class;

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Appended {
    /// It waits under this number.
    Queued(u64),
    /// Left out, by the rule of its class; counted.
    Sampled,
}

/// Why a record is not kept. Append before the change that it announces is made: then nothing has to be taken back.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    #[error("no more room for what waits for the network ({class:?}: {rows} records, {bytes} bytes)")]
    Full { class: Class, rows: u64, bytes: u64 },
    #[error("a record of {bytes} bytes is larger than the {limit} that the group takes")]
    TooLarge { bytes: u64, limit: u64 },
    #[error("its deadline has passed already")]
    DeadlinePassed,
    #[error("could not queue a record for the group")]
    Store {
        #[from]
        source: rusqlite::Error,
    },
}

impl OutboxError {
    /// The reason why a transaction was undone, when it is one of these.
    pub fn behind<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }
}
