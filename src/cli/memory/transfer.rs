//! Memories as lines of JSON, out of the gateway and into it, a page at a time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::show::{count, field};
use crate::cli::{Failure, Terminal};

/// Sent at once: lines, and bytes of them.
const LINES_MAX: usize = 200;
const BYTES_MAX: usize = 400 * 1024;
/// Problems that are told one by one.
const PROBLEMS_TOLD_MAX: usize = 10;

pub(super) fn export(file: &Path, vectors: bool, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let client = terminal.gateway()?;
    let is_out = file == Path::new("-");
    let mut target = match is_out {
        true => None,
        false => Some(BufWriter::new(File::create(file).map_err(|source| failed("write", file, source))?)),
    };
    let (mut after, mut total) = (Some(0), 0_u64);
    while let Some(place) = after {
        let path = format!("memory/export?after={place}&vectors={vectors}");
        let page = client.get(&path).map_err(Failure::Client)?;
        for line in page["lines"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            match &mut target {
                Some(target) => writeln!(target, "{line}").map_err(|source| failed("write", file, source))?,
                None => terminal.print(line)?,
            }
            total += 1;
        }
        // A page that leads to itself would never end.
        after = page["next"].as_i64().filter(|next| *next > place);
    }
    if let Some(target) = target {
        target.into_inner().map_err(io::IntoInnerError::into_error).map_err(|source| failed("write", file, source))?;
        terminal.print(&format!("{} with {}", file.display(), count(total, "line")))?;
    }
    Ok(())
}

pub(super) fn import(file: &Path, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let client = terminal.gateway()?;
    let mut taken = Taken::default();
    let mut page = Page::default();
    let mut send = |page: &mut Page, terminal: &mut Terminal<'_>| -> Result<(), Failure> {
        if !page.lines.is_empty() {
            let answer = client.post("memory/import", &json!({"lines": page.lines})).map_err(Failure::Client)?;
            taken.add(&answer, page.first, terminal);
        }
        *page = Page { first: page.first + page.lines.len(), ..Page::default() };
        Ok(())
    };
    let mut lines: Vec<String> = Vec::new();
    match file == Path::new("-") {
        // The terminal's input and its voice cannot be borrowed at once, so what is typed is read first.
        true => {
            for line in terminal.input.lines() {
                lines.push(line.map_err(Failure::Input)?);
            }
        }
        false => {
            let open = File::open(file).map_err(|source| failed("read", file, source))?;
            for line in BufReader::new(open).lines() {
                page.lines.push(line.map_err(|source| failed("read", file, source))?);
                if page.is_full() {
                    send(&mut page, terminal)?;
                }
            }
        }
    }
    for line in lines {
        page.lines.push(line);
        if page.is_full() {
            send(&mut page, terminal)?;
        }
    }
    send(&mut page, terminal)?;
    taken.tell(terminal)
}

/// Lines on their way, and the number of the first.
#[derive(Default)]
struct Page {
    lines: Vec<String>,
    first: usize,
}

impl Page {
    fn is_full(&self) -> bool {
        self.lines.len() >= LINES_MAX || self.lines.iter().map(String::len).sum::<usize>() >= BYTES_MAX
    }
}

#[derive(Default)]
struct Taken {
    new: u64,
    known: u64,
    full: u64,
    bad: u64,
}

impl Taken {
    fn add(&mut self, answer: &Value, first: usize, terminal: &mut Terminal<'_>) {
        let number = |name: &str| answer[name].as_u64().unwrap_or(0);
        self.new += number("new");
        self.known += number("known");
        self.full += number("full");
        for problem in answer["bad"].as_array().into_iter().flatten() {
            self.bad += 1;
            if self.bad <= PROBLEMS_TOLD_MAX as u64 {
                let line = first as u64 + problem["line"].as_u64().unwrap_or(1);
                terminal.note(&format!("warning: line {line}: {}", field(problem, "error")));
            }
        }
    }

    fn tell(&self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        terminal.print(&format!("{} taken, {} known already.", self.new, self.known))?;
        match (self.full, self.bad) {
            (0, 0) => Ok(()),
            (0, bad) => Err(Failure::Outcome(format!("{} could not be read", count(bad, "line")))),
            (full, _) => Err(Failure::Outcome(format!("the memory is full; {} did not fit", count(full, "line")))),
        }
    }
}

fn failed(verb: &str, file: &Path, source: io::Error) -> Failure {
    Failure::File { attempt: format!("{verb} {}", file.display()), source }
}
