//! `kafclaw worker`: speech and language models in a process of their own, for the gateway that started it.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::app;
use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::cli::{Failure, Terminal};
use crate::config::LogLevel;
use crate::inference::worker::{Loader, ServeError, serve};

/// The kernel takes this process before any other when memory runs out (`proc(5)`, oom_score_adj): the home stays.
const OOM_SCORE_ADJ: &str = "800";

#[derive(clap::Args, Debug)]
#[command(after_help = "\
The gateway starts it when somebody speaks or a local model is asked, and ends it when nobody does any more.
Standard input is the socket to the gateway; there is nothing to type.")]
pub struct Args {
    /// How much is logged to standard error or the journal.
    #[arg(long, value_enum, default_value_t = Level::Info)]
    log_level: Level,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Args {
    pub fn run(self, _: &mut Terminal<'_>) -> Result<(), Failure> {
        app::start_log(match self.log_level {
            Level::Error => LogLevel::Error,
            Level::Warn => LogLevel::Warn,
            Level::Info => LogLevel::Info,
            Level::Debug => LogLevel::Debug,
            Level::Trace => LogLevel::Trace,
        });
        let socket = std::io::stdin().as_fd().try_clone_to_owned();
        let socket = socket.ok().map(UnixStream::from).filter(|socket| socket.peer_addr().is_ok());
        let socket = socket.ok_or_else(|| {
            Failure::Outcome("kafclaw: the gateway starts the worker; `kafclaw gateway` is what you want".to_owned())
        })?;
        // Both only help others; without them the work is the same.
        let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ);
        let _ = std::fs::write("/proc/self/comm", "kafclaw-worker");
        match serve(socket, Arc::new(Loader::new(Clock::System))) {
            // It was told already.
            Ok(()) | Err(ServeError::Unfit { .. } | ServeError::Protocol { .. }) => Ok(()),
            Err(error) => Err(Failure::Outcome(chain(&error))),
        }
    }
}
