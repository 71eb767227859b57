//! The files of a folder that may be documents, without what nobody wrote by hand.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

/// Files taken from one folder.
const FILES_MAX: usize = 10_000;
/// Folders below each other.
const DEPTH_MAX: usize = 32;
/// Folders that hold what programs made.
const IGNORED_FOLDERS: &[&str] = &["node_modules", "target", "__pycache__", "venv", "lost+found"];
/// Endings of files that are no documents, so that they need not be opened.
const IGNORED_ENDINGS: &[&str] = &[
    "7z",
    "a",
    "apk",
    "avi",
    "bin",
    "bmp",
    "bz2",
    "class",
    "db",
    "deb",
    "dll",
    "dmg",
    "doc",
    "docx",
    "exe",
    "flac",
    "gif",
    "gguf",
    "gz",
    "heic",
    "ico",
    "img",
    "iso",
    "jar",
    "jpeg",
    "jpg",
    "key",
    "lock",
    "m4a",
    "mkv",
    "mov",
    "mp3",
    "mp4",
    "o",
    "odp",
    "ods",
    "odt",
    "ogg",
    "onnx",
    "opus",
    "otf",
    "pem",
    "png",
    "ppt",
    "pptx",
    "pyc",
    "rar",
    "safetensors",
    "so",
    "sqlite",
    "svg",
    "swp",
    "tar",
    "tgz",
    "tif",
    "tiff",
    "ttf",
    "wasm",
    "wav",
    "webm",
    "webp",
    "woff",
    "woff2",
    "xls",
    "xlsx",
    "xz",
    "zip",
    "zst",
];

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundFile {
    pub path: PathBuf,
    pub bytes: u64,
}

/// What a folder held.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Walked {
    /// By path.
    pub files: Vec<FoundFile>,
    /// Folders that could not be read.
    pub unread: Vec<PathBuf>,
    /// There were more files than one folder may have.
    pub is_cut: bool,
}

/// Files below `root`. Hidden files and folders, links, and what a `.kafclawignore` names (one name or `*.ending` a line, for
/// its folder and all below it) are left out.
pub fn walk(root: &Path) -> Walked {
    let mut walked = Walked::default();
    let mut waiting = VecDeque::from([(root.to_owned(), Vec::new(), 0)]);
    while let Some((folder, mut rules, depth)) = waiting.pop_front() {
        let Ok(entries) = fs::read_dir(&folder) else {
            walked.unread.push(folder);
            continue;
        };
        rules.extend(rules_in(&folder));
        let mut entries: Vec<fs::DirEntry> = entries.flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            // Links are not followed: they may lead out, or around.
            let Ok(kind) = entry.file_type() else { continue };
            if name.starts_with('.') || rules.iter().any(|rule| names(rule, &name)) {
                continue;
            }
            if kind.is_dir() && depth < DEPTH_MAX && !IGNORED_FOLDERS.contains(&name.as_str()) {
                waiting.push_back((entry.path(), rules.clone(), depth + 1));
            } else if kind.is_file() && !is_ignored(&name) {
                if walked.files.len() >= FILES_MAX {
                    walked.is_cut = true;
                    return walked;
                }
                let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
                walked.files.push(FoundFile { path: entry.path(), bytes });
            }
        }
    }
    walked.files.sort_by(|a, b| a.path.cmp(&b.path));
    walked
}

fn rules_in(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join(".kafclawignore")).unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.trim_end_matches('/').to_owned()).collect()
}

fn names(rule: &str, name: &str) -> bool {
    match rule.strip_prefix('*') {
        Some(ending) => name.ends_with(ending),
        None => rule == name,
    }
}

fn is_ignored(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| IGNORED_ENDINGS.contains(&ending.as_str()))
}
