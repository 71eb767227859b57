//! The names inside a backup, and the manifest at its end.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::backup::Places;

/// The first entry; its content is the format's number.
pub const MARKER: &str = "kafclaw-backup";
/// The last entry.
pub const MANIFEST: &str = "manifest.json";
/// Files and folders of the state folder that are kept beside the database and the configuration.
pub const STATE_NAMES: [&str; 3] = ["env", ".env", "sessions"];

/// What a file of a backup is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    Database,
    Config,
    Token,
    /// Below the state folder; begins with one of [`STATE_NAMES`].
    State(PathBuf),
    Workspace(PathBuf),
}

impl Part {
    /// Reads a name from a file that anybody may have made: a path that would leave its folder is none.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "timeline.db" => return Some(Self::Database),
            "config.json" => return Some(Self::Config),
            "gateway.token" => return Some(Self::Token),
            _ => {}
        }
        let (folder, rest) = name.split_once('/')?;
        let path = below(rest)?;
        match folder {
            "workspace" => Some(Self::Workspace(path)),
            "state" if STATE_NAMES.iter().any(|known| path.starts_with(known)) => Some(Self::State(path)),
            _ => None,
        }
    }

    /// The name inside the backup; none when the path is not UTF-8.
    pub fn name(&self) -> Option<String> {
        match self {
            Self::Database => Some("timeline.db".to_owned()),
            Self::Config => Some("config.json".to_owned()),
            Self::Token => Some("gateway.token".to_owned()),
            Self::State(path) => Some(format!("state/{}", path.to_str()?)),
            Self::Workspace(path) => Some(format!("workspace/{}", path.to_str()?)),
        }
    }

    /// Where it lies on this machine.
    pub fn place(&self, places: &Places) -> PathBuf {
        match self {
            Self::Database => places.database.clone(),
            Self::Config => places.config_file.clone(),
            Self::Token => places.token_file.clone(),
            Self::State(path) => places.state_dir.join(path),
            Self::Workspace(path) => places.workspace.join(path),
        }
    }
}

/// A relative path that stays where it begins, spelled in the one way it can be.
fn below(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let spelled: PathBuf = path.components().collect();
    (is_plain && !text.is_empty() && !text.contains('\0') && spelled.to_str() == Some(text)).then_some(spelled)
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// Version of the program that wrote it.
    pub version: String,
    pub created_at: String,
    pub files: Vec<FileFact>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileFact {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_known_places_have_names() {
        for name in
            ["timeline.db", "config.json", "gateway.token", "state/.env", "state/sessions/a.jsonl", "workspace/a/b c"]
        {
            assert_eq!(Part::parse(name).and_then(|part| part.name()).as_deref(), Some(name));
        }
        for name in [
            "",
            "/",
            "workspace",
            "workspace/",
            "workspace//a",
            "workspace/../a",
            "workspace/a/..",
            "workspace/./a",
            "workspace//etc/passwd",
            "state/run/x",
            "state/../config.json",
            "state/timeline.db",
            "/timeline.db",
            "other/a",
            "workspace/a/",
            "workspace/a\0b",
        ] {
            assert_eq!(Part::parse(name), None, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leads_out_of_its_folder(name in "(workspace|state/sessions)?(/|\\.|a|\\PC){0,12}") {
            let places = Places {
                state_dir: "/s".into(), database: "/s/timeline.db".into(), config_file: "/s/config.json".into(),
                token_file: "/s/gateway.token".into(), workspace: "/w".into(),
            };
            if let Some(part) = Part::parse(&name) {
                let place = part.place(&places);
                prop_assert!(place.starts_with("/s/") || place.starts_with("/w/"));
                prop_assert!(place.components().all(|part| part != Component::ParentDir));
                prop_assert_eq!(part.name(), Some(name));
            }
        }
    }
}
