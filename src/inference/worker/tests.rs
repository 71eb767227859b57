//! The handle with parrots behind it: here, in processes that fall, and in none at all.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::message::{Order, PROTOCOL, Report};
use super::testing::{Parrots, model};
use super::*;
use crate::base::shutdown::Shutdown;
use crate::inference::device::DeviceError;

const PATIENCE: Duration = Duration::from_secs(60);

fn engines(config: Config, parrots: &Parrots) -> Engines {
    Engines::start(config, Arc::new(parrots.clone()), Shutdown::default())
}

fn here() -> Config {
    Config { place: Place::Here, ..Config::default() }
}

/// A program in shell that is started as a worker.
fn program(folder: &Path, script: &str) -> Config {
    let (draft, path) = (folder.join("draft"), folder.join("worker"));
    std::fs::write(&draft, format!("#!/bin/sh\n{script}\n")).expect("a script");
    // A file that another thread's child still has open for writing cannot be executed, so another program writes this one.
    let copied = std::process::Command::new("install").args(["-m", "700"]).args([&draft, &path]).status();
    assert!(copied.is_ok_and(|status| status.success()), "no script");
    let patience =
        Patience { backoff: Duration::from_millis(1), backoff_max: Duration::from_millis(5), ..Patience::default() };
    let place = Place::Process { cpu: path, gpu: "/nonexistent".into() };
    Config { place, patience, ..Config::default() }
}

fn listener() -> (Listener<Value, Value>, mpsc::Receiver<Value>) {
    let (sender, pieces) = mpsc::channel(64);
    (Listener { sender, choose: Some }, pieces)
}

async fn say(engines: &Engines, kind: Kind, text: &str) -> Result<(Vec<Value>, Value), EngineError> {
    let (listener, mut pieces) = listener();
    let audio = Bytes::from_static(b"abcd");
    let asked = engines.run(model(kind, "parrot"), json!({"say": text}), audio, listener);
    let result = tokio::time::timeout(PATIENCE, asked).await.expect("an answer in time")?;
    let mut heard = Vec::new();
    while let Some(piece) = pieces.recv().await {
        heard.push(piece);
    }
    Ok((heard, result))
}

async fn until(engines: &Engines, is_so: impl Fn(&Status) -> bool) -> Status {
    let mut status = engines.clone().status_changes();
    let waited = tokio::time::timeout(PATIENCE, status.wait_for(|status| is_so(status))).await;
    waited.expect("in time").expect("the supervisor lives").clone()
}

#[tokio::test]
async fn requests_of_both_kinds_are_answered_with_their_pieces() {
    let engines = engines(here(), &Parrots::default());
    assert_eq!(engines.status(), Status::default(), "nothing runs before it is needed");
    let (speech, language) = tokio::join!(say(&engines, Kind::Speech, "a b"), say(&engines, Kind::Language, "c"));
    let (heard, result) = speech.expect("an answer");
    assert_eq!((heard, result), (vec![json!("a"), json!("b")], json!({"text": "a b", "bytes": 4})));
    assert_eq!(language.expect("an answer").0, [json!("c")]);
    let status = until(&engines, |status| status.loaded.len() == 2).await;
    assert_eq!((status.place, status.device.as_deref(), status.restarts), (Some("gateway itself"), Some("a perch"), 0));
}

#[tokio::test]
async fn whoever_leaves_has_the_job_cancelled_and_the_next_one_is_served() {
    let engines = engines(here(), &Parrots::default());
    let (listener, mut started) = listener();
    let endless = engines.run(model(Kind::Language, "parrot"), json!({"say": "forever"}), Bytes::new(), listener);
    tokio::select! {
        ended = endless => panic!("it never ends: {ended:?}"),
        _ = started.recv() => {}
    }
    assert_eq!(say(&engines, Kind::Language, "next").await.expect("served").0, [json!("next")]);
    until(&engines, |status| status.running == 0).await;
}

#[tokio::test]
async fn idle_workers_end_and_come_back_when_they_are_wanted() {
    let patience = Patience { idle: Duration::from_millis(20), ..Patience::default() };
    let parrots = Parrots::default();
    let engines = engines(Config { patience, ..here() }, &parrots);
    for loads in 1..=2 {
        say(&engines, Kind::Speech, "a").await.expect("an answer");
        until(&engines, |status| status.place.is_none()).await;
        assert_eq!(parrots.loads.load(Ordering::SeqCst), loads);
    }
}

#[tokio::test]
async fn what_a_model_refuses_and_where_it_stumbles_is_told() {
    let engines = engines(here(), &Parrots::default());
    let stumbled = say(&engines, Kind::Speech, "panic!").await.expect_err("a panic");
    assert_eq!(stumbled.to_string(), "parrot stumbled over this");
    let missing = engines.run(model(Kind::Speech, "missing"), json!({}), Bytes::new(), listener().0).await;
    assert_eq!(missing.expect_err("no model").to_string(), "there is no such parrot");
    assert!(say(&engines, Kind::Speech, "alive").await.is_ok());
}

#[tokio::test]
async fn a_program_that_is_missing_or_broken_is_replaced_by_a_thread() {
    let folder = tempfile::tempdir().expect("a folder");
    for script in [None, Some("exit 127"), Some("exit 3")] {
        let mut config = program(folder.path(), script.unwrap_or_default());
        if script.is_none() {
            config.place = Place::Process { cpu: "/nonexistent/worker".into(), gpu: "/nonexistent".into() };
        }
        let engines = engines(config, &Parrots::default());
        assert!(say(&engines, Kind::Speech, "a").await.is_ok());
        assert_eq!(engines.status().place, Some("gateway itself"));
    }
}

#[tokio::test]
async fn without_any_place_the_reason_is_told() {
    let engines = engines(here(), &Parrots { unfit: true, ..Parrots::default() });
    let error = say(&engines, Kind::Speech, "a").await.expect_err("nobody works");
    assert_eq!(error.to_string(), "no worker can be started: no perch");
}

/// Bytes of the greeting that a worker for `device` hears.
fn hello_len(config: &Config, device: Device) -> usize {
    let idle_ms = u64::try_from(config.patience.idle.as_millis()).expect("not that long");
    let setup = Setup { device, threads: 0, unload_after_ms: idle_ms };
    let hello = Order::Hello { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned(), setup };
    frame::opening(&hello, 0).expect("it fits").len()
}

/// A worker that welcomes, begins to take a job, and falls over it.
fn falls(folder: &Path) -> Config {
    let hello_len = hello_len(&program(folder, ""), Device::Cpu);
    let welcome = Report::Welcome { protocol: PROTOCOL, version: "x".to_owned(), device: "a board".to_owned() };
    std::fs::write(folder.join("welcome"), frame::opening(&welcome, 0).expect("it fits")).expect("a file");
    let welcome = folder.join("welcome");
    program(folder, &format!("cat {} >&0; head -c {} <&0 >/dev/null; kill -9 $$", welcome.display(), hello_len + 1))
}

#[tokio::test]
async fn a_worker_that_falls_over_a_job_is_told_of_and_never_let_into_the_home() {
    let folder = tempfile::tempdir().expect("a folder");
    let parrots = Parrots::default();
    let engines = engines(falls(folder.path()), &parrots);
    for restarts in 1..=5 {
        let error = say(&engines, Kind::Language, "a").await.expect_err("it fell");
        assert_eq!(error.to_string(), "the worker fell before it was done: it was ended by SIGKILL");
        assert_eq!(engines.status().restarts, restarts);
    }
    assert_eq!(parrots.loads.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_worker_that_talks_nonsense_is_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let nonsense = program(folder.path(), "head -c 100000 /dev/urandom >&0; exec sleep 1000");
    let engines = engines(nonsense, &Parrots::default());
    assert!(say(&engines, Kind::Speech, "a").await.is_ok(), "a thread takes over");
    assert!(engines.status().last_end.contains("is no frame"), "{:?}", engines.status());
}

#[tokio::test]
async fn the_end_of_the_house_is_everybodys_end() {
    let shutdown = Shutdown::default();
    let engines = Engines::start(here(), Arc::new(Parrots::default()), shutdown.clone());
    let (listener_of_it, mut pieces) = listener();
    let endless = engines.run(model(Kind::Language, "parrot"), json!({"say": "forever"}), Bytes::new(), listener_of_it);
    let goes_down = async {
        pieces.recv().await;
        shutdown.trigger();
        while pieces.recv().await.is_some() {}
    };
    let (ended, ()) = tokio::join!(endless, goes_down);
    let error = ended.expect_err("the house went down");
    assert!(matches!(error, EngineError::Crashed { .. } | EngineError::Stopped), "{error}");
    let after = engines.run(model(Kind::Speech, "parrot"), json!({}), Bytes::new(), listener().0);
    let after = tokio::time::timeout(PATIENCE, after).await.expect("an answer in time");
    assert_eq!(after, Err(EngineError::Stopped));
}

#[tokio::test]
async fn a_gpu_that_cannot_compute_leaves_the_work_to_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let unfit = Report::Unfit { why: "the device cuda:0 is not built in".to_owned() };
    std::fs::write(folder.path().join("unfit"), frame::opening(&unfit, 0).expect("it fits")).expect("a file");
    let started = folder.path().join("started");
    let script = format!("echo >> {}; cat {} >&0", started.display(), folder.path().join("unfit").display());
    let program = program(folder.path(), &script);
    let Place::Process { cpu: gpu, .. } = program.place else { panic!("a process") };
    let place = Place::Process { cpu: "/nonexistent/worker".into(), gpu };
    let absent = || Err(DeviceError::Driver { name: "libcuda.so.1", source: libloading::Error::DlOpenUnknown });
    let probes: [(Probe, usize); 2] = [(absent, 0), (|| Ok(()), 1)];
    for (probe, starts) in probes {
        let config = Config { place: place.clone(), probe, device: Device::Cuda(0), ..Config::default() };
        let engines = engines(config, &Parrots::default());
        for _ in 0..3 {
            assert!(say(&engines, Kind::Speech, "a").await.is_ok());
        }
        assert_eq!(engines.status().place, Some("gateway itself"));
        // Without a driver the program is not even started, and one that cannot work is not tried again.
        assert_eq!(std::fs::read_to_string(&started).unwrap_or_default().lines().count(), starts);
    }
}

#[tokio::test]
async fn work_that_a_gpu_worker_cannot_do_is_done_by_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let welcome = Report::Welcome { protocol: PROTOCOL, version: "x".to_owned(), device: "cuda:0".to_owned() };
    let fault = Fault::new(FaultKind::Broken, "the model could not compute: out of memory");
    let mut said = frame::opening(&welcome, 0).expect("it fits");
    std::fs::write(folder.path().join("welcome"), &said).expect("a file");
    said = frame::opening(&Report::Failed { id: 1, fault }, 0).expect("it fits");
    std::fs::write(folder.path().join("failed"), &said).expect("a file");
    let at = |name: &str| folder.path().join(name).display().to_string();
    // Anything after the greeting is a job.
    let heard = hello_len(&program(folder.path(), ""), Device::Cuda(0)) + 1;
    let script =
        format!("cat {} >&0; head -c {heard} <&0 >/dev/null; cat {} >&0; exec sleep 1000", at("welcome"), at("failed"));
    let program = program(folder.path(), &script);
    let Place::Process { cpu: gpu, .. } = program.place else { panic!("a process") };
    let place = Place::Process { cpu: "/nonexistent/worker".into(), gpu };
    let config = Config { place, probe: || Ok(()), patience: program.patience, ..Config::default() };
    let engines = engines(config, &Parrots::default());
    assert!(say(&engines, Kind::Language, "a").await.is_ok(), "somebody else has an answer");
    assert_eq!(engines.status().place, Some("gateway itself"));
}
