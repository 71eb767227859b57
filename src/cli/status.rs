//! `kafclaw status`: what is configured, and how the running gateway is.

use serde_json::{Map, Value, json};

use crate::cli::client::{Client, ClientError};
use crate::cli::show::{count, field, length, one_line, size};
use crate::cli::{Failure, Terminal};
use crate::config::Loaded;

const AFTER_HELP: &str = "\
Works without a running gateway too, and then says so; the exit code is 0 in both cases.

Examples:
  kafclaw status
  kafclaw status --json | jq .gateway.running";

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let loaded = terminal.load_config()?;
        let value = report(&loaded, ask(&loaded));
        if self.json { terminal.print_json(&value) } else { terminal.print(&text(&value)) }
    }
}

/// What the gateway says about itself, or why it says nothing.
fn ask(loaded: &Loaded) -> Result<(Client, Value), ClientError> {
    let client = Client::find(&loaded.config)?;
    let status = client.get("status")?;
    Ok((client, status))
}

fn report(loaded: &Loaded, asked: Result<(Client, Value), ClientError>) -> Value {
    let config = &loaded.config;
    let providers: Vec<&str> = config.providers.keys().map(String::as_str).collect();
    let has_key = config.providers.values().any(|provider| !provider.api_key.is_empty());
    let gateway = match asked {
        Ok((client, status)) => json!({
            "running": true,
            "chat": client.chat.to_string(),
            "dashboard": client.dashboard.to_string(),
            "pid": client.pid,
            "status": status,
        }),
        Err(error @ (ClientError::NotRunning { .. } | ClientError::NoAddress { .. })) => {
            json!({ "running": false, "reason": error.to_string() })
        }
        // Something is there and is no use: neither running nor not.
        Err(error) => json!({ "running": null, "reason": crate::base::error::chain(&error) }),
    };
    let channel =
        |name: &str| loaded.effective.pointer(&format!("/channels/{name}/enabled")) == Some(&Value::Bool(true));
    let channels = ["whatsapp", "slack", "msteams"].map(|name| (name.to_owned(), Value::Bool(channel(name))));
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "config": { "path": config.paths.config_file, "found": loaded.file_found },
        "apiKey": has_key,
        "model": config.model.name,
        "providers": providers,
        "mqtt": config.mqtt.enabled,
        "channels": Map::from_iter(channels),
        "gateway": gateway,
    })
}

fn text(report: &Value) -> String {
    let mark = |yes: bool, good: &str, bad: &str| if yes { format!("✓ {good}") } else { format!("✗ {bad}") };
    let path = field(&report["config"], "path");
    let providers: Vec<&str> = report["providers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut lines = vec![
        ("Version:", field(report, "version")),
        (
            "Config:",
            mark(
                report["config"]["found"] == true,
                &format!("Found ({path})"),
                "Not found (run 'kafclaw onboard' first)",
            ),
        ),
        ("API Key:", mark(report["apiKey"] == true, "Found", "Not found")),
        ("Model:", field(report, "model")),
        ("Providers:", if providers.is_empty() { "none configured".to_owned() } else { providers.join(", ") }),
    ];
    for (label, name) in [("WhatsApp:", "whatsapp"), ("Slack:", "slack"), ("MSTeams:", "msteams")] {
        lines.push((label, mark(report["channels"][name] == true, "Enabled", "Disabled")));
    }
    let gateway = &report["gateway"];
    match &gateway["running"] {
        Value::Bool(true) => lines.extend(running(gateway)),
        Value::Bool(false) => {
            lines.push(("Gateway:", "✗ Not running (start it with `kafclaw gateway`)".to_owned()));
            lines.push(("Status:", "Not running".to_owned()));
        }
        _ => {
            lines.push(("Gateway:", format!("? {}", one_line_long(&field(gateway, "reason")))));
            lines.push(("Status:", "Unknown".to_owned()));
        }
    }
    lines.iter().map(|(label, value)| format!("{label:<12}{value}\n")).collect()
}

fn running(gateway: &Value) -> Vec<(&'static str, String)> {
    let status = &gateway["status"];
    let number = |name: &str| status[name].as_u64();
    let up = number("uptime_seconds").map(|seconds| format!(", up {}", length(seconds))).unwrap_or_default();
    let pid = gateway["pid"].as_u64().map(|pid| format!(", process {pid}")).unwrap_or_default();
    let mut lines = vec![
        ("Gateway:", format!("✓ Running (chat {}{pid}{up})", field(gateway, "chat"))),
        ("Dashboard:", field(gateway, "dashboard")),
        ("Mode:", field(status, "mode")),
    ];
    lines.extend(number("tokens_today").map(|tokens| ("Tokens:", format!("{tokens} today"))));
    lines.extend(status["model"]["name"].as_str().map(|name| {
        let reach = if status["model"]["reachable"] == false { ", not reachable" } else { "" };
        ("Answering:", format!("{} ({}{reach})", one_line(name), one_line(&field(&status["model"], "route"))))
    }));
    lines.extend(status["mqtt"].as_str().map(|mqtt| ("MQTT:", one_line(mqtt))));
    lines.extend(number("devices").map(|devices| ("Devices:", devices.to_string())));
    lines.extend(number("jobs").map(|jobs| ("Jobs:", format!("{jobs} planned"))));
    lines.extend(number("approvals_pending").map(|pending| ("Approvals:", format!("{pending} pending"))));
    lines.extend(number("open_tasks").map(|open| {
        let waiting = number("deliveries_waiting").unwrap_or(0);
        ("Tasks:", format!("{open} open, {} waiting to be delivered", count(waiting, "answer")))
    }));
    lines.extend(number("database_bytes").map(|bytes| ("Database:", size(bytes))));
    lines.extend(
        status["databases_set_aside"][0]
            .as_str()
            .map(|path| ("Set aside:", format!("{} (`kafclaw doctor` says what to do with it)", one_line_long(path)))),
    );
    lines.extend(status["last_error"].as_str().map(|error| ("Last error:", one_line_long(error))));
    lines.push(("Status:", "Ready".to_owned()));
    lines
}

fn one_line_long(text: &str) -> String {
    crate::cli::show::printable(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labels_are_kafclaw_s() {
        let mut report = json!({
            "version": "1", "config": {"path": "/h/.kafclaw/config.json", "found": true}, "apiKey": true, "model": "openai/x",
            "providers": ["ollama", "openai"], "channels": {"slack": true}, "gateway": {"running": false},
        });
        let expected = "\
Version:    1
Config:     ✓ Found (/h/.kafclaw/config.json)
API Key:    ✓ Found
Model:      openai/x
Providers:  ollama, openai
WhatsApp:   ✗ Disabled
Slack:      ✓ Enabled
MSTeams:    ✗ Disabled
Gateway:    ✗ Not running (start it with `kafclaw gateway`)
Status:     Not running
";
        assert_eq!(text(&report), expected);
        report["gateway"] = json!({"running": true, "chat": "127.0.0.1:1", "dashboard": "127.0.0.1:2", "pid": 7, "status": {
            "uptime_seconds": 3700, "mode": "standalone", "tokens_today": 5, "mqtt": "online", "devices": 3, "jobs": 1,
            "approvals_pending": 0, "open_tasks": 2, "deliveries_waiting": 1, "database_bytes": 2048, "last_error": null,
            "model": {"route": "local", "name": "qwen", "reachable": false}}});
        let text = text(&report);
        for line in [
            "Gateway:    ✓ Running (chat 127.0.0.1:1, process 7, up 1 h 1 min)",
            "Tokens:     5 today",
            "Answering:  qwen (local, not reachable)",
            "Tasks:      2 open, 1 answer waiting to be delivered",
            "Database:   2.0 KiB",
            "Status:     Ready",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
