//! Floor 8: raw text to a resolved configuration (specification §1).
//!
//! One table of keys ([`table`]) drives defaults, variables, checks, the JSON Schema and `config get`. Layers are laid over each
//! other as they were written (files with their includes, then variables), each value keeping the place it came from; one walk along the
//! table then yields the resolved values or every mistake at once. `app` maps the typed sections to what each component wants.
//!
//! Absent on purpose: runtime settings (they live in the database), the secrets "tomb", and any write to the file other than `config set`
//! and `config unset`: what came from a variable never reaches the disk (fault S14).

mod accept;
mod check;
mod document;
pub mod duration;
pub mod edit;
mod entry;
mod files;
mod key;
mod nearest;
mod paths;
mod problem;
mod route;
pub mod schema;
mod section;
mod settle;
mod table;
mod variables;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

pub use duration::deserialize as deserialize_duration;
pub use entry::Origin;
pub use files::Reader;
pub use paths::Paths;
pub use problem::{ConfigError, Problem};
pub use section::{
    Assistant, Config, Exec, Gateway, Intents, Language, Log, LogLevel, Missed, Model, Mqtt, Node, Policy, Provider,
    Retention, Scheduler, SenderRate, Tls, ToolRule,
};
pub use variables::Variables;

use entry::Entry;
use problem::Problems;

/// A configuration that may be used, and what is worth saying about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// Every key with its value as it is in effect.
    pub effective: Value,
    /// Not wrong, but probably not what was meant.
    pub warnings: Vec<Problem>,
    /// Whether the configuration file exists.
    pub file_found: bool,
    /// The variables, with those of the environment files.
    pub variables: Variables,
    /// Why defaults stand in for what was written; see [`load_or_defaults`].
    pub mistakes: Option<ConfigError>,
}

/// Loads the configuration that `variables` point to. Variables weigh more than the file, the file more than the defaults.
pub fn load(variables: Variables, reader: &Reader<'_>) -> Result<Loaded, ConfigError> {
    let layers = Layers::read(variables, reader);
    let Layers { variables, home, config_file, root, mut problems, file_found, warnings } = layers;
    let effective = resolve(&root, &home, &mut problems);
    if !problems.is_empty() {
        return Err(ConfigError { problems: problems.into_sorted() });
    }
    let config = Config::from_effective(&effective, &home, &config_file)
        .map_err(|error| ConfigError { problems: vec![unread(&config_file, &error)] })?;
    Ok(Loaded { config, effective, warnings: warnings.into_sorted(), file_found, variables, mistakes: None })
}

/// Loads as [`load`] does. Where what was written cannot be used, defaults stand in for the file, and where that is not enough, for the
/// variables too: for who tells what is wrong, and for what must go on all the same.
pub fn load_or_defaults(variables: Variables, reader: &Reader<'_>) -> Result<Loaded, ConfigError> {
    let mistakes = match load(variables.clone(), reader) {
        Ok(loaded) => return Ok(loaded),
        Err(mistakes) => mistakes,
    };
    let nothing = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    let bare = Reader::new(&nothing);
    let loaded = load(variables.clone(), &bare).or_else(|_| load(variables.only_places(), &bare))?;
    Ok(Loaded { mistakes: Some(mistakes), ..loaded })
}

/// Where the configuration file is, also when it is full of mistakes.
pub fn locate(mut variables: Variables, reader: &Reader<'_>) -> Result<PathBuf, ConfigError> {
    let mut problems = Problems::default();
    let home = paths::home(&variables, &mut problems);
    if !problems.is_empty() {
        return Err(ConfigError { problems: problems.into_sorted() });
    }
    variables.add_files(&home, reader, &mut problems);
    Ok(paths::config_file(&home, &variables).0)
}

/// Everything that was written, before it is judged.
struct Layers {
    variables: Variables,
    home: PathBuf,
    config_file: PathBuf,
    root: Entry,
    problems: Problems,
    warnings: Problems,
    file_found: bool,
}

impl Layers {
    fn read(mut variables: Variables, reader: &Reader<'_>) -> Self {
        let (mut problems, mut warnings) = (Problems::default(), Problems::default());
        let home = paths::home(&variables, &mut problems);
        variables.add_files(&home, reader, &mut problems);
        let (config_file, is_named) = paths::config_file(&home, &variables);
        let document = document::read(&config_file, reader, &variables, &mut problems);
        if is_named && !document.found {
            warnings.add(
                Origin::Variable("KAFCLAW_CONFIG".to_owned()),
                "",
                "a file that does not exist",
                "the defaults are used",
            );
        }
        let mut root = document.root;
        variables.apply(&mut root);
        variables.warnings(&mut warnings);
        Self { variables, home, config_file, root, problems, warnings, file_found: document.found }
    }
}

impl Layers {
    /// The file alone, with only the variables that it mentions itself.
    fn of_file(file: &Path, mut variables: Variables, reader: &Reader<'_>) -> Self {
        let (mut problems, mut ignored) = (Problems::default(), Problems::default());
        let home = paths::home(&variables, &mut problems);
        variables.add_files(&home, reader, &mut ignored);
        let document = document::read(file, reader, &variables, &mut problems);
        let (root, file_found) = (document.root, document.found);
        Self { variables, home, config_file: file.to_owned(), root, problems, warnings: ignored, file_found }
    }
}

fn resolve(written: &Entry, home: &Path, problems: &mut Problems) -> Value {
    let mut root = written.clone();
    settle::move_old_names(&mut root);
    let mut effective = check::resolve(&root, home, problems);
    settle::derive(&mut effective);
    settle::contradictions(&effective, &root, problems);
    effective
}

/// The table and the typed sections disagree: a mistake of ours, said as well as we can.
fn unread(config_file: &Path, error: &serde_json::Error) -> Problem {
    Problem {
        origin: Origin::File { path: Arc::new(config_file.to_owned()), line: 1, column: 1 },
        key: String::new(),
        found: format!("values that this program accepts but cannot use ({error})"),
        valid: "please report this".to_owned(),
    }
}
