//! Who may import whom: a room sees the floors below it, and of its own floor only what is written down here.

use crate::lexer::{closing, words};
use crate::repo::{Finding, Repo, Source};
use crate::{expect_at, expect_none};

/// Every room of `src/`, by floor. A new room, or one that moves, is a change of the plan.
const FLOORS: &[&[&str]] = &[
    &["base"],
    &["domain"],
    &["db", "link", "inference"],
    &["timeline", "models"],
    &["bus", "session", "memory", "policy", "approval", "settings", "webuser", "owner"],
    &["intent", "provider", "tool", "agent", "recall"],
    &[
        "channel",
        "scheduler",
        "home",
        "voice",
        "group",
        "orchestrator",
        "knowledge",
        "node",
        "update",
        "service",
        "backup",
        "diagnostics",
        "reset",
    ],
    &["http", "api", "dashboard", "gateway", "bridge", "doctor"],
    &["config", "app", "cli"],
    &["lib", "main"],
];

/// Arrows within a floor: from, to, why. None may be left here when it is not used any more.
const ARROWS: &[(&str, &str, &str)] = &[
    ("agent", "intent", "the turn tries sentences before models"),
    ("agent", "recall", "a prompt shows what the memory holds"),
    ("agent", "tool", "the turn runs what the model calls"),
    ("api", "http", "a desk is a table of routes"),
    ("dashboard", "http", "a desk is a table of routes"),
    ("dashboard", "api", "the page's chat is answered and streamed as /chat is"),
    ("group", "knowledge", "knowledge messages come in on the same wire"),
    ("group", "orchestrator", "discovery and zones come in on the same wire"),
    ("app", "config", "assembly begins with the configuration"),
    ("cli", "app", "a command starts the house"),
    ("cli", "config", "commands read and change the configuration"),
    ("main", "lib", "the program is the library's"),
];

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut used = Vec::new();
    for source in repo.house() {
        let Some(room) = source.room() else { continue };
        let Some(floor) = floor_of(room) else {
            findings.push(source.finding(0, format!("`{room}` has no floor; give it one in tests/tidy/floors.rs")));
            continue;
        };
        for (offset, other) in imports(source) {
            if other == room {
                continue;
            }
            let arrow = (room.to_owned(), other.to_owned());
            match floor_of(other) {
                None => findings.push(source.finding(offset, format!("`crate::{other}` is no room"))),
                Some(below) if below < floor => {}
                Some(same) if same == floor && is_allowed(&arrow) => used.push(arrow),
                Some(same) if same == floor => {
                    let message = format!("`{room}` may not import its neighbor `{other}` (floor {floor})");
                    findings.push(source.finding(offset, message));
                }
                Some(above) => {
                    let message = format!("`{room}` (floor {floor}) may not import `{other}` (floor {above})");
                    findings.push(source.finding(offset, message));
                }
            }
        }
    }
    findings.extend(unused(repo, &used));
    findings
}

fn is_allowed((from, to): &(String, String)) -> bool {
    ARROWS.iter().any(|(a, b, _)| a == from && b == to)
}

fn unused(repo: &Repo, used: &[(String, String)]) -> Vec<Finding> {
    let is_there = |room: &str| repo.house().any(|source| source.room() == Some(room));
    let idle = ARROWS.iter().filter(|(from, to, _)| {
        *from != "main" && is_there(from) && is_there(to) && !used.iter().any(|(a, b)| a == from && b == to)
    });
    let message = |from: &str, to: &str| format!("the arrow from `{from}` to `{to}` is not used any more");
    idle.map(|(from, to, _)| Finding { path: "tests/tidy/floors.rs".to_owned(), line: 1, message: message(from, to) })
        .collect()
}

/// Rooms that production code names, with the place: `crate::room`, `crate::{room, ...}`, and `super::room` out of a room's root.
fn imports(source: &Source) -> Vec<(usize, &str)> {
    let code = &source.production;
    let found = words(code);
    let is_path =
        |at: usize| found.get(at + 1).is_some_and(|w| w.1 == ":") && found.get(at + 2).is_some_and(|w| w.1 == ":");
    let mut imports = Vec::new();
    for (at, (offset, word)) in found.iter().enumerate() {
        let is_start = at == 0 || found[at - 1].1 != ":";
        if !is_path(at) || !is_start {
            continue;
        }
        let next = match *word {
            "crate" => at + 3,
            "super" => match past_root(source, &found, at) {
                Some(next) => next,
                None => continue,
            },
            _ => continue,
        };
        match found.get(next) {
            Some((open, "{")) => imports.extend(heads(code, *open).into_iter().map(|head| (*offset, head))),
            Some((_, name)) => imports.push((*offset, *name)),
            None => {}
        }
    }
    imports
}

/// Index of the word behind a chain of `super::` that leaves the room.
fn past_root(source: &Source, found: &[(usize, &str)], at: usize) -> Option<usize> {
    let inside = source.path.strip_prefix("src/")?.trim_end_matches(".rs").trim_end_matches("/mod");
    let depth = inside.split('/').count();
    let supers = found[at..].chunks(3).take_while(|chunk| chunk[0].1 == "super").count();
    (supers >= depth).then_some(at + supers * 3)
}

/// First names of the paths in a braced import.
fn heads(code: &str, open: usize) -> Vec<&str> {
    let inside = &code[open + 1..closing(code, open) - 1];
    let mut depth = 0_usize;
    let mut heads = Vec::new();
    let mut is_start = true;
    for (_, word) in words(inside) {
        match word {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 0 => is_start = true,
            name if is_start => {
                heads.push(name);
                is_start = false;
            }
            _ => {}
        }
    }
    heads
}

#[test]
fn nothing_imports_upward() {
    expect_none(check(&Repo::open()));
}

#[test]
fn an_upward_import_is_found_however_it_is_written() {
    let repo = Repo::with(&[
        ("src/db/file.rs", "//! x\nuse crate::base::id;\nuse crate::bus::Bus;"),
        ("src/db/mod.rs", "//! x\nuse crate::{base, timeline::{follow, Event}};\nfn a() { super::cli::main() }"),
        (
            "src/link/mod.rs",
            "//! x\nfn a() -> crate::db::Db {}\n// use crate::cli;\n#[cfg(test)]\nuse crate::agent::A;",
        ),
        ("src/shed/mod.rs", "//! x"),
    ]);
    expect_at(
        check(&repo),
        &["src/db/file.rs:3", "src/db/mod.rs:2", "src/db/mod.rs:3", "src/link/mod.rs:2", "src/shed/mod.rs:1"],
    );
}

#[test]
fn an_arrow_that_nobody_uses_is_found() {
    let repo = Repo::with(&[
        ("src/agent/mod.rs", "//! x\nuse crate::intent::A;"),
        ("src/intent/mod.rs", "//! x"),
        ("src/tool/mod.rs", "//! x"),
    ]);
    expect_at(check(&repo), &["tests/tidy/floors.rs:1"]);
}
