//! Disks that are full, read-only or broken: said clearly, survived where that is possible.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::support::{Gateway, Plan};

/// The database file of a home.
fn database(plan: &Plan) -> PathBuf {
    let files = fs::read_dir(plan.state()).expect("a state folder").flatten().map(|entry| entry.path());
    let mut databases = files.filter(|path| path.extension().is_some_and(|extension| extension == "db"));
    databases.next().expect("a database")
}

fn set_aside(plan: &Plan) -> usize {
    let names = fs::read_dir(plan.state()).expect("a state folder").flatten().map(|entry| entry.file_name());
    names.filter(|name| name.to_string_lossy().contains(".corrupt-")).count()
}

#[test]
fn a_database_that_is_none_is_kept_aside_and_reported() {
    let plan = Plan::new();
    plan.start().terminate();
    let file = database(&plan);
    fs::write(&file, "this is not a database, it is a sentence".repeat(1000)).expect("a ruined file");
    // The log beside it could still hold everything.
    let _ = fs::remove_file(file.with_extension("db-wal"));
    let gateway = plan.start();
    assert_eq!(gateway.chat().say("what time is it?")["route"], "intent");
    assert!(set_aside(&plan) > 0);
    assert!(gateway.log().contains("damaged"), "{}", gateway.log());
}

#[test]
fn a_database_that_was_damaged_by_a_power_cut_is_kept_aside() {
    let plan = Plan::new();
    let mut gateway = plan.start();
    for number in 0..50 {
        gateway.chat().say(&format!("remember that box {number} is in the attic"));
    }
    let ended = gateway.terminate();
    assert!(ended.success(), "{ended}");
    let mut gateway = plan.start();
    gateway.kill9();
    let file = OpenOptions::new().write(true).open(database(&plan)).expect("the database");
    let pages = file.metadata().expect("a size").len() / 4096;
    for page in 1..pages {
        file.write_all_at(&[0xA5; 2048], page * 4096 + 1024).expect("a ruined page");
    }
    let gateway = plan.start();
    assert_eq!(gateway.chat().say("what time is it?")["route"], "intent");
    assert!(set_aside(&plan) > 0, "{}", gateway.log());
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let plan = Plan::new().with("KAFCLAW_HOME", "/sys/kernel");
    let output = plan.command(&["gateway"]).env("KAFCLAW_HOME", "/sys/kernel").output().expect("the program");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("/sys/kernel/.kafclaw"), "{said}");
}

/// From now on no file of the gateway may be longer than this.
fn limit_files(gateway: &Gateway, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(gateway.id()).expect("a process id"));
    let now = prlimit(pid, Resource::Fsize, Rlimit { current: None, maximum: None }).expect("the limit");
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: now.maximum }).expect("a new limit");
}

#[test]
fn a_full_disk_refuses_messages_and_recovers() {
    // A signal that is ignored turns the limit into an error at the write, as on a full disk.
    let plan = Plan::new().with_prelude("trap '' XFSZ");
    let gateway = plan.start();
    assert_eq!(gateway.chat().say("what time is it?")["route"], "intent");
    limit_files(&gateway, Some(1));
    let refused = gateway.chat().post("/chat", &json!({"message": "what time is it?"}));
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("disk"), "{}", refused.text());
    assert_eq!(gateway.chat().get("/healthz").status, 200);
    limit_files(&gateway, None);
    assert_eq!(gateway.chat().say("what time is it?")["route"], "intent");
    assert_eq!(gateway.chat().get("/readyz").status, 200);
}
