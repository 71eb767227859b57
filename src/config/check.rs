//! Walks what was written along the table: every mistake is noted, everything else gets its resolved form.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::config::entry::{Content, Entry, Origin, quote};
use crate::config::key::{Key, Kind};
use crate::config::nearest::nearest;
use crate::config::problem::Problems;
use crate::config::table::{self, Branch, Children};
use crate::config::variables::unset_names;

/// The resolved values of `root`. What was wrong is noted in `problems` and left out of the result.
pub fn resolve(root: &Entry, home: &Path, problems: &mut Problems) -> Value {
    Check { home, problems }.branch(table::tree(), Some(root), "").unwrap_or_default()
}

struct Check<'a> {
    home: &'a Path,
    problems: &'a mut Problems,
}

const NOTHING: &BTreeMap<String, Entry> = &BTreeMap::new();

impl Check<'_> {
    fn branch(&mut self, branch: &Branch, entry: Option<&Entry>, path: &str) -> Option<Value> {
        let entry = entry.filter(|entry| entry.content != Content::Null);
        match branch {
            Branch::Object(children) => self.object(children, None, entry, path),
            Branch::Map(fixed, inner) => self.object(fixed, Some(inner), entry, path),
            Branch::List(item) => self.list(item, entry, path),
            Branch::Leaf(key) => self.leaf(key, entry, path),
        }
    }

    fn object(
        &mut self,
        children: &Children,
        others: Option<&Branch>,
        entry: Option<&Entry>,
        path: &str,
    ) -> Option<Value> {
        let entries = match entry.map(|entry| (&entry.content, entry)) {
            None => NOTHING,
            Some((Content::Object(entries), _)) => entries,
            Some((_, entry)) => {
                let names: Vec<&str> = children.iter().map(|(name, _)| *name).collect();
                let valid = format!("valid is an object with: {}", names.join(", "));
                self.problems.add(entry.origin.clone(), path, entry.describe(true), valid);
                return None;
            }
        };
        let mut result = Map::new();
        for (name, child) in children {
            if let Some(value) = self.branch(child, entries.get(*name), &join(path, name)) {
                result.insert((*name).to_owned(), value);
            }
        }
        for (name, entry) in entries.iter().filter(|(name, _)| !children.iter().any(|(known, _)| known == name)) {
            match others {
                Some(inner) if !name.is_empty() => {
                    if let Some(value) = self.branch(inner, Some(entry), &join(path, name)) {
                        result.insert(name.clone(), value);
                    }
                }
                _ => self.unknown(children, name, entry, path),
            }
        }
        // An object that consists of absent optional keys only says nothing.
        (!result.is_empty() || others.is_some() || path.is_empty()).then_some(Value::Object(result))
    }

    fn unknown(&mut self, children: &Children, name: &str, entry: &Entry, path: &str) {
        let full = join(path, name);
        let known: Vec<&str> = children.iter().map(|(name, _)| *name).collect();
        let elsewhere = || table::keys().map(|key| key.path).find(|path| path.rsplit('.').next() == Some(name));
        let valid = match nearest(name, known.iter().copied()) {
            Some(meant) => format!("did you mean {}?", join(path, meant)),
            None => match elsewhere() {
                Some(place) => format!("did you mean {place}?"),
                None => format!("valid here are: {}", known.join(", ")),
            },
        };
        self.problems.add(entry.origin.clone(), &full, "an unknown key", valid);
    }

    fn list(&mut self, item: &Branch, entry: Option<&Entry>, path: &str) -> Option<Value> {
        match entry.map(|entry| (&entry.content, entry)) {
            None => Some(Value::Array(Vec::new())),
            Some((Content::List(items), _)) => {
                let items = items.iter().enumerate();
                let values =
                    items.filter_map(|(index, entry)| self.branch(item, Some(entry), &format!("{path}[{index}]")));
                Some(Value::Array(values.collect()))
            }
            Some((_, entry)) => {
                self.problems.add(entry.origin.clone(), path, entry.describe(true), "valid is a list of objects");
                None
            }
        }
    }

    fn leaf(&mut self, key: &Key, entry: Option<&Entry>, path: &str) -> Option<Value> {
        let default = || {
            let value =
                key.default.map(|text| key.kind.read(text, self.home).expect("invariant: defaults fit their kind"));
            // A blank default of an enumeration stands for "not chosen".
            value.map(|value| if value.is_null() { Value::from("") } else { value })
        };
        let Some(entry) = entry else { return default() };
        match self.value(key, &key.kind, entry, path) {
            Some(Value::Null) => default(),
            value => value,
        }
    }

    fn value(&mut self, key: &Key, kind: &Kind, entry: &Entry, path: &str) -> Option<Value> {
        let value = match (&entry.content, kind) {
            (Content::List(items), Kind::List(inner)) => {
                let items = items.iter().enumerate();
                let values: Vec<Value> = items
                    .filter_map(|(index, item)| self.value(key, inner, item, &format!("{path}[{index}]")))
                    .filter(|value| !value.is_null())
                    .collect();
                return Some(Value::Array(values));
            }
            (Content::Object(entries), Kind::Map(inner)) => {
                let pairs = entries.iter();
                let values = pairs
                    .filter_map(|(name, item)| Some((name.clone(), self.value(key, inner, item, &join(path, name))?)));
                return Some(Value::Object(values.filter(|(_, value)| !value.is_null()).collect()));
            }
            (Content::Null, _) => Some(Value::Null),
            (Content::Flag(flag), _) => kind.accept(&Value::Bool(*flag), self.home),
            (Content::Number(number), _) => kind.accept(&Value::Number(number.clone()), self.home),
            (Content::Text(text), _) => kind.accept(&Value::from(text.as_str()), self.home),
            (Content::Filled(text), _) => kind.read(text, self.home),
            (Content::List(_) | Content::Object(_), _) => None,
        };
        if value.is_none() {
            self.problems.add(entry.origin.clone(), path, found(entry, key.secret), valid(kind, entry));
        }
        value
    }
}

fn found(entry: &Entry, secret: bool) -> String {
    match &entry.content {
        // The variable may hold a secret that was never meant for this key.
        Content::Filled(_) if matches!(entry.origin, Origin::File { .. }) => {
            "a text with a variable filled in".to_owned()
        }
        Content::Text(text) if !secret => unset_names(text).unwrap_or_else(|| quote(text)),
        _ => entry.describe(secret),
    }
}

/// What is valid, with the word that was probably meant.
fn valid(kind: &Kind, entry: &Entry) -> String {
    let valid = kind.valid();
    match (kind, &entry.content) {
        (Kind::OneOf(words), Content::Text(text) | Content::Filled(text)) => match nearest(text, words.iter().copied())
        {
            Some(meant) => format!("{valid} (did you mean {meant}?)"),
            None => valid,
        },
        _ => valid,
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
