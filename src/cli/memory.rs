//! `kafclaw memory ...`: what the house remembers.

mod add;
mod show;
mod transfer;

use std::path::PathBuf;

use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use serde_json::json;

use crate::cli::client::part;
use crate::cli::{Failure, Terminal};

const AFTER_HELP: &str = "\
Documents are read here and their text goes to the gateway: plain text, Markdown, HTML and PDF. A folder is read with all
below it; adding it again takes what changed and forgets what is gone. Names in a file .kafclawignore are left out.

Examples:
  kafclaw memory add manual.pdf ~/notes
  kafclaw memory search 'how do I bleed the radiator'
  kafclaw memory forget 5cfd12f2da3a3c8a
  kafclaw memory export memories.jsonl";

/// Layers as the API names them.
const LAYERS: [&str; 9] =
    ["user", "conversation", "tool", "document", "soul", "group", "er1", "observation", "working_memory"];

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Read files, or folders with all below them, into the memory.
    Add {
        /// Files and folders.
        #[arg(required = true, value_name = "FILE|DIR")]
        paths: Vec<PathBuf>,
    },
    /// Remember a sentence.
    Remember {
        /// What to remember.
        #[arg(required = true, value_parser = NonEmptyStringValueParser::new())]
        text: Vec<String>,
        /// Words to find it by, separated by commas.
        #[arg(long, default_value = "")]
        tags: String,
    },
    /// Search by meaning and by words.
    Search {
        /// What to look for.
        #[arg(required = true, value_parser = NonEmptyStringValueParser::new())]
        question: Vec<String>,
        /// Most that is shown.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
        /// Only this layer.
        #[arg(long, value_parser = LAYERS)]
        layer: Option<String>,
        /// By what to search.
        #[arg(long, default_value = "hybrid", value_parser = ["hybrid", "semantic", "keyword"])]
        mode: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the newest memories, or the documents.
    List {
        /// Only this layer.
        #[arg(long, value_parser = LAYERS)]
        layer: Option<String>,
        /// Show documents instead of single memories.
        #[arg(long, conflicts_with = "layer")]
        documents: bool,
        /// Most that is shown.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Forget single memories, a document, or a whole layer.
    Forget {
        /// Ids, as `search` and `list` show them.
        #[arg(required_unless_present_any = ["document", "layer"])]
        ids: Vec<String>,
        /// Forget this document, named as `list --documents` shows it.
        #[arg(long, value_name = "PATH", conflicts_with = "ids")]
        document: Option<String>,
        /// Forget everything in this layer.
        #[arg(long, value_parser = LAYERS, conflicts_with_all = ["ids", "document"])]
        layer: Option<String>,
        /// Do not ask before a whole layer goes.
        #[arg(short, long)]
        yes: bool,
    },
    /// Write all memories as lines of JSON.
    Export {
        /// Where to write them; `-` is the standard output.
        #[arg(default_value = "-")]
        file: PathBuf,
        /// With their vectors, so that another house with the same model need not make them.
        #[arg(long)]
        vectors: bool,
    },
    /// Take memories that were exported.
    Import {
        /// What to read; `-` is the standard input.
        file: PathBuf,
    },
    /// Show how much is remembered, and how the embedding model is.
    Stats {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        match self.action {
            Action::Add { paths } => add::run(&paths, terminal),
            Action::Remember { text, tags } => {
                let body = json!({"content": text.join(" "), "tags": tags});
                let kept = terminal.gateway()?.post("memory/chunks", &body).map_err(Failure::Client)?;
                terminal.print(&format!("Remembered as {}.", kept["id"].as_str().unwrap_or_default()))
            }
            Action::Search { question, limit, layer, mode, json } => {
                let question = part(&question.join(" "));
                let layer = layer.unwrap_or_default();
                let path = format!("memory/search?q={question}&limit={limit}&layer={layer}&mode={mode}");
                let found = terminal.gateway()?.get(&path).map_err(Failure::Client)?;
                if json { terminal.print_json(&found) } else { terminal.print(&show::found(&found)) }
            }
            Action::List { documents: true, json, .. } => {
                let list = terminal.gateway()?.get("memory/documents").map_err(Failure::Client)?;
                if json { terminal.print_json(&list) } else { terminal.print(&show::documents(&list)) }
            }
            Action::List { layer, limit, json, .. } => {
                let path = format!("memory/chunks?limit={limit}&layer={}", layer.unwrap_or_default());
                let list = terminal.gateway()?.get(&path).map_err(Failure::Client)?;
                if json { terminal.print_json(&list) } else { terminal.print(&show::chunks(&list)) }
            }
            Action::Forget { ids, document, layer, yes } => match (document, layer) {
                (Some(path), _) => {
                    terminal
                        .gateway()?
                        .delete(&format!("memory/documents?path={}", part(&path)))
                        .map_err(Failure::Client)?;
                    terminal.print(&format!("{path} is forgotten."))
                }
                (None, Some(layer)) => forget_layer(&layer, yes, terminal),
                (None, None) => forget(&ids, terminal),
            },
            Action::Export { file, vectors } => transfer::export(&file, vectors, terminal),
            Action::Import { file } => transfer::import(&file, terminal),
            Action::Stats { json } => {
                let client = terminal.gateway()?;
                let status = client.get("memory/status").map_err(Failure::Client)?;
                let embedding = client.get("memory/embedding/status").map_err(Failure::Client)?;
                match json {
                    true => terminal.print_json(&json!({"memory": status, "embedding": embedding})),
                    false => terminal.print(&show::stats(&status, &embedding)),
                }
            }
        }
    }
}

fn forget(ids: &[String], terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let client = terminal.gateway()?;
    for id in ids {
        client.delete(&format!("memory/chunk?id={}", part(id))).map_err(Failure::Client)?;
        terminal.print(&format!("{id} is forgotten."))?;
    }
    Ok(())
}

fn forget_layer(layer: &str, yes: bool, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let client = terminal.gateway()?;
    if !yes {
        let answer = terminal.ask(&format!("Forget everything in layer {layer}? Type yes: "))?;
        if answer.as_deref() != Some("yes") {
            return Err(Failure::Outcome("nothing was forgotten".to_owned()));
        }
    }
    let gone = client.post("memory/reset", &json!({"layer": layer})).map_err(Failure::Client)?;
    match gone["deleted"].as_u64() {
        Some(1) => terminal.print("1 memory is forgotten."),
        other => terminal.print(&format!("{} memories are forgotten.", other.unwrap_or(0))),
    }
}
