//! The environment as a value: the process's variables and what the environment files add to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::entry::{Content, Entry, Origin, quote};
use crate::config::files::{ReadFailure, Reader};
use crate::config::nearest::nearest;
use crate::config::problem::Problems;
use crate::config::table;

/// Prefixes of the variables that set keys; the first one wins.
pub const PREFIXES: [&str; 2] = ["KAFCLAW_", "MIKROBOT_"];

/// Variables with one of the prefixes that are no keys.
const OTHERS: [&str; 7] =
    ["CONFIG", "HOME", "ENV_FILE", "OAUTH_TOMB_FILE", "UPDATE_ROOT", "CONFIRM_STEADY_S", "CONFIRM_PATIENCE_S"];

/// Those of them that only the process's own environment sets. Root's programs go by them, and an environment file of the house is
/// written by its user: naming another machine there would let that user decide what root believes about this one.
const OF_PROCESS: [&str; 3] = ["UPDATE_ROOT", "CONFIRM_STEADY_S", "CONFIRM_PATIENCE_S"];

/// Names and values of variables.
#[derive(Clone, Default, Debug)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Those of this process. Text that is not UTF-8 is kept readable with replacement characters.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect()
    }

    /// Names and values of all.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Names of those that are this program's.
    pub fn own_names(&self) -> impl Iterator<Item = &str> {
        self.all().map(|(name, _)| name).filter(|name| PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
    }

    /// Those that say where things are, and nothing about how they are.
    pub(super) fn only_places(&self) -> Self {
        let is_place = |name: &str| {
            let rest = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix));
            name == "HOME" || rest.is_some_and(|rest| ["HOME", "CONFIG", "UPDATE_ROOT"].contains(&rest))
        };
        Self(
            self.0
                .iter()
                .filter(|(name, _)| is_place(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        )
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Sets a variable that is not set or blank.
    pub fn add(&mut self, name: &str, value: &str) {
        if self.get(name).is_none_or(str::is_empty) {
            self.0.insert(name.to_owned(), value.to_owned());
        }
    }

    /// The value under the first prefix that has one.
    pub fn prefixed(&self, name: &str) -> Option<&str> {
        PREFIXES.iter().find_map(|prefix| self.get(&format!("{prefix}{name}")).filter(|value| !value.is_empty()))
    }

    /// Lays what the environment files of `home` say under what is there already: the first one to name a variable wins.
    pub fn add_files(&mut self, home: &Path, reader: &Reader<'_>, problems: &mut Problems) {
        let named = self.get("KAFCLAW_ENV_FILE").filter(|path| !path.is_empty()).map(PathBuf::from);
        let usual = [".config/kafclaw/env", ".kafclaw/env", ".kafclaw/.env"].map(|path| (home.join(path), false));
        for (path, is_named) in named.map(|path| (path, true)).into_iter().chain(usual) {
            match reader.read(&path) {
                Ok(text) => self.add_lines(&path, &text, problems),
                Err(ReadFailure::Missing) if !is_named => {}
                Err(failure) => {
                    let origin = Origin::File { path: Arc::new(path), line: 1, column: 1 };
                    problems.add(
                        origin,
                        "",
                        format!("an environment file that {failure}"),
                        "it must be a readable text file",
                    );
                }
            }
        }
    }

    fn add_lines(&mut self, path: &Path, text: &str, problems: &mut Problems) {
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let line = line.strip_prefix("export ").unwrap_or(line);
            let here = || Origin::File { path: Arc::new(path.to_owned()), line: index + 1, column: 1 };
            match line.split_once('=') {
                Some((name, _)) if is_of_process(name.trim()) => {
                    let found = format!("{}, which no file may set", name.trim());
                    problems.add(here(), "", found, "set it in the environment of the program itself");
                }
                Some((name, value)) if is_name(name.trim()) => {
                    self.0.entry(name.trim().to_owned()).or_insert_with(|| unquote(value.trim()).to_owned());
                }
                _ => {
                    problems.add(here(), "", "a line that is no variable", "write NAME=value, or begin the line with #")
                }
            }
        }
    }

    /// Writes every key that has a variable over `root`.
    pub fn apply(&self, root: &mut Entry) {
        for key in table::keys() {
            let names = key.variables();
            // Any new name outweighs every old one.
            let mut candidates =
                PREFIXES.iter().flat_map(|prefix| names.iter().map(move |name| format!("{prefix}{name}")));
            let found = candidates.find_map(|name| {
                let value = self.get(&name).filter(|value| !value.is_empty() || key.kind.may_be_blank())?;
                Some(Entry { content: Content::Filled(value.to_owned()), origin: Origin::Variable(name) })
            });
            if let Some(entry) = found {
                root.put(key.path, entry);
            }
        }
        // The vendors' own names for their keys, when nothing else names one (specification §1.2, step 6).
        for (path, name) in
            [("providers.openai.apiKey", "OPENAI_API_KEY"), ("providers.openrouter.apiKey", "OPENROUTER_API_KEY")]
        {
            let is_blank = root.at(path).is_none_or(|entry| match &entry.content {
                Content::Text(text) | Content::Filled(text) => text.is_empty(),
                content => *content == Content::Null,
            });
            if let (true, Some(value)) = (is_blank, self.get(name)) {
                root.put(
                    path,
                    Entry { content: Content::Filled(value.to_owned()), origin: Origin::Variable(name.to_owned()) },
                );
            }
        }
    }

    /// Variables that look like a mistyped key. They may belong to somebody else, so they are no mistakes.
    pub fn warnings(&self, problems: &mut Problems) {
        let known: Vec<String> =
            table::keys().flat_map(|key| key.variables()).chain(OTHERS.iter().map(|name| (*name).to_owned())).collect();
        for name in self.0.keys() {
            let Some((prefix, rest)) = PREFIXES.iter().find_map(|prefix| Some((prefix, name.strip_prefix(prefix)?)))
            else {
                continue;
            };
            if known.iter().any(|name| name == rest) {
                continue;
            }
            if let Some(meant) = nearest(rest, known.iter().map(String::as_str)) {
                problems.add(
                    Origin::Variable(name.clone()),
                    "",
                    "a name that sets nothing",
                    format!("did you mean {prefix}{meant}?"),
                );
            }
        }
    }

    /// Replaces every `${NAME}` whose variable is set. `None` when there was nothing to replace.
    pub fn substitute(&self, text: &str) -> Option<String> {
        if !text.contains("${") {
            return None;
        }
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        let mut changed = false;
        while let Some(start) = rest.find("${") {
            let (before, from) = rest.split_at(start);
            result.push_str(before);
            let value = from.find('}').and_then(|end| Some((self.get(&from[2..end])?, end)));
            match value {
                Some((value, end)) => {
                    result.push_str(value);
                    rest = &from[end + 1..];
                    changed = true;
                }
                None => {
                    result.push_str("${");
                    rest = &from[2..];
                }
            }
        }
        result.push_str(rest);
        changed.then_some(result)
    }
}

impl FromIterator<(String, String)> for Variables {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Variables {
    fn from(pairs: [(&str, &str); N]) -> Self {
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

fn is_of_process(name: &str) -> bool {
    PREFIXES.iter().filter_map(|prefix| name.strip_prefix(prefix)).any(|rest| OF_PROCESS.contains(&rest))
}

fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// Without one layer of matching quotes.
fn unquote(text: &str) -> &str {
    ['"', '\''].into_iter().find_map(|mark| text.strip_prefix(mark)?.strip_suffix(mark)).unwrap_or(text)
}

/// For messages: the names in a text that were not replaced because no variable has them.
pub fn unset_names(text: &str) -> Option<String> {
    let name = text.split_once("${")?.1.split_once('}')?.0;
    Some(format!("{} (the variable {name} is not set)", quote(text)))
}
