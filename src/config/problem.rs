//! A mistake in the configuration, said so that it can be corrected without reading the documentation.

use std::fmt;

use crate::config::entry::Origin;

/// One mistake. The key is blank when the whole file is meant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Problem {
    pub origin: Origin,
    pub key: String,
    pub found: String,
    /// What would be valid.
    pub valid: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "found {}", self.found)?;
        if !self.valid.is_empty() {
            write!(f, "; {}", self.valid)?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration, at once.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

/// Mistakes that are printed one by one; more are counted.
const PRINTED_MAX: usize = 50;

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => f.write_str("the configuration has a mistake:")?,
            count => write!(f, "the configuration has {count} mistakes:")?,
        }
        for problem in self.problems.iter().take(PRINTED_MAX) {
            write!(f, "\n  {problem}")?;
        }
        match self.problems.len().saturating_sub(PRINTED_MAX) {
            0 => Ok(()),
            rest => write!(f, "\n  and {rest} more"),
        }
    }
}

/// Collects mistakes while the work goes on.
#[derive(Default, Debug)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub fn add(&mut self, origin: Origin, key: &str, found: impl Into<String>, valid: impl Into<String>) {
        self.0.push(Problem { origin, key: key.to_owned(), found: found.into(), valid: valid.into() });
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of files and lines, each once.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.0.sort();
        self.0.dedup();
        self.0
    }
}
