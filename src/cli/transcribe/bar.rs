//! How far a recording is understood, for a person.

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::show::printable;
use crate::inference::whisper::Progress;

const TEMPLATE: &str = "{msg}  {percent}%  [{bar:24}]  {eta}";

pub(super) struct Bar {
    bar: Option<ProgressBar>,
}

impl Bar {
    pub(super) fn new(file: &Path, is_shown: bool) -> Self {
        let name = file.file_name().map(|name| printable(&name.to_string_lossy())).unwrap_or_default();
        let bar = is_shown.then(|| {
            let bar = ProgressBar::new(1).with_message(name);
            if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        });
        Self { bar }
    }

    pub(super) fn tell(&self, progress: &Progress) {
        let (Some(bar), Progress::Heard { done_s, total_s }) = (&self.bar, progress) else { return };
        let millis = |seconds: f64| (seconds.clamp(0.0, 1e9) * 1000.0) as u64;
        bar.set_length(millis(*total_s).max(1));
        bar.set_position(millis(*done_s));
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
