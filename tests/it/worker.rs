//! Models of the house in a process of their own: started when needed, gone when not, and never missed for long.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Door, Gateway, PATIENCE, Plan, Reply, TALKER, eventually, wait_for};

fn plan() -> Plan {
    Plan::new().with_small_models()
}

/// The gateway's worker, when there is one.
fn worker(gateway: &Gateway) -> Option<i32> {
    let of_gateway = |folder: PathBuf| {
        let status = fs::read_to_string(folder.join("status")).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let is_child = field("PPid:")? == gateway.id().to_string() && !field("State:")?.starts_with('Z');
        let command = fs::read(folder.join("cmdline")).ok()?;
        (is_child && command.split(|byte| *byte == 0).any(|word| word == b"worker"))
            .then(|| field("Pid:")?.parse().ok())?
    };
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| of_gateway(entry.path()))
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).expect("a process"), Signal::KILL).expect("it was there");
}

fn has_mapped(pid: i32, file: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/maps")).is_ok_and(|maps| maps.contains(file))
}

fn ask(door: &Door, more: &Value) -> Reply {
    let mut body = json!({
        "model": format!("local/{TALKER}"), "messages": [{"role": "user", "content": "hello"}], "seed": 7, "max_tokens": 4,
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let body = body.to_string();
    door.try_call("POST", "/v1/chat/completions", &["Content-Type: application/json"], body.as_bytes())
        .expect("a response")
}

/// A recording of `seconds` of a tone: 16-bit WAV.
fn recording(seconds: u32) -> Vec<u8> {
    let samples = seconds * 16_000;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + samples * 2).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(16_000_u32.to_le_bytes());
    wav.extend(32_000_u32.to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend((samples * 2).to_le_bytes());
    let tone = |at: u32| (f64::from(at) * 0.17).sin() * f64::from(at % 4_000) * 4.0;
    wav.extend((0..samples).flat_map(|at| (tone(at) as i16).to_le_bytes()));
    wav
}

fn transcribe(door: &Door, wav: &[u8], format: &str) -> Reply {
    let mut body =
        format!("--XX\r\nContent-Disposition: form-data; name=\"response_format\"\r\n\r\n{format}\r\n").into_bytes();
    body.extend(b"--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n");
    body.extend(wav);
    body.extend(b"\r\n--XX--\r\n");
    let kind = "Content-Type: multipart/form-data; boundary=XX";
    door.try_call("POST", "/v1/audio/transcriptions", &[kind], &body).expect("a response")
}

#[test]
fn models_answer_at_the_doors_from_one_worker() {
    let gateway = plan().start();
    let door = gateway.chat().clone();
    assert_eq!(worker(&gateway), None, "nobody needs one yet");
    let models = door.get("/v1/models").json().to_string();
    assert!(models.contains("local/tiny-talker") && models.contains("\"tiny-listener\""), "{models}");
    let hears = thread::spawn({
        let door = door.clone();
        move || transcribe(&door, &recording(2), "verbose_json")
    });
    let whole = ask(&door, &json!({})).json();
    assert_eq!(whole["usage"]["completion_tokens"], 4, "{whole}");
    let heard = hears.join().expect("no panic");
    assert_eq!((heard.status, heard.json()["duration"].as_f64()), (200, Some(2.0)), "{}", heard.text());
    let first = worker(&gateway).expect("a worker");

    let streamed = ask(&door, &json!({"stream": true, "stream_options": {"include_usage": true}})).text();
    let chunks: Vec<Value> =
        streamed.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(json!(text), whole["choices"][0]["message"]["content"], "the same seed, the same answer");
    assert_eq!(chunks.last().expect("chunks")["usage"]["completion_tokens"], 4);

    assert_eq!(worker(&gateway), Some(first), "one worker for everything");
    assert_eq!(transcribe(&door, b"this is no recording", "json").status, 400);
    assert_eq!(worker(&gateway), Some(first), "a stranger's file is nobody's end");
}

#[test]
fn a_worker_that_is_killed_is_told_of_and_replaced() {
    let gateway = plan().start();
    let door = gateway.chat().clone();
    let cut = thread::spawn({
        let door = door.clone();
        move || ask(&door, &json!({"stream": true, "max_tokens": 4000})).text()
    });
    let pid = wait_for(PATIENCE, || worker(&gateway).filter(|pid| has_mapped(*pid, "model.gguf"))).expect("a worker");
    let score = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).expect("a score");
    assert_eq!(score.trim(), "800", "the kernel takes it first");
    kill(pid);
    let text = cut.join().expect("no panic");
    assert!(text.contains("the worker fell before it was done: it was ended by SIGKILL"), "{text}");
    let again = ask(&door, &json!({}));
    assert_eq!(again.status, 200, "{}", again.text());
    assert_ne!(worker(&gateway), Some(pid));
}

#[test]
fn an_idle_worker_gives_its_memory_back_and_none_outlives_the_gateway() {
    let mut gateway = plan().with("KAFCLAW_INFERENCE_IDLE_UNLOAD", "300ms").start();
    assert_eq!(ask(gateway.chat(), &json!({})).status, 200);
    eventually("the worker has ended", PATIENCE, || worker(&gateway).is_none());
    let plan = plan();
    let mut other = plan.start();
    assert_eq!(ask(other.chat(), &json!({})).status, 200);
    let pid = worker(&other).expect("a worker");
    other.kill9();
    eventually("the worker has ended with its gateway", PATIENCE, || !Path::new(&format!("/proc/{pid}")).exists());
    assert!(gateway.terminate().success());
}

#[test]
fn whoever_wants_no_process_has_the_models_in_the_gateway() {
    let gateway = plan().with("KAFCLAW_INFERENCE_WORKER", "off").start();
    assert_eq!(ask(gateway.chat(), &json!({})).status, 200);
    assert_eq!(worker(&gateway), None);
}
