//! Whether the gateway answers after it was set up.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cli::Terminal;
use crate::cli::client::Client;
use crate::cli::onboard::Args;
use crate::config::Config;

/// Pause between two looks.
const LOOK_WAIT: Duration = Duration::from_millis(200);

/// The part `health` of the summary.
pub fn look(args: &Args, config: &Config, terminal: &mut Terminal<'_>) -> Value {
    if args.skip_healthcheck {
        return json!({ "skipped": true, "doctorFailures": 0, "waitForGateway": false, "gatewayReachable": false });
    }
    // What was written has been loaded again, so nothing is left for a doctor to find.
    let mut health = json!({ "skipped": false, "doctorFailures": 0, "waitForGateway": args.wait_for_gateway });
    let begun = Instant::now();
    let find = || Client::find(config).ok().filter(Client::is_alive);
    let mut found = find();
    if args.wait_for_gateway && found.is_none() {
        terminal.note("Waiting for the gateway; start it with `kafclaw gateway` in another window.");
        while found.is_none() && begun.elapsed() < args.health_timeout {
            thread::sleep(LOOK_WAIT.min(args.health_timeout));
            found = find();
        }
    }
    health["gatewayReachable"] = Value::from(found.is_some());
    if let Some(gateway) = &found {
        health["gatewayUrl"] = Value::from(format!("http://{}", gateway.chat));
    }
    if args.wait_for_gateway {
        health["timeout"] = Value::from(format!("{}s", args.health_timeout.as_secs_f64()));
        if found.is_none() {
            health["warning"] = Value::from("gateway health endpoint not reachable within timeout");
        }
    }
    health
}
