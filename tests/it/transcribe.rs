//! `kafclaw transcribe` as a person runs it: recordings in, words, subtitles and JSON out.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Plan, chord_of, spoken};

/// Number of the word and its start in steps of 0.02 s: two phrases.
const WORDS: [(usize, u32); 6] = [(0, 15), (5, 37), (2, 59), (7, 126), (4, 148), (1, 170)];

/// A home with a small speech model and, beside it, a recording that it understands.
fn plan() -> (Plan, PathBuf) {
    let plan = Plan::new().with_small_models();
    let file = plan.home().join("numbers.wav");
    fs::write(&file, spoken(&WORDS, 5)).expect("a recording");
    (plan, file)
}

/// A recording of espeak-ng: a sentence in a human language, of which the small model knows nothing.
fn espeak() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/audio/speech.opus")
}

/// What it prints, and what it says beside it.
fn transcribe(plan: &Plan, options: &[&str], file: &Path) -> (String, String) {
    let mut args = vec!["transcribe"];
    args.extend(options);
    let file = file.to_str().expect("a path in UTF-8");
    args.push(file);
    let output = plan.command(&args).output().expect("the program");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let (said, beside) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{args:?}: {said}{beside}");
    (said, beside)
}

/// Numbers and nothing else, most of them those that were spoken.
#[track_caller]
fn is_what_was_said(text: &str) {
    let heard: Option<Vec<usize>> = text.split_whitespace().map(chord_of).collect();
    let heard = heard.unwrap_or_else(|| panic!("no numbers: {text}"));
    let right = heard.iter().filter(|number| WORDS.iter().any(|(word, _)| word == *number)).count();
    assert!((3..=9).contains(&heard.len()) && right * 3 >= heard.len() * 2, "{text}");
}

/// Milliseconds of `00:00:01,500`, whatever stands before the fraction.
fn millis(stamp: &str, point: char) -> u64 {
    let (clock, fraction) = stamp.split_once(point).unwrap_or_else(|| panic!("no stamp: {stamp}"));
    assert_eq!((clock.len(), fraction.len()), (8, 3), "{stamp}");
    let seconds = clock.split(':').fold(0, |sum, part| sum * 60 + part.parse::<u64>().expect("a number"));
    seconds * 1000 + fraction.parse::<u64>().expect("a number")
}

/// Checks the times of subtitles, which have to lie in five seconds one after the other, and gives their words.
#[track_caller]
fn words_of<'a>(cues: impl Iterator<Item = &'a str>, point: char) -> String {
    let (mut words, mut last) = (Vec::new(), 0);
    for cue in cues {
        let (times, said) = cue.split_once('\n').unwrap_or_else(|| panic!("no cue: {cue:?}"));
        let (from, to) = times.split_once(" --> ").unwrap_or_else(|| panic!("no times: {times:?}"));
        let (from, to) = (millis(from, point), millis(to, point));
        assert!(last <= from && from < to && to <= 5_000, "{cue:?}");
        last = from;
        words.push(said.trim().to_owned());
    }
    words.join(" ")
}

#[test]
fn numbers_that_are_spoken_are_printed_in_every_form() {
    let (plan, file) = plan();
    let (said, beside) = transcribe(&plan, &[], &file);
    is_what_was_said(&said);
    assert_eq!(beside, "");

    let (said, _) = transcribe(&plan, &["--json", "--words"], &file);
    let value: Value = serde_json::from_str(&said).expect("JSON");
    is_what_was_said(value["text"].as_str().expect("a text"));
    assert_eq!((value["task"].as_str(), value["language"].as_str()), (Some("transcribe"), Some("en")));
    assert_eq!((value["duration"].as_f64(), value["file"].as_str()), (Some(5.0), file.to_str()));
    let segments = value["segments"].as_array().expect("segments");
    let words = value["words"].as_array().expect("words");
    for timed in segments.iter().chain(words) {
        let (start, end) = (timed["start"].as_f64().expect("a start"), timed["end"].as_f64().expect("an end"));
        assert!((0.0..=5.0).contains(&start) && (start..=5.0).contains(&end), "{timed}");
    }
    assert!(!segments.is_empty() && words.len() >= segments.len(), "{value}");

    let (srt, _) = transcribe(&plan, &["--srt"], &file);
    let numbered = srt.trim_end().split("\n\n").enumerate().map(|(index, block)| {
        block.strip_prefix(&format!("{}\n", index + 1)).unwrap_or_else(|| panic!("no number: {srt}"))
    });
    is_what_was_said(&words_of(numbered, ','));

    let (vtt, _) = transcribe(&plan, &["--vtt"], &file);
    let cues = vtt.strip_prefix("WEBVTT\n\n").unwrap_or_else(|| panic!("no head: {vtt}"));
    is_what_was_said(&words_of(cues.trim_end().split("\n\n"), '.'));
}

#[test]
fn speech_of_espeak_runs_through_and_a_gpu_that_is_not_there_is_told_of() {
    let (plan, _) = plan();
    let plan = plan.with("KAFCLAW_INFERENCE_DEVICE", "cuda:3");
    let (said, beside) = transcribe(&plan, &["--json", "--language", "de"], &espeak());
    let value: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(value["language"], "de");
    assert!(value["duration"].as_f64().is_some_and(|seconds| (1.0..10.0).contains(&seconds)), "{value}");
    assert!(value["text"].is_string() && value["segments"].is_array(), "{value}");
    let warning =
        "warning: the device cuda:3 is not built in; a build with the feature cuda has it; the processor computes";
    assert!(cfg!(feature = "cuda") || beside.trim() == warning, "{beside}");
}

#[test]
fn what_is_missing_is_told_with_what_helps() {
    let (plan, file) = plan();
    fs::remove_dir_all(plan.state().join("models").join("tiny-listener")).expect("removed");
    let output = plan.command(&["transcribe", file.to_str().expect("a path")]).output().expect("the program");
    let beside = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && beside.contains("kafclaw models install"), "{beside}");
}
