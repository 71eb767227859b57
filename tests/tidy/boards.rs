//! Boards: each has the same files and the same keys, so that adding one touches no other folder and no step.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::repo::{Finding, Repo};
use crate::{expect_at, expect_none};

const KEYS: [&str; 12] = [
    "BOARD_NAME",
    "CMDLINE",
    "COMPATIBLE",
    "DTB",
    "DTBS",
    "KERNEL",
    "ROOT_MIB",
    "TRIED",
    "VENDOR_NAME",
    "VENDOR_PAGE",
    "VENDOR_SHA256",
    "WORKER",
];
const FUNCTIONS: [&str; 4] = ["board_boot", "board_kernel", "board_root", "board_vendor"];

/// What is wrong with a `meta`.
fn check(path: &str, text: &str) -> Vec<Finding> {
    let finding = |line: usize, message: String| Finding { path: path.to_owned(), line, message };
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#') && !line.is_empty()) {
        let Some((key, value)) = line.split_once('=') else {
            findings.push(finding(index + 1, "a line is KEY=value".to_owned()));
            continue;
        };
        // It is read as sh: what is not one word stands in quotes, and nothing is run.
        let inside = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let is_plain = inside.unwrap_or(value).chars().all(|c| !"\"$`\\;&|<>".contains(c));
        if !is_plain || (inside.is_none() && value.contains(' ')) {
            findings.push(finding(index + 1, format!("{key} is not plain data")));
        }
        if !KEYS.contains(&key) {
            findings.push(finding(index + 1, format!("no board has {key}")));
        }
        seen.insert(key);
    }
    let missing = KEYS.iter().filter(|key| !seen.contains(*key));
    findings.extend(missing.map(|key| finding(1, format!("{key} is missing"))));
    findings
}

fn boards(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root.join("board")).expect("a folder of boards");
    let mut boards: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    boards.retain(|path| path.is_dir());
    boards.sort();
    boards
}

#[test]
fn every_board_has_the_same_keys_and_functions() {
    let root = Repo::open().root;
    let boards = boards(&root);
    assert!(boards.iter().any(|board| board.ends_with("qemu-aarch64")), "no boards were seen");
    for board in boards {
        let name = board.strip_prefix(&root).expect("below the root").display().to_string();
        let read =
            |file: &str| fs::read_to_string(board.join(file)).unwrap_or_else(|error| panic!("{name}/{file}: {error}"));
        let meta = read("meta");
        expect_none(check(&format!("{name}/meta"), &meta));
        let hook = read("hook.sh");
        for function in FUNCTIONS {
            assert!(hook.contains(&format!("{function}() {{")), "{name}/hook.sh has no {function}");
        }
        let is_tried = meta.contains("\nTRIED=qemu\n");
        assert!(
            is_tried || board.join("README.md").is_file(),
            "{name} was not tried and no README says what to look at first"
        );
    }
}

#[test]
fn a_strange_or_missing_key_is_found() {
    let text: String = KEYS.iter().skip(1).map(|key| format!("{key}=\n")).collect();
    expect_at(check("board/x/meta", &text), &["board/x/meta:1"]);
    let text = format!("BOARD_NAME=\"a $(reboot)\"\nCOLOR=red\n{text}");
    expect_at(check("board/y/meta", &text), &["board/y/meta:1", "board/y/meta:2"]);
}
