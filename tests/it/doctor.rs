//! `kafclaw doctor` beside a running gateway, beside none, and where something is broken.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{Mosquitto, Plan};

/// Verdicts by check, and the exit code.
fn examined(plan: &Plan) -> (BTreeMap<String, String>, Option<i32>) {
    let output = plan.command(&["doctor", "--json"]).output().expect("the program");
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
    let plan = Plan::new().with_bundled_models().with_broker(&broker);
    let mut gateway = plan.start();
    let (verdicts, _) = examined(&plan);
    for check in ["gateway", "doors", "database", "mqtt", "disk", "clock", "models", "onnx_runtime", "embedding"] {
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
