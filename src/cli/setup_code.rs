//! `kafclaw setup-code`: what makes somebody the owner at the first visit to the web page.

use std::fs;
use std::os::unix::fs::DirBuilderExt;

use crate::cli::{Failure, Terminal};
use crate::config::Paths;
use crate::owner::{SetupCode, Store, StoreError};

const AFTER_HELP: &str = "\
At the first visit the web page asks for this code and for a new password. The code works once; after a few wrong tries
another one takes its place. When a password is set there is no code, and the command fails; `kafclaw password reset` makes
a new one.

Example:
  kafclaw setup-code";

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let paths = terminal.load_config()?.config.paths;
        match code(&paths, terminal)? {
            Some(code) => terminal.print(&code.shown()),
            None => Err(Failure::Outcome(
                "a password is set, so there is no setup code; `kafclaw password reset` forgets it and makes one"
                    .to_owned(),
            )),
        }
    }
}

/// The code that stands for now; none when a password is set. Makes the first one.
pub fn code(paths: &Paths, terminal: &Terminal<'_>) -> Result<Option<SetupCode>, Failure> {
    store(paths, terminal)?.code().map_err(failed)
}

/// The record of the owner of this home, which may be a fresh one.
pub fn store(paths: &Paths, terminal: &Terminal<'_>) -> Result<Store, Failure> {
    let folder = &paths.state_dir;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| Failure::File { attempt: format!("make the folder {}", folder.display()), source })?;
    Ok(Store::new(folder, terminal.clock.clone()))
}

pub fn failed(error: StoreError) -> Failure {
    Failure::Owner(error)
}
