//! How far a download is: a bar with rate and time left for a person, a line a file for a log.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::show::size;
use crate::models::{Progress, Stage};

const TEMPLATE: &str = "{msg}  {bytes}/{total_bytes}  [{bar:24}]  {bytes_per_sec}  {eta}";
const TEMPLATE_OPEN: &str = "{msg}  {bytes}  {spinner}  {bytes_per_sec}";

pub(super) struct Bar {
    model: String,
    bar: Option<ProgressBar>,
    /// File and stage of the last line.
    last: Option<(String, Stage)>,
}

impl Bar {
    pub(super) fn new(model: &str, is_person: bool) -> Self {
        let bar = is_person.then(|| ProgressBar::no_length().with_message(model.to_owned()));
        Self { model: model.to_owned(), bar, last: None }
    }

    /// Shows it, or gives the line that says it, once for each file and stage.
    pub(super) fn tell(&mut self, progress: &Progress<'_>) -> Option<String> {
        let now = (progress.file.to_owned(), progress.stage);
        let is_new = self.last.as_ref() != Some(&now);
        let verb = verb(progress.stage);
        if let Some(bar) = &self.bar {
            if is_new {
                bar.reset();
                bar.set_message(format!("{} {verb} {}", self.model, progress.file));
                let template = if progress.bytes_total.is_some() { TEMPLATE } else { TEMPLATE_OPEN };
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style.progress_chars("=> "));
                }
                bar.reset_eta();
                bar.enable_steady_tick(Duration::from_millis(200));
            }
            if let Some(total) = progress.bytes_total {
                bar.set_length(total);
            }
            bar.set_position(progress.bytes);
            self.last = Some(now);
            return None;
        }
        if !is_new {
            return None;
        }
        self.last = Some(now);
        let total = progress.bytes_total.map(|bytes| format!(" ({})", size(bytes))).unwrap_or_default();
        Some(format!("{}: {verb} {}{total}", self.model, progress.file))
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn verb(stage: Stage) -> &'static str {
    match stage {
        Stage::Fetching => "gets",
        Stage::Asking => "asks for the package of",
        Stage::Unpacking => "unpacks",
        Stage::Copying => "copies",
        Stage::Verifying => "checks",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_gets_one_line_a_file_and_stage() {
        let mut bar = Bar::new("toy", false);
        let mut lines = Vec::new();
        for (file, stage, bytes) in [
            ("a", Stage::Fetching, 1),
            ("a", Stage::Fetching, 2),
            ("a", Stage::Verifying, 2),
            ("b", Stage::Fetching, 1),
        ] {
            lines.extend(bar.tell(&Progress { file, stage, bytes, bytes_total: Some(2048), bytes_per_s: 0 }));
        }
        assert_eq!(lines, ["toy: gets a (2.0 KiB)", "toy: checks a (2.0 KiB)", "toy: gets b (2.0 KiB)"]);
    }
}
