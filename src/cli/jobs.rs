//! `kafclaw jobs ...`: what is to happen later.

use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Map, Value, json};

use crate::base::clock::Timestamp;
use crate::cli::client::part;
use crate::cli::show::{field, length, one_line, printable, table, time};
use crate::cli::{Failure, Terminal};
use crate::scheduler::{JobSpec, When, WhenSpec};

const AFTER_HELP: &str = "\
A job says its text when it comes due, or asks it: `ask` is as if you had typed the text at that moment. The first word of
the text may say which (`say` is understood when it is missing). Times are on the clock of this machine.

Examples:
  kafclaw jobs add --at 07:00 'say take out the bins'
  kafclaw jobs add --in 10m 'say the tea is ready' --label tea
  kafclaw jobs add --cron '0 22 * * *' 'ask is the garage door open?'
  kafclaw jobs add --at 2026-12-24T18:00 --kind say 'ask grandma for the recipe'
  kafclaw jobs list";

const ADD_HELP: &str = "\
Times:     07:00 (the next time it is seven), 2026-12-24T18:00, 2026-12-24T18:00:00+01:00
Lengths:   90s, 10m, 1h30m, 2d
Cron:      minute hour day-of-month month day-of-week, as in crontab: '30 6 * * mon-fri'";

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Show every job, next first.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Plan a job.
    #[command(after_help = ADD_HELP)]
    Add(New),
    /// Show one job and its last runs.
    Show {
        /// The id, as `list` shows it.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Delete a job.
    Cancel {
        /// The id, as `list` shows it.
        id: String,
    },
    /// Let a job come due again.
    Enable {
        /// The id, as `list` shows it.
        id: String,
    },
    /// Keep a job, but do not let it come due.
    Disable {
        /// The id, as `list` shows it.
        id: String,
    },
    /// Run a job now, beside its times.
    Run {
        /// The id, as `list` shows it.
        id: String,
    },
}

#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("when").required(true))]
struct New {
    /// Once, at this time.
    #[arg(long, group = "when", value_name = "TIME")]
    at: Option<String>,
    /// Once, after so long.
    #[arg(long = "in", group = "when", value_name = "LENGTH")]
    after: Option<String>,
    /// Again and again, at the times of this cron expression.
    #[arg(long, group = "when", value_name = "EXPRESSION")]
    cron: Option<String>,
    /// Zone of the times: local, UTC or an offset such as +02:00.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Whether the text is said or asked; decides instead of the text's first word.
    #[arg(long, value_parser = ["say", "ask"])]
    kind: Option<String>,
    /// What people call it.
    #[arg(long, value_parser = ["timer", "alarm", "reminder", "task"])]
    category: Option<String>,
    /// A short name.
    #[arg(long, default_value = "")]
    label: String,
    /// What happens when its time passed while the power was off.
    #[arg(long, value_parser = ["run_once", "skip"], value_name = "POLICY")]
    missed: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// What is said or asked.
    #[arg(required = true, value_parser = NonEmptyStringValueParser::new())]
    text: Vec<String>,
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        match self.action {
            Action::List { json } => {
                let jobs = terminal.gateway()?.get("jobs").map_err(Failure::Client)?;
                if json { terminal.print_json(&jobs) } else { terminal.print(&listing(&jobs)) }
            }
            Action::Add(new) => new.add(terminal),
            Action::Show { id, json } => {
                let job = terminal.gateway()?.get(&path(&id)).map_err(Failure::Client)?;
                if json { terminal.print_json(&job) } else { terminal.print(&whole(&job)) }
            }
            Action::Cancel { id } => {
                terminal.gateway()?.delete(&path(&id)).map_err(Failure::Client)?;
                terminal.print(&format!("{id} is cancelled."))
            }
            Action::Enable { id } => switch(&id, true, terminal),
            Action::Disable { id } => switch(&id, false, terminal),
            Action::Run { id } => {
                terminal.gateway()?.post(&format!("{}/run", path(&id)), &json!({})).map_err(Failure::Client)?;
                terminal.print(&format!("{id} runs now."))
            }
        }
    }
}

impl New {
    fn add(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let json = self.json;
        let spec = self.spec(terminal.clock.now())?;
        let job = terminal.gateway()?.post("jobs", &spec).map_err(Failure::Client)?;
        if json { terminal.print_json(&job) } else { terminal.print(&added(&job)) }
    }

    /// The job as the API takes it, checked here already: a slip of the hand needs no gateway to be found.
    fn spec(self, now: Timestamp) -> Result<Value, Failure> {
        let text = self.text.join(" ");
        let (kind, text) = match (self.kind, split_kind(&text)) {
            (Some(kind), _) => (kind, text.as_str()),
            (None, Some((kind, rest))) => (kind.to_owned(), rest),
            (None, None) => ("say".to_owned(), text.as_str()),
        };
        let mut spec = Map::from_iter([("kind".to_owned(), kind.into()), ("text".to_owned(), text.into())]);
        let label = Some(self.label).filter(|label| !label.is_empty());
        for (name, value) in [
            ("at", self.at),
            ("in", self.after),
            ("cron", self.cron),
            ("time_zone", self.time_zone),
            ("category", self.category),
            ("label", label),
            ("missed_policy", self.missed),
        ] {
            spec.extend(value.map(|value| (name.to_owned(), value.into())));
        }
        let spec = Value::Object(spec);
        check(&spec, now).map_err(Failure::usage)?;
        Ok(spec)
    }
}

fn check(spec: &Value, now: Timestamp) -> Result<(), String> {
    let read: JobSpec = serde_json::from_value(spec.clone()).map_err(|error| error.to_string())?;
    let when = WhenSpec { at: read.at, after: read.after, cron: read.cron, time_zone: read.time_zone };
    let first = When::read(&when, now).and_then(|when| when.first_run(now));
    first.map(|_| ()).map_err(|error| error.to_string())
}

fn split_kind(text: &str) -> Option<(&'static str, &str)> {
    let (word, rest) = text.trim().split_once(char::is_whitespace)?;
    let kind = ["say", "ask"].into_iter().find(|kind| word.eq_ignore_ascii_case(kind))?;
    Some((kind, rest.trim_start()))
}

fn switch(id: &str, enabled: bool, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    terminal.gateway()?.post(&path(id), &json!({ "enabled": enabled })).map_err(Failure::Client)?;
    terminal.print(&format!("{id} is {}.", if enabled { "enabled" } else { "disabled" }))
}

fn path(id: &str) -> String {
    format!("jobs/{}", part(id))
}

/// When it comes due next, in words.
fn next(job: &Value) -> String {
    match (job["enabled"].as_bool(), job["remaining_seconds"].as_u64()) {
        (Some(false), _) => "off".to_owned(),
        (_, Some(seconds)) => format!("{} (in {})", time(job, "next_run_at"), length(seconds)).trim_start().to_owned(),
        (_, None) => time(job, "next_run_at"),
    }
}

fn schedule(job: &Value) -> String {
    match job["cron"].as_str() {
        Some(cron) => format!("cron {cron}"),
        None => field(job, "schedule"),
    }
}

fn what(job: &Value) -> String {
    let (label, text) = (field(job, "label"), field(job, "text"));
    let text = format!("{} {text}", field(job, "kind"));
    if label.is_empty() { text } else { format!("{label}: {text}") }
}

fn added(job: &Value) -> String {
    format!("{} is planned for {}.", field(job, "id"), one_line(&next(job)))
}

fn listing(jobs: &Value) -> String {
    let row = |job: &Value| [field(job, "id"), next(job), schedule(job), what(job)];
    let rows: Vec<[String; 4]> = jobs.as_array().into_iter().flatten().map(row).collect();
    match rows.is_empty() {
        true => "Nothing is planned.".to_owned(),
        false => table(["JOB", "NEXT", "SCHEDULE", "WHAT"], &rows),
    }
}

fn whole(job: &Value) -> String {
    let mut text = String::new();
    for (name, value) in [
        ("Job", field(job, "id")),
        ("What", what(job)),
        ("Next", next(job)),
        ("Schedule", schedule(job)),
        ("Category", field(job, "category")),
        ("Speaks in", field(job, "session")),
        ("If missed", field(job, "missed_policy")),
        ("Asked for by", field(job, "created_by")),
        ("Since", time(job, "created_at")),
        ("Runs", field(job, "run_count")),
    ] {
        if !value.is_empty() {
            text.push_str(&format!("{:<14}{}\n", format!("{name}:"), printable(&value)));
        }
    }
    let runs = job["history"].as_array().or_else(|| job["runs"].as_array());
    let row = |run: &Value| [time(run, "scheduled_for"), time(run, "fired_at"), field(run, "outcome")];
    let rows: Vec<[String; 3]> = runs.into_iter().flatten().map(row).collect();
    if !rows.is_empty() {
        text.push_str(&format!("\n{}", table(["DUE", "RAN", "OUTCOME"], &rows)));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_123); // 2026-08-18 14:30:12 UTC

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        new: New,
    }

    fn spec(args: &[&str]) -> Result<String, String> {
        let line = Line::try_parse_from(["add"].iter().chain(args)).map_err(|error| error.to_string())?;
        line.new.spec(NOW).map(|spec| spec.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_arguments_become_the_api_s_json() {
        for (args, expected) in [
            (
                &["--at", "07:00", "say take out the bins"][..],
                r#"{"kind":"say","text":"take out the bins","at":"07:00"}"#,
            ),
            (&["--in", "10m", "tea"], r#"{"kind":"say","text":"tea","in":"10m"}"#),
            (&["--in", "10m", "Ask", "who", "is", "home?"], r#"{"kind":"ask","text":"who is home?","in":"10m"}"#),
            (&["--in", "1h", "--kind", "say", "ask mum"], r#"{"kind":"say","text":"ask mum","in":"1h"}"#),
            (
                &[
                    "--cron",
                    "0 22 * * *",
                    "--label",
                    "door",
                    "--missed",
                    "skip",
                    "--time-zone",
                    "UTC",
                    "ask is it shut?",
                ],
                r#"{"kind":"ask","text":"is it shut?","cron":"0 22 * * *","time_zone":"UTC","label":"door","missed_policy":"skip"}"#,
            ),
        ] {
            assert_eq!(spec(args).as_deref(), Ok(expected), "{args:?}");
        }
    }

    #[test]
    fn what_can_never_come_due_is_refused_before_anybody_is_asked() {
        for (args, reason) in [
            (&["tea"][..], "required"),
            (&["--in", "10m"], "required"),
            (&["--at", "07:00", "--in", "10m", "tea"], "cannot be used with"),
            (&["--at", "soon", "tea"], "is not a time"),
            (&["--at", "2020-01-01T00:00", "tea"], "already passed"),
            (&["--in", "ten minutes", "tea"], "not a length of time"),
            (&["--cron", "0 0 30 2 *", "tea"], "never comes due"),
        ] {
            let error = spec(args).expect_err("refused");
            assert!(error.contains(reason), "{args:?}: {error}");
        }
    }

    #[test]
    fn jobs_are_listed_with_what_matters() {
        let jobs = json!([
            {"id": "a1", "kind": "say", "label": "tea", "text": "ready", "schedule": "in", "next_run_at": null, "remaining_seconds": 90, "enabled": true},
            {"id": "b2", "kind": "ask", "label": "", "text": "shut?", "schedule": "cron", "cron": "0 22 * * *", "enabled": false},
        ]);
        assert_eq!(
            listing(&jobs),
            "JOB  NEXT             SCHEDULE         WHAT\n\
             a1   (in 1 min 30 s)  in               tea: say ready\n\
             b2   off              cron 0 22 * * *  ask shut?\n"
        );
        assert_eq!(listing(&json!([])), "Nothing is planned.");
    }
}
