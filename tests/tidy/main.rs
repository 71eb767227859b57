//! Rules of the house that a compiler does not know: who may import whom, who owns which table, how files are shaped.
//!
//! Every rule is a function from the [`Repo`] to findings with file and line. Beside the test that holds the real house to the
//! rule stands one that shows the rule an offender, so that no rule can pass because it looks at nothing.

mod boards;
mod faults;
mod floors;
mod lexer;
mod manifest;
mod repo;
mod scripts;
mod shape;
mod tables;
mod words;

use repo::{Finding, Repo};

/// Fails with one line per finding.
fn expect_none(findings: Vec<Finding>) {
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

/// Fails unless exactly these places are found, as `path:line`.
fn expect_at(findings: Vec<Finding>, places: &[&str]) {
    let found: Vec<String> = findings.iter().map(|finding| format!("{}:{}", finding.path, finding.line)).collect();
    let texts: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert_eq!(found, places, "\n{}\n", texts.join("\n"));
}

#[test]
fn the_walk_sees_the_whole_house() {
    let repo = Repo::open();
    for path in ["src/lib.rs", "src/main.rs", "src/db/mod.rs", "tests/tidy/main.rs"] {
        assert!(repo.sources.iter().any(|source| source.path == path), "{path} was not read");
    }
    assert!(repo.sources.iter().any(|source| source.path == "src/db/tests.rs" && source.is_test));
}
