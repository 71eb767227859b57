//! A configuration file with its includes, read into entries that know their line and column.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use crate::config::entry::{Content, Entry, Origin, quote};
use crate::config::files::{ReadFailure, Reader};
use crate::config::problem::Problems;
use crate::config::variables::Variables;

/// Files that include each other, at most this deep.
const INCLUDE_DEPTH_MAX: usize = 16;
/// Files of one configuration.
const INCLUDE_FILES_MAX: usize = 64;

const INCLUDE: &str = "$include";

/// JSON with comments and trailing commas, and no other liberties.
pub const PARSE: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_loose_object_property_names: false,
    allow_trailing_commas: true,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Reads `path` and what it includes. A missing file is an empty one; see [`Document::found`].
pub fn read(path: &Path, reader: &Reader<'_>, variables: &Variables, problems: &mut Problems) -> Document {
    let mut reading = Reading { reader, variables, problems, open: Vec::new(), files: 0 };
    match reader.read(path) {
        Ok(text) => Document { root: reading.file(path, &text), found: true },
        Err(ReadFailure::Missing) => Document { root: Entry::empty_object(), found: false },
        Err(failure) => {
            let origin = Origin::File { path: Arc::new(path.to_owned()), line: 1, column: 1 };
            reading.problems.add(origin, "", format!("a file that {failure}"), "it must be a JSON file");
            Document { root: Entry::empty_object(), found: true }
        }
    }
}

pub struct Document {
    pub root: Entry,
    /// Whether the file exists.
    pub found: bool,
}

struct Reading<'a> {
    reader: &'a Reader<'a>,
    variables: &'a Variables,
    problems: &'a mut Problems,
    /// The files being read, outermost first.
    open: Vec<PathBuf>,
    files: usize,
}

impl Reading<'_> {
    /// One file, with its includes under it.
    fn file(&mut self, path: &Path, text: &str) -> Entry {
        self.open.push(path.to_owned());
        self.files += 1;
        let mut own = self.parse(path, text);
        let includes = match &mut own.content {
            Content::Object(entries) => entries.remove(INCLUDE),
            _ => None,
        };
        if let Some(includes) = includes {
            let mut below = Entry::empty_object();
            for (name, origin) in self.include_names(includes) {
                if let Some(entry) = self.include(path, &name, &origin) {
                    below.overlay(entry);
                }
            }
            below.overlay(own);
            own = below;
        }
        self.open.pop();
        own
    }

    fn include_names(&mut self, includes: Entry) -> Vec<(String, Origin)> {
        let items = match includes.content {
            Content::List(items) => items,
            content => vec![Entry { content, origin: includes.origin }],
        };
        let mut names = Vec::new();
        for item in items {
            match item.content {
                Content::Text(name) | Content::Filled(name) => names.push((name, item.origin)),
                _ => {
                    let found = item.describe(false);
                    self.problems.add(item.origin, INCLUDE, found, "valid is the name of a file, or a list of names");
                }
            }
        }
        names
    }

    fn include(&mut self, from: &Path, name: &str, origin: &Origin) -> Option<Entry> {
        let path = normal(&from.parent().unwrap_or(Path::new("")).join(name));
        if self.open.contains(&path) {
            self.problems.add(
                origin.clone(),
                INCLUDE,
                quote(name),
                "this file is being read already: files must not include each other in a circle",
            );
            return None;
        }
        if self.open.len() >= INCLUDE_DEPTH_MAX || self.files >= INCLUDE_FILES_MAX {
            let limit = format!("at most {INCLUDE_FILES_MAX} files, {INCLUDE_DEPTH_MAX} deep, may be included");
            self.problems.add(origin.clone(), INCLUDE, quote(name), limit);
            return None;
        }
        match self.reader.read(&path) {
            Ok(text) => Some(self.file(&path, &text)),
            Err(failure) => {
                self.problems.add(origin.clone(), INCLUDE, quote(name), format!("{} {failure}", path.display()));
                None
            }
        }
    }

    fn parse(&mut self, path: &Path, text: &str) -> Entry {
        let path = Arc::new(path.to_owned());
        match parse_to_ast(text, &CollectOptions::default(), &PARSE) {
            Ok(parsed) => match parsed.value {
                Some(value @ Value::Object(_)) => {
                    let places = Places { path, lines: line_starts(text), text };
                    self.entry(&value, "", &places)
                }
                Some(other) => {
                    let places = Places { path, lines: line_starts(text), text };
                    self.problems.add(
                        places.at(other.start()),
                        "",
                        "a value that is no object",
                        "the file must be one object: { ... }",
                    );
                    Entry::empty_object()
                }
                None => Entry::empty_object(),
            },
            Err(error) => {
                let origin = Origin::File { path, line: error.line_display(), column: error.column_display() };
                self.problems.add(origin, "", "a mistake in the JSON", error.kind().to_string());
                Entry::empty_object()
            }
        }
    }

    fn entry(&mut self, value: &Value<'_>, key: &str, places: &Places<'_>) -> Entry {
        let origin = places.at(value.start());
        let content = match value {
            Value::NullKeyword(_) => Content::Null,
            Value::BooleanLit(lit) => Content::Flag(lit.value),
            Value::NumberLit(lit) => match lit.value.parse::<serde_json::Number>() {
                Ok(number) => Content::Number(number),
                Err(_) => {
                    self.problems.add(origin.clone(), key, quote(lit.value), "this number cannot be represented");
                    Content::Null
                }
            },
            Value::StringLit(lit) => match self.variables.substitute(&lit.value) {
                Some(text) => Content::Filled(text),
                None => Content::Text(lit.value.clone().into_owned()),
            },
            Value::Array(array) => {
                let items = array.elements.iter().enumerate();
                Content::List(items.map(|(index, item)| self.entry(item, &format!("{key}[{index}]"), places)).collect())
            }
            Value::Object(object) => {
                let mut entries = BTreeMap::new();
                for property in &object.properties {
                    let name = property.name.as_str();
                    let path = if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
                    let entry = self.entry(&property.value, &path, places);
                    if entries.insert(name.to_owned(), entry).is_some() {
                        self.problems.add(places.at(property.start()), &path, "this key twice", "write it once");
                    }
                }
                Content::Object(entries)
            }
        };
        Entry { content, origin }
    }
}

/// Turns byte offsets into lines and columns.
struct Places<'a> {
    path: Arc<PathBuf>,
    lines: Vec<usize>,
    text: &'a str,
}

impl Places<'_> {
    fn at(&self, offset: usize) -> Origin {
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        Origin::File { path: Arc::clone(&self.path), line, column }
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(offset, _)| offset + 1)).collect()
}

/// Without `.` and `..`, so that a circle is recognized under any spelling.
fn normal(path: &Path) -> PathBuf {
    use std::path::Component;

    let mut result = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(result.components().next_back(), Some(Component::Normal(_))) => {
                result.pop();
            }
            other => result.push(other),
        }
    }
    result
}
