//! How far an installation is, and how fast it goes.

use std::ops::ControlFlow;
use std::time::Instant;

/// What is being done with a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    Fetching,
    /// A program of the system fetches a package; how far it is nobody knows.
    Asking,
    Unpacking,
    Copying,
    Verifying,
}

/// How far it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress<'a> {
    pub file: &'a str,
    pub stage: Stage,
    pub bytes: u64,
    pub bytes_total: Option<u64>,
    pub bytes_per_s: u64,
}

pub type Listener<'a> = &'a mut dyn FnMut(&Progress<'_>) -> ControlFlow<()>;

/// Measures the rate of one file.
pub(super) struct Meter<'a> {
    file: &'a str,
    stage: Stage,
    began: Instant,
    /// Bytes that were there before.
    first: Option<u64>,
}

impl<'a> Meter<'a> {
    pub(super) fn new(file: &'a str, stage: Stage) -> Self {
        Self { file, stage, began: Instant::now(), first: None }
    }

    pub(super) fn tell(&mut self, listener: Listener<'_>, stage: Stage, bytes: u64, bytes_total: Option<u64>) -> bool {
        if stage != self.stage || self.first.is_none() {
            (self.stage, self.began, self.first) = (stage, Instant::now(), Some(bytes));
        }
        let new = bytes.saturating_sub(self.first.unwrap_or(0)) as f64;
        let seconds = self.began.elapsed().as_secs_f64();
        // Too early to tell in the first moments.
        let bytes_per_s = if seconds > 0.05 { (new / seconds) as u64 } else { 0 };
        listener(&Progress { file: self.file, stage, bytes, bytes_total, bytes_per_s }).is_continue()
    }
}
