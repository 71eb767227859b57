//! A table belongs to the room that creates it, and no other room names it in SQL.

use std::collections::BTreeMap;

use crate::lexer::words;
use crate::repo::{Finding, Repo, Source};
use crate::{expect_at, expect_none};

/// Words that stand between a keyword and the name of its table.
const BETWEEN: [&str; 10] = ["IF", "NOT", "EXISTS", "OR", "REPLACE", "IGNORE", "ABORT", "FAIL", "ROLLBACK", "ONLY"];

/// Places where production SQL names a table, and whether it is created there.
struct Mention<'a> {
    source: &'a Source,
    offset: usize,
    table: &'a str,
    creates: bool,
}

fn check(repo: &Repo) -> Vec<Finding> {
    let mentions: Vec<Mention<'_>> = repo.house().flat_map(mentions).collect();
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for mention in mentions.iter().filter(|mention| mention.creates) {
        owners.entry(mention.table).or_insert(mention.source.room().unwrap_or_default());
    }
    let is_foreign =
        |mention: &&Mention<'_>| owners.get(mention.table).is_some_and(|owner| mention.source.room() != Some(owner));
    let complain = |mention: &Mention<'_>| {
        let message = format!("table `{}` belongs to `{}`", mention.table, owners[mention.table]);
        mention.source.finding(mention.offset, message)
    };
    mentions.iter().filter(is_foreign).map(complain).collect()
}

fn mentions(source: &Source) -> Vec<Mention<'_>> {
    source.production_strings().flat_map(|(offset, text)| in_text(source, *offset, text)).collect()
}

fn in_text<'a>(source: &'a Source, offset: usize, sql: &'a str) -> Vec<Mention<'a>> {
    let found = words(sql);
    let mut mentions = Vec::new();
    for (at, (_, keyword)) in found.iter().enumerate() {
        if !["FROM", "INTO", "UPDATE", "TABLE", "JOIN", "ON", "REFERENCES"].contains(keyword) {
            continue;
        }
        let creates = *keyword == "TABLE" && found[..at].iter().rev().take(2).any(|word| word.1 == "CREATE");
        let mut next = at + 1;
        while found.get(next).is_some_and(|word| BETWEEN.contains(&word.1)) {
            next += 1;
        }
        // `FROM a, b AS c, d`: every name behind a comma is one more.
        while let Some((place, table)) = found.get(next).filter(|word| is_name(word.1)) {
            mentions.push(Mention { source, offset: offset + place, table, creates });
            let comma = found[next..].iter().take(4).position(|word| word.1 == ",");
            match comma {
                Some(comma)
                    if *keyword == "FROM"
                        && found[next..next + comma].iter().all(|word| is_name(word.1) || word.1 == "AS") =>
                {
                    next += comma + 1;
                }
                _ => break,
            }
        }
    }
    mentions
}

fn is_name(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Production SQL that depends on which columns a table has, though a newer program may have added some. What makes a table knows them.
fn counts_columns(source: &Source) -> Vec<Finding> {
    let is_blind = |sql: &str| {
        let found: Vec<&str> = words(sql).into_iter().map(|(_, word)| word).collect();
        let follows = |pair: &[&str]| found.windows(pair.len()).any(|window| window == pair);
        let inserts = found.windows(3).any(|three| three[0] == "INTO" && three[2] == "VALUES");
        (inserts || follows(&["SELECT", "*"])) && !follows(&["CREATE", "TABLE"])
    };
    let blind = source.production_strings().filter(|(_, sql)| is_blind(sql));
    let message = "name the columns: an older program must go on with a table that has more";
    blind.map(|(offset, _)| source.finding(*offset, message)).collect()
}

#[test]
fn statements_name_their_columns() {
    expect_none(Repo::open().house().flat_map(counts_columns).collect());
    let text = "//! x\nconst A: &str = \"INSERT INTO a VALUES (1)\";\nconst B: &str = \"INSERT INTO a (b) VALUES (1)\";\n\
        const C: &str = \"SELECT * FROM a\";\nconst D: &str = \"SELECT count(*) FROM a\";\nconst E: &str = \"CREATE TABLE a (b); INSERT INTO a VALUES (1)\";";
    let repo = Repo::with(&[("src/db/mod.rs", text)]);
    expect_at(repo.house().flat_map(counts_columns).collect(), &["src/db/mod.rs:2", "src/db/mod.rs:4"]);
}

#[test]
fn every_table_is_named_by_one_room() {
    expect_none(check(&Repo::open()));
}

#[test]
fn tables_are_seen_at_all() {
    let repo = Repo::open();
    let created = repo.house().flat_map(mentions).filter(|mention| mention.creates).count();
    assert!(created >= 15, "only {created} tables were seen");
}

#[test]
fn a_foreign_table_is_found_in_every_kind_of_statement() {
    let owner = "//! x\nconst A: &str = \"CREATE TABLE IF NOT EXISTS crumbs (id) STRICT\";";
    let thief = "//! x\nfn a() {\nq(\"SELECT 1 FROM plates p, crumbs\");\nq(\"INSERT OR IGNORE INTO crumbs\");\nq(\"UPDATE crumbs SET a = 1\");\n\
                 q(r\"SELECT 1 FROM x JOIN crumbs\");\nq(\"two crumbs on the table\");\nq(\"DELETE FROM breadcrumbs\") }\n\
                 #[cfg(test)]\nmod tests { fn a() { q(\"SELECT 1 FROM crumbs\") } }";
    let repo = Repo::with(&[("src/bus/mod.rs", owner), ("src/session/mod.rs", thief)]);
    let place = |line: usize| format!("src/session/mod.rs:{line}");
    let places: Vec<String> = [3, 4, 5, 6].map(place).into();
    expect_at(check(&repo), &places.iter().map(String::as_str).collect::<Vec<_>>());
}
