//! What other programs of the machine know: systemd its units, RAUC its slots.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::doctor::Finding;

const ANSWER_MAX: Duration = Duration::from_secs(10);
/// RAUC, which is started by the question, takes 12 s on a slow board that has just come up.
const RAUC_ANSWER_MAX: Duration = Duration::from_secs(60);
/// There when systemd is what started the machine (`sd_booted(3)`).
const SYSTEMD: &str = "/run/systemd/system";

/// What a program prints; none where it is not installed, does not end in `limit`, or fails.
async fn printed(limit: Duration, program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(limit, command.output()).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(super) async fn units() -> Finding {
    if !Path::new(SYSTEMD).is_dir() {
        return Finding::skip("units", "the machine does not run systemd");
    }
    match printed(ANSWER_MAX, "systemctl", &["--failed", "--plain", "--no-legend", "--no-pager"]).await {
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

/// The cards that join a Wi-Fi by the image's own units.
pub(super) async fn wifi() -> Finding {
    let list = ["list-units", "kafclaw-wifi@*", "--state=active", "--plain", "--no-legend", "--no-pager"];
    let units = printed(ANSWER_MAX, "systemctl", &list).await.unwrap_or_default();
    let Some(unit) = units.lines().find_map(|line| line.split_whitespace().next()) else {
        return Finding::skip("wifi", "no card is told to join one");
    };
    let card = unit.trim_start_matches("kafclaw-wifi@").trim_end_matches(".service");
    match printed(ANSWER_MAX, "journalctl", &["-u", unit, "-b", "-n", "500", "-o", "cat", "--no-pager"]).await {
        Some(text) => joined(card, &text),
        None => {
            Finding::skip("wifi", format!("what {card} does stands in the journal, which may be read by root only"))
        }
    }
}

/// From what `wpa_supplicant` says of itself (its control interface's events, `wpa_ctrl.h`), the last thing counts.
fn joined(card: &str, text: &str) -> Finding {
    const REFUSED: [&str; 2] = ["pre-shared key may be incorrect", "reason=WRONG_KEY"];
    let last = text.lines().rev().find_map(|line| {
        if line.contains("CTRL-EVENT-CONNECTED") {
            return Some(Finding::pass("wifi", format!("{card} has joined")));
        }
        REFUSED.iter().any(|words| line.contains(words)).then(|| {
            let advice = "write the right one into kafclaw.json on a stick, and put it in";
            Finding::fail("wifi", format!("{card}: the network does not take the password"), advice)
        })
    });
    last.unwrap_or_else(|| Finding::skip("wifi", format!("{card} looks for its network")))
}

pub(super) async fn slots(are_there: bool) -> Finding {
    match printed(RAUC_ANSWER_MAX, "rauc", &["status", "--detailed", "--output-format=json"]).await {
        Some(text) => slot_states(&text),
        None if are_there => {
            let advice = "`journalctl -u rauc -b` says why; until it does, nothing can be updated or taken back";
            Finding::fail("slots", "RAUC does not answer", advice)
        }
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
    fn a_password_that_is_not_taken_is_told_until_another_is() {
        let refused = "wlp9s0: CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:01:00 reason=15
wlp9s0: WPA: 4-Way Handshake failed - pre-shared key may be incorrect
wlp9s0: CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid=\"home\" auth_failures=1 duration=10 reason=WRONG_KEY
wlp9s0: Trying to associate with 02:00:00:00:01:00 (SSID='home' freq=2412 MHz)\n";
        let taken = "wlp9s0: CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:01:00 completed [id=0 id_str=]\n";
        let verdict = |text: &str| joined("wlp9s0", text).verdict;
        assert_eq!(verdict("wlp9s0: CTRL-EVENT-SCAN-STARTED\n"), Verdict::Skip);
        assert_eq!(verdict(refused), Verdict::Fail);
        assert_eq!(verdict(&[refused, taken].concat()), Verdict::Pass);
        assert_eq!(verdict(&[taken, refused].concat()), Verdict::Fail);
    }

    #[tokio::test]
    async fn slots_without_rauc_are_no_slots_or_a_fault() {
        // Nothing that the tests run on has RAUC's configuration.
        assert_eq!(slots(false).await.verdict, Verdict::Skip);
        assert_eq!(slots(true).await.verdict, Verdict::Fail);
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
