//! `kafclaw doctor` beside a running gateway, beside none, and where something is broken.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{Mosquitto, PATIENCE, Plan, eventually};

/// Verdicts by check, and the exit code.
fn examined(plan: &Plan) -> (BTreeMap<String, String>, Option<i32>) {
    // Where ONNX Runtime is, is told to the gateway alone, as by scripts/run.sh.
    let output = plan.command(&["doctor", "--json"]).env_remove("ORT_DYLIB_PATH").output().expect("the program");
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let findings = report["findings"].as_array().expect("findings");
    for finding in findings {
        let has_advice = finding["advice"].as_str().is_some_and(|advice| !advice.is_empty());
        assert_eq!(has_advice, finding["verdict"] == "FAIL", "{finding}");
    }
    let verdicts = findings.iter().map(|finding| (text(finding, "check"), text(finding, "verdict"))).collect();
    (verdicts, output.status.code())
}

#[test]
fn the_doctor_tells_what_works_and_what_does_not() {
    let broker = Mosquitto::start();
    let plan = Plan::new().with_broker(&broker);
    let mut gateway = plan.start();
    let (verdicts, _) = examined(&plan);
    for check in
        ["config", "gateway", "doors", "database", "mqtt", "disk", "clock", "models", "onnx_runtime", "embedding"]
    {
        assert_eq!(verdicts.get(check).map(String::as_str), Some("PASS"), "{check}: {verdicts:?}");
    }
    assert_eq!(verdicts["kafka"], "SKIP");
    gateway.terminate();
    drop(broker);
    let (verdicts, code) = examined(&plan);
    assert_eq!((verdicts["gateway"].as_str(), verdicts["mqtt"].as_str(), code), ("FAIL", "FAIL", Some(1)));
    std::fs::write(plan.state().join("timeline.db"), "no database ".repeat(1_000)).expect("written");
    assert_eq!(examined(&plan).0["database"], "FAIL");
    let text = plan.command(&["doctor"]).output().expect("the program");
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("FAIL  database") && text.contains("what to do: "), "{text}");
}

#[test]
fn a_configuration_full_of_mistakes_is_a_finding_and_no_end() {
    let plan = Plan::new();
    let file = plan.state().join("config.json");
    std::fs::create_dir_all(plan.state()).expect("made");
    for text in [r#"{"gateway": {"authToken": 7}, "mqtt": {"url": "http://broker"}}"#, "{"] {
        std::fs::write(&file, text).expect("written");
        let (verdicts, code) = examined(&plan);
        assert_eq!((verdicts["config"].as_str(), code), ("FAIL", Some(1)), "{text}");
        assert!(verdicts.len() > 10 && verdicts.contains_key("embedding"), "{verdicts:?}");
    }
    let said = plan.command(&["doctor"]).output().expect("the program");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        said.contains("FAIL  config") && said.contains("config.json") && said.contains("config validate"),
        "{said}"
    );
}

#[test]
fn a_broker_that_turns_the_gateway_away_fails() {
    let broker = Mosquitto::start_closed();
    let plan = Plan::new().with_broker(&broker);
    let gateway = plan.start();
    eventually("the broker has turned it away", PATIENCE, || {
        gateway.dashboard().get("/api/v1/status").json()["mqtt"] == "offline"
    });
    assert_eq!(examined(&plan).0["mqtt"], "FAIL");
    let said = plan.command(&["doctor"]).output().expect("the program");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("but the gateway is offline: "), "{said}");
}
