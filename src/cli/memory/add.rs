//! Reading files here and handing their text to the gateway, with a bar for people who watch.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::base::id::to_hex;
use crate::cli::client::{Client, ClientError, part};
use crate::cli::show::{count, field};
use crate::cli::{Failure, Terminal};
use crate::recall::document::{self, DocumentError, FILE_BYTES_MAX, FoundFile, Kind};
use crate::recall::source::Piece;

/// Sent at once: pieces, and bytes of their text (a request holds a mebibyte with all its escapes).
const PIECES_MAX: usize = 200;
const TEXT_BYTES_MAX: usize = 256 * 1024;

/// What is to be added.
#[derive(Default)]
struct Plan {
    files: Vec<FoundFile>,
    /// Folders that were named, with a slash at their end.
    folders: Vec<String>,
}

/// What became of the files.
#[derive(Default)]
struct Done {
    added: u64,
    pieces: u64,
    unchanged: u64,
    removed: u64,
    /// Files of folders that are no documents.
    skipped: u64,
    failed: Vec<String>,
}

/// Why one file was not added.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("{0}")]
    Document(#[from] DocumentError),
    #[error("it could not be opened: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Client(#[from] ClientError),
}

pub(super) fn run(paths: &[PathBuf], terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let plan = plan(paths, terminal)?;
    let client = terminal.gateway()?;
    let known = known(&client)?;
    let bar = bar(&plan, terminal.output_is_person);
    let mut done = Done::default();
    for file in &plan.files {
        let path = file.path.to_string_lossy().into_owned();
        bar.set_message(file.path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        match add(&client, file, &path, known.get(&path), &mut done) {
            Ok(()) => {}
            Err(FileError::Document(DocumentError::Unknown | DocumentError::Empty)) if !is_named(paths, &file.path) => {
                done.skipped += 1;
            }
            Err(FileError::Client(error @ (ClientError::NotRunning { .. } | ClientError::Unauthorized { .. }))) => {
                return Err(Failure::Client(error));
            }
            Err(error) => done.failed.push(format!("{path}: {error}")),
        }
        bar.inc(file.bytes);
    }
    for gone in known.keys().filter(|path| is_gone(path, &plan)) {
        client.delete(&format!("memory/documents?path={}", part(gone))).map_err(Failure::Client)?;
        done.removed += 1;
    }
    bar.finish_and_clear();
    done.failed.iter().for_each(|failure| terminal.note(&format!("kafclaw: {failure}")));
    terminal.print(&summary(&done))?;
    match done.failed.len() {
        0 => Ok(()),
        failed => Err(Failure::Outcome(format!("{} could not be added", count(failed as u64, "file")))),
    }
}

fn plan(paths: &[PathBuf], terminal: &mut Terminal<'_>) -> Result<Plan, Failure> {
    let mut plan = Plan::default();
    for path in paths {
        let failed = |source| Failure::File { attempt: format!("read {}", path.display()), source };
        // The whole path names the document, wherever the command was given.
        let whole = fs::canonicalize(path).map_err(failed)?;
        let metadata = fs::metadata(&whole).map_err(failed)?;
        if !metadata.is_dir() {
            plan.files.push(FoundFile { path: whole, bytes: metadata.len() });
            continue;
        }
        let walked = document::walk(&whole);
        if walked.is_cut {
            terminal.note(&format!(
                "warning: {} holds more files than one folder may; the rest is left out",
                path.display()
            ));
        }
        // What could not be looked at must not count as gone.
        if walked.unread.is_empty() && !walked.is_cut {
            plan.folders.push(format!("{}/", whole.to_string_lossy().trim_end_matches('/')));
        }
        for folder in &walked.unread {
            terminal.note(&format!("warning: {} could not be read", folder.display()));
        }
        plan.files.extend(walked.files);
    }
    plan.files.sort_by(|a, b| a.path.cmp(&b.path));
    plan.files.dedup_by(|a, b| a.path == b.path);
    Ok(plan)
}

/// Hashes of the documents that are kept, by path.
fn known(client: &Client) -> Result<HashMap<String, String>, Failure> {
    let list = client.get("memory/documents").map_err(Failure::Client)?;
    Ok(list.as_array().into_iter().flatten().map(|one| (field(one, "path"), field(one, "hash"))).collect())
}

fn add(
    client: &Client,
    file: &FoundFile,
    path: &str,
    known: Option<&String>,
    done: &mut Done,
) -> Result<(), FileError> {
    if file.bytes > FILE_BYTES_MAX as u64 {
        let bytes_max = FILE_BYTES_MAX as u64;
        return Err(DocumentError::TooLarge { bytes: file.bytes, bytes_max }.into());
    }
    let bytes = fs::read(&file.path)?;
    let hash = to_hex(&Sha256::digest(&bytes));
    if known == Some(&hash) {
        done.unchanged += 1;
        return Ok(());
    }
    let kind = Kind::of(path, &bytes).ok_or(DocumentError::Unknown)?;
    let document = match kind.is_read_apart() {
        true => document::read_apart(&std::env::current_exe()?, kind, &bytes)?,
        false => document::read(kind, &bytes)?,
    };
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    let title = if document.title.is_empty() { &*name } else { &document.title };
    let pieces = document::pieces(&document);
    let parts = parts(&pieces);
    for (index, part) in parts.iter().enumerate() {
        let pieces: Vec<Value> =
            part.iter().map(|piece| json!({"content": piece.content, "tags": piece.tags})).collect();
        let last = index + 1 == parts.len();
        let body =
            json!({"path": path, "hash": hash, "bytes": file.bytes, "title": title, "pieces": pieces, "last": last});
        client.post("memory/documents", &body)?;
    }
    done.added += 1;
    done.pieces += pieces.len() as u64;
    Ok(())
}

/// Pieces in requests of a size that the door lets in.
fn parts(pieces: &[Piece]) -> Vec<&[Piece]> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, piece) in pieces.iter().enumerate() {
        if index > start && (index - start >= PIECES_MAX || bytes + piece.content.len() > TEXT_BYTES_MAX) {
            parts.push(&pieces[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += piece.content.len();
    }
    parts.push(&pieces[start..]);
    parts
}

fn is_named(paths: &[PathBuf], file: &Path) -> bool {
    paths.iter().any(|path| fs::canonicalize(path).is_ok_and(|whole| whole == file))
}

/// Whether a document that is kept stood in a folder that was read, and is not there any more.
fn is_gone(path: &str, plan: &Plan) -> bool {
    plan.folders.iter().any(|folder| path.starts_with(folder.as_str()))
        && !plan.files.iter().any(|file| file.path.to_string_lossy() == path)
}

fn bar(plan: &Plan, is_watched: bool) -> ProgressBar {
    let total = plan.files.iter().map(|file| file.bytes).sum();
    let target = if is_watched { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn summary(done: &Done) -> String {
    let mut text = format!("{} added ({})", count(done.added, "document"), count(done.pieces, "piece"));
    for (number, what) in
        [(done.unchanged, "unchanged"), (done.removed, "gone and forgotten"), (done.skipped, "no documents")]
    {
        if number > 0 {
            text.push_str(&format!(", {number} {what}"));
        }
    }
    text.push('.');
    if done.added > 0 {
        text.push_str(" They are found by their words at once; by meaning, as fast as the embedding model reads.");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_every_piece_and_fit_through_the_door() {
        let piece = |bytes: usize| Piece { content: "x".repeat(bytes), tags: String::new() };
        let pieces: Vec<Piece> = (0..450).map(|_| piece(1_000)).chain((0..20).map(|_| piece(15_000))).collect();
        let parts = parts(&pieces);
        assert_eq!(parts.iter().map(|part| part.len()).sum::<usize>(), 470);
        for part in &parts {
            assert!(part.len() <= PIECES_MAX);
            assert!(part.iter().map(|piece| piece.content.len()).sum::<usize>() <= TEXT_BYTES_MAX);
        }
        assert_eq!(super::parts(&[]).len(), 1, "a file without pieces is still a version");
    }

    #[test]
    fn only_files_of_folders_that_were_read_are_gone() {
        let file = |path: &str| FoundFile { path: PathBuf::from(path), bytes: 1 };
        let plan = Plan { files: vec![file("/a/b.md")], folders: vec!["/a/".to_owned()] };
        for (path, gone) in [("/a/b.md", false), ("/a/c.md", true), ("/ab/c.md", false), ("/other", false)] {
            assert_eq!(is_gone(path, &plan), gone, "{path}");
        }
    }
}
