//! The list of models: what each is for, what it needs, and where its files come from.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What comes with the program.
const BUILT_IN: &str = include_str!("../../models/manifest.toml");
/// Largest list that is read, in bytes.
pub(super) const MANIFEST_BYTES_MAX: u64 = 1024 * 1024;
/// Largest file of a model, in bytes, where the list does not say how large it is.
pub const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
const MODELS_MAX: usize = 1_000;
const FILES_MAX: usize = 64;
const NAME_CHARS_MAX: usize = 100;

#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("the list of models is not understood")]
    Syntax { source: Box<toml::de::Error> },
    #[error("the list of models could not be read")]
    Read { source: std::io::Error },
    #[error("model {id:?} in the list: {what}")]
    Entry { id: String, what: String },
}

/// What a model does for the house.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Texts to vectors.
    Embedding,
    /// Speech to text.
    Speech,
    /// Speech or silence.
    Vad,
    /// Talks.
    Language,
    /// A library that models run on.
    Runtime,
}

impl Task {
    pub const ALL: [Self; 5] = [Self::Embedding, Self::Speech, Self::Vad, Self::Language, Self::Runtime];

    pub fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Speech => "speech",
            Self::Vad => "vad",
            Self::Language => "language",
            Self::Runtime => "runtime",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// How one vector is made of many.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    Mean,
    /// The first token's.
    Cls,
}

/// One model.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Lower case letters, digits, `.`, `-`, `_`; the name of its folder.
    pub id: String,
    pub task: Task,
    pub title: String,
    /// SPDX where there is one.
    pub license: String,
    /// Memory while it runs, in MiB.
    pub memory_mib: u64,
    /// Length of its vectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dims: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// Longer texts are cut for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_max: Option<usize>,
    /// Name of its space of vectors: variants of one model share it, and their vectors may be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// What stands before a question, as the model was trained.
    #[serde(default)]
    pub query_prefix: String,
    #[serde(default)]
    pub passage_prefix: String,
    #[serde(default)]
    pub languages: Vec<String>,
    /// Boards it suits.
    #[serde(default)]
    pub boards: Vec<String>,
    /// Other names it is asked for by, such as `BAAI/bge-small-en-v1.5`.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// It is the usual choice for its task on boards with at least this much memory, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_from_mib: Option<u64>,
    #[serde(default)]
    pub note: String,
    pub files: Vec<ModelFile>,
}

/// One file of a model.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Its name in the model's folder.
    pub name: String,
    /// Left out where nobody has published it: then what comes first is kept on record ("pinned on first use").
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Only for this processor, as Rust calls it (`x86_64`, `aarch64`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// Where to get it, the best place first; none for what comes with the program.
    #[serde(default)]
    pub sources: Vec<Source>,
}

impl ModelFile {
    pub fn bytes_max(&self) -> u64 {
        self.bytes.unwrap_or(FILE_BYTES_MAX)
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Source {
    /// `https://...`, or `http://...` in the own network.
    Url(String),
    /// A file inside a Python package.
    Wheel(Package),
    /// A file inside a Node package.
    Npm(Package),
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => out.write_str(url),
            Self::Wheel(package) => write!(out, "{} in the Python package {package}", package.file),
            Self::Npm(package) => write!(out, "{} in the Node package {package}", package.file),
        }
    }
}

/// A published package, and a file in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    pub package: String,
    pub version: String,
    /// Path inside the archive.
    pub file: String,
    /// Platform tag of a wheel that is not for all, such as `manylinux_2_27_aarch64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Version of Python of such a wheel, such as `311`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
}

impl fmt::Display for Package {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.package, self.version)?;
        match &self.platform {
            Some(platform) => write!(out, " for {platform}"),
            None => Ok(()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    model: Vec<Entry>,
}

/// Every model that is known, in the order of the list.
#[derive(Clone, Debug)]
pub struct Manifest {
    entries: Vec<Entry>,
}

impl Manifest {
    /// What comes with the program.
    pub fn built_in() -> Self {
        Self::parse(BUILT_IN).expect("invariant: the list that comes with the program is right")
    }

    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let document: Document =
            toml::from_str(text).map_err(|source| ManifestError::Syntax { source: Box::new(source) })?;
        if document.model.len() > MODELS_MAX {
            return Err(wrong("", format!("more than {MODELS_MAX} models")));
        }
        let mut names = BTreeSet::new();
        for entry in &document.model {
            check_entry(entry)?;
            for name in std::iter::once(&entry.id).chain(&entry.aliases) {
                if !names.insert(name.to_lowercase()) {
                    return Err(wrong(&entry.id, format!("{name:?} stands there twice")));
                }
            }
        }
        Ok(Self { entries: document.model })
    }

    /// Adds what a user wrote; an id that is there already is replaced.
    pub fn add(&mut self, other: Self) {
        for entry in other.entries {
            match self.entries.iter_mut().find(|known| known.id == entry.id) {
                Some(known) => *known = entry,
                None => self.entries.push(entry),
            }
        }
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// By id or by another name, whatever the case.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.is_called(name))
    }
}

impl Entry {
    /// Whether this is its id or another name of it.
    pub fn is_called(&self, name: &str) -> bool {
        self.id.eq_ignore_ascii_case(name) || self.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    }

    /// The files for this processor.
    pub fn files_here(&self) -> impl Iterator<Item = &ModelFile> {
        self.files.iter().filter(|file| file.arch.as_deref().is_none_or(|arch| arch == std::env::consts::ARCH))
    }

    /// Size of all files whose size is known, in bytes, and whether that is all of them.
    pub fn bytes(&self) -> (u64, bool) {
        let known = self.files_here().filter_map(|file| file.bytes).fold(0_u64, u64::saturating_add);
        (known, self.files_here().all(|file| file.bytes.is_some()))
    }

    /// Whether a file's contents are only known once it was fetched.
    pub fn is_pinned_on_first_use(&self) -> bool {
        self.files_here().any(|file| file.sha256.is_none())
    }
}

fn wrong(id: &str, what: String) -> ManifestError {
    ManifestError::Entry { id: id.to_owned(), what }
}

fn check_entry(entry: &Entry) -> Result<(), ManifestError> {
    let complain = |what: String| Err(wrong(&entry.id, what));
    let is_id = is_file_name(&entry.id) && !entry.id.chars().any(|c| c.is_ascii_uppercase());
    if !is_id {
        return complain("an id is made of a-z, 0-9, `.`, `-` and `_`, and begins with a letter or digit".to_owned());
    }
    if entry.files.is_empty() || entry.files.len() > FILES_MAX {
        return complain(format!("a model has 1 to {FILES_MAX} files"));
    }
    let mut names = BTreeSet::new();
    for file in &entry.files {
        if !is_file_name(&file.name) || file.name == super::record::RECORD_FILE || file.name.ends_with(".part") {
            return complain(format!("{:?} is no name for a file of a model", file.name));
        }
        if !names.insert((&file.name, &file.arch)) {
            return complain(format!("{:?} stands there twice", file.name));
        }
        if file.bytes.is_some_and(|bytes| bytes > FILE_BYTES_MAX) {
            return complain(format!("{:?} has more than {FILE_BYTES_MAX} bytes", file.name));
        }
        let is_sha256 = |text: &String| text.len() == 64 && text.bytes().all(|b| b"0123456789abcdef".contains(&b));
        if file.sha256.as_ref().is_some_and(|text| !is_sha256(text)) {
            return complain(format!("the SHA-256 of {:?} must be 64 digits of 0-9 and a-f", file.name));
        }
        for source in &file.sources {
            if let Err(what) = check_source(source) {
                return complain(format!("{:?}: {what}", file.name));
            }
        }
    }
    Ok(())
}

fn check_source(source: &Source) -> Result<(), String> {
    let package = match source {
        Source::Url(url) if url.starts_with("https://") || url.starts_with("http://") => return Ok(()),
        Source::Url(url) => return Err(format!("{url:?} is no web address")),
        Source::Wheel(package) | Source::Npm(package) => package,
    };
    // These become arguments of programs, parts of addresses and of paths.
    let is_plain = |text: &str, more: &str| {
        (1..=NAME_CHARS_MAX).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric() || (c == '@' && more.contains('@')))
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c) || more.contains(c))
            && !text.contains("..")
    };
    let tags = [&package.platform, &package.python];
    let is_right = is_plain(&package.package, "@/")
        && is_plain(&package.version, "+")
        && tags.into_iter().flatten().all(|tag| is_plain(tag, ""))
        && !package.file.is_empty();
    if is_right { Ok(()) } else { Err(format!("{package} is no package")) }
}

/// A plain name: nothing that could lead out of a folder or hide in it.
fn is_file_name(name: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(id: &str, file: &str) -> String {
        format!(
            "[[model]]\nid = {id:?}\ntask = \"vad\"\ntitle = \"t\"\nlicense = \"MIT\"\nmemory_mib = 1\n[[model.files]]\nname = {file:?}\n"
        )
    }

    #[test]
    fn the_list_that_comes_with_the_program_has_something_for_every_task() {
        let manifest = Manifest::built_in();
        for task in Task::ALL {
            assert!(manifest.entries().iter().any(|entry| entry.task == task), "{task}");
        }
        assert_eq!(manifest.find("BAAI/bge-small-en-v1.5").expect("known").id, "bge-small-en-v1.5");
        for entry in manifest.entries() {
            assert!(entry.task != Task::Embedding || (entry.dims.is_some() && entry.pooling.is_some()), "{}", entry.id);
            assert!(!entry.license.is_empty() && entry.memory_mib > 0, "{}", entry.id);
            for arch in ["x86_64", "aarch64"] {
                let is_for = |file: &&ModelFile| file.arch.as_deref().is_none_or(|other| other == arch);
                assert!(entry.files.iter().any(|file| is_for(&file)), "{} has nothing for {arch}", entry.id);
            }
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for (id, file) in [
            ("../x", "a"),
            ("x", "../a"),
            ("x", "/etc/passwd"),
            ("x", ".hidden"),
            ("", "a"),
            ("x", ""),
            ("X", "a"),
            ("x", "a\0"),
            ("x", "installed.json"),
            ("x", "a.part"),
        ] {
            assert!(Manifest::parse(&entry(id, file)).is_err(), "{id:?} {file:?}");
        }
        assert!(Manifest::parse(&entry("x", "a.bin")).is_ok());
        assert!(Manifest::parse(&entry("x", "a").repeat(2)).is_err());
    }

    #[test]
    fn sources_that_could_be_read_as_options_or_paths_are_refused() {
        for source in [
            "{ url = \"file:///etc/passwd\" }",
            "{ wheel = { package = \"--index-url=x\", version = \"1\", file = \"a\" } }",
            "{ wheel = { package = \"a\", version = \"-1\", file = \"a\" } }",
            "{ npm = { package = \"a/../../b\", version = \"1\", file = \"a\" } }",
            "{ other = \"x\" }",
        ] {
            assert!(Manifest::parse(&format!("{}sources = [{source}]\n", entry("x", "a"))).is_err(), "{source}");
        }
        let good = "{ npm = { package = \"@a/b\", version = \"1.0\", file = \"package/x\" } }";
        assert!(Manifest::parse(&format!("{}sources = [{good}]\n", entry("x", "a"))).is_ok());
    }

    #[test]
    fn what_a_user_adds_replaces_what_was_there() {
        let mut manifest = Manifest::built_in();
        let count = manifest.entries().len();
        manifest.add(Manifest::parse(&entry("silero-vad", "mine.onnx")).expect("right"));
        manifest.add(Manifest::parse(&entry("new", "mine.onnx")).expect("right"));
        assert_eq!(manifest.entries().len(), count + 1);
        assert_eq!(manifest.find("silero-vad").expect("known").files[0].name, "mine.onnx");
    }

    proptest! {
        #[test]
        fn any_text_is_a_list_of_safe_names_or_an_error(text in ".{0,400}", id in "[ -~]{0,12}", file in "[ -~]{0,12}") {
            for text in [text, entry(&id, &file)] {
                if let Ok(manifest) = Manifest::parse(&text) {
                    for entry in manifest.entries() {
                        prop_assert!(is_file_name(&entry.id));
                        prop_assert!(entry.files.iter().all(|file| is_file_name(&file.name)));
                    }
                }
            }
        }
    }
}
