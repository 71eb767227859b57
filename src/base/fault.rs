//! Named places where a test may cut the power.
//!
//! A debug build started with `KAFCLAW_FAULT=<point>[:<n>]` aborts the n-th time (default the first) it passes that point.
//! Release builds contain none of this.

/// Every fault point, in the order of a message's life. `tests/fault` walks this list.
pub const POINTS: &[&str] = &[
    "accept.before_commit",
    "accept.after_commit",
    "turn.leased",
    "call.before_started",
    "call.after_started",
    "call.after_effect",
    "call.after_finished",
    "answer.before_commit",
    "answer.after_commit",
    "delivery.before_send",
    "delivery.after_send",
    "job.before_fire",
    "job.after_fire",
    "inbox.before_commit",
    "outbox.after_produce",
];

/// Dies here when the environment asks for it.
#[cfg(debug_assertions)]
pub fn point(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    static WANTED: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);
    debug_assert!(POINTS.contains(&name), "fault point {name} is not in the list");
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("KAFCLAW_FAULT").ok()?;
        let (name, nth) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), nth.parse().unwrap_or(1)))
    });
    if let Some((wanted_name, nth)) = wanted
        && wanted_name == name
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *nth
    {
        // SIGKILL, not abort: no destructor, no flush, like a pulled plug.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_name: &'static str) {}
