//! Whether the system that runs is well: what a slot must show before the boot loader may rely on it.

use std::net::IpAddr;

use serde_json::Value;

use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::cli::client::Client;
use crate::cli::doctor;
use crate::cli::update::places;
use crate::config::{Config, Loaded};
use crate::db;
use crate::doctor::{Finding, Verdict, clock_trouble, embeds};
use crate::link::mqtt::Address;

/// Whether the embedder is tried; it takes seconds on a small board.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Embedding {
    Try,
    Leave,
}

/// What is wrong; nothing when it is well.
pub(super) fn troubles(loaded: &Loaded, embedding: Embedding) -> Vec<String> {
    let config = &loaded.config;
    let mut troubles = doors(config);
    if let Some(mistakes) = loaded.mistakes.as_ref().filter(|_| !troubles.is_empty()) {
        troubles.insert(0, chain(mistakes));
    }
    // What the house has written is as old or as new for the other system too, which would not be better: a clock that was once wrong
    // would condemn both (the doctor tells of that).
    troubles.extend(clock_trouble(places(loaded).built_at(), Clock::System.now()).map(|why| format!("clock: {why}")));
    // Not worth seconds of computing while it is not well anyway.
    if embedding == Embedding::Try && troubles.is_empty() {
        troubles.extend(computes(loaded));
    }
    troubles
}

/// Both doors, with what the gateway says about the database and the broker.
fn doors(config: &Config) -> Vec<String> {
    let client = match Client::find(config) {
        Ok(client) => client,
        Err(error) => return vec![chain(&error)],
    };
    let mut troubles = Vec::new();
    if !client.is_alive() {
        troubles.push("the chat door does not answer".to_owned());
    }
    match client.get("status") {
        Ok(status) => troubles.extend(broker(config, &status)),
        Err(error) => troubles.push(format!("the dashboard's door does not answer: {}", chain(&error))),
    }
    if let Err(error) = db::look_into(&config.paths.database) {
        troubles.push(format!("the database cannot be opened: {}", chain(&error)));
    }
    troubles
}

/// The machine's own broker must be connected. One elsewhere may be switched off, which no other system of this machine would mend.
fn broker(config: &Config, status: &Value) -> Option<String> {
    let address = Address::parse(config.mqtt.url.reveal()).ok().filter(|_| config.mqtt.enabled)?;
    let is_own = address.host == "localhost" || address.host.parse().is_ok_and(|host: IpAddr| host.is_loopback());
    let is_connected = status["mqtt"] == "online";
    (is_own && !is_connected).then(|| format!("the broker on {}:{} is not connected", address.host, address.port))
}

/// A system in slots brings its model and the runtime along; one that does not is not whole.
fn computes(loaded: &Loaded) -> Option<String> {
    let place = doctor::models(loaded, &places(loaded));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let found = runtime.block_on(embeds(&place));
    runtime.shutdown_background();
    failure(&found)
}

fn failure(finding: &Finding) -> Option<String> {
    (finding.verdict == Verdict::Fail).then(|| format!("{}: {}", finding.check, finding.detail))
}
