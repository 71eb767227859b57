//! What the tests of several tools share.

use crate::base::clock::Timestamp;
use crate::domain::message::{Channel, Origin};
use crate::tool::ToolContext;

pub(super) fn context() -> ToolContext {
    ToolContext {
        trace_id: "trace".into(),
        task_id: "task".into(),
        session: "local:test".into(),
        channel: Channel::new(Channel::LOCAL),
        chat_id: "test".to_owned(),
        thread_id: None,
        sender_id: "ann".to_owned(),
        origin: Origin::Internal,
        now: Timestamp::from_millis(1_787_063_412_000),
    }
}
