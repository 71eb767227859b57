//! Words that have no place in the code: empty names, unfinished work, queues without an end, tests that wait for time.

use crate::lexer::words;
use crate::repo::{Finding, Repo, Source};
use crate::{expect_at, expect_none};

/// Names that say nothing.
const EMPTY_NAMES: [&str; 6] = ["manager", "managers", "helper", "helpers", "util", "utils"];

/// Calls that are not made, as they stand in code without spaces, and why.
const CALLS: &[(&str, &str)] = &[
    ("todo!", "finish it"),
    ("unimplemented!", "finish it"),
    ("dbg!", "take it out"),
    ("unbounded_channel", "every queue has a bound"),
    ("unbounded(", "every queue has a bound"),
    ("#[ignore", "a test runs or goes"),
];

/// Calls that production code does not make, and why.
const PRODUCTION_CALLS: &[(&str, &str)] = &[
    ("mpsc::channel()", "every queue has a bound"),
    ("usecrate::{", "one `use crate::room::...` per room"),
    ("SystemTime::now", "time comes from a Clock"),
    ("Utc::now", "time comes from a Clock"),
    ("Local::now", "time comes from a Clock"),
    ("::*;", "no globs"),
];

/// Calls that tests do not make: they wait for a condition, with a deadline.
const TEST_CALLS: &[(&str, &str)] =
    &[("thread::sleep", "wait for a condition, not for time"), ("time::sleep(", "wait for a condition, not for time")];

/// Where a call is right after all: path, call, reason. This list only gets shorter.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("src/base/clock.rs", "SystemTime::now", "the clock itself"),
    ("src/tool/exec/tests.rs", "time::sleep(", "polls for the end of a process that is not a child"),
    ("src/link/mqtt/testing.rs", "time::sleep(", "polls what announces no change"),
    ("tests/it/support/wait.rs", "thread::sleep", "the one place that polls"),
];

fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in repo.sources.iter().filter(|source| !source.path.starts_with("tests/tidy/")) {
        findings.extend(calls(source));
        findings.extend(names(source));
        findings.extend(promises(source));
    }
    findings
}

fn calls(source: &Source) -> Vec<Finding> {
    let (tight, offsets) = without_spaces(&source.code);
    let mut findings = Vec::new();
    let lists = [(CALLS, None), (PRODUCTION_CALLS, Some(false)), (TEST_CALLS, Some(true))];
    for (call, why, place) in
        lists.iter().flat_map(|(list, place)| list.iter().map(move |(call, why)| (*call, *why, *place)))
    {
        if EXCEPTIONS.iter().any(|(path, except, _)| *path == source.path && *except == call) {
            continue;
        }
        for (at, _) in tight.match_indices(call) {
            let offset = offsets[at];
            if place.is_none_or(|is_test| is_test == source.is_test_at(offset)) {
                findings.push(source.finding(offset, format!("`{call}`: {why}")));
            }
        }
    }
    findings.sort_by_key(|finding| finding.line);
    findings
}

/// The code without white space and without the types of channels, and where each byte of it was.
fn without_spaces(code: &str) -> (String, Vec<usize>) {
    let kept = code.bytes().enumerate().filter(|(_, byte)| !byte.is_ascii_whitespace());
    let (mut offsets, bytes): (Vec<usize>, Vec<u8>) = kept.unzip();
    let mut tight = String::from_utf8(bytes).expect("white space is ASCII");
    without_turbofish(&mut tight, &mut offsets);
    (tight, offsets)
}

/// `channel::<T>(8)` becomes `channel(8)`.
fn without_turbofish(tight: &mut String, offsets: &mut Vec<usize>) {
    while let Some(from) = tight.find("channel::<").map(|at| at + "channel".len()) {
        let mut depth = 0_i32;
        let mut previous = ' ';
        let end = tight[from..].char_indices().find(|(_, character)| {
            match character {
                '<' => depth += 1,
                '>' if previous != '-' => depth -= 1,
                _ => {}
            }
            previous = *character;
            depth == 0 && *character == '>'
        });
        let to = end.map_or(tight.len(), |(at, _)| from + at + 1);
        tight.replace_range(from..to, "");
        offsets.drain(from..to);
    }
}

/// Files and declared things with empty names.
fn names(source: &Source) -> Vec<Finding> {
    let is_empty = |name: &str| parts(name).iter().any(|part| EMPTY_NAMES.contains(&part.as_str()));
    let mut findings = Vec::new();
    if source.path.split(['/', '.']).any(is_empty) {
        findings.push(source.finding(0, "the file's name says nothing"));
    }
    for pair in words(&source.code).windows(2) {
        let ((_, keyword), (offset, name)) = (pair[0], pair[1]);
        let declares = ["struct", "enum", "trait", "fn", "mod", "type", "const", "static", "let"].contains(&keyword);
        if declares && is_empty(name) {
            findings.push(source.finding(offset, format!("`{name}` says nothing")));
        }
    }
    findings
}

/// `TokenManager` and `token_manager` are both `token`, `manager`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut was_lower = false;
    for character in name.chars() {
        if character == '_' || (character.is_uppercase() && was_lower) {
            parts.push(String::new());
        }
        was_lower = character.is_lowercase();
        if character != '_' {
            parts.last_mut().expect("never empty").extend(character.to_lowercase());
        }
    }
    parts
}

/// Notes about work left undone, unless they name where it is tracked, as in `(#12)`.
fn promises(source: &Source) -> Vec<Finding> {
    let is_promise = |text: &str| {
        words(text).windows(3).any(|group| is_note(group[0].1) && !(group[1].1 == "(" && group[2].1 == "#"))
    };
    let open = source.comments.iter().filter(|(_, text)| is_promise(&format!("{text} . .")));
    open.map(|(offset, _)| source.finding(*offset, "unfinished work without a number")).collect()
}

fn is_note(word: &str) -> bool {
    ["TODO", "FIXME", "XXX", "HACK"].contains(&word)
}

#[test]
fn no_word_stands_where_it_does_not_belong() {
    expect_none(check(&Repo::open()));
}

#[test]
fn no_exception_is_left_over() {
    let repo = Repo::open();
    for (path, call, _) in EXCEPTIONS {
        let source = repo.sources.iter().find(|source| source.path == *path);
        let is_needed = source.is_some_and(|source| without_spaces(&source.code).0.contains(call));
        assert!(is_needed, "{path} does not need its exception for `{call}` any more");
    }
}

#[test]
fn every_listed_call_is_found() {
    for (call, _) in CALLS.iter().chain(PRODUCTION_CALLS) {
        let text = format!("//! x\n// {call}\nfn a() {{\n{} }}", call.replace("use", "use "));
        let repo = Repo::with(&[("src/db/mod.rs", &text)]);
        expect_at(check(&repo), &["src/db/mod.rs:4"]);
    }
    for (call, _) in TEST_CALLS {
        let repo =
            Repo::with(&[("src/db/mod.rs", &format!("//! x\nfn a() {{ {call} }}\n#[cfg(test)]\nmod t {{\n{call} }}"))]);
        expect_at(check(&repo), &["src/db/mod.rs:5"]);
    }
}

#[test]
fn a_bounded_channel_is_no_offense() {
    let text = "//! x\nfn a() {\nmpsc::channel::<Box<dyn Fn() -> u8>>(8);\nmpsc::channel::<Box<dyn Fn() -> u8>>() }";
    expect_at(check(&Repo::with(&[("src/db/mod.rs", text)])), &["src/db/mod.rs:4"]);
}

#[test]
fn empty_names_and_promises_are_found() {
    let text =
        "//! x\nstruct TokenManager;\nfn disk_util() {}\n// TODO later\n// TODO(#12) later\nfn dutiful() {} // XXX";
    let repo = Repo::with(&[("src/db/mod.rs", text), ("src/db/helpers.rs", "//! x")]);
    expect_at(
        check(&repo),
        &["src/db/mod.rs:2", "src/db/mod.rs:3", "src/db/mod.rs:4", "src/db/mod.rs:6", "src/db/helpers.rs:1"],
    );
}
