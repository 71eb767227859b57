//! How updates look on a terminal: a bar or a line a step, and the state in a few lines.

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::cli::show::{field, printable, size};
use crate::update::{Phase, Progress};

/// What each step is called.
pub(super) fn words(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "nothing to do",
        Phase::Fetching => "gets the update",
        Phase::Checking => "checks it",
        Phase::BackingUp => "copies the database",
        Phase::Installing => "writes the other slot",
        Phase::AwaitingRestart => "waits for a restart",
        Phase::Confirming => "proves itself",
        Phase::Confirmed => "confirmed",
        Phase::TakingBack => "is taken back",
        Phase::GoingBack => "goes to the other slot",
        Phase::RolledBack => "rolled back",
        Phase::Failed => "failed",
    }
}

/// How far it is, for a person, a log or a script.
pub(super) struct Bar {
    bar: Option<ProgressBar>,
    is_json: bool,
    last: Progress,
}

impl Bar {
    pub fn new(is_person: bool, is_json: bool) -> Self {
        let bar = (is_person && !is_json).then(|| {
            let bar = ProgressBar::new(100);
            if let Ok(style) = ProgressStyle::with_template("{msg:<24} [{bar:30}] {percent}%") {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        });
        Self { bar, is_json, last: Progress::default() }
    }

    /// Shows it, or gives the line that says it: for a log one for each step, for a script each.
    pub fn tell(&mut self, progress: &Progress) -> Option<String> {
        let is_new_phase = self.last.phase != progress.phase;
        let is_news = self.last != *progress;
        self.last = progress.clone();
        if let Some(bar) = &self.bar {
            bar.set_message(words(progress.phase));
            bar.set_position(u64::from(progress.percent.unwrap_or(0)));
            return None;
        }
        if self.is_json {
            return is_news.then(|| serde_json::to_string(progress).unwrap_or_default());
        }
        let total = progress.bytes_total.map(|bytes| format!(" ({})", size(bytes))).unwrap_or_default();
        is_new_phase.then(|| format!("{}{total}", words(progress.phase)))
    }

    pub fn tell_view(&mut self, view: &Value) -> Option<String> {
        let progress: Progress = serde_json::from_value(view["progress"].clone()).ok()?;
        self.tell(&progress)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Whether what was asked for has come to its end, by the view before it and now. A restart that begins changes nothing.
pub(super) fn ended(is_restart: bool, before: &Value, view: &Value) -> Option<Result<(), String>> {
    if view["requested"] == true || view["at_work"] == true {
        return None;
    }
    if let Some(refused) = view["progress"]["refused"].as_str() {
        return Some(Err(refused.to_owned()));
    }
    if view["changed_at"] == before["changed_at"] {
        return is_restart.then_some(Ok(()));
    }
    match view["phase"].as_str() {
        Some("failed") => Some(Err(field(view, "reason"))),
        // What waited before waits on, and what was asked for has come to nothing.
        Some("awaiting_restart") if view["reason"].is_string() => Some(Err(format!(
            "{}; version {} waits for a restart as before",
            field(view, "reason"),
            field(&view["bundle"], "version")
        ))),
        Some("fetching" | "checking" | "backing_up" | "installing" | "taking_back") => {
            Some(Err("whoever worked on it was stopped; ask again".to_owned()))
        }
        _ => Some(Ok(())),
    }
}

pub(super) fn text(view: &Value) -> String {
    let mut lines = Vec::new();
    let mut line = |label: &str, value: String| lines.push(format!("{label:<10}{}\n", printable(&value)));
    if view["supported"] != true {
        line("Version:", field(view, "version"));
        line("Slots:", "none; this machine is updated the way it was installed".to_owned());
        return lines.concat();
    }
    line(
        "Version:",
        format!("{} in slot {} ({})", field(view, "version"), field(view, "slot"), field(view, "compatible")),
    );
    if view["proved"] != true {
        line("Health:", "this system has not proved itself yet".to_owned());
    }
    let phase: Phase = serde_json::from_value(view["phase"].clone()).unwrap_or_default();
    let bundle = field(&view["bundle"], "version");
    let version = if bundle.is_empty() { String::new() } else { format!("{bundle} ") };
    let reason = view["reason"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
    let percent = view["progress"]["percent"].as_u64().map(|percent| format!(", {percent}%")).unwrap_or_default();
    line("Update:", format!("{version}{}{percent}{reason}", words(phase)));
    if phase.is_working() && view["at_work"] != true {
        line("", "it was cut off, and goes on after the next start; or install one anew".to_owned());
    }
    if phase == Phase::AwaitingRestart {
        line("", "start it with `kafclaw update restart`, or take it back with `kafclaw update rollback`".to_owned());
    }
    if let Some(backup) = view["backup"].as_str() {
        line("Backup:", backup.to_owned());
    }
    if let Some(refused) = view["progress"]["refused"].as_str() {
        line("Refused:", refused.to_owned());
    }
    for past in view["past"].as_array().into_iter().flatten() {
        let reason = past["reason"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
        let version = field(past, "version");
        line(
            "Before:",
            format!("{} {version} {}{reason}", field(past, "at"), field(past, "outcome").replace('_', " ")),
        );
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_state_is_told_in_a_few_lines() {
        let mut view = json!({"supported": true, "version": "0.1.0", "slot": "A", "compatible": "kafclaw-x", "proved": true,
            "phase": "rolled_back", "bundle": {"version": "0.2.0"}, "reason": "the doors do not answer",
            "past": [{"at": "2026-11-21T00:00:00.000Z", "version": "0.2.0", "outcome": "rolled_back", "reason": "the doors do not answer"}]});
        let shown = text(&view);
        for part in [
            "Version:  0.1.0 in slot A (kafclaw-x)",
            "Update:   0.2.0 rolled back: the doors do not answer",
            "Before:   2026-11-21T00:00:00.000Z 0.2.0 rolled back: ",
        ] {
            assert!(shown.contains(part), "{part}\n{shown}");
        }
        view["phase"] = "awaiting_restart".into();
        assert!(text(&view).contains("kafclaw update restart"));
        view["phase"] = "installing".into();
        assert!(text(&view).contains("it was cut off"));
        view["at_work"] = true.into();
        assert!(!text(&view).contains("it was cut off"));
        assert!(text(&json!({"version": "0.1.0"})).contains("the way it was installed"));
    }

    #[test]
    fn the_end_of_somebody_elses_work_is_seen() {
        let before = json!({"phase": "idle", "changed_at": ""});
        let at = |phase: &str, requested: bool| {
            json!({"phase": phase, "changed_at": "1", "requested": requested,
            "reason": (phase == "failed").then_some("because"), "at_work": phase == "installing"})
        };
        assert_eq!(ended(false, &before, &before), None);
        assert_eq!(ended(false, &before, &at("installing", false)), None);
        assert_eq!(ended(false, &before, &at("awaiting_restart", true)), None);
        let mut refused = at("idle", true);
        refused["progress"]["refused"] = "no".into();
        assert_eq!(ended(false, &before, &refused), None, "said to the one before");
        assert_eq!(ended(false, &before, &at("awaiting_restart", false)), Some(Ok(())));
        assert_eq!(ended(false, &before, &at("failed", false)), Some(Err("because".to_owned())));
        let mut waits = at("awaiting_restart", false);
        waits["reason"] = "because".into();
        assert_eq!(ended(true, &waits, &waits), Some(Ok(())), "a restart is under way");
        assert_eq!(ended(false, &waits, &waits), None, "nothing has become of it yet");
        let said = ended(false, &before, &waits).and_then(Result::err).unwrap_or_default();
        assert!(said.contains("because; version") && said.contains("as before"), "{said}");
        let lost = json!({"phase": "installing", "changed_at": "1", "at_work": false});
        assert!(ended(false, &before, &lost).is_some_and(|end| end.is_err_and(|why| why.contains("ask again"))));
        let refused = json!({"phase": "idle", "changed_at": "", "progress": {"refused": "not now"}});
        assert_eq!(ended(false, &before, &refused), Some(Err("not now".to_owned())));
    }

    #[test]
    fn a_log_gets_a_line_a_step_and_a_script_every_one() {
        let told = |is_json: bool| {
            let mut bar = Bar::new(false, is_json);
            let steps = [(Phase::Fetching, 1), (Phase::Fetching, 2), (Phase::Installing, 0)];
            let steps = steps.map(|(phase, percent)| Progress { phase, percent: Some(percent), ..Progress::default() });
            steps.iter().filter_map(|progress| bar.tell(progress)).collect::<Vec<_>>()
        };
        assert_eq!(told(false), ["gets the update", "writes the other slot"]);
        assert_eq!(told(true).len(), 3);
    }
}
