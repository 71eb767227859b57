//! The file for somebody who helps: everything is in it but secrets and words.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use serde_json::json;

use crate::support::{Gateway, Plan};

/// What must not be found, each planted where its name says; none looks like a secret by itself.
const IN_CONFIG: &str = "Kaffeemaschine-eins";
const IN_BROKER_ADDRESS: &str = "Wasserkocher=zwei";
const IN_VARIABLE: &str = "Toaster drei \"mit\" Zeichen";
const IN_ENV_FILE: &str = "Backofen-vier";
const IN_SETTINGS: &str = "Mixer-fuenf";
const IN_LIST: &str = "Herd-sechs";
const PRIVATE: &str = "die Schwiegermutter kommt am Sonntag";

/// A home with secrets everywhere, and a journal that tells all of them in every spelling.
fn plan() -> Plan {
    let plan = Plan::new();
    fs::create_dir_all(plan.state()).expect("a folder");
    let config = json!({
        "mqtt": {"url": format!("mqtt://hub:{}@127.0.0.1:1", IN_BROKER_ADDRESS.replace('=', "%3D")), "enabled": true},
        "providers": {"openai": {"apiKey": IN_CONFIG}},
        "channels": {"slack": {"accounts": [{"id": "a", "botToken": IN_LIST}]}},
    });
    fs::write(plan.state().join("config.json"), config.to_string()).expect("a configuration");
    fs::write(plan.state().join("env"), format!("KAFCLAW_PROVIDERS_GROQ_APIKEY={IN_ENV_FILE}\n")).expect("variables");
    let tools = plan.home().join("tools");
    fs::create_dir_all(&tools).expect("a folder");
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap_or_default());
    plan.with("KAFCLAW_GROUP_KAFKA_SASL_PASSWORD", IN_VARIABLE).with("PATH", &path)
}

fn secrets(plan: &Plan, gateway: &Gateway) -> Vec<String> {
    let code = plan.command(&["setup-code"]).output().expect("the program").stdout;
    let code = String::from_utf8(code).expect("text").trim().to_owned();
    let fixed = [IN_CONFIG, IN_BROKER_ADDRESS, IN_VARIABLE, IN_ENV_FILE, IN_SETTINGS, IN_LIST];
    fixed.into_iter().map(str::to_owned).chain([gateway.token().to_owned(), code]).collect()
}

/// How somebody may have written a secret down.
fn spellings(secret: &str) -> Vec<String> {
    let json = json!(secret).to_string();
    let percent: String = secret
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() || b == b'-' { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect();
    let hex: String = secret.bytes().map(|b| format!("{b:02x}")).collect();
    vec![secret.to_owned(), json[1..json.len() - 1].to_owned(), percent, hex, STANDARD.encode(secret)]
}

/// A `journalctl` that prints what a careless program would have logged.
fn plant_journal(plan: &Plan, secrets: &[String]) {
    let mut lines =
        vec![json!({"__REALTIME_TIMESTAMP": "1", "MESSAGE": "The house is ready.", "F_ELAPSED_MS": "38"}).to_string()];
    for spelling in secrets.iter().flat_map(|secret| spellings(secret)) {
        lines.push(
            json!({"__REALTIME_TIMESTAMP": "2", "MESSAGE": format!("said {spelling}."), "F_ERROR": &spelling})
                .to_string(),
        );
        lines.push(format!("no JSON: {spelling}"));
    }
    let data = plan.home().join("journal");
    fs::write(&data, lines.join("\n")).expect("a journal");
    let program = plan.home().join("tools/journalctl");
    fs::write(&program, format!("#!/bin/sh\ncat '{}'\n", data.display())).expect("a program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
}

/// Names and contents of a bundle.
fn unpacked(bytes: &[u8]) -> Vec<(String, String)> {
    let mut archive = tar::Archive::new(GzDecoder::new(bytes));
    let entries = archive.entries().expect("a bundle").map(|entry| {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a name").file_name().expect("a name").to_string_lossy().into_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("text");
        (name, text)
    });
    entries.collect()
}

#[track_caller]
fn assert_clean(parts: &[(String, String)], secrets: &[String]) {
    for (name, text) in parts {
        for spelling in secrets.iter().flat_map(|secret| spellings(secret)) {
            assert!(!text.contains(&spelling), "{spelling} stands in {name}");
        }
    }
}

fn part<'a>(parts: &'a [(String, String)], name: &str) -> &'a str {
    let found = parts.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str());
    found.unwrap_or_else(|| panic!("no {name} in {:?}", parts.iter().map(|(name, _)| name).collect::<Vec<_>>()))
}

#[test]
fn a_bundle_tells_how_the_house_is_and_no_secret_and_no_word() {
    let plan = plan();
    let gateway = plan.start();
    let secrets = secrets(&plan, &gateway);
    plant_journal(&plan, &secrets);
    gateway.dashboard().post("/api/v1/settings", &json!({"key": "kitchen_token", "value": IN_SETTINGS}));
    // People tell secrets, too.
    for secret in &secrets {
        gateway.chat().say(&format!("remember that {PRIVATE} and the key is {secret}"));
    }

    let file = plan.home().join("bundle.tar.gz");
    let run = |more: &[&str]| {
        let name = file.to_str().expect("text");
        let output = plan.command(&[&["diagnostics", "--output", name], more].concat()).output().expect("the program");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
        let bytes = fs::read(&file).expect("a file");
        fs::remove_file(&file).expect("removed");
        unpacked(&bytes)
    };
    let parts = run(&[]);
    assert_clean(&parts, &secrets);
    assert!(parts.iter().all(|(_, text)| !text.contains("Schwiegermutter")), "words stand in it");
    for name in ["manifest.json", "README.txt", "versions.json", "machine.txt", "files.txt", "variables.json"] {
        assert!(!part(&parts, name).is_empty(), "{name}");
    }
    assert!(part(&parts, "config.json").contains("\"apiKey\": \"***\""), "{}", part(&parts, "config.json"));
    assert!(part(&parts, "doctor.json").contains("\"verdict\""), "{}", part(&parts, "doctor.json"));
    assert!(part(&parts, "journal.jsonl").contains("The house is ready."), "{}", part(&parts, "journal.jsonl"));
    assert!(part(&parts, "timeline.jsonl").contains("\"trace_id\""), "{}", part(&parts, "timeline.jsonl"));
    assert!(part(&parts, "variables.json").contains("KAFCLAW_GROUP_KAFKA_SASL_PASSWORD"));

    let told = run(&["--with-texts"]);
    assert_clean(&told, &secrets);
    assert!(part(&told, "timeline.jsonl").contains("Schwiegermutter"));

    let sent = gateway.dashboard().get("/api/v1/diagnostics");
    assert_eq!(sent.status, 200);
    assert!(sent.header("content-disposition").is_some_and(|name| name.contains(".tar.gz")));
    let parts = unpacked(&sent.body);
    assert_clean(&parts, &secrets);
    assert!(
        part(&parts, "timeline.jsonl").contains("\"trace_id\"")
            && !part(&parts, "timeline.jsonl").contains("Schwiegermutter")
    );
}

#[test]
fn a_house_that_does_not_run_and_whose_configuration_is_broken_can_still_be_told_of() {
    let plan = Plan::new();
    fs::create_dir_all(plan.state()).expect("a folder");
    fs::write(plan.state().join("config.json"), r#"{"gateway": {"prot": 1, "authToken": "Kuehlschrank-7"}}"#)
        .expect("written");
    let output = plan.command(&["diagnostics", "--output", "-"]).output().expect("the program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let parts = unpacked(&output.stdout);
    assert!(part(&parts, "config.json").contains("gateway.prot"), "{}", part(&parts, "config.json"));
    assert_clean(&parts, &["Kuehlschrank-7".to_owned()]);
    assert!(part(&parts, "manifest.json").contains("timeline.jsonl: "), "{}", part(&parts, "manifest.json"));
}
