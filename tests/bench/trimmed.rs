//! What it costs in words, and saves in time, that a short recording is not heard as thirty seconds: a small trained Whisper, whose
//! words are chords, hears random phrases in full, trimmed, and as it is tried. `KAFCLAW_BENCH_WHISPER` names the folder that it lies in; it is made by
//! `scripts/whisper_reference.py polish tests/golden/whisper FOLDER`, and has learned from windows of thirty seconds at last.
//!
//! Each word is wrong, missing or too many: the edit distance to what was said, summed over all recordings, by the words said.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kafclaw::inference::whisper::{AudioContext, Config, Options, Precision, Whisper};
use serde_json::json;

use crate::figure::{Figure, Goal};
use crate::support::models::{CHORD_S, NUMBERS, chord};

const RECORDINGS: usize = 300;
const RATE: usize = 16_000;

struct Recording {
    samples: Vec<f32>,
    words: Vec<&'static str>,
}

/// Hears every recording in three ways and prints errors and times.
pub fn measure() {
    let Some(folder) = std::env::var_os("KAFCLAW_BENCH_WHISPER").map(PathBuf::from) else {
        let reason = "KAFCLAW_BENCH_WHISPER names no folder that scripts/whisper_reference.py polish has made";
        println!("{}", json!({"figure": "whisper_trimmed", "skipped": reason}));
        return;
    };
    let config = Config { folder, precision: Precision::F32, threads: 2, ..Config::default() };
    let whisper = Whisper::load(&config).expect("the trained model");
    let mut numbers = Numbers(2_026);
    let recordings: Vec<Recording> = (0..RECORDINGS).map(|_| numbers.recording()).collect();
    let words: usize = recordings.iter().map(|recording| recording.words.len()).sum();
    let hear = |audio_context| {
        let options = Options { audio_context, previous_text: false, ..Options::default() };
        let (mut errors, mut spent) = (0, Duration::ZERO);
        for recording in &recordings {
            let started = Instant::now();
            let heard = whisper.transcribe(&recording.samples, &options, &mut |_| ControlFlow::Continue(()));
            spent += started.elapsed();
            let segments = heard.expect("a transcript").segments;
            let heard: Vec<&str> = segments.iter().flat_map(|segment| segment.text.split_whitespace()).collect();
            errors += distance(&recording.words, &heard);
        }
        (100.0 * errors as f64 / words as f64, spent.as_secs_f64() * 1_000.0 / RECORDINGS as f64)
    };
    let (full_errors, full_ms) = hear(AudioContext::Full);
    let (trimmed_errors, trimmed_ms) = hear(AudioContext::Trimmed);
    let (tried_errors, tried_ms) = hear(AudioContext::Tried);
    let reference = ("whisper_full_word_errors_percent", full_errors);
    Figure::new("whisper_trimmed_word_errors_percent", trimmed_errors, Goal::None).against(reference).print();
    Figure::new("whisper_tried_word_errors_percent", tried_errors, Goal::AtMost(full_errors + 0.5))
        .against(reference)
        .print();
    Figure::new("whisper_trimmed_ms", trimmed_ms, Goal::None).against(("whisper_full_ms", full_ms)).print();
    Figure::new("whisper_tried_ms", tried_ms, Goal::None).against(("whisper_full_ms", full_ms)).print();
}

/// Words to change, leave out or add until `said` is `heard`.
fn distance(said: &[&str], heard: &[&str]) -> usize {
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (index, word) in said.iter().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], index + 1);
        for (at, other) in heard.iter().enumerate() {
            let changed = corner + usize::from(word != other);
            corner = row[at + 1];
            row[at + 1] = changed.min(row[at] + 1).min(corner + 1);
        }
    }
    row[heard.len()]
}

/// Numbers that are the same in every run: Numerical Recipes' linear congruential generator.
struct Numbers(u32);

impl Numbers {
    /// From 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(self.0) / 4_294_967_296.0
    }

    fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.next()
    }

    /// One to eleven seconds: phrases of up to four words with pauses between them, and hiss of three strengths.
    fn recording(&mut self) -> Recording {
        let (is_german, hiss) = (self.next() < 0.5, [0.0005, 0.001, 0.003][self.between(0.0, 3.0) as usize]);
        let mut starts = vec![self.between(0.05, 0.9)];
        let phrases = self.between(1.0, 5.0) as usize;
        for phrase in 0..phrases {
            for _ in 0..self.between(0.0, 4.0) as usize {
                starts.push(starts[starts.len() - 1] + CHORD_S + self.between(0.04, 0.16));
            }
            if phrase + 1 < phrases {
                starts.push(starts[starts.len() - 1] + CHORD_S + self.between(0.4, 1.8));
            }
        }
        let seconds = starts[starts.len() - 1] + CHORD_S + self.between(0.0, 1.0);
        let mut samples: Vec<f32> =
            (0..(seconds * RATE as f64) as usize).map(|_| (self.between(-1.0, 1.0) * hiss) as f32).collect();
        let mut words = Vec::new();
        for start in starts {
            let word = self.between(0.0, 8.0) as usize;
            words.push(NUMBERS[usize::from(is_german)][word]);
            let place = samples.iter_mut().skip((start * RATE as f64) as usize).take((CHORD_S * RATE as f64) as usize);
            for (n, sample) in place.enumerate() {
                *sample += chord(word, is_german, n as f64 / RATE as f64) as f32;
            }
        }
        Recording { samples, words }
    }
}
