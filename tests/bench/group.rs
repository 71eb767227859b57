//! The group: what it costs at rest with and without a network, how soon a hub is back when the cable is, how fast the outbox
//! empties beside librdkafka's own producer, and how long a question takes while it empties.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use kafclaw::base::clock::{Clock, Timestamp};
use kafclaw::base::id::{PeerId, TaskId, random_hex};
use kafclaw::bus::{self, WaitsFor};
use kafclaw::db::{self, Db, Tx};
use kafclaw::domain::peer::{Identity, Request};
use kafclaw::domain::record::{Class, Record};
use kafclaw::group::hub::{self, Group, House, Parts};
use kafclaw::group::inbox::Bounds;
use kafclaw::group::outbox::{self, Limits, Pace, Rate, Room};
use kafclaw::group::share::{Note, Shelf};
use kafclaw::group::{self, connectivity, onboarding, task, trace, wire};
use kafclaw::link::kafka::{Address, Broker, Security};
use kafclaw::{knowledge, orchestrator, timeline};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::figure::{Figure, Goal, Times, pss_mib};
use crate::kafka::{RECORD_BYTES, RECORDS, theirs_on};
use crate::support::{Connection, Gateway, Kafka, PATIENCE, Plan, request, wait_for};

/// At rest: what only the start needed has been given back.
const REST: Duration = Duration::from_secs(6);
/// Of the memory, a second apart.
const SAMPLES: usize = 45;
const JOINS: usize = 7;
const FACTS: usize = 80;
const VERSIONS: usize = 100;
const WATCHED: Duration = Duration::from_secs(600);

fn rest(duration: Duration) {
    let _ = wait_for(duration, || None::<()>);
}

fn plan() -> Plan {
    Plan::new().with("KAFCLAW_LOG_LEVEL", "warn")
}

/// Heartbeats as they come: every 30 s.
fn hub(agent: &str, address: &str) -> Plan {
    plan()
        .with("KAFCLAW_GROUP_ENABLED", "true")
        .with("KAFCLAW_GROUP_GROUP_NAME", "bench")
        .with("KAFCLAW_GROUP_AGENT_ID", agent)
        .with("KAFCLAW_GROUP_KAFKA_BROKERS", address)
        .with("KAFCLAW_NODE_CLAW_ID", agent)
        .with("KAFCLAW_KNOWLEDGE_ENABLED", "true")
        .with("KAFCLAW_KNOWLEDGE_SHARE_MODE", "direct")
}

fn status(gateway: &Gateway) -> Value {
    gateway.dashboard().get("/api/v1/group/status").json()
}

fn is_online(gateway: &Gateway) -> bool {
    status(gateway)["connectivity"] == "online"
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    assert!(wait_for(PATIENCE * 4, || is_so().then_some(())).is_some(), "never: {what}");
}

/// Time that a process was on a processor, in seconds.
fn cpu_s(process: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("threads");
    let of_thread = |path: std::path::PathBuf| -> Option<f64> {
        let text = fs::read_to_string(path.join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    threads.flatten().filter_map(|thread| of_thread(thread.path())).sum::<f64>() / 1e9
}

/// What the group adds to a gateway at rest: nothing to reach, and online.
pub fn memory() {
    let broker = Kafka::start();
    let without = plan().start();
    let offline = hub("offline", "127.0.0.1:9").start();
    let online = hub("online", &broker.address()).start();
    until("online", || is_online(&online));
    rest(REST * 2);
    // All look at their doors now and then, each at moments of its own.
    let mut samples: [Vec<f64>; 3] = Default::default();
    for _ in 0..SAMPLES {
        for (samples, gateway) in samples.iter_mut().zip([&without, &offline, &online]) {
            samples.push(pss_mib(gateway.id()));
        }
        rest(Duration::from_secs(1));
    }
    let [alone, offline, online] = samples.map(median);
    Figure::new("group_offline_pss_mib", offline - alone, Goal::AtMost(0.5))
        .against(("pss_without_group_mib", alone))
        .print();
    Figure::new("group_online_pss_mib", online - alone, Goal::AtMost(6.0))
        .against(("pss_without_group_mib", alone))
        .print();
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Ten minutes without a network, beside a gateway without a group.
pub fn offline() {
    let without = plan().start();
    let offline = hub("offline", "127.0.0.1:9").start();
    rest(REST * 2);
    let before = (cpu_s(without.id()), cpu_s(offline.id()));
    let memory = (pss_mib(without.id()), pss_mib(offline.id()));
    rest(WATCHED);
    let percent = |cpu: f64| cpu / WATCHED.as_secs_f64() * 100.0;
    let (alone, with) = (percent(cpu_s(without.id()) - before.0), percent(cpu_s(offline.id()) - before.1));
    Figure::new("group_offline_cpu_percent_of_core", with - alone, Goal::AtMost(0.1))
        .against(("cpu_percent_without_group", alone))
        .print();
    // Both touch their code now and then; what the group adds to that is its own.
    let grown = (pss_mib(without.id()) - memory.0, pss_mib(offline.id()) - memory.1);
    Figure::new("group_offline_growth_mib", grown.1 - grown.0, Goal::AtMost(0.1))
        .against(("growth_without_group_mib", grown.0))
        .print();
}

/// From the moment that the cable is back to the broker's receipt for the first announcement.
pub fn join() {
    let broker = Kafka::start_apart();
    let gateway = hub("joiner", &broker.address()).start();
    until("online", || is_online(&gateway));
    drop(gateway);
    let fresh = Times::told(JOINS, |_| {
        broker.cable().pull();
        let gateway = hub("joiner", &broker.address()).start();
        // Long enough for some attempts in vain.
        rest(Duration::from_secs(6));
        broker.cable().plug();
        let started = Instant::now();
        until("online", || is_online(&gateway));
        started.elapsed()
    });
    Figure::new("group_join_p50_ms", fresh.percentile_ms(50), Goal::AtMost(2_000.0)).print();
    let gateway = hub("joiner", &broker.address()).start();
    until("online", || is_online(&gateway));
    let back = Times::told(JOINS, |_| {
        broker.cable().pull();
        until("offline", || !is_online(&gateway));
        rest(Duration::from_secs(6));
        broker.cable().plug();
        let started = Instant::now();
        until("online", || is_online(&gateway));
        started.elapsed()
    });
    Figure::new("group_rejoin_p50_ms", back.percentile_ms(50), Goal::AtMost(2_000.0)).print();
}

/// A question to another hub while thousands of records that waited go out.
pub fn live() {
    let broker = Kafka::start_apart();
    let (kitchen, garage) =
        (hub("kitchen-hub", &broker.address()).start(), hub("garage-hub", &broker.address()).start());
    until("online", || is_online(&kitchen) && is_online(&garage));
    until("seen", || status(&kitchen)["member_count"] == 2 && status(&garage)["member_count"] == 2);
    let ask = || {
        let started = Instant::now();
        let answer = kitchen.chat().say("ask the garage hub what time is it");
        assert!(answer["reply"].as_str().is_some_and(|reply| reply.contains(':')), "{answer}");
        started.elapsed()
    };
    let quiet = Times::told(JOINS, |_| ask());
    broker.cable().pull();
    until("offline", || !is_online(&kitchen) && !is_online(&garage));
    publish(&kitchen);
    broker.cable().plug();
    until("online", || is_online(&kitchen) && is_online(&garage));
    let (asked, waited) = (ask(), status(&kitchen)["outbox_rows"].as_f64().unwrap_or_default());
    Figure::new("group_answer_while_draining_ms", asked.as_secs_f64() * 1e3, Goal::AtMost(2_000.0))
        .against(("group_answer_p50_ms", quiet.percentile_ms(50)))
        .print();
    Figure::new("group_rows_left_when_answered", waited, Goal::None).print();
}

fn publish(gateway: &Gateway) {
    let door = gateway.dashboard();
    let writer = |first: usize| {
        let headers = [door.authorization(), "Content-Type: application/json".to_owned()];
        let mut connection = Connection::open(door.address).expect("a connection");
        for (version, fact) in
            (0..VERSIONS).flat_map(|version| (first..FACTS).step_by(4).map(move |fact| (version, fact)))
        {
            let body = json!({"factId": format!("fact-{fact}"), "subject": "thing", "predicate": "counts",
                "object": version.to_string(), "tags": ["ops"]});
            let bytes = request("POST", "/api/v1/knowledge/facts", &headers, body.to_string().as_bytes());
            assert_eq!(connection.exchange(&bytes).expect("an answer").status, 200);
        }
    };
    thread::scope(|scope| (0..4).for_each(|first| drop(scope.spawn(move || writer(first)))));
}

/// The outbox of a hub that comes back, as fast as it may, beside librdkafka with the same records.
pub fn drain() {
    let broker = Kafka::start();
    let address = Address {
        brokers: Broker::list(&broker.address()).expect("a broker"),
        security: Security::default(),
        client_id: "bench".to_owned(),
    };
    let payload = answer();
    let keys: Vec<String> = (0..RECORDS).map(key).collect();
    // The first round warms the broker up.
    let mut rates = (0.0, 0.0);
    for _ in 0..2 {
        rates = (emptied(&address, &payload), theirs_on(&address, "group.bench.responses", &payload, &keys));
    }
    Figure::new("group_drained_per_s", rates.0, Goal::AtLeast(rates.1 * 0.8))
        .against(("librdkafka_produced_per_s", rates.1))
        .print();
}

/// An answer of this hub, which hears it like everybody else.
fn answer() -> Vec<u8> {
    let with = |content: &str| {
        let answer = json!({
            "type": "response", "correlation_id": "c1", "sender_id": "bench", "timestamp": "2026-11-21T00:09:21.12Z",
            "payload": {"task_id": "t1", "responder_id": "bench", "content": content, "status": "completed"},
        });
        answer.to_string().into_bytes()
    };
    with(&"The lamp is on. ".repeat(RECORD_BYTES)[..RECORD_BYTES - with("").len()])
}

/// As many answers as tasks.
fn key(number: usize) -> String {
    format!("task-{number}")
}

fn emptied(address: &Address, payload: &[u8]) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let lists = [timeline::MIGRATIONS, bus::MIGRATIONS, group::MIGRATIONS, orchestrator::MIGRATIONS];
    let lists = [&lists[..], &[knowledge::MIGRATIONS]].concat();
    let db = Db::open(&db::Config::at(folder.path().join("timeline.db")), &lists, &Clock::System).expect("a database");
    let config = config();
    let (limits, value) = (config.limits.clone(), payload.to_vec());
    db.write_blocking(move |tx| {
        for number in 0..RECORDS {
            let record = Record {
                topic: "group.bench.responses".to_owned(),
                key: Some(key(number)),
                value: value.clone(),
                class: Class::Answer,
                deadline_at: None,
                stamp: Some(outbox::next_stamp(tx)?),
            };
            outbox::append(tx, &record, &limits, Clock::System.now()).expect("there is room");
        }
        Ok(())
    })
    .expect("appended");
    let parts = Parts {
        db: db.clone(),
        clock: Clock::System,
        house: Arc::new(Nobody),
        config,
        address: address.clone(),
        lfs_proxy_url: String::new(),
        seed: 1,
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (group, life) = runtime.block_on(Group::start(parts)).expect("a group");
    let left = || db.read_blocking(|connection| Ok(outbox::totals(connection)?.iter().map(|it| it.rows).sum::<u64>()));
    let mut began = None;
    let rate = wait_for(PATIENCE * 4, || {
        let rows = left().expect("a count");
        match began {
            None if rows < RECORDS as u64 => began = Some((Instant::now(), rows)),
            Some((started, first)) if rows == 0 => {
                return Some(first as f64 / Instant::elapsed(&started).as_secs_f64());
            }
            _ => {}
        }
        None
    });
    drop(group);
    runtime.block_on(life.end());
    rate.expect("an outbox that empties")
}

/// A hub that nothing holds back.
fn config() -> hub::Config {
    let me = PeerId::from("bench");
    let wide = Room { rows_max: 1 << 40, bytes_max: 1 << 40, age_max: None };
    let rate = Rate { per_second: 1 << 40, burst: 1 << 40 };
    let name = wire::GroupName::parse("bench").expect("a name");
    hub::Config {
        sweep: Duration::from_secs(600),
        proxy: None,
        watch: trace::Config { is_on: false, ..trace::Config::default() },
        me: Identity {
            id: me.clone(),
            name: "bench".to_owned(),
            soul: String::new(),
            capabilities: Vec::new(),
            skills: Vec::new(),
            channels: Vec::new(),
            model: String::new(),
            status: "active".to_owned(),
            role: "worker".to_owned(),
            parent: None,
            zone: None,
            endpoint: None,
            joined_at: None,
            public_key: None,
            load: None,
            can_think: None,
        },
        topics: wire::Topics::new(name, knowledge::wire::Topics::of_group("bench")),
        consumer_group: format!("bench-{}", random_hex(4)),
        heartbeat: Duration::from_secs(30),
        task: task::Config::of(me.clone()),
        bounds: Bounds::default(),
        limits: Limits { answer: wide, total_bytes_max: 1 << 40, ..Limits::default() },
        pace: Pace { backlog_rows: rate, backlog_bytes: rate, ..Pace::default() },
        wire: wire::Limits::default(),
        connectivity: connectivity::Config::default(),
        orchestrator: orchestrator::Config::default(),
        knowledge: knowledge::Config::default(),
        signer: None,
        onboarding: onboarding::Config::of(me, "bench"),
    }
}

/// Nobody works here.
struct Nobody;

impl House for Nobody {
    fn begin(&self, _: &Tx<'_>, _: &Request, _: Timestamp) -> rusqlite::Result<TaskId> {
        Ok(TaskId::random())
    }

    fn resume(&self, _: &Tx<'_>, _: &WaitsFor, _: Timestamp) -> rusqlite::Result<Option<TaskId>> {
        Ok(None)
    }

    fn moved(&self, _: usize, _: Vec<TaskId>) {}

    fn shelf(&self) -> &dyn Shelf {
        self
    }

    fn can_think(&self) -> watch::Receiver<bool> {
        watch::channel(false).1
    }
}

impl Shelf for Nobody {
    fn keep(&self, _: &Tx<'_>, _: &Note<'_>, _: Timestamp) -> rusqlite::Result<()> {
        Ok(())
    }

    fn drop(&self, _: &Tx<'_>, _: &str) -> rusqlite::Result<()> {
        Ok(())
    }
}
