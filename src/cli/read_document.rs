//! `kafclaw read-document KIND`: reads one document from the standard input and writes its text as JSON. Hidden: the program
//! starts itself with it, so that a hostile file meets a process that may die.

use clap::builder::PossibleValuesParser;

use crate::cli::{Failure, Terminal};
use crate::recall::document::{self, Kind};

#[derive(clap::Args, Debug)]
pub struct Args {
    /// What the document is.
    #[arg(value_parser = PossibleValuesParser::new(["text", "markdown", "html", "pdf"]))]
    kind: String,
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let kind: Kind = serde_json::from_value(self.kind.into()).map_err(Failure::usage)?;
        document::serve(kind, &mut terminal.input, &mut terminal.out).map_err(Failure::Output)
    }
}
