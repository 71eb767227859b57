//! Starting and stopping, as a service does it.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::Plan;

/// What the program promises to systemd.
const STOPS_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn sigterm_ends_it_in_order_and_in_time() {
    let plan = Plan::new();
    let mut gateway = plan.start();
    gateway.chat().say("what time is it?");
    let started = Instant::now();
    assert!(gateway.terminate().success(), "{}", gateway.log());
    assert!(started.elapsed() < STOPS_WITHIN + Duration::from_secs(1), "{:?}", started.elapsed());
    assert!(!plan.state().join("run/gateway.json").exists());
}

/// Destructors of ONNX Runtime and OpenSSL, run while their threads compute, end the process with a segmentation fault.
#[test]
fn no_library_has_a_last_word() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, library) = (folder.path().join("last.c"), folder.path().join("last.so"));
    let text = "#include <unistd.h>\n__attribute__((destructor)) static void last(void) { _exit(77); }\n";
    std::fs::write(&source, text).expect("written");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(compiled.expect("the compiler that built SQLite").success());
    let with_library = |mut command: Command| command.env("LD_PRELOAD", &library).output().expect("the program");
    assert_eq!(with_library(Command::new("true")).status.code(), Some(77), "the library is not loaded at all");
    let output = with_library(Plan::new().command(&["--version"]));
    assert!(output.status.success() && output.stdout.starts_with(b"kafclaw "), "{output:?}");
}

#[test]
fn a_busy_port_names_who_holds_it() {
    let first = Plan::new().start();
    let port = first.dashboard().address.port().to_string();
    let mut second = Plan::new().with("KAFCLAW_GATEWAY_DASHBOARD_PORT", &port).launch();
    assert!(!second.wait_for_exit().success());
    assert!(second.log().contains(&first.id().to_string()) && second.log().contains(&port), "{}", second.log());
}

#[test]
fn a_home_has_one_gateway() {
    let plan = Plan::new();
    let first = plan.start();
    let second = plan.command(&["gateway"]).output().expect("the program");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains(&first.id().to_string()), "{said}");
}

#[test]
fn the_token_is_made_once_and_kept_to_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let plan = Plan::new();
    let mut first = plan.start();
    let token = first.token().to_owned();
    first.terminate();
    assert!(token.len() >= 32);
    let file = plan.state().join("gateway.token");
    assert_eq!(file.metadata().expect("a token").permissions().mode() & 0o777, 0o600);
    assert_eq!(plan.start().token(), token);
    let shown = plan.command(&["token"]).output().expect("the program");
    assert_eq!(String::from_utf8_lossy(&shown.stdout).trim(), token);
}
