//! Files that fit in the head and functions that fit on a screen, each file with a first line that says what it is for.

use crate::lexer::{closing, words};
use crate::repo::{Finding, Repo, Source};
use crate::{expect_at, expect_none};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// Files that are longer, each with the reason. This list only gets shorter.
const LONGER: &[(&str, &str)] = &[("src/app/gateway.rs", "assembly; to be cut in two")];

/// Functions that are longer, each with the reason. This list only gets shorter.
const LONGER_FUNCTIONS: &[(&str, &str, &str)] =
    &[("src/app/gateway.rs", "build", "assembly in order; to be cut in two")];

fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &repo.sources {
        if !source.text.starts_with("//! ") {
            findings.push(source.finding(0, "the first line must be `//!` and say what the file is for"));
        }
        let lines = production_lines(source);
        if lines > FILE_LINES_MAX && !LONGER.iter().any(|(path, _)| *path == source.path) {
            findings.push(source.finding(0, format!("{lines} lines of production code; at most {FILE_LINES_MAX}")));
        }
        findings.extend(long_functions(source));
    }
    findings
}

/// Lines that are not blank, without those that are only compiled for tests.
fn production_lines(source: &Source) -> usize {
    if source.is_test {
        return 0;
    }
    let pairs = source.text.lines().zip(source.code.lines().zip(source.production.lines()));
    let is_kept = |(text, (code, production)): &(&str, (&str, &str))| {
        !text.trim().is_empty() && (code.trim().is_empty() || !production.trim().is_empty())
    };
    pairs.filter(is_kept).count()
}

fn long_functions(source: &Source) -> Vec<Finding> {
    let is_excused =
        |name: &str| LONGER_FUNCTIONS.iter().any(|(path, other, _)| *path == source.path && *other == name);
    let is_long = |(_, name, lines): &(usize, &str, usize)| *lines > FUNCTION_LINES_MAX && !is_excused(name);
    let complain = |(offset, name, lines): (usize, &str, usize)| {
        source.finding(offset, format!("`{name}` has {lines} lines; at most {FUNCTION_LINES_MAX}"))
    };
    function_lines(source).into_iter().filter(is_long).map(complain).collect()
}

/// Place, name and length of every function with a body.
fn function_lines(source: &Source) -> Vec<(usize, &str, usize)> {
    let found = words(&source.code);
    let functions = found.windows(2).filter(|pair| pair[0].1 == "fn" && pair[1].1 != "(");
    let measure = |pair: &[(usize, &'_ str)]| {
        let (offset, open) = (pair[0].0, body(&source.code, pair[0].0)?);
        Some((offset, source.code[offset..closing(&source.code, open)].matches('\n').count() + 1))
    };
    functions.filter_map(|pair| measure(pair).map(|(offset, lines)| (offset, pair[1].1, lines))).collect()
}

/// Where the body of the function at `offset` opens; none for a declaration.
fn body(code: &str, offset: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (place, byte) in code.bytes().enumerate().skip(offset) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'{' if depth == 0 => return Some(place),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[test]
fn files_and_functions_are_short_and_say_what_they_are_for() {
    expect_none(check(&Repo::open()));
}

#[test]
fn no_exception_is_left_over() {
    let repo = Repo::open();
    for (path, _) in LONGER {
        let source = repo.sources.iter().find(|source| source.path == *path);
        let is_needed = source.is_some_and(|source| production_lines(source) > FILE_LINES_MAX);
        assert!(is_needed, "{path} is short enough now");
    }
    for (path, name, _) in LONGER_FUNCTIONS {
        let source = repo.sources.iter().find(|source| source.path == *path);
        let lines = source.map(|source| function_lines(source)).unwrap_or_default();
        let is_needed = lines.iter().any(|(_, other, lines)| other == name && *lines > FUNCTION_LINES_MAX);
        assert!(is_needed, "{name} in {path} is short enough now");
    }
}

#[test]
fn long_files_long_functions_and_silent_files_are_found() {
    let body = "    a();\n".repeat(FUNCTION_LINES_MAX);
    let function = format!("//! x\nfn short() {{}}\nfn long() {{\n{body}}}\n");
    let statements = "const A: u8 = 1;\n".repeat(FILE_LINES_MAX);
    let tests = format!("//! x\n#[cfg(test)]\nmod tests {{\n{statements}\n}}\n");
    let repo = Repo::with(&[
        ("src/a.rs", &function),
        ("src/b.rs", &format!("//! x\n{statements}")),
        ("src/c.rs", "fn a() {}\n"),
        ("src/d.rs", &tests),
    ]);
    expect_at(check(&repo), &["src/a.rs:3", "src/b.rs:1", "src/c.rs:1"]);
}
