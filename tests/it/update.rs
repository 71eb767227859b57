//! `kafclaw update` and its API, with a pretend RAUC: a script that says what the real one says.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Gateway, PATIENCE, Plan, eventually};

/// Writes down what it was asked; a file `hang` stops an installation half way, a file `worn` makes it fail.
const RAUC: &str = r#"#!/bin/sh
set -eu
here=$(dirname "$0")
echo "rauc $*" >>"$here/calls"
case $1 in
info)
    for bundle; do :; done
    if grep -q unsigned "$bundle"; then echo 'signature verification failed: self-signed certificate' >&2; exit 1; fi
    sed -n 2p "$bundle" ;;
status)
    case $* in
    *json) echo '{"booted": "B", "slots": [{"rootfs.1": {"bootname": "B", "state": "booted", "boot_status": "bad"}}]}' ;;
    esac ;;
install)
    printf 'installing\n  0%% Installing\n 20%% Checking bundle done.\n'
    while [ -e "$here/hang" ]; do sleep 0.1; done
    if [ -e "$here/worn" ]; then echo 'LastError: Failed to update slot: No space left on device'; exit 1; fi
    printf '100%% Installing done.\n' ;;
esac
"#;

/// A machine with two slots, in a folder.
struct Machine {
    folder: TempDir,
    plan: Plan,
}

impl Machine {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").expect("a path"));
        let plan = Plan::new()
            .with("PATH", &path)
            .with("KAFCLAW_UPDATE_ROOT", &folder.path().display().to_string())
            .with("KAFCLAW_CONFIRM_STEADY_S", "0")
            .with("KAFCLAW_CONFIRM_PATIENCE_S", "0");
        let machine = Self { folder, plan };
        for (name, text) in
            [("rauc", RAUC), ("systemctl", "#!/bin/sh\necho \"systemctl $*\" >>\"$(dirname \"$0\")/calls\"\n")]
        {
            let program = machine.put(name, text);
            fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("executable");
        }
        let slots = "[system]\ncompatible=kafclaw-test\n[slot.rootfs.0]\nbootname=A\n[slot.rootfs.1]\nbootname=B\n";
        machine.put("etc/rauc/system.conf", slots);
        machine.put("etc/os-release", "IMAGE_VERSION=0.2.0\n");
        let counters = "# GRUB Environment Block\nORDER=A B\nA_OK=1\nA_TRY=0\nB_OK=1\nB_TRY=0\n";
        machine.put("efi/EFI/BOOT/grubenv", format!("{counters:#<1024}"));
        machine.put("run/kafclaw-update/proved", "");
        machine.boot("A");
        machine
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, text).expect("written");
        path
    }

    fn boot(&self, slot: &str) {
        self.put("proc/cmdline", format!("rauc.slot={slot} ro\n"));
        let _ = fs::remove_file(self.folder.path().join("run/kafclaw-update/started"));
    }

    fn bundle(&self, name: &str, compatible: &str, version: &str) -> String {
        self.put(name, bundle(compatible, version)).display().to_string()
    }

    fn update(&self, arguments: &[&str]) -> Output {
        let mut all = vec!["update"];
        all.extend(arguments);
        self.plan.command(&all).stdin(Stdio::null()).output().expect("the program")
    }

    /// What the command says when it succeeds.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.update(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What it says when it fails.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.update(arguments);
        assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.done(&["status", "--json"])).expect("JSON")
    }

    /// What was done to the machine since this was asked last.
    fn calls(&self) -> Vec<String> {
        let path = self.folder.path().join("calls");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        let asks = ["rauc info", "rauc status --detailed"];
        let changes = text.lines().filter(|line| !asks.iter().any(|ask| line.starts_with(ask)));
        changes.map(|line| line.split(" /").next().unwrap_or_default().to_owned()).collect()
    }

    /// What an attempt to get `source` has left behind.
    fn part_of(&self, source: &str, bytes: &[u8]) {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(source.as_bytes());
        let name: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = self.plan.state().join("update");
        fs::create_dir_all(&folder).expect("made");
        fs::write(folder.join(format!("part-{name}.raucb")), bytes).expect("written");
    }

    fn restart_into(&self, slot: &str, gateway: &mut Gateway) {
        gateway.terminate();
        let _ = fs::remove_dir_all(self.folder.path().join("run"));
        self.boot(slot);
    }
}

fn bundle(compatible: &str, version: &str) -> Vec<u8> {
    let info = json!({"compatible": compatible, "version": version, "build": "20261120T000000Z"});
    let mut bytes = format!("hsqs\n{info}\n{}\n", "x".repeat(300_000)).into_bytes();
    bytes.extend([0x30, 0]);
    bytes.extend(2_u64.to_be_bytes());
    bytes
}

/// What reads a stick is careful with what it writes; the gateway, which has no rights, must see all the same what became of an update.
#[test]
fn what_root_writes_down_can_be_read_by_the_gateway() {
    let Machine { folder, plan } = Machine::new();
    let machine = Machine { folder, plan: plan.with_prelude("umask 077") };
    let noise = machine.put("noise.raucb", "no update").display().to_string();
    assert!(machine.refused(&["install", &noise]).contains("is no update"));
    for (name, mode) in [("persist/update", 0o755), ("persist/update/state.json", 0o644)] {
        let found = fs::metadata(machine.folder.path().join(name)).expect(name).permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name}: {found:o}");
    }
}

#[test]
fn a_system_is_updated_proved_and_gone_back_from() {
    let machine = Machine::new();
    let mut gateway = machine.plan.start();
    let file = machine.bundle("new.raucb", "kafclaw-test", "0.3.0");
    let said = machine.done(&["install", &file]);
    for part in
        ["gets the update", "checks it", "copies the database", "writes the other slot", "kafclaw update restart"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(machine.calls(), ["rauc install"]);
    let status = machine.status();
    assert_eq!((&status["phase"], &status["bundle"]["version"]), (&"awaiting_restart".into(), &"0.3.0".into()));
    let backup = rusqlite::Connection::open(status["backup"].as_str().expect("a copy")).expect("opens");
    let tables: i64 = backup.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0)).expect("a database");
    assert!(tables > 10);

    machine.done(&["restart"]);
    assert_eq!(machine.calls(), ["systemctl --no-block reboot"]);
    machine.restart_into("B", &mut gateway);
    let mut gateway = gateway.start_again();
    machine.done(&["confirm"]);
    assert_eq!(machine.calls(), ["rauc status mark-good"]);
    assert_eq!(machine.status()["phase"], "confirmed");

    assert!(machine.done(&["rollback"]).contains("other slot"));
    assert_eq!(machine.calls(), ["rauc status mark-active other", "systemctl --no-block reboot"]);
    machine.restart_into("A", &mut gateway);
    let _gateway = gateway.start_again();
    machine.done(&["confirm"]);
    assert_eq!(machine.status()["phase"], "rolled_back");
}

#[test]
fn a_system_that_the_doctor_finds_well_is_confirmed_like_one_that_proved_itself() {
    let machine = Machine::new();
    let mut gateway = machine.plan.start();
    machine.done(&["install", &machine.bundle("new.raucb", "kafclaw-test", "0.3.0"), "--restart"]);
    machine.restart_into("B", &mut gateway);
    let _gateway = gateway.start_again();
    machine.calls();
    let doctor = machine.plan.command(&["doctor", "--confirm"]).output().expect("the program");
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.status.success() && said.contains("marked as good"), "{said}");
    assert_eq!(machine.calls().last().map(String::as_str), Some("rauc status mark-good"));
    assert_eq!(machine.status()["phase"], "confirmed");
}

/// Nothing has been started meanwhile that could have failed.
#[test]
fn a_doctor_that_is_asked_while_an_update_waits_lets_it_wait() {
    let machine = Machine::new();
    let _gateway = machine.plan.start();
    machine.done(&["confirm"]);
    machine.done(&["install", &machine.bundle("new.raucb", "kafclaw-test", "0.3.0")]);
    let doctor = machine.plan.command(&["doctor", "--confirm"]).output().expect("the program");
    assert!(doctor.status.success(), "{}", String::from_utf8_lossy(&doctor.stdout));
    let status = machine.status();
    assert_eq!((&status["phase"], &status["bundle"]["version"]), (&"awaiting_restart".into(), &"0.3.0".into()));
    assert!(status["past"].as_array().is_some_and(Vec::is_empty), "{status}");
}

#[test]
fn a_system_that_is_not_well_comes_back_with_its_reason() {
    let machine = Machine::new();
    let mut gateway = machine.plan.start();
    machine.done(&["install", &machine.bundle("new.raucb", "kafclaw-test", "0.3.0"), "--restart"]);
    assert_eq!(machine.calls(), ["rauc install", "systemctl --no-block reboot"]);
    machine.restart_into("B", &mut gateway);
    // No gateway answers here.
    let output = machine.update(&["confirm"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("Starting anew"), "{said}");
    assert_eq!(machine.calls(), ["rauc status mark-bad", "systemctl --no-block reboot"]);
    machine.restart_into("A", &mut gateway);
    let gateway = gateway.start_again();
    machine.done(&["confirm"]);
    assert_eq!(machine.calls(), ["rauc status mark-good"]);
    let status = machine.done(&["status"]);
    assert!(status.contains("0.3.0 rolled back: ") && status.contains("the gateway is not running"), "{status}");
    let shown = gateway.dashboard().get("/api/v1/update").json();
    assert_eq!((&shown["phase"], &shown["slot"]), (&"rolled_back".into(), &"A".into()));
    assert!(shown["reason"].as_str().is_some_and(|reason| reason.contains("not running")), "{shown}");
    let doctor = machine.plan.command(&["doctor"]).output().expect("the program");
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.contains("FAIL  update") && doctor.contains("0.3.0 was taken back"), "{doctor}");
}

#[test]
fn a_system_whose_runtime_does_not_load_is_not_confirmed() {
    let machine = Machine::new();
    let mut gateway = machine.plan.start();
    machine.done(&["install", &machine.bundle("new.raucb", "kafclaw-test", "0.3.0"), "--restart"]);
    machine.calls();
    machine.restart_into("B", &mut gateway);
    let mut gateway = gateway.start_again();
    let library = machine.put("libonnxruntime.so", "half of a library");
    let mut confirm = machine.plan.command(&["update", "confirm"]);
    let output = confirm.env("ORT_DYLIB_PATH", &library).output().expect("the program");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("Starting anew") && said.contains("ONNX Runtime"), "{said}");
    assert_eq!(machine.calls(), ["rauc status mark-bad", "systemctl --no-block reboot"]);
    machine.restart_into("A", &mut gateway);
    let gateway = gateway.start_again();
    machine.done(&["confirm"]);
    assert!(machine.status()["reason"].as_str().is_some_and(|reason| reason.contains("could not open")));
    // What came back here is nothing for other hubs.
    assert_eq!(gateway.dashboard().get("/api/v1/update/bundle").status, 404);
}

#[test]
fn a_system_that_refuses_the_configuration_is_left_and_the_mistake_is_told() {
    let machine = Machine::new();
    let mut gateway = machine.plan.start();
    machine.done(&["install", &machine.bundle("new.raucb", "kafclaw-test", "0.3.0"), "--restart"]);
    machine.calls();
    machine.restart_into("B", &mut gateway);
    let file = machine.plan.state().join("config.json");
    fs::write(&file, r#"{"mqtt": {"confirmTimeout": "soon"}}"#).expect("written");
    machine.done(&["confirm"]);
    assert_eq!(machine.calls(), ["rauc status mark-bad", "systemctl --no-block reboot"]);
    let status = machine.status();
    assert!(status["reason"].as_str().is_some_and(|reason| reason.contains("mqtt.confirmTimeout")), "{status}");
    assert!(machine.refused(&["check", "http://127.0.0.1:9"]).contains("mqtt.confirmTimeout"));
}

/// Both slots look at the same state, so nothing in it may decide which of them is good.
#[test]
fn a_clock_is_judged_by_the_systems_own_day_and_by_nothing_that_both_slots_share() {
    let machine = Machine::new();
    let mut gateway = machine.plan.start();
    machine.done(&["install", &machine.bundle("new.raucb", "kafclaw-test", "0.3.0"), "--restart"]);
    machine.calls();
    machine.restart_into("B", &mut gateway);
    let _gateway = gateway.start_again();
    let dated = |path: &Path, days: u64| {
        let file = fs::File::options().append(true).create(true).open(path).expect("a file");
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(days * 24 * 3600);
        file.set_modified(time).expect("dated");
    };
    // One wrong answer from the network, long ago, and everything that was written then is of the future.
    dated(&machine.plan.state().join("written-when-the-clock-was-wrong"), 40_000);
    dated(&machine.put("usr/lib/clock-epoch", ""), 20_000);
    machine.done(&["confirm"]);
    assert_eq!(machine.calls(), ["rauc status mark-good"]);

    let machine = Machine::new();
    let mut gateway = machine.plan.start();
    machine.done(&["install", &machine.bundle("new.raucb", "kafclaw-test", "0.3.0"), "--restart"]);
    machine.calls();
    machine.restart_into("B", &mut gateway);
    let _gateway = gateway.start_again();
    dated(&machine.put("usr/lib/clock-epoch", ""), 40_000);
    machine.done(&["confirm"]);
    assert_eq!(machine.calls(), ["rauc status mark-bad", "systemctl --no-block reboot"]);
    let reason = machine.status()["reason"].as_str().expect("a reason").to_owned();
    assert!(reason.contains("clock: ") && reason.contains("before this system was built"), "{reason}");
}

#[test]
fn every_refusal_is_a_sentence_that_says_what_to_do() {
    let machine = Machine::new();
    let check = |file: String, parts: &[&str]| {
        let said = machine.refused(&["install", &file]);
        assert!(parts.iter().all(|part| said.contains(part)) && said.trim().lines().count() == 1, "{said}");
        assert_eq!(machine.calls(), [""; 0], "{said}");
    };
    check(machine.bundle("old.raucb", "kafclaw-test", "0.1.0"), &["0.1.0", "older than 0.2.0", "--downgrade"]);
    check(
        machine.bundle("other.raucb", "kafclaw-pi", "0.3.0"),
        &["is for kafclaw-pi", "get the file for kafclaw-test"],
    );
    check(machine.bundle("forged.raucb", "kafclaw-test", "unsigned"), &["has signed", "get it from"]);
    let whole = bundle("kafclaw-test", "0.3.0");
    let cut = machine.put("cut.raucb", &whole[..whole.len() / 2]);
    check(cut.display().to_string(), &["cut off on its way", "get it again"]);
    check(machine.put("song.raucb", "la la la").display().to_string(), &["is no update"]);
    check("/nonexistent/x.raucb".to_owned(), &["could not read"]);
    check("http://127.0.0.1:9/x.raucb".to_owned(), &["could not get the update from 127.0.0.1", "try again"]);
    // Larger than any disk that tests run on, and nothing of it is there.
    let huge = machine.put("huge.raucb", &whole);
    let file = fs::OpenOptions::new().write(true).open(&huge).expect("a file");
    std::os::unix::fs::FileExt::write_at(&file, &whole[whole.len() - 10..], 8 << 40).expect("a sparse file");
    check(huge.display().to_string(), &["the disk is full", "make room"]);

    let new = machine.bundle("new.raucb", "kafclaw-test", "0.3.0");
    machine.put("worn", "");
    assert!(machine.refused(&["install", &new]).contains("No space left on device"));
    assert_eq!(machine.calls(), ["rauc install"]);
    assert!(machine.refused(&["restart"]).contains("install one first"));
    assert!(
        machine
            .refused(&["install", "--only-newer", &machine.bundle("same.raucb", "kafclaw-test", "0.2.0")])
            .contains("already")
    );
    fs::remove_file(machine.folder.path().join("run/kafclaw-update/proved")).expect("removed");
    assert!(machine.refused(&["install", &new]).contains("proving itself"));
    fs::remove_file(machine.folder.path().join("etc/rauc/system.conf")).expect("removed");
    for command in [&["install", &new][..], &["rollback"], &["check", "http://127.0.0.1:9"]] {
        assert!(machine.refused(command).contains("the way it was installed"), "{command:?}");
    }
}

/// Kills the driver while it writes the slot, after `meanwhile`; returns the bundle.
fn killed_while_it_installs(machine: &Machine, meanwhile: impl FnOnce(&str)) -> String {
    machine.put("hang", "");
    let file = machine.bundle("new.raucb", "kafclaw-test", "0.3.0");
    let mut driver = machine.plan.command(&["update", "install", &file]);
    let mut driver = driver.stdout(Stdio::null()).spawn().expect("the program");
    eventually("it writes the slot", PATIENCE, || machine.status()["progress"]["percent"] == 20);
    meanwhile(&file);
    driver.kill().expect("killed");
    driver.wait().expect("ended");
    fs::remove_file(machine.folder.path().join("hang")).expect("removed");
    assert_eq!(machine.status()["phase"], "installing");
    file
}

#[test]
fn an_installation_that_the_power_cut_goes_on_after_the_next_start() {
    let machine = Machine::new();
    let gateway = machine.plan.start();
    let file = killed_while_it_installs(&machine, |file| {
        assert!(machine.refused(&["install", file]).contains("under way"));
    });
    // What was to be installed is here, wherever it came from.
    fs::remove_file(&file).expect("removed");
    machine.done(&["confirm"]);
    assert_eq!(machine.calls(), ["rauc install", "rauc status mark-good", "rauc install"]);
    assert_eq!(machine.status()["phase"], "awaiting_restart");
    drop(gateway);
}

/// The power was cut when that was written down and the boot loader did not know yet.
#[test]
fn a_system_that_was_to_be_taken_back_is_left_before_anything_else() {
    let machine = Machine::new();
    let _gateway = machine.plan.start();
    let ledger =
        json!({"phase": "taking_back", "from_slot": "A", "to_slot": "B", "proved_slot": "A", "untried_slot": "B"});
    machine.put("persist/update/state.json", ledger.to_string());
    machine.boot("B");
    machine.done(&["confirm"]);
    assert_eq!(machine.calls(), ["rauc status mark-bad", "systemctl --no-block reboot"]);
    machine.boot("A");
    machine.done(&["confirm"]);
    let calls = ["rauc status mark-good", "rauc status mark-bad other", "rauc status mark-active booted"];
    assert_eq!(machine.calls(), calls);
    assert_eq!(machine.status()["phase"], "rolled_back");
}

/// As when the stick is pulled out that its unit is bound to.
#[test]
fn an_installation_whose_driver_is_killed_stands_in_nobodys_way() {
    let machine = Machine::new();
    let gateway = machine.plan.start();
    let door = gateway.dashboard();
    let file = killed_while_it_installs(&machine, |file| {
        assert_eq!(machine.status()["at_work"], true);
        assert_eq!(door.post("/api/v1/update/install", &json!({"source": file})).status, 409);
    });
    assert_eq!(machine.status()["at_work"], false);
    assert_eq!(door.post("/api/v1/update/install", &json!({"source": file})).status, 202);
    machine.calls();
    machine.done(&["apply"]);
    assert_eq!(machine.calls(), ["rauc install"]);
    assert_eq!(machine.status()["phase"], "awaiting_restart");
}

#[test]
fn the_gateway_asks_and_hands_on_what_it_has() {
    let machine = Machine::new();
    let gateway = machine.plan.start();
    let door = gateway.dashboard();
    assert_eq!(door.get("/api/v1/update/bundle").status, 404);
    let file = machine.bundle("new.raucb", "kafclaw-test", "0.3.0");
    let asked = door.post("/api/v1/update/install", &json!({"source": file}));
    assert_eq!((asked.status, &asked.json()["requested"]), (202, &true.into()));
    assert_eq!(door.post("/api/v1/update/install", &json!({"source": file})).status, 409);
    // What the path unit does.
    machine.done(&["apply"]);
    assert_eq!(machine.calls(), ["rauc install"]);
    let shown = door.get("/api/v1/update").json();
    assert_eq!((&shown["phase"], &shown["requested"]), (&"awaiting_restart".into(), &false.into()));

    let part = door.call("GET", "/api/v1/update/bundle", &["Range: bytes=300000-"], b"");
    let whole = bundle("kafclaw-test", "0.3.0");
    assert_eq!((part.status, part.body.as_slice()), (206, &whole[300_000..]));
    let expected = format!("bytes 300000-{}/{}", whole.len() - 1, whole.len());
    assert_eq!(part.header("content-range"), Some(expected.as_str()));
    let stale = door.call("GET", "/api/v1/update/bundle", &["Range: bytes=300000-", "If-Range: \"old\""], b"");
    assert_eq!((stale.status, stale.body.len()), (200, whole.len()));
    assert_eq!(door.call("GET", "/api/v1/update/bundle", &["Range: bytes=9999999-"], b"").status, 416);

    let other = Machine::new();
    let source = format!("http://{}", door.address);
    assert!(other.refused(&["install", &source]).contains("401"));
    let with_token = other.plan.clone().with("KAFCLAW_UPDATE_TOKEN", gateway.token());
    let other = Machine { plan: with_token, ..other };
    assert!(other.done(&["check", &source]).contains("Version 0.3.0 is there, 0.2.0 runs"));
    // A beginning from an earlier attempt is gone on from.
    other.part_of(&source, &whole[..100_000]);
    other.done(&["install", &source]);
    assert_eq!(other.calls(), ["rauc install"]);
    let has = fs::read(other.folder.path().join("var/lib/kafclaw-update/bundle.raucb")).expect("handed on further");
    assert_eq!(has, whole);

    assert_eq!(door.post("/api/v1/update/rollback", &json!({})).status, 202);
    machine.done(&["apply"]);
    assert_eq!(machine.calls(), ["rauc status mark-bad other", "rauc status mark-active booted"]);
    assert_eq!(door.get("/api/v1/update").json()["phase"], "rolled_back");
}

#[test]
fn a_machine_without_slots_is_told_so_by_everything() {
    let gateway = Plan::new().with("KAFCLAW_UPDATE_ROOT", "/nonexistent").start();
    assert_eq!(gateway.dashboard().get("/api/v1/update").json()["supported"], false);
    let refused = gateway.dashboard().post("/api/v1/update/install", &json!({"source": "/x.raucb"}));
    assert_eq!(refused.status, 501);
    assert!(refused.text().contains("no second system"), "{}", refused.text());
}

#[test]
fn root_leaves_what_strangers_send_to_the_houses_own_user() {
    // Only root can become somebody else.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let machine = Machine::new();
    machine.plan.start().terminate();
    let file = machine.bundle("new.raucb", "kafclaw-test", "0.3.0");
    let home = machine.plan.home();
    for path in [home, machine.folder.path()] {
        let output = Command::new("chmod").args(["-R", "a+rX"]).arg(path).output().expect("chmod");
        assert!(output.status.success());
    }
    let output = Command::new("chown").args(["-R", "65534:65534"]).arg(home).output().expect("chown");
    assert!(output.status.success());
    let request = json!({"action": "install", "source": file, "restart": false});
    let incoming = machine.plan.state().join("update");
    fs::create_dir_all(&incoming).expect("made");
    fs::write(incoming.join("request.json"), request.to_string()).expect("asked");
    let output = Command::new("chown").args(["-R", "65534:65534"]).arg(&incoming).output().expect("chown");
    assert!(output.status.success());
    // Where the program was built may be a place that only root can go to.
    let mut version = machine.plan.command(&["version"]);
    if !version.uid(65534).gid(65534).output().is_ok_and(|output| output.status.success()) {
        return;
    }
    let output = machine.update(&["apply"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let bundle = machine.folder.path().join("var/lib/kafclaw-update/bundle.raucb");
    let owner = |path: &Path| std::os::unix::fs::MetadataExt::uid(&fs::metadata(path).expect("a file"));
    let backup = machine.status()["backup"].as_str().expect("a copy").to_owned();
    assert_eq!((owner(&bundle), owner(Path::new(&backup))), (0, 65534));
}
