//! Embeddings with the bundled model: start, memory, one sentence and thirty-two, beside ONNX Runtime's own Python binding and
//! sentence-transformers, which compute in turns with us.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use kafclaw::inference::embed::{Compute, Config, Embedder, Engines, TextUse};
use kafclaw::inference::onnx;
use serde_json::{Value, json};

use crate::figure::{Figure, Goal, Times, pss_mib};
use crate::support;

const ROUNDS: usize = 5;
const SHORT_CALLS: usize = 100;
const BATCH_CALLS: usize = 8;
const THREADS: usize = 2;
const MIB: f64 = 1024.0 * 1024.0;

/// Measures all of it and prints one line for each figure.
pub fn measure() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("models/all-minilm-l6-v2-int8");
    let texts = texts(&root.join("models/golden/sentences.json"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let embedder = Embedder::new(config(&folder));
    if let Err(error) = embedder.check() {
        println!("{}", json!({"figure": "embed", "skipped": error.to_string()}));
        return;
    }
    let embed = |texts: &[String]| {
        let vectors = runtime.block_on(embedder.embed(texts.to_vec(), TextUse::Passage)).expect("vectors");
        assert_eq!(vectors.len(), texts.len());
    };
    let before = pss_mib(std::process::id());
    let first = Times::of(1, |_| embed(&texts[..1]));
    Figure::new("embed_first_ms", first.percentile_ms(50), Goal::AtMost(300.0)).print();
    let weights = fs::metadata(folder.join("model.onnx")).expect("the model").len() as f64 / MIB;
    let grown = pss_mib(std::process::id()) - before;
    Figure::new("embed_pss_mib", grown, Goal::AtMost(60.0)).against(("weights_file_mib", weights)).print();
    embed(&texts);
    Figure::new("embed_pss_after_batch_mib", pss_mib(std::process::id()) - before, Goal::None)
        .against(("weights_file_mib", weights))
        .print();
    let long: Vec<String> = texts.iter().map(|text| text.repeat(40)).collect();
    embed(&long);
    let busy = pss_mib(std::process::id()) - before;
    // What runs took is given back when nobody has asked for two seconds.
    let _ = support::wait_for(Duration::from_secs(3), || None::<()>);
    runtime.block_on(embedder.rest()).expect("rest");
    Figure::new("embed_pss_at_rest_mib", pss_mib(std::process::id()) - before, Goal::AtMost(60.0))
        .against(("embed_pss_after_long_texts_mib", busy))
        .print();
    let mut python = Python::start(root, &folder);
    for (name, texts, calls) in [("short", &texts[..1], SHORT_CALLS), ("batch32", &texts[..], BATCH_CALLS)] {
        compare(name, texts, calls, &embed, python.as_mut());
    }
    candle(&folder, &texts, &runtime);
}

/// Takes turns, so that whatever else the machine does meets everybody; the best median of each counts.
fn compare(name: &str, texts: &[String], calls: usize, embed: &dyn Fn(&[String]), mut python: Option<&mut Python>) {
    let mut best = [f64::INFINITY; 3];
    for _ in 0..ROUNDS {
        best[0] = best[0].min(Times::of(calls, |_| embed(texts)).percentile_ms(50));
        let Some(python) = python.as_deref_mut() else { continue };
        for (best, engine) in best[1..].iter_mut().zip(["ort", "torch"]) {
            *best = best.min(python.median_ms(engine, calls, texts).unwrap_or(f64::INFINITY));
        }
    }
    let references = [("ort_python", 1.0), ("sentence_transformers", 3.0)];
    for ((engine, times), reference) in references.into_iter().zip(&best[1..]) {
        let figure = format!("embed_{name}_ms");
        if reference.is_finite() {
            let reference_name = format!("{engine}_{name}_ms");
            let goal = Goal::AtMost(reference / times);
            Figure::new(&figure, best[0], goal).against((&reference_name, *reference)).print();
        } else {
            println!(
                "{}",
                json!({"figure": figure, "value": best[0], "skipped": format!("{engine} is not installed")})
            );
        }
    }
}

/// The twin from safetensors, where somebody has them: `KAFCLAW_BENCH_SAFETENSORS` names a folder.
fn candle(folder: &Path, texts: &[String], runtime: &tokio::runtime::Runtime) {
    let Some(weights) = env::var_os("KAFCLAW_BENCH_SAFETENSORS").map(PathBuf::from) else { return };
    let embedder = Embedder::new(Config { folder: weights, engines: Engines::Candle, ..config(folder) });
    for (name, texts, calls) in [("short", &texts[..1], 50), ("batch32", texts, 5)] {
        let embed = |_| assert!(runtime.block_on(embedder.embed(texts.to_vec(), TextUse::Passage)).is_ok());
        embed(0);
        Figure::new(&format!("embed_candle_{name}_ms"), Times::of(calls, embed).percentile_ms(50), Goal::None).print();
    }
}

fn config(folder: &Path) -> Config {
    Config {
        id: "all-minilm-l6-v2-int8".to_owned(),
        folder: folder.to_path_buf(),
        libraries: onnx::places(&[], env::var_os("ORT_DYLIB_PATH")),
        compute: Compute::Cpu,
        threads: Some(THREADS),
        ..Config::default()
    }
}

/// Thirty-two sentences of everyday length.
fn texts(path: &Path) -> Vec<String> {
    let lists: Value = serde_json::from_slice(&fs::read(path).expect("sentences")).expect("JSON");
    let sentences = lists["quality"].as_array().expect("a list").iter().filter_map(Value::as_str);
    let texts: Vec<String> = sentences.filter(|text| (20..120).contains(&text.len())).map(str::to_owned).collect();
    texts.into_iter().cycle().take(32).collect()
}

/// The process that computes with what Python has.
struct Python {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Python {
    /// `None`, and a line that says so, when no Python here has the packages.
    fn start(root: &Path, folder: &Path) -> Option<Self> {
        let cache = env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .unwrap_or_else(|| PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache"));
        let named = env::var_os("KAFCLAW_BENCH_PYTHON").map(PathBuf::from);
        let places =
            ["bench-python", "models-python"].map(|place| cache.join("kafclaw").join(place).join("bin/python"));
        let pythons = named.into_iter().chain(places).chain([PathBuf::from("python3")]);
        let python = pythons.into_iter().find(|python| {
            let probe = Command::new(python)
                .args(["-c", "import numpy, onnxruntime, tokenizers"])
                .stderr(Stdio::null())
                .status();
            probe.is_ok_and(|status| status.success())
        });
        let Some(python) = python else {
            let reason = "no Python with numpy, onnxruntime and tokenizers; KAFCLAW_BENCH_PYTHON may name one";
            println!("{}", json!({"figure": "embed_references", "skipped": reason}));
            return None;
        };
        let mut child = Command::new(python)
            .arg(root.join("scripts/bench_embed.py"))
            .arg(folder)
            .arg(THREADS.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python runs");
        let (input, output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        Some(Self { child, input, output: BufReader::new(output) })
    }

    fn median_ms(&mut self, engine: &str, calls: usize, texts: &[String]) -> Option<f64> {
        writeln!(self.input, "{engine} {calls} {}", json!(texts)).expect("Python listens");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("Python answers");
        serde_json::from_str(&line).ok()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
