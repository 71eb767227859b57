//! How a command can fail, and the exit code that tells so. The numbers are those of BSD's `sysexits.h`.

use std::error::Error;
use std::io;

use crate::base::error::chain;
use crate::cli::Terminal;
use crate::config::ConfigError;
use crate::config::edit::EditError;

pub const DONE: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 64;
const OUTPUT: u8 = 74;
const CONFIG: u8 = 78;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Usage(clap::Error),
    #[error(transparent)]
    Config(ConfigError),
    #[error(transparent)]
    Edit(EditError),
    #[error("could not write the output")]
    Output(#[source] io::Error),
}

impl Failure {
    /// Says what went wrong and returns the exit code for it.
    pub fn report(&self, terminal: &mut Terminal<'_>) -> u8 {
        match self {
            // Whoever reads has enough (`kafclaw config get | head`).
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return DONE,
            Self::Usage(error) => terminal.note(error.render().to_string().trim_end()),
            failure => terminal.note(&format!("kafclaw: {}", chain(failure as &dyn Error))),
        }
        self.code()
    }

    fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Edit(EditError::NoPath(_)) => USAGE,
            Self::Config(_) | Self::Edit(EditError::Refused(_) | EditError::Syntax { .. }) => CONFIG,
            Self::Edit(_) => FAILED,
            Self::Output(_) => OUTPUT,
        }
    }
}
