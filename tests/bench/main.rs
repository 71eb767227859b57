//! Speed and size of the release build: one JSON line per figure, each with its goal and, where one exists, with a reference
//! that was measured in the same run on the same disk. `scripts/bench.sh` runs it; arguments are names of measurements.

#[allow(dead_code, unused_imports, reason = "the tests' support, of which this uses a part")]
#[path = "../it/support/mod.rs"]
mod support;

mod embed;
mod figure;
mod group;
mod kafka;
mod language;
mod outbox;
mod search;
mod trimmed;
mod whisper;

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use figure::{Figure, Goal, Times, pss_mib};
use support::{Connection, Door, FakeModel, Gateway, Mosquitto, Mqtt, PATIENCE, Plan, request};

/// What can be measured, by name.
const MEASUREMENTS: &[(&str, fn())] = &[
    ("start", start),
    ("memory", memory),
    ("chat", chat),
    ("crowd", crowd),
    ("mqtt", mqtt),
    ("remote", remote),
    ("embed", embed::measure),
    ("embed_gateway", embed::gateway),
    ("kafka_offline", kafka::offline),
    ("kafka", kafka::produce),
    ("group_memory", group::memory),
    ("group_join", group::join),
    ("group_drain", group::drain),
    ("group_live", group::live),
    ("group_offline", group::offline),
    ("language", language::measure),
    ("search", search::small),
    ("search_million", search::large),
    ("whisper_f32", whisper::floats),
    ("whisper_f16", whisper::halves),
    ("whisper_int8", whisper::bytes),
    ("whisper_trimmed", trimmed::measure),
    ("outbox", outbox::measure),
];

/// What takes minutes is measured when it is named.
const SLOW: &[&str] =
    &["group_offline", "language", "search_million", "whisper_f32", "whisper_f16", "whisper_int8", "whisper_trimmed"];

const STARTS: usize = 20;
const CHATS: usize = 2_000;
const CROWD: usize = 64;
const CROWD_FOR: Duration = Duration::from_secs(8);
const ROUND_TRIPS: usize = 1_000;
const REMOTE_TURNS: usize = 500;
const WARM_UP: usize = 50;
const QUESTION: &str = "what time is it?";
/// No sentence fits it.
const HARD_QUESTION: &str = "compose a limerick about a walrus who repairs clocks";

fn main() {
    // Cargo adds `--bench`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    for name in &wanted {
        assert!(MEASUREMENTS.iter().any(|(known, _)| known == name), "{name} is none of {:?}", names());
    }
    for (name, measure) in MEASUREMENTS {
        let is_asked_for = wanted.iter().any(|word| word == name);
        if is_asked_for || (wanted.is_empty() && !SLOW.contains(name)) {
            measure();
        }
    }
}

fn names() -> Vec<&'static str> {
    MEASUREMENTS.iter().map(|(name, _)| *name).collect()
}

/// As installed: a quiet log, everything else as it comes.
fn plan() -> Plan {
    Plan::new().with("KAFCLAW_LOG_LEVEL", "warn")
}

fn start() {
    let plan = plan();
    drop(plan.start());
    let reference = Times::of(STARTS, |_| {
        let output = plan.command(&["version"]).output().expect("the program");
        assert!(output.status.success());
    });
    let times = Times::of(STARTS, |_| until_ready(&plan));
    let reference = ("exec_version_p50_ms", reference.percentile_ms(50));
    Figure::new("exec_to_ready_ms", times.percentile_ms(50), Goal::AtMost(50.0)).against(reference).print();
}

/// From exec to the first 200 on the dashboard's status.
fn until_ready(plan: &Plan) {
    let mut gateway = plan.launch();
    let file = plan.state().join("run/gateway.json");
    let deadline = Instant::now() + PATIENCE;
    let address = loop {
        assert!(Instant::now() < deadline && gateway.is_running(), "{}", gateway.log());
        let doors: Value =
            fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        if let Some(address) = doors["dashboard"].as_str().and_then(|text| text.parse().ok()) {
            break address;
        }
        thread::yield_now();
    };
    assert_eq!(Door::new(address, "").get("/api/v1/status").status, 200);
}

fn memory() {
    let broker = Mosquitto::start();
    let gateway = plan().with_broker(&broker).start();
    let fresh = pss_at_rest_mib(&gateway);
    Figure::new("idle_pss_mib", fresh, Goal::AtMost(12.0)).print();
    let mut caller = Caller::new(gateway.chat());
    (0..1_000).for_each(|_| caller.ask(QUESTION, "local:bench"));
    Figure::new("pss_after_1000_turns_mib", pss_mib(gateway.id()), Goal::None).against(("idle_pss_mib", fresh)).print();
}

/// What only the start, or a burst of work, needed is given back ten seconds after it at the latest.
fn pss_at_rest_mib(gateway: &Gateway) -> f64 {
    let _ = support::wait_for(Duration::from_secs(12), || None::<()>);
    pss_mib(gateway.id())
}

/// A client with one connection.
struct Caller {
    connection: Connection,
    headers: [String; 2],
}

impl Caller {
    fn new(door: &Door) -> Self {
        let headers = [door.authorization(), "Content-Type: application/json".to_owned()];
        Self { connection: Connection::open(door.address).expect("a connection"), headers }
    }

    fn ask(&mut self, message: &str, session: &str) {
        let body = json!({"message": message, "session": session}).to_string();
        let reply = self.connection.exchange(&request("POST", "/chat", &self.headers, body.as_bytes()));
        let reply = reply.expect("an answer");
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

fn chat() {
    let plan = plan();
    let gateway = plan.start();
    let mut caller = Caller::new(gateway.chat());
    (0..WARM_UP).for_each(|_| caller.ask(QUESTION, "local:bench"));
    let times = Times::of(CHATS, |_| caller.ask(QUESTION, "local:bench"));
    let syncs = synced_writes(plan.home(), CHATS);
    for (percent, goal) in [(50, 2.0), (99, 6.0)] {
        let reference = (format!("fdatasync_p{percent}_ms"), syncs.percentile_ms(percent));
        let name = format!("chat_intent_p{percent}_ms");
        Figure::new(&name, times.percentile_ms(percent), Goal::AtMost(goal))
            .against((&reference.0, reference.1))
            .print();
    }
}

/// The least that durability costs: a page appended and flushed, in the folder that the database lies in.
fn synced_writes(folder: &Path, count: usize) -> Times {
    let mut file = File::create(folder.join("synced")).expect("a file");
    let page = [0x5A; 4096];
    Times::of(count, |_| {
        file.write_all(&page).expect("a written page");
        rustix::fs::fdatasync(file.as_fd()).expect("a flushed page");
    })
}

fn crowd() {
    let plan = plan();
    let gateway = plan.start();
    let door = gateway.chat().clone();
    let started = Instant::now();
    let callers: Vec<_> = (0..CROWD)
        .map(|number| {
            let door = door.clone();
            thread::spawn(move || {
                let (mut caller, session) = (Caller::new(&door), format!("local:bench-{number}"));
                let mut turns = 0_u32;
                while started.elapsed() < CROWD_FOR {
                    caller.ask(QUESTION, &session);
                    turns += 1;
                }
                turns
            })
        })
        .collect();
    let turns: u32 = callers.into_iter().map(|caller| caller.join().expect("a caller")).sum();
    let per_second = f64::from(turns) / started.elapsed().as_secs_f64();
    let syncs = 1_000.0 / synced_writes(plan.home(), CHATS).percentile_ms(50);
    let name = format!("chat_turns_per_s_{CROWD}");
    Figure::new(&name, per_second, Goal::AtLeast(3_000.0)).against(("fdatasyncs_per_s", syncs)).print();
}

/// A client that notes on a channel what it hears.
fn listener(broker: &Mosquitto, filter: &str) -> (Mqtt, Receiver<()>) {
    let (heard, hears) = sync_channel(16);
    let listener = Box::new(move |_: &rumqttc::Client, _: &support::Heard| {
        let _ = heard.try_send(());
    });
    (Mqtt::connect_with(broker, &[filter], listener), hears)
}

fn mqtt() {
    let broker = Mosquitto::start();
    let (bare, echo) = listener(&broker, "bare/echo");
    let exchange = |client: &Mqtt, topic: &str, hears: &Receiver<()>, number: usize| {
        client.publish(topic, json!({"id": format!("b-{number}"), "text": QUESTION}).to_string());
        hears.recv_timeout(PATIENCE).expect("an answer");
    };
    let reference = Times::of(ROUND_TRIPS, |number| exchange(&bare, "bare/echo", &echo, number));
    let gateway = plan().with_broker(&broker).start();
    let (person, answers) = listener(&broker, "kafclaw/default/out/bench");
    let topic = "kafclaw/default/in/bench";
    (0..WARM_UP).for_each(|number| exchange(&person, topic, &answers, 1_000_000 + number));
    let times = Times::of(ROUND_TRIPS, |number| exchange(&person, topic, &answers, number));
    for (percent, goal) in [(50, Goal::None), (99, Goal::AtMost(10.0))] {
        let reference = (format!("mosquitto_roundtrip_p{percent}_ms"), reference.percentile_ms(percent));
        let name = format!("mqtt_roundtrip_p{percent}_ms");
        Figure::new(&name, times.percentile_ms(percent), goal).against((&reference.0, reference.1)).print();
    }
    drop(gateway);
}

fn remote() {
    let model = FakeModel::start();
    let gateway = plan().with_model(&model).start();
    let mut caller = Caller::new(gateway.chat());
    (0..WARM_UP).for_each(|number| caller.ask(HARD_QUESTION, &format!("local:warm-{number}")));
    let through = Times::of(REMOTE_TURNS, |number| caller.ask(HARD_QUESTION, &format!("local:bench-{number}")));
    let asked = model.requests().pop().expect("the model was asked").to_string();
    let mut direct = Connection::open(model.address()).expect("a connection");
    let headers = ["Content-Type: application/json".to_owned()];
    let alone = Times::of(REMOTE_TURNS, |_| {
        let reply = direct.exchange(&request("POST", "/v1/chat/completions", &headers, asked.as_bytes()));
        assert_eq!(reply.expect("an answer").status, 200);
    });
    let (through, alone) = (through.percentile_ms(50), alone.percentile_ms(50));
    Figure::new("remote_overhead_p50_ms", through - alone, Goal::AtMost(3.0))
        .against(("model_alone_p50_ms", alone))
        .print();
}
