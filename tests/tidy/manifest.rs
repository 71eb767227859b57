//! The package's edges: why each dependency is there, and what lies at the top of the repository.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::repo::{Finding, Repo};
use crate::{expect_at, expect_none};

/// What may lie at the top, besides dot-files.
const TOP: [&str; 12] = [
    "Cargo.toml",
    "Cargo.lock",
    "LICENSE",
    "README.md",
    "board",
    "cross.toml",
    "image",
    "models",
    "scripts",
    "src",
    "target",
    "tests",
];

/// Every dependency has a comment above it.
fn dependencies(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut section, mut above) = ("", "");
    for (index, line) in text.lines().map(str::trim).enumerate() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if section.ends_with("dependencies") && starts_a_name(line) && !above.starts_with('#') {
            let name = line.split([' ', '=', '.']).next().unwrap_or_default();
            let message = format!("`{name}` has no comment that says what for and what instead");
            findings.push(Finding { path: "Cargo.toml".to_owned(), line: index + 1, message });
        }
        above = line;
    }
    findings
}

fn starts_a_name(line: &str) -> bool {
    line.starts_with(|first: char| first.is_ascii_alphanumeric()) && line.contains('=')
}

fn top(entries: impl IntoIterator<Item = String>) -> Vec<Finding> {
    let is_strange = |name: &String| !name.starts_with('.') && !TOP.contains(&name.as_str());
    let complain = |name: String| Finding { path: name, line: 1, message: "does not belong at the top".to_owned() };
    entries.into_iter().filter(is_strange).map(complain).collect()
}

/// What git tracks at the top; without git, what lies there.
fn entries(repo: &Repo) -> BTreeSet<String> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(&repo.root).output();
    match listed {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => {
            let paths = String::from_utf8_lossy(&output.stdout).into_owned();
            paths
                .split('\0')
                .filter(|path| !path.is_empty())
                .filter_map(|path| path.split('/').next())
                .map(str::to_owned)
                .collect()
        }
        _ => {
            let listed = fs::read_dir(&repo.root).expect("the repository's root");
            listed.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
        }
    }
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let text = fs::read_to_string(Repo::open().root.join("Cargo.toml")).expect("Cargo.toml");
    assert!(text.contains("[dependencies]"));
    expect_none(dependencies(&text));
}

#[test]
fn a_dependency_without_a_reason_is_found() {
    let text = "[package]\nname = \"x\"\n[dependencies]\n# Why.\na = \"1\"\nb = \"1\"\n[target.'cfg(unix)'.dependencies]\nc.version = \"1\"";
    expect_at(dependencies(text), &["Cargo.toml:6", "Cargo.toml:8"]);
}

#[test]
fn the_top_is_as_it_was_planned() {
    let entries = entries(&Repo::open());
    assert!(entries.contains("Cargo.toml"));
    expect_none(top(entries));
}

#[test]
fn a_stranger_at_the_top_is_found() {
    expect_at(top(["src", "notes.txt", ".ci"].map(str::to_owned)), &["notes.txt:1"]);
}
