//! Where things are. With `KAFCLAW_HOME` set, everything is below it.

use std::path::{Path, PathBuf};

use crate::config::entry::{Origin, quote};
use crate::config::problem::Problems;
use crate::config::variables::Variables;

/// Every place the gateway writes to or reads its own files from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paths {
    pub home: PathBuf,
    /// `<home>/.kafclaw`, mode 0700: everything that must survive.
    pub state_dir: PathBuf,
    pub config_file: PathBuf,
    pub database: PathBuf,
    pub sessions_dir: PathBuf,
    pub backups_dir: PathBuf,
    /// Sockets and locks of the running gateway.
    pub run_dir: PathBuf,
    pub workspace: PathBuf,
    pub work_repo: PathBuf,
    pub system_repo: Option<PathBuf>,
}

impl Paths {
    pub(super) fn new(home: &Path, config_file: &Path, workspace: &str, work_repo: &str, system_repo: &str) -> Self {
        let state_dir = home.join(".kafclaw");
        Self {
            home: home.to_owned(),
            config_file: config_file.to_owned(),
            database: state_dir.join("timeline.db"),
            sessions_dir: state_dir.join("sessions"),
            backups_dir: state_dir.join("backups"),
            run_dir: state_dir.join("run"),
            workspace: PathBuf::from(workspace),
            work_repo: PathBuf::from(work_repo),
            system_repo: (!system_repo.is_empty()).then(|| PathBuf::from(system_repo)),
            state_dir,
        }
    }
}

/// `KAFCLAW_HOME`, else `MIKROBOT_HOME`, else `HOME`.
pub fn home(variables: &Variables, problems: &mut Problems) -> PathBuf {
    let user_home = variables.get("HOME").filter(|home| !home.is_empty());
    let (name, text) = match (variables.prefixed("HOME"), user_home) {
        (Some(home), _) => ("KAFCLAW_HOME", home),
        (None, Some(home)) => ("HOME", home),
        (None, None) => {
            problems.add(
                Origin::Nowhere,
                "",
                "neither KAFCLAW_HOME nor HOME",
                "set KAFCLAW_HOME to the folder everything is kept in",
            );
            return PathBuf::from("/nonexistent");
        }
    };
    let home = match (text.strip_prefix('~'), user_home) {
        (Some(rest), Some(user_home)) if rest.is_empty() || rest.starts_with('/') => {
            Path::new(user_home).join(rest.trim_start_matches('/'))
        }
        _ => PathBuf::from(text),
    };
    if !home.is_absolute() {
        problems.add(Origin::Variable(name.to_owned()), "", quote(text), "valid is an absolute path");
        return PathBuf::from("/nonexistent");
    }
    home
}

/// `KAFCLAW_CONFIG`, else `MIKROBOT_CONFIG`, else the usual place; and whether it was named.
pub fn config_file(home: &Path, variables: &Variables) -> (PathBuf, bool) {
    match variables.prefixed("CONFIG") {
        Some(text) => match text.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/')) {
            Some(rest) => (home.join(rest.trim_start_matches('/')), true),
            None => (home.join(text), true),
        },
        None => (home.join(".kafclaw/config.json"), false),
    }
}
