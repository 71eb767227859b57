//! How a command can fail, and the exit code that tells so. The numbers are those of BSD's `sysexits.h`.

use std::error::Error;
use std::io;

use clap::CommandFactory;
use clap::error::ErrorKind;

use crate::backup::BackupError;
use crate::base::error::chain;
use crate::cli::client::ClientError;
use crate::cli::{Cli, Terminal};
use crate::config::ConfigError;
use crate::config::edit::EditError;
use crate::diagnostics::DiagnosticsError;
use crate::models::StoreError;
use crate::owner;
use crate::reset::ResetError;
use crate::update::UpdateError;

pub const DONE: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;
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
    #[error(transparent)]
    Client(ClientError),
    #[error(transparent)]
    Backup(BackupError),
    #[error(transparent)]
    Diagnostics(DiagnosticsError),
    #[error(transparent)]
    Reset(ResetError),
    #[error(transparent)]
    Models(StoreError),
    #[error(transparent)]
    Owner(owner::StoreError),
    #[error(transparent)]
    Update(UpdateError),
    /// The command did its part and the outcome is bad all the same; the text says what and what to do.
    #[error("{0}")]
    Outcome(String),
    #[error(transparent)]
    Gateway(Box<crate::app::GatewayError>),
    #[error("could not {attempt}")]
    File { attempt: String, source: io::Error },
    #[error("could not read the input")]
    Input(#[source] io::Error),
    #[error("could not write the output")]
    Output(#[source] io::Error),
}

impl Failure {
    /// Arguments that cannot be right together.
    pub fn usage(message: impl std::fmt::Display) -> Self {
        Self::Usage(Cli::command().error(ErrorKind::ValueValidation, message))
    }

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
            Self::Client(
                ClientError::NotRunning { .. } | ClientError::NoAddress { .. } | ClientError::Unreachable { .. },
            ) => UNAVAILABLE,
            Self::Edit(_)
            | Self::Client(_)
            | Self::Backup(_)
            | Self::Diagnostics(_)
            | Self::Reset(_)
            | Self::Models(_)
            | Self::Owner(_)
            | Self::Update(_)
            | Self::Gateway(_)
            | Self::Outcome(_)
            | Self::File { .. }
            | Self::Input(_) => FAILED,
            Self::Output(_) => OUTPUT,
        }
    }
}
