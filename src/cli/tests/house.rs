//! Commands that set the house up, keep it and bring it back.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::*;
use crate::cli::client::testing::Fake;
use crate::db::{self, Db};

const ONBOARD: [&str; 7] = ["onboard", "--non-interactive", "--accept-risk", "--mode", "local", "--llm", "skip"];

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn onboard(home: &Path, more: &[&str]) -> (u8, String, String) {
    kafclaw(home, &[&ONBOARD, more].concat())
}

#[test]
fn a_bare_home_is_set_up_and_a_second_time_changes_nothing() {
    let home = home();
    let (code, out, err) =
        onboard(home.path(), &["--json", "--mqtt-url", "mqtt://127.0.0.1:1883", "--gateway-port", "28790"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let summary: Value = serde_json::from_str(&out).expect("JSON");
    let config = home.path().join(".kafclaw/config.json");
    assert_eq!(summary["configPath"], config.display().to_string());
    assert_eq!((&summary["mode"], &summary["gatewayBind"]), (&Value::from("local"), &Value::from("loopback")));
    assert_eq!(summary["health"]["gatewayReachable"], false);
    assert_eq!(fs::metadata(&config).expect("a file").permissions().mode() & 0o777, 0o600);
    assert_eq!(kafclaw(home.path(), &["config", "get", "gateway.port"]).1, "28790\n");
    let soul = home.path().join("KafClaw-Workspace/SOUL.md");
    assert!(fs::read_to_string(&soul).expect("a soul").starts_with("# Who you are"));
    assert!(home.path().join("KafClaw-Workspace/memory").is_dir());

    fs::write(&soul, "mine").expect("written");
    let before = fs::read(&config).expect("a file");
    let (code, out, _) = onboard(home.path(), &[]);
    assert!(code == 0 && out.contains("Kept") && out.contains("\nNext:\n"), "{out}");
    assert_eq!(
        (fs::read(&config).expect("a file"), fs::read_to_string(&soul).expect("a soul")),
        (before, "mine".to_owned())
    );
}

#[test]
fn force_and_reset_begin_anew_and_keep_the_old_aside() {
    let home = home();
    let state = home.path().join(".kafclaw");
    onboard(home.path(), &["--gateway-port", "28790"]);
    let soul = home.path().join("KafClaw-Workspace/SOUL.md");
    fs::write(&soul, "mine").expect("written");
    fs::write(state.join("gateway.token"), "geheim").expect("written");
    let (code, out, _) = onboard(home.path(), &["--force"]);
    assert!(code == 0 && out.contains("Set aside"), "{out}");
    assert!(fs::read_to_string(&soul).expect("a soul").starts_with("# Who"));
    assert_eq!(fs::read_to_string(soul.with_file_name("SOUL.md.old-20260818-143012")).expect("kept"), "mine");
    assert_eq!(kafclaw(home.path(), &["config", "get", "gateway.port"]).1, "18790\n");
    assert!(fs::read_to_string(state.join("config.json.old-20260818-143012")).expect("kept").contains("28790"));

    let db = Db::open(&db::Config::at(state.join("timeline.db")), &[], &Clock::System).expect("a database");
    let (code, _, err) = onboard(home.path(), &["--reset-scope", "full"]);
    assert!(code == 1 && err.contains("stop it before"), "{err}");
    db.close();
    drop(db);
    fs::remove_file(state.join("config.json.old-20260818-143012")).expect("removed");
    assert_eq!(onboard(home.path(), &["--reset-scope", "full"]).0, 0);
    assert!(!state.join("timeline.db").exists() && state.join("timeline.db.old-20260818-143012").exists());
    assert!(!state.join("gateway.token").exists());
}

#[test]
fn models_are_written_as_the_configuration_wants_them() {
    for (flags, key, value) in [
        (&["--llm", "ollama", "--llm-model", "qwen3:4b"][..], "model.name", "ollama/qwen3:4b"),
        (&["--llm", "ollama", "--llm-model", "x"], "providers.ollama.apiBase", "http://127.0.0.1:11434/v1"),
        (&["--llm", "claude", "--llm-token", "k"], "model.name", "anthropic/claude-sonnet-4-5"),
        (
            &["--llm", "openai-compatible", "--llm-api-base", "http://10.0.0.5:8000/v1", "--llm-model", "org/m"],
            "model.name",
            "openai/org/m",
        ),
        (&["--llm", "skip"], "model.name", "anthropic/claude-sonnet-4-5"),
    ] {
        let home = home();
        let (code, _, err) = kafclaw(home.path(), &[&ONBOARD[..5], flags].concat());
        assert_eq!((code, err.as_str()), (0, ""), "{flags:?}");
        assert_eq!(kafclaw(home.path(), &["config", "get", key]).1.trim(), value, "{flags:?}");
    }
}

#[test]
fn what_cannot_be_set_up_is_refused_before_anything_is_written() {
    for (args, code, reason) in [
        (&["onboard"][..], 64, "--accept-risk, --mode local, --llm"),
        (
            &["onboard", "--non-interactive", "--accept-risk", "--mode", "local-kafka", "--llm", "skip"],
            64,
            "not in this version",
        ),
        (&["onboard", "--non-interactive", "--accept-risk", "--mode", "local", "--llm", "gpt"], 64, "is not known"),
        (
            &["onboard", "--non-interactive", "--accept-risk", "--mode", "local", "--llm", "cli-token"],
            64,
            "not in this version",
        ),
        (
            &["onboard", "--non-interactive", "--accept-risk", "--mode", "local", "--llm", "claude"],
            64,
            "needs --llm-token",
        ),
        (
            &["onboard", "--non-interactive", "--accept-risk", "--mode", "local", "--llm", "openai-compatible"],
            64,
            "--llm-api-base",
        ),
        (&["onboard", "--user"], 64, "--systemd"),
        (&["onboard", "--health-timeout", "soon"], 64, "not a length of time"),
    ] {
        let home = home();
        let (got, out, err) = kafclaw(home.path(), args);
        assert!(got == code && out.is_empty() && err.contains(reason), "{args:?}: {got} {err}");
        assert!(!home.path().join(".kafclaw").exists(), "{args:?}");
    }
    let home = home();
    let (code, _, err) = onboard(home.path(), &["--gateway-host", "0.0.0.0"]);
    assert!(code == 1 && err.contains("--allow-non-loopback"), "{err}");
    let (code, _, err) = onboard(home.path(), &["--mqtt-url", "http://nonsense"]);
    assert!(code == 78 && err.contains("mqtt.url"), "{err}");
}

#[test]
fn other_machines_get_in_with_a_token_only() {
    let home = home();
    let (code, out, _) = onboard(home.path(), &["--gateway-host", "0.0.0.0", "--allow-non-loopback", "--json"]);
    let summary: Value = serde_json::from_str(&out).expect("JSON");
    assert!(code == 0 && summary["gatewayBind"] == "non-loopback", "{out}");
    let (code, token, _) = kafclaw(home.path(), &["token"]);
    assert!(code == 0 && token.trim().len() == 64 && !out.contains(token.trim()));
    let (_, rotated, _) = kafclaw(home.path(), &["token", "--rotate"]);
    assert!(rotated.trim().len() == 64 && rotated != token);
    assert_eq!(kafclaw(home.path(), &["token"]).1, rotated);
    assert_eq!(
        fs::metadata(home.path().join(".kafclaw/gateway.token")).expect("a file").permissions().mode() & 0o777,
        0o600
    );
    kafclaw(home.path(), &["config", "set", "gateway.authToken", "configured"]);
    assert_eq!(kafclaw(home.path(), &["token"]).1, "configured\n");
    assert_eq!(kafclaw(home.path(), &["token", "--rotate"]).0, 1);
}

#[test]
fn a_person_is_asked_and_may_say_no() {
    let home = home();
    let (code, _, err) = typing(home.path(), &["onboard"], "no\n", Seat::Person);
    assert!(code == 1 && err.contains("nothing was changed") && !home.path().join(".kafclaw").exists(), "{err}");
    let (code, _, err) = typing(home.path(), &["onboard"], "yes\n", Seat::Person);
    assert!(code == 1 && err.contains("the input ended") && !home.path().join(".kafclaw").exists(), "{err}");
    let answers = "\nmqtt://127.0.0.1:1883\nwhat?\nollama\n\nqwen3:4b\n\n";
    let (code, out, err) = typing(home.path(), &["onboard"], answers, Seat::Person);
    assert!(code == 0 && err.contains("`what?` is not in the list."), "{out}{err}");
    assert_eq!(kafclaw(home.path(), &["config", "get", "model.name"]).1, "ollama/qwen3:4b\n");
    assert_eq!(kafclaw(home.path(), &["config", "get", "mqtt.enabled"]).1, "true\n");
}

#[test]
fn an_old_kafclaw_file_is_kept_and_its_sleeping_scheduler_is_mentioned() {
    let home = home();
    fs::create_dir_all(home.path().join(".kafclaw")).expect("made");
    let old = r#"{"scheduler": {"enabled": false}, "model": {"name": "openai/x"}}"#;
    fs::write(home.path().join(".kafclaw/config.json"), old).expect("written");
    let (code, out, _) = onboard(home.path(), &[]);
    assert!(code == 0 && out.contains("! scheduler.enabled is false"), "{out}");
    assert_eq!(fs::read_to_string(home.path().join(".kafclaw/config.json")).expect("a file"), old);
}

#[test]
fn units_are_written_where_they_belong() {
    let home = home();
    let root = home.path().join("image");
    let root = root.to_str().expect("text");
    let (code, out, _) =
        onboard(home.path(), &["--systemd", "--service-install-root", root, "--service-binary", "/opt/kafclaw"]);
    assert!(code == 0 && out.contains("systemctl daemon-reload && systemctl enable --now"), "{out}");
    let unit = fs::read_to_string(format!("{root}/etc/systemd/system/kafclaw-gateway.service")).expect("a unit");
    assert!(unit.contains("ExecStart=\"/opt/kafclaw\" gateway\n") && unit.contains("User=kafclaw\n"), "{unit}");
    assert_eq!(onboard(home.path(), &["--systemd", "--user"]).0, 0);
    assert!(home.path().join(".config/systemd/user/kafclaw-gateway.service").exists());
}

#[test]
fn a_backup_goes_into_one_file_and_comes_back() {
    let home = home();
    onboard(home.path(), &["--gateway-port", "28790"]);
    let file = home.path().join("home.tar");
    let name = file.to_str().expect("text");
    let (code, out, _) = kafclaw(home.path(), &["backup", name]);
    assert!(code == 0 && out.starts_with(&format!("{name} with 6 files (")), "{out}");
    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    let (code, _, err) = kafclaw(home.path(), &["backup", name]);
    assert!(code == 1 && err.contains("exists; give another name, or --force"), "{err}");
    let (code, out, _) = kafclaw(home.path(), &["backup"]);
    assert!(code == 0 && out.contains("/.kafclaw/backups/kafclaw-20260818-143012.tar with"), "{out}");

    kafclaw(home.path(), &["config", "set", "gateway.port", "28799"]);
    let fake = Fake::start(home.path(), &[("GET /healthz", 200, "{\"status\":\"ok\"}")]);
    let (code, _, err) = kafclaw(home.path(), &["restore", name]);
    assert!(code == 1 && err.contains("the gateway is running on 127.0.0.1"), "{err}");
    drop(fake);
    fs::remove_file(home.path().join(".kafclaw/run/gateway.json")).expect("removed");
    let (code, out, err) = kafclaw(home.path(), &["restore", name]);
    assert!(
        code == 0 && out.contains("6 files of the backup") && out.contains("What was there before is in"),
        "{out}{err}"
    );
    assert_eq!(kafclaw(home.path(), &["config", "get", "gateway.port"]).1, "28790\n");
    fs::write(&file, "cut").expect("written");
    let (code, _, err) = kafclaw(home.path(), &["restore", name]);
    assert!(code == 1 && err.contains("is no backup of KafClaw; nothing was changed"), "{err}");
}
