//! `exec`: one program from a list, with words for arguments and no shell between them.
//!
//! KafClaw gave the text to `sh -c` after looking at its first word (specification §15 S2). Here the text is split into words by
//! our own rules, what only a shell could do is refused, the program is on the list, its environment is ours, its folder lies
//! beneath a root, and it dies with everything it started when its time is up or nobody waits any more.
//!
//! Absent on purpose: a sandbox. The list holds programs that read; who adds an interpreter to it has given that away, which is
//! why the tool is in the highest tier.

mod process;
mod rules;
mod split;
#[cfg(test)]
mod tests;

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::base::error::chain;
use crate::base::limits;
use crate::domain::call::{Effect, Outcome, Tier};
use crate::tool::exec::process::{Job, run};
use crate::tool::exec::rules::Objection;
use crate::tool::file::Files;
use crate::tool::{Audience, Spec, Tool, ToolContext, denied, text};

/// Programs that run at the same time; more wait.
const RUNNING_MAX: usize = 4;

/// How a refusal is worded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DenialText {
    /// What was refused and why.
    Plain,
    /// KafClaw's one insult, for clients that look for it (`gateway.compat`).
    Kafclaw,
}

#[derive(Clone, Debug)]
pub struct Config {
    /// Names of programs, without paths.
    pub programs: Vec<String>,
    pub timeout: Duration,
    /// Bytes kept of each of the two output streams.
    pub output_bytes_max: usize,
    /// The only variables a program sees, beside a few that keep git from asking questions.
    pub path: String,
    pub home: String,
    pub lang: String,
    pub denial_text: DenialText,
}

impl Default for Config {
    /// KafClaw's list without `sed`, which writes files and runs programs on its own.
    fn default() -> Self {
        Self {
            programs: ["git", "ls", "cat", "pwd", "rg", "grep", "head", "tail", "wc", "echo"].map(str::to_owned).into(),
            timeout: Duration::from_secs(60),
            output_bytes_max: limits::TOOL_RESULT_BYTES_MAX / 2,
            path: "/usr/local/bin:/usr/bin:/bin".to_owned(),
            home: "/nonexistent".to_owned(),
            lang: "C.UTF-8".to_owned(),
            denial_text: DenialText::Plain,
        }
    }
}

pub struct Exec {
    spec: Spec,
    config: Config,
    files: Files,
    running: Semaphore,
}

impl Exec {
    pub fn new(config: Config, files: Files) -> Self {
        Self { spec: spec(), config, files, running: Semaphore::new(RUNNING_MAX) }
    }

    async fn execute(&self, command: &str, working_dir: &str) -> Outcome {
        if command.trim().is_empty() {
            return Outcome::failed("Error: command is required");
        }
        let words = match split::split(command) {
            Ok(words) => words,
            Err(error) => return denied(format!("Error: {error}")),
        };
        let programs = self.config.programs.clone();
        let working_dir = working_dir.to_owned();
        // The roots live on the file thread, and so do the questions about them.
        let prepared = self.files.call(move |roots| {
            rules::check(&programs, &words, |path| roots.is_beneath_as_written(path)).map_err(Refusal::Rule)?;
            let folder = roots.working_dir(&working_dir).map_err(Refusal::Folder)?;
            Ok((words, folder))
        });
        let (words, folder) = match prepared.await {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(Refusal::Rule(objection))) => return self.refuse(&objection),
            Ok(Err(Refusal::Folder(error))) => return denied(chain(&error)),
            Err(error) => return Outcome::failed(format!("Error: {}", chain(&error))),
        };
        let Ok(_permit) = self.running.acquire().await else {
            return Outcome::failed("Error: the gateway is stopping");
        };
        run(&self.config, Job { words, folder }).await
    }

    fn refuse(&self, objection: &Objection) -> Outcome {
        match (self.config.denial_text, objection) {
            (_, Objection::Traversal) | (DenialText::Plain, _) => denied(format!("Error: {objection}")),
            (DenialText::Kafclaw, _) => denied("Ey, du spinnst wohl? Hä?"),
        }
    }
}

enum Refusal {
    Rule(Objection),
    Folder(crate::tool::file::FileError),
}

impl Tool for Exec {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn run<'a>(&'a self, _: &'a ToolContext, arguments: &'a Value) -> BoxFuture<'a, Outcome> {
        Box::pin(self.execute(text(arguments, "command"), text(arguments, "working_dir")))
    }
}

fn spec() -> Spec {
    Spec {
        name: "exec",
        tier: Tier::HighRisk,
        effect: Effect::Once,
        audience: Audience::Household,
        description: "Run one program in the work repo and return what it prints. There is no shell: quotes group words, but \
                      pipes, redirections, variables, wildcards and several commands at once are refused.",
        parameters: json!({
            "type": "object",
            "properties": {
                "command": {"type": "string", "minLength": 1, "description": "Program and arguments, such as: git log -5 --oneline"},
                "working_dir": {"type": "string", "description": "Folder to run in. Default: the work repo."},
            },
            "required": ["command"],
        }),
    }
}
