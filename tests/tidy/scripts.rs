//! Scripts: POSIX sh that stops at the first error, or Python, with a header that says what for and for whom.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::repo::{Finding, Repo};
use crate::{expect_at, expect_none};

/// Where scripts lie.
const FOLDERS: [&str; 6] = [".ci", "board", "image", "scripts", "tests/image", "tests/peers"];
/// Scripts that others read, so that they are not run themselves.
const READ_BY_OTHERS: [&str; 5] = ["need.sh", "lib.sh", "machine.sh", "recipe.sh", "hook.sh"];
/// The first process of a device has nobody to stop for: it goes on, or starts the device anew.
const FIRST_PROCESS: &str = "image/initramfs/init";
/// A header of at least this many lines of comment.
const HEADER_LINES_MIN: usize = 2;

fn check(path: &str, text: &str) -> Vec<Finding> {
    if path.ends_with(".py") {
        return check_python(path, text);
    }
    let finding = |line: usize, message: &str| Finding { path: path.to_owned(), line, message: message.to_owned() };
    let mut findings = Vec::new();
    let mut lines = text.lines();
    if lines.next() != Some("#!/bin/sh") {
        findings.push(finding(1, "the first line must be `#!/bin/sh`"));
    }
    if lines.take_while(|line| line.starts_with("# ")).count() < HEADER_LINES_MIN {
        findings.push(finding(2, "a comment must say what the script does and for whom"));
    }
    let first = text.lines().enumerate().find(|(_, line)| !line.starts_with('#') && !line.trim().is_empty());
    if path != FIRST_PROCESS && first.is_none_or(|(_, line)| line != "set -eu") {
        findings.push(finding(first.map_or(1, |(index, _)| index + 1), "the first command must be `set -eu`"));
    }
    findings
}

fn check_python(path: &str, text: &str) -> Vec<Finding> {
    let finding = |line: usize, message: &str| Finding { path: path.to_owned(), line, message: message.to_owned() };
    let mut lines = text.lines();
    let mut findings = Vec::new();
    if lines.next() != Some("#!/usr/bin/env python3") {
        findings.push(finding(1, "the first line must be `#!/usr/bin/env python3`"));
    }
    if !lines.next().is_some_and(|line| line.starts_with("\"\"\"")) {
        findings.push(finding(2, "a docstring must say what the script does and for whom"));
    }
    findings
}

/// Path and text of every script: what is called `.sh` or `.py`, or begins as a script for sh.
fn scripts(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        walk(root, &root.join(folder), &mut found);
    }
    found.sort();
    found
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<(String, String)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() && !path.is_symlink() {
            walk(root, &path, found);
            continue;
        }
        let name = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if name.ends_with(".sh") || name.ends_with(".py") || text.starts_with("#!/bin/sh") {
            found.push((name, text));
        }
    }
}

#[test]
fn every_script_says_what_it_does_and_stops_at_errors() {
    let scripts = scripts(&Repo::open().root);
    assert!(scripts.iter().any(|(path, _)| path == "scripts/run.sh"), "no scripts were seen");
    expect_none(scripts.iter().flat_map(|(path, text)| check(path, text)).collect());
}

#[test]
fn every_script_can_be_run_and_is_understood_by_sh() {
    let root = Repo::open().root;
    for (path, _) in scripts(&root) {
        let file = root.join(&path);
        let mode = fs::metadata(&file).expect("a script").permissions().mode();
        let is_read = READ_BY_OTHERS.iter().any(|name| path.ends_with(&format!("/{name}")));
        assert!(mode & 0o100 != 0 || is_read, "{path} is not executable");
        if path.ends_with(".py") {
            continue;
        }
        let output = Command::new("sh").arg("-n").arg(&file).output().expect("sh");
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_silent_or_careless_script_is_found() {
    expect_at(check("a.sh", "#!/bin/sh\n# What.\n# For whom.\nset -eu\n"), &[]);
    expect_at(check("b.sh", "#!/bin/bash\nset -eu\n"), &["b.sh:1", "b.sh:2"]);
    expect_at(check("a.py", "#!/usr/bin/env python3\n\"\"\"What, for whom.\"\"\"\n"), &[]);
    expect_at(check("b.py", "import os\n"), &["b.py:1", "b.py:2"]);
    expect_at(check("c.sh", "#!/bin/sh\n# What.\n# For whom.\n\necho x\n"), &["c.sh:5"]);
}
