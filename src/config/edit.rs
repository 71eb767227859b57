//! `config get`, `set` and `unset`: reading what is in effect, and changing the file without touching the rest of it.
//!
//! Comments, order and layout of the file stay. Nothing is written that would bring a new mistake; mistakes that are there already do not
//! stand in the way of correcting them one after the other.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jsonc_parser::cst::{CstInputValue, CstNode, CstRootNode};
use serde_json::Value;

use crate::base::id::random_hex;
use crate::config::document;
use crate::config::files::{ReadFailure, Reader};
use crate::config::problem::{ConfigError, Problem};
use crate::config::route::{self, Step};
use crate::config::table::{self, Branch};
use crate::config::variables::Variables;
use crate::config::{Layers, resolve};

/// List elements that `set` fills up to at most.
const INDEX_MAX: usize = 1_000;

#[derive(Debug, thiserror::Error)]
pub enum EditError {
    #[error("`{0}` is no path; write names separated by dots, such as gateway.port or channels.slack.accounts[0].id")]
    NoPath(String),
    #[error("path not found: {0}")]
    NotFound(String),
    #[error("{path} {failure}")]
    Read { path: PathBuf, failure: ReadFailure },
    #[error("{path}:{line}:{column}: {mistake}; correct this before changing the file with a command")]
    Syntax { path: PathBuf, line: usize, column: usize, mistake: String },
    #[error("{0} passes through a value that is neither an object nor a list")]
    InTheWay(String),
    #[error("nothing was changed, because afterwards {0}")]
    Refused(ConfigError),
    #[error("could not write {path}")]
    Write { path: PathBuf, source: std::io::Error },
}

/// Whether secrets are shown as they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Secrets {
    Masked,
    Shown,
}

/// The value in effect: text as it is, anything else as JSON.
pub fn get(effective: &Value, path: &str, secrets: Secrets) -> Result<String, EditError> {
    let steps = route::parse(path).ok_or_else(|| EditError::NoPath(path.to_owned()))?;
    let shown = match secrets {
        Secrets::Masked => masked(effective),
        Secrets::Shown => effective.clone(),
    };
    match route::walk(&shown, &steps) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value) => Ok(serde_json::to_string_pretty(value).expect("invariant: JSON values print")),
        None => Err(EditError::NotFound(path.to_owned())),
    }
}

/// Every key in effect, without what is secret.
pub fn masked(effective: &Value) -> Value {
    let mut shown = effective.clone();
    mask(table::tree(), &mut shown);
    shown
}

/// Replaces what is secret and not blank.
fn mask(branch: &Branch, value: &mut Value) {
    match (branch, value) {
        (Branch::Leaf(key), value) if key.secret && value.as_str().is_none_or(|text| !text.is_empty()) => {
            *value = Value::from("***")
        }
        (Branch::Object(children), Value::Object(values)) => {
            for (name, child) in children {
                values.get_mut(*name).into_iter().for_each(|value| mask(child, value));
            }
        }
        (Branch::Map(fixed, inner), Value::Object(values)) => {
            for (name, value) in values {
                let child = fixed.iter().find(|(known, _)| known == name).map_or(&**inner, |(_, child)| child);
                mask(child, value);
            }
        }
        (Branch::List(item), Value::Array(values)) => values.iter_mut().for_each(|value| mask(item, value)),
        _ => {}
    }
}

/// The file that is edited, and what it is checked with.
pub struct Editing<'a> {
    pub file: &'a Path,
    pub variables: &'a Variables,
    pub reader: Reader<'a>,
}

impl Editing<'_> {
    /// Sets keys in the file, all or none: some are only valid together.
    pub fn set(&self, pairs: &[(&str, &str)]) -> Result<(), EditError> {
        let old = self.read()?;
        let root = self.parse(&old)?;
        for (path, text) in pairs {
            let steps = steps(path)?;
            put(&root, &steps, to_cst(&value_of(path, text))).ok_or_else(|| EditError::InTheWay((*path).to_owned()))?;
        }
        self.replace(&old, &root.to_string())
    }

    /// Removes one key from the file, so that its default is in effect.
    pub fn unset(&self, path: &str) -> Result<(), EditError> {
        let steps = steps(path)?;
        let old = self.read()?;
        let root = self.parse(&old)?;
        remove(&root, &steps).ok_or_else(|| EditError::NotFound(path.to_owned()))?;
        self.replace(&old, &root.to_string())
    }

    fn read(&self) -> Result<String, EditError> {
        match self.reader.read(self.file) {
            Ok(text) if text.trim().is_empty() => Ok("{}\n".to_owned()),
            Ok(text) => Ok(text),
            Err(ReadFailure::Missing) => Ok("{}\n".to_owned()),
            Err(failure) => Err(EditError::Read { path: self.file.to_owned(), failure }),
        }
    }

    fn parse(&self, text: &str) -> Result<CstRootNode, EditError> {
        CstRootNode::parse(text, &document::PARSE).map_err(|error| EditError::Syntax {
            path: self.file.to_owned(),
            line: error.line_display(),
            column: error.column_display(),
            mistake: error.kind().to_string(),
        })
    }

    /// Writes `new` unless it brings a mistake that `old` has not.
    fn replace(&self, old: &str, new: &str) -> Result<(), EditError> {
        let known: BTreeSet<Problem> = self.problems(old).into_iter().map(without_place).collect();
        let mut problems = self.problems(new);
        problems.retain(|problem| !known.contains(&without_place(problem.clone())));
        if !problems.is_empty() {
            return Err(EditError::Refused(ConfigError { problems }));
        }
        write(self.file, new).map_err(|source| EditError::Write { path: self.file.to_owned(), source })
    }

    /// What is wrong when the file has this text and no variable covers it up.
    fn problems(&self, text: &str) -> Vec<Problem> {
        let read = |path: &Path| match path == self.file {
            true => Ok(text.as_bytes().to_vec()),
            false => self.reader.bytes(path),
        };
        let reader = Reader::new(&read);
        let mut layers = Layers::of_file(self.file, self.variables.clone(), &reader);
        let _ = resolve(&layers.root, &layers.home, &mut layers.problems);
        layers.problems.into_sorted()
    }
}

fn steps(path: &str) -> Result<Vec<Step>, EditError> {
    route::parse(path).filter(|steps| !steps.is_empty()).ok_or_else(|| EditError::NoPath(path.to_owned()))
}

fn without_place(problem: Problem) -> Problem {
    Problem { origin: crate::config::Origin::Nowhere, ..problem }
}

/// JSON if the key takes it so, else what a variable would mean, else the text itself. A list or an object is no text: as JSON it is
/// refused where one is wanted.
fn value_of(path: &str, text: &str) -> Value {
    let json: Option<Value> = serde_json::from_str(text).ok();
    let Some(key) = table::find(path) else { return json.unwrap_or_else(|| Value::from(text)) };
    // Only whether the value fits counts here; `~` stays in the file as it was typed.
    let home = Path::new("/");
    match (json, key.kind.read(text, home)) {
        (Some(Value::Null), _) => Value::Null,
        (Some(json), _) if key.kind.accept(&json, home).is_some() => json,
        (_, Some(value @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)))) => value,
        (Some(json @ (Value::Array(_) | Value::Object(_))), _) => json,
        _ => Value::from(text),
    }
}

fn to_cst(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(flag) => CstInputValue::Bool(*flag),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(to_cst).collect()),
        Value::Object(entries) => {
            CstInputValue::Object(entries.iter().map(|(name, value)| (name.clone(), to_cst(value))).collect())
        }
    }
}

/// Sets the value at the end of `steps`, creating objects and lists on the way. `None` when something else is in the way.
fn put(root: &CstRootNode, steps: &[Step], value: CstInputValue) -> Option<()> {
    let mut node: CstNode = root.object_value_or_create()?.into();
    for (index, step) in steps.iter().enumerate() {
        let next = match steps.get(index + 1) {
            None => value.clone(),
            Some(Step::Name(_)) => CstInputValue::Object(Vec::new()),
            Some(Step::Index(_)) => CstInputValue::Array(Vec::new()),
        };
        let is_last = index + 1 == steps.len();
        node = match step {
            Step::Name(name) => {
                let object = node.as_object()?;
                match object.get(name) {
                    None => object.append(name, next).value()?,
                    Some(property) => {
                        let is_null = property.value().is_some_and(|value| value.as_null_keyword().is_some());
                        if is_last || is_null {
                            property.set_value(next);
                        }
                        property.value()?
                    }
                }
            }
            Step::Index(position) => {
                let array = node.as_array()?;
                let present = array.elements();
                match present.get(*position) {
                    None if *position == present.len() && *position < INDEX_MAX => array.append(next),
                    None => return None,
                    Some(element) if is_last => {
                        element.clone().remove();
                        array.insert(*position, next)
                    }
                    Some(element) => element.clone(),
                }
            }
        };
    }
    Some(())
}

/// Removes what is at the end of `steps`; `None` when there is nothing.
fn remove(root: &CstRootNode, steps: &[Step]) -> Option<()> {
    let (last, way) = steps.split_last()?;
    let mut node = root.value()?;
    for step in way {
        node = match step {
            Step::Name(name) => node.as_object()?.get(name)?.value()?,
            Step::Index(index) => node.as_array()?.elements().get(*index)?.clone(),
        };
    }
    match last {
        Step::Name(name) => node.as_object()?.get(name)?.remove(),
        Step::Index(index) => node.as_array()?.elements().get(*index)?.clone().remove(),
    }
    Some(())
}

/// Replaces the file as a whole: whoever reads it, or cuts the power, gets the old text or the new one. Only the owner may read it.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    // A link to the file stays a link.
    let target = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let folder = target.parent().unwrap_or(Path::new("/"));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let draft = folder.join(format!(".config-{}.draft", random_hex(8)));
    let written = (|| {
        let mut open = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        open.write_all(text.as_bytes())?;
        open.sync_all()?;
        std::fs::rename(&draft, &target)?;
        std::fs::File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    written
}
