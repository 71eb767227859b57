//! Memory by meaning: what the house was told comes back in other words, with nothing but what lies in `models/`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Gateway, PATIENCE, Plan, Shelf, eventually, wait_for};

/// Facts as people tell them, and a question in other words for every second one, with a word the answer must hold.
const FACTS: [(&str, Option<(&str, &str)>); 20] = [
    ("remember that my sister's birthday is on the third of March", Some(("when my sibling was born", "March"))),
    ("remember that the spare key hangs behind the boiler", Some(("how to get in if I am locked out", "boiler"))),
    ("remember that the dog gets two cups of dry food at six in the morning", None),
    ("remember that Anna is allergic to peanuts", Some(("food that makes Anna ill", "peanuts"))),
    ("remember that the plumber's name is Kowalski", Some(("who repairs a leaking pipe", "Kowalski"))),
    ("remember that the car has to go to inspection in October", Some(("servicing the vehicle", "October"))),
    ("remember that the wifi for visitors is called Heron", Some(("the guest network", "Heron"))),
    ("remember that garbage is collected on Tuesdays", Some(("which day the trash is picked up", "Tuesday"))),
    ("remember that the piano tuner comes every spring", None),
    ("remember that we keep candles in the blue drawer", None),
    ("remember that my passport is in the safe", Some(("where my travel documents are", "safe"))),
    ("remember that grandma prefers tea without sugar", None),
    ("remember that the tomatoes need water every evening", Some(("looking after the vegetables", "water"))),
    ("remember that the neighbor's cat is called Minka", None),
    ("remember that the heating was installed in 2014", None),
    ("remember that Tom's football practice is on Thursdays", None),
    ("remember that the insurance number is 8842", None),
    ("remember that I take my heart tablets with breakfast", Some(("my medication", "breakfast"))),
    ("remember that the attic hatch sticks in summer", None),
    ("remember that our wedding was in Lisbon", None),
];

fn embedded(gateway: &Gateway) -> u64 {
    let metrics = gateway.dashboard().get("/api/v1/memory/metrics").json();
    metrics["memory"]["chunksEmbedded"].as_u64().unwrap_or(0)
}

fn reply(answer: &Value) -> &str {
    answer["reply"].as_str().unwrap_or_default()
}

#[test]
fn facts_come_back_in_other_words_after_a_restart() {
    let plan = Plan::new();
    let gateway = plan.start();
    for (fact, _) in FACTS {
        let answer = gateway.chat().say(fact);
        assert_eq!(answer["route"], "intent", "{answer}");
    }
    drop(gateway);

    let gateway = plan.start();
    eventually("every fact has a vector", PATIENCE, || embedded(&gateway) >= FACTS.len() as u64);
    let asked: Vec<_> = FACTS.iter().filter_map(|(_, question)| *question).collect();
    assert!(asked.len() >= 10);
    let mut missed = Vec::new();
    for (topic, word) in &asked {
        let answer = gateway.chat().say(&format!("what did I tell you about {topic}?"));
        let told = reply(&answer).to_lowercase();
        if !(told.contains(&word.to_lowercase()) && told.contains("you told me")) {
            missed.push(format!("{topic}: {}", reply(&answer)));
        }
    }
    assert!(missed.len() <= 1, "{} of {} came back; not: {missed:#?}", asked.len() - missed.len(), asked.len());
}

/// Chunks with a vector of the generation that is being made, and all chunks.
fn index(gateway: &Gateway) -> (u64, u64) {
    let index = gateway.dashboard().get("/api/v1/memory/embedding/status").json()["index"].clone();
    let count = |name: &str| index["progress"][name].as_u64().unwrap_or_default();
    (count("done"), count("total"))
}

fn knows_the_boiler(gateway: &Gateway) -> bool {
    let answer = gateway.chat().say("what did I tell you about how to get in if I am locked out?");
    reply(&answer).contains("boiler")
}

#[test]
fn a_plug_pulled_while_the_index_is_made_anew_loses_no_memory_and_no_answer() {
    const BOXES: u64 = 400;
    /// An index of so few is ready sooner than this, whether it was seen under way or not.
    const UNDER_WAY: Duration = Duration::from_secs(2);
    let plan = Plan::new();
    let mut gateway = plan.start();
    gateway.chat().say(FACTS[1].0);
    (0..BOXES)
        .for_each(|number| drop(gateway.chat().say(&format!("remember that box {number} holds {number} buttons"))));
    eventually("every fact has a vector", PATIENCE * 2, || embedded(&gateway) > BOXES);
    let mut interrupted = 0;
    for _ in 0..3 {
        let reply =
            gateway.dashboard().call("POST", "/api/v1/memory/embedding/reindex", &[], br#"{"confirmWipe": true}"#);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let is_under_way = || Some(index(&gateway)).filter(|(done, total)| *done > 0 && done < total);
        interrupted += u32::from(wait_for(UNDER_WAY, is_under_way).is_some());
        gateway.kill9();
        gateway = plan.start();
        assert!(knows_the_boiler(&gateway), "the old index answers meanwhile");
        eventually("it is done", PATIENCE * 2, || {
            let (done, total) = index(&gateway);
            done == total && total > BOXES
        });
        assert!(knows_the_boiler(&gateway), "and the new one afterwards");
    }
    assert!(interrupted > 0, "every index was ready before the plug was pulled");
    let answer = gateway.chat().say("what did I tell you about the contents of box 217?");
    assert!(reply(&answer).contains("217"), "{answer}");
}

const SMALL: &str = "tiny-bert";

/// A list that knows one more model, whose files `shelf` lends.
fn list(plan: &Plan, shelf: &Shelf, files: &[(&str, Vec<u8>)]) {
    let mut list =
        format!("[[model]]\nid = \"{SMALL}\"\ntask = \"embedding\"\ntitle = \"x\"\nlicense = \"x\"\nmemory_mib = 8\n");
    for (name, content) in files {
        let sha256 = Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let (bytes, url) = (content.len(), shelf.url(name));
        list += &format!(
            "[[model.files]]\nname = \"{name}\"\nbytes = {bytes}\nsha256 = \"{sha256}\"\nsources = [{{ url = \"{url}\" }}]\n"
        );
    }
    fs::create_dir_all(plan.state().join("models")).expect("a folder");
    fs::write(plan.state().join("models/manifest.toml"), list).expect("a list");
}

#[test]
fn a_plug_pulled_while_a_model_is_installed_is_gone_on_from_and_the_model_is_used() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny-bert");
    let read = |name: &'static str| (name, fs::read(golden.join(name)).expect("a golden file"));
    let files = ["config.json", "tokenizer.json", "model.onnx"].map(read).to_vec();
    let half = files[2].1.len() / 2;
    let shelf = Shelf::start(files.clone(), "model.onnx");
    let plan = Plan::new();
    list(&plan, &shelf, &files);
    let mut gateway = plan.start();
    gateway.chat().say(FACTS[1].0);
    let status = |gateway: &Gateway| gateway.dashboard().get("/api/v1/memory/embedding/status").json();
    let reply = gateway.dashboard().post("/api/v1/memory/embedding/install", &json!({"model": SMALL}));
    assert_eq!(reply.status, 200, "{}", reply.text());
    eventually("half of it came", PATIENCE, || {
        status(&gateway)["install"]["progress"]["done"].as_u64() >= Some(half as u64)
    });
    let requested_at = status(&gateway)["install"]["requestedAt"].clone();
    gateway.kill9();

    let gateway = plan.start();
    let install = status(&gateway)["install"].clone();
    assert_eq!((&install["requestedModel"], &install["requestedAt"]), (&json!(SMALL), &requested_at), "{install}");
    eventually("it is here and every memory has its vector", PATIENCE * 2, || {
        let status = status(&gateway);
        let detail = status["runtime"]["detail"].as_str().unwrap_or_default().to_owned();
        status["install"]["pending"] == false && detail.starts_with(SMALL) && status["index"]["active"] == true
    });
    assert_eq!(shelf.resumed_from(), half, "what had come was not fetched again");
    assert_eq!(status(&gateway)["install"]["progress"]["failure"], Value::Null);
}
