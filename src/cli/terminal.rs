//! What a command sees of the process that runs it, as values, so that tests need no process.

use std::io::{self, BufRead, Write};

use crate::base::clock::Clock;
use crate::cli::Failure;
use crate::cli::client::Client;
use crate::config::{self, Loaded, Reader, Variables};

pub struct Terminal<'a> {
    pub variables: Variables,
    pub clock: Clock,
    pub input: &'a mut dyn BufRead,
    pub out: &'a mut dyn Write,
    pub err: &'a mut dyn Write,
    /// A person types.
    pub input_is_person: bool,
    /// A person reads what is printed while it is printed.
    pub output_is_person: bool,
}

impl Terminal<'_> {
    /// Prints a result, ending its last line.
    pub fn print(&mut self, text: &str) -> Result<(), Failure> {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        self.print_piece(&format!("{text}{end}"))
    }

    /// Prints a part of a result at once.
    pub fn print_piece(&mut self, text: &str) -> Result<(), Failure> {
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).map_err(Failure::Output)
    }

    pub fn print_json(&mut self, value: &serde_json::Value) -> Result<(), Failure> {
        self.print(&serde_json::to_string_pretty(value).expect("invariant: JSON values print"))
    }

    /// Says something beside the result. Nothing can be done when even that fails.
    pub fn note(&mut self, text: &str) {
        let _: io::Result<()> = writeln!(self.err, "{text}");
    }

    /// Asks and reads one line; none when nothing more will be typed.
    pub fn ask(&mut self, question: &str) -> Result<Option<String>, Failure> {
        let _: io::Result<()> = write!(self.err, "{question}").and_then(|()| self.err.flush());
        let mut line = String::new();
        match self.input.read_line(&mut line).map_err(Failure::Input)? {
            0 => Ok(None),
            _ => Ok(Some(line.trim().to_owned())),
        }
    }

    /// The configuration in effect; what is odd about it is said beside the result.
    pub fn load_config(&mut self) -> Result<Loaded, Failure> {
        let loaded = config::load(self.variables.clone(), &Reader::disk()).map_err(Failure::Config)?;
        self.warn(&loaded);
        Ok(loaded)
    }

    /// The same, with defaults where what was written cannot be used; its mistakes come along.
    pub fn load_config_or_defaults(&mut self) -> Result<Loaded, Failure> {
        let loaded = config::load_or_defaults(self.variables.clone(), &Reader::disk()).map_err(Failure::Config)?;
        self.warn(&loaded);
        Ok(loaded)
    }

    fn warn(&mut self, loaded: &Loaded) {
        for warning in &loaded.warnings {
            self.note(&format!("warning: {warning}"));
        }
    }

    /// The gateway of this home, running or not.
    pub fn gateway(&mut self) -> Result<Client, Failure> {
        let loaded = self.load_config()?;
        Client::find(&loaded.config).map_err(Failure::Client)
    }
}
