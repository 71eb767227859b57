//! Every fault point that is listed can be reached, and every one that is reached is listed.

use kafclaw::base::fault::POINTS;

use crate::repo::{Finding, Repo};
use crate::{expect_at, expect_none};

const CALL: &str = "fault::point(";

fn check(repo: &Repo, points: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut called: Vec<&str> = Vec::new();
    for source in repo.house() {
        for (offset, _) in source.production.match_indices(CALL) {
            // The literal begins behind the parenthesis and its quote.
            let name = source.strings.iter().find(|(place, _)| *place == offset + CALL.len() + 1);
            match name {
                Some((_, name)) if points.contains(&name.as_str()) => called.push(name),
                Some((_, name)) => findings.push(source.finding(offset, format!("`{name}` is not in POINTS"))),
                None => findings.push(source.finding(offset, "a fault point is named by a literal")),
            }
        }
    }
    let missing = points.iter().filter(|point| !called.contains(point));
    findings.extend(missing.map(|point| Finding {
        path: "src/base/fault.rs".to_owned(),
        line: 1,
        message: format!("nothing passes `{point}`"),
    }));
    findings
}

#[test]
fn every_fault_point_is_passed_somewhere() {
    expect_none(check(&Repo::open(), POINTS));
}

#[test]
fn a_point_that_is_not_passed_or_not_listed_is_found() {
    let repo = Repo::with(&[("src/bus/mod.rs", "//! x\nfn a() {\nfault::point(\"a.b\");\nfault::point(\"c.d\"); }")]);
    expect_at(check(&repo, &["a.b", "e.f"]), &["src/bus/mod.rs:4", "src/base/fault.rs:1"]);
}
