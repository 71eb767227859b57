//! `kafclaw version`.

use crate::cli::{Failure, Terminal};

#[derive(clap::Args, Debug)]
pub struct Args {}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        terminal.print(concat!("KafClaw Edge\nVersion: ", env!("CARGO_PKG_VERSION")))
    }
}
