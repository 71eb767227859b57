//! A recording understood by a model of Whisper tiny's shape with random weights, beside faster-whisper and whisper.cpp on the same
//! weights, in turns: until the first token, for each further one, and altogether.
//!
//! `KAFCLAW_BENCH_PYTHON` names a Python with numpy, faster-whisper and pywhispercpp; without it `python3` is tried.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use kafclaw::inference::whisper::{AudioContext, Config, Options, Precision, Whisper};
use serde_json::{Value, json};

use crate::figure::{Figure, Goal};

const THREADS: usize = 2;
const TOKENS: usize = 50;
const ROUNDS: usize = 2;
const REPEATS: usize = 3;
const RATE: usize = 16_000;
/// Milliseconds until the first token (spectrum, encoder, prompt), for each further one, and for all.
#[derive(Clone, Copy)]
struct Costs {
    first_ms: f64,
    token_ms: f64,
    all_ms: f64,
}

impl Costs {
    const UNKNOWN: Self = Self { first_ms: f64::INFINITY, token_ms: f64::INFINITY, all_ms: f64::INFINITY };

    fn best(self, other: Self) -> Self {
        Self {
            first_ms: self.first_ms.min(other.first_ms),
            token_ms: self.token_ms.min(other.token_ms),
            all_ms: self.all_ms.min(other.all_ms),
        }
    }

    fn parts(self) -> [(&'static str, f64); 3] {
        [("first_token", self.first_ms), ("each_token", self.token_ms), ("50_tokens", self.all_ms)]
    }
}

/// CTranslate2 has no 16-bit floats on processors, whisper.cpp no 32-bit ones.
pub fn floats() {
    measure("f32", Precision::F32, &["faster_whisper"]);
}

pub fn halves() {
    measure("f16", Precision::F16, &["whisper_cpp"]);
}

pub fn bytes() {
    measure("int8", Precision::Int8, &["faster_whisper", "whisper_cpp"]);
}

/// Measures a long and a short recording and prints three lines for each reference.
fn measure(kind: &str, precision: Precision, references: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    if script(&["make", &folder.path().display().to_string()]).is_none() {
        println!("{}", json!({"figure": format!("whisper_{kind}"), "skipped": "there is no Python with numpy"}));
        return;
    }
    let config = Config { folder: PathBuf::from(folder.path()), precision, threads: THREADS, ..Config::default() };
    let whisper = Whisper::load(&config).expect("a model");
    for seconds in [30, 5] {
        let mut ours = Costs::UNKNOWN;
        let mut theirs = vec![Costs::UNKNOWN; references.len()];
        for _ in 0..ROUNDS {
            ours = ours.best(understand(&whisper, seconds));
            for (engine, best) in references.iter().zip(&mut theirs) {
                *best = best.best(reference(folder.path(), engine, kind, seconds).unwrap_or(Costs::UNKNOWN));
            }
        }
        for (engine, theirs) in references.iter().zip(theirs) {
            tell(&format!("{kind}_{seconds}s"), ours, (engine, theirs));
        }
    }
}

fn tell(what: &str, ours: Costs, (engine, theirs): (&str, Costs)) {
    for ((part, ours), (_, theirs)) in ours.parts().into_iter().zip(theirs.parts()) {
        let figure = format!("whisper_{what}_{part}_ms");
        if theirs.is_finite() {
            let reference = format!("{engine}_{what}_{part}_ms");
            Figure::new(&figure, ours, Goal::AtMost(theirs)).against((&reference, theirs)).print();
        } else {
            println!("{}", json!({"figure": figure, "value": ours, "skipped": format!("{engine} is not installed")}));
        }
    }
}

/// What it takes as it is used: silence behind a short recording is heard only as far as it must be.
fn understand(whisper: &Whisper, seconds: usize) -> Costs {
    let samples = sound(seconds);
    let best_ms = |tokens: usize| {
        let options = Options {
            language: Some("en".to_owned()),
            times: false,
            temperatures: vec![0.0],
            previous_text: false,
            audio_context: AudioContext::Trimmed,
            tokens_max: Some(tokens),
            may_end: false,
            ..Options::default()
        };
        let once = || {
            let started = Instant::now();
            let transcript = whisper.transcribe(&samples, &options, &mut |_| ControlFlow::Continue(()));
            let said: usize = transcript.expect("a transcript").segments.iter().map(|part| part.tokens.len()).sum();
            assert_eq!(said, tokens);
            started.elapsed().as_secs_f64() * 1_000.0
        };
        once();
        (0..REPEATS).map(|_| once()).fold(f64::INFINITY, f64::min)
    };
    let (first_ms, all_ms) = (best_ms(1), best_ms(TOKENS));
    Costs { first_ms, token_ms: (all_ms - first_ms) / (TOKENS - 1) as f64, all_ms }
}

/// The script's sound, so that everybody hears the same.
fn sound(seconds: usize) -> Vec<f32> {
    let sample = |n: usize| (n as f64 * 0.05).sin() * 0.3 + ((n * 7919 % 1000) as f64 / 1000.0 - 0.5) * 0.02;
    (0..seconds * RATE).map(|n| sample(n) as f32).collect()
}

fn reference(folder: &Path, engine: &str, kind: &str, seconds: usize) -> Option<Costs> {
    let numbers = [seconds, TOKENS, THREADS].map(|number| number.to_string());
    let folder = folder.display().to_string();
    let found = script(&["measure", &folder, engine, kind, &numbers[0], &numbers[1], &numbers[2]])?;
    let number = |key: &str| found[key].as_f64();
    Some(Costs { first_ms: number("first_ms")?, token_ms: number("token_ms")?, all_ms: number("all_ms")? })
}

/// What the script prints, or null when it prints nothing; none when it fails.
fn script(arguments: &[&str]) -> Option<Value> {
    let python = std::env::var("KAFCLAW_BENCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/bench_whisper.py");
    let output = Command::new(python).arg(path).args(arguments).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
}
