//! Tokens per second of a language model of a third of a billion random weights, beside llama.cpp on the same file, in turns.
//!
//! `KAFCLAW_BENCH_PYTHON` names a Python with gguf, numpy and llama-cpp-python; without it `python3` is tried.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use kafclaw::base::clock::Clock;
use kafclaw::inference::language::{Config, Generator, Message, Request, Role, Sampling};
use serde_json::{Value, json};

use crate::figure::{Figure, Goal};

const FORMATS: [&str; 3] = ["q4_k_m", "q4_0", "q8_0"];
const THREADS: usize = 2;
const ANSWER_TOKENS: u32 = 64;
const ROUNDS: usize = 3;

/// Measures all formats and prints two lines for each.
pub fn measure() {
    let folder = tempfile::tempdir().expect("a folder");
    for format in FORMATS {
        let file = folder.path().join(format!("{format}.gguf"));
        if script(&["make", format, &file.display().to_string()]).is_none() || !file.is_file() {
            println!(
                "{}",
                json!({"figure": "language", "skipped": "gguf, numpy or llama-cpp-python is not installed"})
            );
            return;
        }
        let mut best = [(0.0_f64, 0.0_f64); 2];
        for _ in 0..ROUNDS {
            let ours = answer(&file);
            best[0] = (best[0].0.max(ours.0), best[0].1.max(ours.1));
            let Some(theirs) = script(&["measure", &file.display().to_string(), &THREADS.to_string()]) else {
                continue;
            };
            let number = |key: &str| theirs[key].as_f64().unwrap_or(0.0);
            best[1].0 = best[1].0.max(number("prompt_tokens_per_s"));
            best[1].1 = best[1].1.max(number("answer_tokens_per_s"));
        }
        let reference = |part: &str| format!("llama_cpp_{format}_{part}_tokens_per_s");
        Figure::new(&format!("language_{format}_prompt_tokens_per_s"), best[0].0, Goal::None)
            .against((&reference("prompt"), best[1].0))
            .print();
        Figure::new(&format!("language_{format}_answer_tokens_per_s"), best[0].1, Goal::AtLeast(0.8 * best[1].1))
            .against((&reference("answer"), best[1].1))
            .print();
    }
}

/// Tokens per second of reading and of writing.
fn answer(file: &Path) -> (f64, f64) {
    let config =
        Config { path: PathBuf::from(file), context_tokens_max: 1_024, threads: Some(THREADS), ..Config::default() };
    let mut generator = Generator::load(&config, Clock::System).expect("a model");
    let mut request = Request::of(vec![Message::new(Role::User, "0123456789 ab ".repeat(17))]);
    request.sampling = Sampling::greedy();
    request.max_tokens = Some(ANSWER_TOKENS);
    let mut best = (0.0_f64, 0.0_f64);
    for _ in 0..ROUNDS {
        generator.forget();
        let answer = generator.generate(&request, &mut |_| ControlFlow::Continue(())).expect("an answer");
        let per_second = |tokens: usize, ms: u64| tokens as f64 * 1_000.0 / ms.max(1) as f64;
        best.0 = best.0.max(per_second(answer.prompt_tokens, answer.prompt_ms));
        best.1 = best.1.max(per_second(answer.completion_tokens, answer.answer_ms));
    }
    best
}

/// What the script prints, or null when it prints nothing.
fn script(arguments: &[&str]) -> Option<Value> {
    let python = std::env::var("KAFCLAW_BENCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/bench_language.py");
    let output = Command::new(python).arg(path).args(arguments).output().ok()?;
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
}
