//! Every bound that crosses a module's border, in one place, with the relations between them checked at compile time.

use std::time::Duration;

/// Longest message text accepted from anybody, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// Largest request body at the doors, in bytes.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Largest body on the few routes that take files, in bytes: half an hour of uncompressed speech.
pub const UPLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest request head (request line and headers), in bytes.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Tasks waiting or running; one more is refused with "busy".
pub const TASKS_OPEN_MAX: usize = 10_000;
/// Turns that run at the same time.
pub const TURNS_RUNNING_MAX: usize = 64;
/// Answers waiting for delivery.
pub const DELIVERIES_PENDING_MAX: usize = 20_000;
/// Attempts to deliver an answer (specification §6.6).
pub const DELIVERY_ATTEMPTS_MAX: u32 = 5;
/// First wait between delivery attempts; doubles each time.
pub const DELIVERY_BACKOFF: Duration = Duration::from_secs(30);
/// Longest wait between delivery attempts.
pub const DELIVERY_BACKOFF_MAX: Duration = Duration::from_secs(300);
/// Text of one tool result that is kept and shown to a model, in bytes.
pub const TOOL_RESULT_BYTES_MAX: usize = 64 * 1024;
/// Metadata of one timeline event, in bytes (specification §6.5 keeps up to 10,240 of a response).
pub const EVENT_METADATA_BYTES_MAX: usize = 16 * 1024;
/// Jobs waiting for the database's writer.
pub const WRITE_QUEUE_LEN: usize = 1024;
/// Jobs waiting for one of the database's readers.
pub const READ_QUEUE_LEN: usize = 256;
/// Devices in the registry.
pub const DEVICES_MAX: usize = 2_000;
/// Scheduled jobs.
pub const JOBS_MAX: usize = 1_000;
/// Grace between SIGTERM and the end of the process.
pub const DRAIN_MAX: Duration = Duration::from_secs(5);

const _: () = assert!(MESSAGE_BYTES_MAX < BODY_BYTES_MAX, "a message must fit in a body with its JSON around it");
const _: () = assert!(BODY_BYTES_MAX < UPLOAD_BYTES_MAX, "a route that takes files takes what the others take");
const _: () = assert!(TURNS_RUNNING_MAX <= WRITE_QUEUE_LEN, "every running turn may have one write waiting");
const _: () = assert!(TASKS_OPEN_MAX <= DELIVERIES_PENDING_MAX, "every open task may leave an answer");
