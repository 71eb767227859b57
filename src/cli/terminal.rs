//! What a command sees of the process that runs it, as values, so that tests need no process.

use std::io::{self, Write};

use crate::cli::Failure;
use crate::config::{self, Loaded, Reader, Variables};

pub struct Terminal<'a> {
    pub variables: Variables,
    pub out: &'a mut dyn Write,
    pub err: &'a mut dyn Write,
}

impl Terminal<'_> {
    /// Prints a result, ending its last line.
    pub fn print(&mut self, text: &str) -> Result<(), Failure> {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        write!(self.out, "{text}{end}").and_then(|()| self.out.flush()).map_err(Failure::Output)
    }

    /// Says something beside the result. Nothing can be done when even that fails.
    pub fn note(&mut self, text: &str) {
        let _: io::Result<()> = writeln!(self.err, "{text}");
    }

    /// The configuration in effect; what is odd about it is said beside the result.
    pub fn load_config(&mut self) -> Result<Loaded, Failure> {
        let loaded = config::load(self.variables.clone(), &Reader::disk()).map_err(Failure::Config)?;
        for warning in &loaded.warnings {
            self.note(&format!("warning: {warning}"));
        }
        Ok(loaded)
    }
}
