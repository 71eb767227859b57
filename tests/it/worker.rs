//! Models of the house in a process of their own: started when needed, gone when not, and never missed for long.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::{Value, json};

use crate::support::{
    Door, Gateway, LISTENER, PATIENCE, Plan, Reply, TALKER, chord_of, eventually, spoken, wait_for, wav,
};

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

/// A recording of `seconds` of a tone.
fn recording(seconds: u32) -> Vec<u8> {
    let tone = |at: u32| ((f64::from(at) * 0.17).sin() * f64::from(at % 4_000) * 4.0) as i16;
    wav(&(0..seconds * 16_000).map(tone).collect::<Vec<_>>())
}

fn transcribe(door: &Door, wav: &[u8], format: &str) -> Reply {
    upload(door, wav, ("response_format", format))
}

fn upload(door: &Door, wav: &[u8], (field, value): (&str, &str)) -> Reply {
    let mut body = format!("--XX\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n").into_bytes();
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

/// Kills the worker while the model talks; which worker it was, and what was heard of the answer.
fn cut_off(gateway: &Gateway) -> (i32, String) {
    let cut = thread::spawn({
        let door = gateway.chat().clone();
        move || ask(&door, &json!({"stream": true, "max_tokens": 4000})).text()
    });
    let pid = wait_for(PATIENCE, || worker(gateway).filter(|pid| has_mapped(*pid, "model.gguf"))).expect("a worker");
    let score = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).expect("a score");
    assert_eq!(score.trim(), "800", "the kernel takes it first");
    kill(pid);
    (pid, cut.join().expect("no panic"))
}

#[test]
fn a_worker_that_is_killed_is_told_of_and_replaced() {
    let gateway = plan().start();
    let door = gateway.chat().clone();
    // A small model has soon said everything; on a busy machine before it is killed.
    let cut = (0..3).map(|_| cut_off(&gateway)).find(|(_, text)| !text.trim_end().ends_with("[DONE]"));
    let (pid, text) = cut.expect("an answer that was cut off");
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

#[test]
fn a_streamed_transcript_guesses_before_it_says() {
    let gateway = plan().start();
    let words: Vec<(usize, u32)> = (0..18).map(|number| (number as usize * 5 % 8, 15 + number * 24)).collect();
    let reply = upload(gateway.chat(), &spoken(&words, 10), ("stream", "true"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = reply.text();
    let events: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
    let kind =
        |event: &Value| event["type"].as_str().expect("a type").trim_start_matches("transcript.text.").to_owned();
    let kinds: Vec<String> = events.iter().map(kind).collect();
    assert_eq!(kinds.first().map(String::as_str), Some("guess"), "{text}");
    assert_eq!(kinds.iter().position(|kind| kind == "done"), Some(kinds.len() - 1), "{text}");
    let deltas: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(events.last().expect("events")["text"], json!(deltas), "the deltas are the text");
}

#[test]
fn words_come_back_while_somebody_speaks() {
    let gateway = plan().start();
    let door = gateway.dashboard().clone();
    let opened = door.post("/api/v1/voice/live?language=EN", &json!({}));
    assert_eq!(opened.status, 200, "{}", opened.text());
    let path = format!("/api/v1/voice/live/{}", opened.json()["id"].as_str().expect("an id"));
    let send = |bytes: &[u8]| {
        let kind = "Content-Type: application/octet-stream";
        door.try_call("POST", &path, &[kind], bytes).expect("a response")
    };
    assert_eq!(send(b"abc").status, 400, "half a sample");
    let words: Vec<(usize, u32)> = (0..18).map(|number| (number as usize * 5 % 8, 15 + number * 24)).collect();
    let wav = spoken(&words, 10);
    let samples = wav.strip_prefix(&wav[..44]).expect("a head");
    let are_numbers = |text: &str| text.split_whitespace().all(|word| chord_of(word).is_some());
    let mut heard = json!({});
    for piece in samples.chunks(8_000) {
        let reply = send(piece);
        assert_eq!(reply.status, 200, "{}", reply.text());
        heard = reply.json();
    }
    assert_eq!(heard["language"], "en");
    eventually("words before the end", PATIENCE, || {
        heard = send(&[]).json();
        heard["said"].as_str().is_some_and(|said| !said.is_empty())
            || heard["guess"].as_str().is_some_and(|guess| !guess.is_empty())
    });
    let end = door.post(&format!("{path}/end"), &json!({}));
    assert_eq!((end.status, end.json()["duration"].as_f64()), (200, Some(10.0)), "{}", end.text());
    let text = end.json()["text"].as_str().expect("a text").to_owned();
    assert!(text.split_whitespace().count() >= 6 && are_numbers(&text), "{text}");
    assert!(text.starts_with(heard["said"].as_str().expect("text")), "what was said stays: {heard} {text}");
    assert_eq!((send(samples).status, door.post(&format!("{path}/end"), &json!({})).status), (404, 404));
}

#[test]
fn models_that_are_taken_away_while_they_are_loaded_are_missed_and_welcomed_back() {
    let plan = plan();
    let gateway = plan.start();
    let door = gateway.chat().clone();
    let wav = spoken(&[(0, 15), (5, 37), (2, 59)], 3);
    let asks: [(&str, &dyn Fn() -> Reply); 2] =
        [(TALKER, &|| ask(&door, &json!({}))), (LISTENER, &|| transcribe(&door, &wav, "verbose_json"))];
    for (id, ask) in asks {
        let answer = |reply: &Reply| match reply.json() {
            json if json["segments"].is_array() => json["segments"].clone(),
            json => json["choices"].clone(),
        };
        let before = ask();
        assert_eq!(before.status, 200, "{id}: {}", before.text());
        let folder = plan.state().join("models").join(id);
        let aside = plan.home().join(format!("{id}-aside"));
        fs::rename(&folder, &aside).expect("taken away");
        let missed = ask();
        let told = missed.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        let is_clear = told.contains(id) || told.contains("kafclaw models install");
        assert!(missed.status == 404 && is_clear, "{id}: {} {told}", missed.status);
        // Cut off, as by a stick that was pulled out in the middle of a copy.
        fs::create_dir_all(&folder).expect("a folder");
        for entry in fs::read_dir(&aside).expect("its files").flatten() {
            fs::copy(entry.path(), folder.join(entry.file_name())).expect("copied");
        }
        let weights = folder.join(if id == TALKER { "model.gguf" } else { "model.safetensors" });
        fs::File::options().write(true).open(&weights).and_then(|file| file.set_len(1000)).expect("cut off");
        let broken = ask();
        assert!((400..600).contains(&broken.status), "{id}: {}", broken.text());
        let told = broken.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(told.contains(id) || told.contains("kafclaw models install"), "{id}: {told}");
        fs::remove_dir_all(&folder).expect("removed");
        fs::rename(&aside, &folder).expect("back again");
        let after = ask();
        assert_eq!((after.status, answer(&after)), (200, answer(&before)), "{id}");
    }
    assert_eq!(door.get("/healthz").status, 200);
}

/// Cuts a file that a worker has mapped: what it reads of it from then on is a bus error.
#[test]
fn weights_that_vanish_under_a_worker_cost_it_its_life_and_nobody_elses() {
    let plan = plan();
    let gateway = plan.start();
    let door = gateway.chat().clone();
    let weights = plan.state().join("models").join(TALKER).join("model.gguf");
    let whole = fs::read(&weights).expect("the weights");
    assert_eq!(ask(&door, &json!({})).status, 200);
    let first = worker(&gateway).expect("a worker");
    fs::File::options().write(true).open(&weights).and_then(|file| file.set_len(0)).expect("cut off");
    let refused = ask(&door, &json!({}));
    let told = refused.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(refused.status >= 400 && !told.is_empty(), "{}", refused.text());
    fs::write(&weights, whole).expect("written again");
    eventually("it answers again", PATIENCE, || ask(&door, &json!({})).status == 200);
    assert!(worker(&gateway).is_some(), "the one of before or another one, {first}");
}

/// From now on the process may not have more memory than it has, beside `more` bytes; without a number there is no limit.
fn limit_memory(pid: i32, more: Option<u64>) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("its memory");
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("a VmSize line");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    let pid = Pid::from_raw(pid);
    let now = prlimit(pid, Resource::As, Rlimit { current: None, maximum: None }).expect("the limit");
    let current = more.map(|more| kib * 1024 + more);
    prlimit(pid, Resource::As, Rlimit { current, maximum: now.maximum }).expect("a new limit");
}

#[test]
fn a_worker_that_gets_no_memory_is_told_of_and_the_next_request_is_served() {
    const MIB: u64 = 1024 * 1024;
    let gateway = plan().start();
    let door = gateway.chat().clone();
    // First there is no room for the threads of another model, then none for sixteen MiB of sound.
    for (seconds, more) in [(2, 0), (500, MIB)] {
        assert_eq!(ask(&door, &json!({})).status, 200);
        let pid = worker(&gateway).expect("a worker");
        limit_memory(pid, Some(more));
        let refused = transcribe(&door, &recording(seconds), "json");
        let told = refused.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!(refused.status, 503, "{}", refused.text());
        let clear = [
            "could not start the threads of the model",
            "there is no memory for a recording of 16 MiB",
            "the worker fell before it was done",
        ];
        let is_clear = clear.iter().any(|reason| told.contains(reason));
        assert!(is_clear, "{told}");
        if worker(&gateway) == Some(pid) {
            limit_memory(pid, None);
        }
        assert_eq!(door.get("/healthz").status, 200);
        eventually("somebody transcribes again", PATIENCE, || transcribe(&door, &recording(2), "json").status == 200);
    }
}
