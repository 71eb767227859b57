//! Floor 6: one file that tells somebody who helps what is wrong here, and no secret.
//!
//! Who may do what: the caller says where things are ([`Plan`]) and brings what it knows itself (configuration, doctor's report);
//! [`write`] adds what the machine, the journal and the timeline know, and packs it as `tar.gz`. Every text passes the
//! [`Redactor`], which knows this home's secrets by heart and those of others by their looks. Each part has a bound in size and time,
//! and one that cannot be had is named in the bundle instead of stopping it.
//!
//! Absent on purpose: sending it anywhere, databases, recordings, the workspace, and what people said, unless they want that.

mod bundle;
mod home;
mod machine;
mod program;
mod redact;
mod secrets;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

pub use redact::Redactor;
pub use secrets::Secrets;

use crate::base::clock::Timestamp;
use bundle::Bundle;

/// All texts together, before they are packed.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// The largest part.
const PART_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long one program of the machine has to answer.
const PROGRAM_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum DiagnosticsError {
    #[error("could not write the bundle; is the disk full?")]
    Write { source: io::Error },
}

/// Whether what people said goes along.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Texts {
    #[default]
    LeftOut,
    Told,
}

/// What is told, and where the rest is found.
#[derive(Clone, Debug)]
pub struct Plan {
    pub now: Timestamp,
    pub database: PathBuf,
    pub state_dir: PathBuf,
    /// What was installed by updates, where there are any.
    pub update_ledger: PathBuf,
    /// Every key in effect, secrets masked.
    pub config: Value,
    /// Names of the variables that the program was started with.
    pub variables: Vec<String>,
    /// Doctor's report.
    pub doctor: Value,
    pub texts: Texts,
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Written {
    pub parts: usize,
    /// Before they were packed.
    pub bytes: u64,
    /// Parts that could not be had, with the reason.
    pub missing: Vec<String>,
}

/// Writes the bundle to `out`; `progress` hears what is looked at.
pub async fn write(
    plan: &Plan,
    secrets: &Secrets,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(&str),
) -> Result<Written, DiagnosticsError> {
    let failed = |source| DiagnosticsError::Write { source };
    let redactor = Redactor::new(secrets);
    let mut bundle = Bundle::new(out, &redactor, plan.now);
    progress("versions, disk and memory");
    bundle.json("versions.json", &machine::versions()).map_err(failed)?;
    bundle.text("machine.txt", &machine::about()).map_err(failed)?;
    progress("configuration");
    bundle.json("config.json", &plan.config).map_err(failed)?;
    bundle.json("variables.json", &Value::from(plan.variables.clone())).map_err(failed)?;
    bundle.json("doctor.json", &plan.doctor).map_err(failed)?;
    progress("files of the home");
    bundle.part("files.txt", home::files(&plan.state_dir)).map_err(failed)?;
    progress("what happened last");
    bundle.part("timeline.jsonl", home::timeline(&plan.database, plan.texts)).map_err(failed)?;
    bundle.part("update.json", home::ledger(&plan.update_ledger)).map_err(failed)?;
    for (name, what, command) in machine::programs() {
        progress(what);
        bundle.part(name, program::printed(&command).await).map_err(failed)?;
    }
    bundle.finish().map_err(failed)
}
