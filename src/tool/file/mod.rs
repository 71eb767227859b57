//! Files of the work repo and the workspace: `read_file`, `write_file`, `edit_file`, `list_dir`, `resolve_path`.
//!
//! Every path is opened beneath its root by the kernel (or by a walk that trusts no link), so neither `..`, nor a link, nor a
//! folder swapped at the wrong moment leads outside (specification §15 S3, S9). Reading: work repo and workspace. Writing: the
//! work repo only, and nothing inside `.git`, whose files would make git run programs.

mod content;
mod roots;
#[cfg(test)]
mod tests;

pub(super) use roots::Roots;

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::base::error::chain;
use crate::base::lane::{Lane, LaneError};
use crate::domain::call::{Effect, Outcome, Tier};
use crate::tool::{Audience, Spec, Tool, ToolContext};

/// File operations waiting for the thread that does them.
const QUEUE_LEN: usize = 64;

#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What may be read and written.
    pub work_repo: Option<PathBuf>,
    /// What may be read as well: soul files, memory.
    pub workspace: Option<PathBuf>,
    /// What `~` stands for.
    pub home: Option<PathBuf>,
}

/// Why a file operation did not happen. `Display` is what the model reads; the texts are KafClaw's where it had one.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("Error: work repo path not configured")]
    NotConfigured,
    #[error("Error: path outside work repo.")]
    OutsideWorkRepo,
    #[error("Error: path outside work repo and workspace.")]
    Outside,
    #[error("Error: the path contains a NUL character")]
    Nul,
    #[error("Error: file not found: {path}")]
    NotFound { path: String },
    #[error("Error: permission denied: {path}")]
    Permission { path: String },
    #[error("Error: not a regular file: {path}")]
    NotRegular { path: String },
    #[error("Error: not a folder: {path}")]
    NotFolder { path: String },
    #[error("Error: not a text file: {path}")]
    NotText { path: String },
    #[error("Error: file too large: {path} ({bytes} bytes, at most {bytes_max} can be handled)")]
    TooLarge { path: String, bytes: u64, bytes_max: u64 },
    #[error("Error: nothing inside .git can be written: {path}")]
    GitInternals { path: String },
    #[error("Error: text not found in file: {path}")]
    TextNotFound { path: String },
    #[error("Error reading file")]
    Read { source: std::io::Error },
    #[error("Error writing file")]
    Write { source: std::io::Error },
}

/// The thread that touches files for tools; clones share it.
#[derive(Clone)]
pub struct Files {
    lane: Lane<Roots>,
}

impl Files {
    pub fn start(config: Config) -> Result<Self, LaneError> {
        Ok(Self { lane: Lane::start("tool-files", QUEUE_LEN, Roots::new(config))? })
    }

    /// The five file tools.
    pub fn tools(&self) -> Vec<Arc<dyn Tool>> {
        let tool = |spec, operation| -> Arc<dyn Tool> { Arc::new(FileTool { spec, operation, files: self.clone() }) };
        vec![
            tool(read_spec(), content::read_file),
            tool(write_spec(), content::write_file),
            tool(edit_spec(), content::edit_file),
            tool(list_spec(), content::list_dir),
            tool(resolve_spec(), content::resolve_path),
        ]
    }

    pub(super) async fn call<R, F>(&self, job: F) -> Result<R, LaneError>
    where
        R: Send + 'static,
        F: FnOnce(&Roots) -> R + Send + 'static,
    {
        self.lane.call(|roots| job(roots)).await
    }
}

type Operation = fn(&Roots, &Value) -> Result<String, FileError>;

struct FileTool {
    spec: Spec,
    operation: Operation,
    files: Files,
}

impl Tool for FileTool {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn run<'a>(&'a self, _: &'a ToolContext, arguments: &'a Value) -> BoxFuture<'a, Outcome> {
        let operation = self.operation;
        let arguments = arguments.clone();
        Box::pin(async move {
            match self.files.call(move |roots| operation(roots, &arguments)).await {
                Ok(Ok(text)) => Outcome::done(text),
                Ok(Err(error)) => Outcome::failed(chain(&error)),
                Err(error) => Outcome::failed(format!("Error: {}", chain(&error))),
            }
        })
    }
}

fn spec(name: &'static str, description: &'static str, properties: Value, required: &[&str]) -> Spec {
    let parameters = json!({"type": "object", "properties": properties, "required": required});
    Spec { name, tier: Tier::Read, effect: Effect::Repeatable, audience: Audience::Household, description, parameters }
}

fn path_property() -> Value {
    json!({"type": "string", "minLength": 1, "description": "Path, relative to the work repo or absolute."})
}

fn read_spec() -> Spec {
    spec(
        "read_file",
        "Read a text file of the work repo or the workspace.",
        json!({"path": path_property()}),
        &["path"],
    )
}

fn write_spec() -> Spec {
    let properties =
        json!({"path": path_property(), "content": {"type": "string", "description": "The whole new content."}});
    let description = "Write a file of the work repo, replacing what was there. Creates missing folders.";
    Spec { tier: Tier::Write, ..spec("write_file", description, properties, &["path", "content"]) }
}

fn edit_spec() -> Spec {
    let properties = json!({
        "path": path_property(),
        "old_text": {"type": "string", "minLength": 1, "description": "Text to find; its first occurrence is replaced."},
        "new_text": {"type": "string", "description": "Text to put in its place."},
    });
    let description = "Replace a piece of text in a file of the work repo.";
    // Repeating it may replace the next occurrence.
    Spec {
        tier: Tier::Write,
        effect: Effect::Once,
        ..spec("edit_file", description, properties, &["path", "old_text", "new_text"])
    }
}

fn list_spec() -> Spec {
    let path = json!({"type": "string", "description": "Folder, relative to the work repo or absolute. Default: the work repo."});
    spec("list_dir", "List a folder of the work repo or the workspace.", json!({"path": path}), &[])
}

fn resolve_spec() -> Spec {
    let properties = json!({
        "kind": {"type": "string", "description": "Folder of the work repo, such as docs, tasks, requirements. Default: docs."},
        "filename": {"type": "string", "description": "Default: artifact.md."},
    });
    spec("resolve_path", "Say where an artifact of a kind belongs in the work repo.", properties, &[])
}
