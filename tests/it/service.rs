//! Starting and stopping, as a service does it.

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
