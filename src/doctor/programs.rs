//! What other programs of the machine know: systemd its units, RAUC its slots.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::doctor::Finding;

const ANSWER_MAX: Duration = Duration::from_secs(10);
/// There when systemd is what started the machine (`sd_booted(3)`).
const SYSTEMD: &str = "/run/systemd/system";

/// What a program prints; none where it is not installed, does not end in time, or fails.
async fn printed(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(ANSWER_MAX, command.output()).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(super) async fn units() -> Finding {
    if !Path::new(SYSTEMD).is_dir() {
        return Finding::skip("units", "the machine does not run systemd");
    }
    match printed("systemctl", &["--failed", "--plain", "--no-legend", "--no-pager"]).await {
        Some(text) => failed_units(&text),
        None => Finding::skip("units", "systemd does not answer"),
    }
}

fn failed_units(text: &str) -> Finding {
    let failed: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    match failed[..] {
        [] => Finding::pass("units", "none has failed"),
        [first, ..] => {
            let advice = format!("`journalctl -u {first} -b` says why");
            Finding::fail("units", format!("failed: {}", failed.join(", ")), advice)
        }
    }
}

pub(super) async fn slots() -> Finding {
    match printed("rauc", &["status", "--detailed", "--output-format=json"]).await {
        Some(text) => slot_states(&text),
        None => Finding::skip("slots", "this system has no second one to fall back to"),
    }
}

/// `rauc status --detailed --output-format=json` (RAUC's manual, "Status"): `booted` and a list of objects with one slot each. A slot
/// that nothing was ever installed to cannot be started, which is how every new device is, and the one that runs is good only when it
/// has answered for a while after the start; whether it ever does is the matter of the update's own finding.
fn slot_states(text: &str) -> Finding {
    let Ok(status) = serde_json::from_str::<Value>(text) else {
        return Finding::fail("slots", "RAUC answers in words that are not known", "`rauc status` shows them");
    };
    let booted = status["booted"].as_str().unwrap_or("?");
    let slots = status["slots"].as_array().into_iter().flatten().filter_map(Value::as_object);
    let (mut told, mut bad) = (Vec::new(), Vec::new());
    for (_, slot) in slots.flatten() {
        let Some(name) = slot["bootname"].as_str() else { continue };
        let is_running = slot["state"] == "booted";
        let is_empty = slot["slot_status"]["bundle"]["version"].is_null();
        let state = match slot["boot_status"].as_str().unwrap_or("?") {
            "bad" if is_running => "not proved yet",
            "bad" if is_empty => "empty",
            state => state,
        };
        told.push(format!("{name} {state}"));
        if state == "bad" {
            bad.push(name);
        }
    }
    let detail = format!("{} runs; {}", booted, told.join(", "));
    if bad.is_empty() {
        return Finding::pass("slots", detail);
    }
    let advice = "`kafclaw update status` says why; installing an update again makes the slot good";
    Finding::fail("slots", detail, advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn failed_units_are_named() {
        assert_eq!(failed_units("").verdict, Verdict::Pass);
        let found =
            failed_units("mosquitto.service loaded failed failed Mosquitto\navahi.service loaded failed failed x\n");
        assert_eq!((found.verdict, found.detail.as_str()), (Verdict::Fail, "failed: mosquitto.service, avahi.service"));
        assert!(found.advice.is_some_and(|advice| advice.contains("-u mosquitto.service")));
    }

    #[test]
    fn slots_are_good_or_bad() {
        let status_of = |running: &str, other: &str, version: &str| {
            format!(
                r#"{{"compatible": "kafclaw", "booted": "A", "slots": [
                    {{"rootfs.0": {{"bootname": "A", "state": "booted", "boot_status": "{running}",
                        "slot_status": {{"bundle": {{"compatible": null}}}}}}}},
                    {{"rootfs.1": {{"bootname": "B", "state": "inactive", "boot_status": "{other}",
                        "slot_status": {{"bundle": {{"compatible": "kafclaw", "version": {version}}}}}}}}}]}}"#
            )
        };
        let status = |other: &str, version: &str| status_of("good", other, version);
        assert_eq!(slot_states(&status("good", "\"0.2.0\"")).detail, "A runs; A good, B good");
        assert_eq!(slot_states(&status("bad", "\"0.2.0\"")).verdict, Verdict::Fail);
        let new = slot_states(&status("bad", "null"));
        assert_eq!((new.verdict, new.detail.as_str()), (Verdict::Pass, "A runs; A good, B empty"));
        let early = slot_states(&status_of("bad", "bad", "null"));
        assert_eq!((early.verdict, early.detail.as_str()), (Verdict::Pass, "A runs; A not proved yet, B empty"));
        assert_eq!(slot_states("slots? none").verdict, Verdict::Fail);
    }
}
