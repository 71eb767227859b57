//! Records as JSON: pure functions with KafClaw's keys, in KafClaw's order (specification §3.4, §3.5). What is ours is added
//! behind what is KafClaw's; nothing changes its type.

mod approval;
mod device;
mod event;
mod graph;
mod task;
mod trace;

pub(super) use approval::approvals;
pub(super) use device::{command_results, device, devices};
pub(super) use event::events;
pub(super) use graph::{GraphFacts, graph};
pub(super) use task::{task, tasks};
pub(super) use trace::trace;

use crate::base::clock::Timestamp;

/// Events read for one trace (specification §3.4).
pub(super) const TRACE_EVENTS_MAX: u32 = 500;

/// KafClaw's lists without elements are `null` where it says so.
pub(super) fn null_when_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    if list.is_empty() { None } else { Some(list) }
}

/// The time of day that traces show (`HH:MM:SS`, UTC as everything else).
fn time_of_day(at: Timestamp) -> String {
    at.to_utc().format("%H:%M:%S").to_string()
}

/// A piece of `text` of at most `bytes_max`, with dots when something is missing.
pub(super) fn shortened(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    format!("{}...", &text[..text.floor_char_boundary(bytes_max)])
}
