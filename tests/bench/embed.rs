//! Embeddings with the bundled model: start, memory, one sentence and thirty-two, beside ONNX Runtime's own Python binding and
//! sentence-transformers, which compute in turns with us.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use kafclaw::inference::device::Device;
use kafclaw::inference::embed::{Config, Embedder, Engines, TextUse};
use kafclaw::inference::onnx;
use serde_json::{Value, json};

use crate::figure::{Figure, Goal, Times, pss_mib};
use crate::support::{self, Mosquitto};
use crate::{plan, pss_at_rest_mib};

/// Odd, so that one of them is in the middle.
const ROUNDS: usize = 15;
const SHORT_CALLS: usize = 60;
const BATCH_CALLS: usize = 6;
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

/// The same model within a gateway, whose memory before and after its first texts is compared.
pub fn gateway() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("models/all-minilm-l6-v2-int8");
    let texts = texts(&root.join("models/golden/sentences.json"));
    let broker = Mosquitto::start();
    // As long as it is asked for nothing the model is not loaded, and nobody lets it go while it is measured.
    let gateway = plan().with("KAFCLAW_INFERENCE_IDLE_UNLOAD", "1h").with_broker(&broker).start();
    let idle = pss_at_rest_mib(&gateway);
    let embed = |input: &[String]| gateway.chat().post("/v1/embeddings", &json!({"input": input}));
    let first = embed(&texts[..1]);
    if first.status != 200 {
        println!("{}", json!({"figure": "embed_gateway_pss_mib", "skipped": first.text()}));
        return;
    }
    let weights = fs::metadata(folder.join("model.onnx")).expect("the model").len() as f64 / MIB;
    let warm = pss_at_rest_mib(&gateway) - idle;
    Figure::new("embed_gateway_pss_mib", warm, Goal::AtMost(60.0)).against(("weights_file_mib", weights)).print();
    assert_eq!(embed(&texts).status, 200);
    let busy = pss_at_rest_mib(&gateway) - idle;
    // The goal leaves weights out, which this library copies.
    let goal = Goal::AtMost(60.0 + weights);
    Figure::new("embed_gateway_pss_after_batch_mib", busy, goal).against(("idle_pss_mib", idle)).print();
}

/// Takes turns, round by round, because a machine may be faster for a while and slower again; the round whose ratio is in the middle
/// counts.
fn compare(name: &str, texts: &[String], calls: usize, embed: &dyn Fn(&[String]), mut python: Option<&mut Python>) {
    let figure = format!("embed_{name}_ms");
    for (engine, label, faster) in [("ort", "ort_python", 1.0), ("torch", "sentence_transformers", 3.0)] {
        let round = |_| {
            let ours = Times::of(calls, |_| embed(texts)).percentile_ms(50);
            Some((ours, python.as_deref_mut()?.median_ms(engine, calls, texts)?))
        };
        let Some(mut rounds) = (0..ROUNDS).map(round).collect::<Option<Vec<(f64, f64)>>>() else {
            println!("{}", json!({"figure": figure, "skipped": format!("{engine} is not installed")}));
            continue;
        };
        rounds.sort_by(|one, other| (one.0 / one.1).total_cmp(&(other.0 / other.1)));
        let (ours, theirs) = rounds[ROUNDS / 2];
        let reference = format!("{label}_{name}_ms");
        Figure::new(&figure, ours, Goal::AtMost(theirs / faster)).against((&reference, theirs)).print();
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
        device: Device::Cpu,
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
