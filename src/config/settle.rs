//! What follows from other values: old names, derived defaults, and values that contradict each other.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::config::entry::{Content, Entry, Origin};
use crate::config::problem::Problems;

/// Old places of keys; each fills the new one where that is not set. The file itself is never rewritten (fault S14).
const MOVED: [(&str, &str); 17] = [
    ("agents.defaults.workspace", "paths.workspace"),
    ("agents.defaults.workRepoPath", "paths.workRepoPath"),
    ("agents.defaults.systemRepoPath", "paths.systemRepoPath"),
    ("agents.defaults.model", "model.name"),
    ("agents.defaults.maxTokens", "model.maxTokens"),
    ("agents.defaults.temperature", "model.temperature"),
    ("agents.defaults.maxToolIterations", "model.maxToolIterations"),
    ("agents.defaults.subagents.maxConcurrent", "tools.subagents.maxConcurrent"),
    ("agents.defaults.subagents.maxSpawnDepth", "tools.subagents.maxSpawnDepth"),
    ("agents.defaults.subagents.maxChildrenPerAgent", "tools.subagents.maxChildrenPerAgent"),
    ("agents.defaults.subagents.archiveAfterMinutes", "tools.subagents.archiveAfterMinutes"),
    ("agents.defaults.subagents.memoryShareMode", "tools.subagents.memoryShareMode"),
    ("agents.defaults.subagents.allowAgents", "tools.subagents.allowAgents"),
    ("agents.defaults.subagents.model", "tools.subagents.model"),
    ("agents.defaults.subagents.thinking", "tools.subagents.thinking"),
    ("agents.defaults.subagents.tools.allow", "tools.subagents.tools.allow"),
    ("agents.defaults.subagents.tools.deny", "tools.subagents.tools.deny"),
];

/// KafClaw shipped its developer's folder as the default and saved it into everybody's file (fault B36).
const DEVELOPER_PATH: &str = "/Users/kamir/GITHUB.kamir/KafClaw/kafclaw";

/// Ids of providers that have a base address of their own.
const PROVIDERS_WITH_BASE: [&str; 7] = ["anthropic", "openai", "openrouter", "deepseek", "groq", "gemini", "xai"];
/// Ids that are in the table, so that they are no slips of the hand.
const PROVIDERS_LISTED: [&str; 4] = ["vllm", "scalyticsCopilot", "ollama", "llamacpp"];

const TOPICS: [&str; 6] = ["capabilities", "presence", "proposals", "votes", "decisions", "facts"];

/// Copies values from their old places to the new ones.
pub fn move_old_names(root: &mut Entry) {
    for (old, new) in MOVED {
        let is_free = root.at(new).is_none_or(|entry| entry.content == Content::Null);
        if let (true, Some(entry)) = (is_free, root.at(old).cloned()) {
            root.put(new, entry);
        }
    }
}

/// Fills in what depends on other values.
pub fn derive(effective: &mut Value) {
    if effective.pointer("/paths/systemRepoPath").and_then(Value::as_str) == Some(DEVELOPER_PATH) {
        effective["paths"]["systemRepoPath"] = Value::from("");
    }
    if is_blank(effective, "/model/order") {
        effective["model"]["order"] = json!([text(effective, "/model/name")]);
    }
    if effective.pointer("/mqtt/enabled").is_none() {
        effective["mqtt"]["enabled"] = Value::from(!text(effective, "/mqtt/url").is_empty());
    }
    if is_blank(effective, "/mqtt/clientId") {
        effective["mqtt"]["clientId"] = Value::from(format!("kafclaw-{}", text(effective, "/node/instanceId")));
    }
    let embedding_is_off = effective.pointer("/memory/embedding/enabled") == Some(&Value::Bool(false))
        || text(effective, "/memory/embedding/provider") == "disabled";
    if embedding_is_off {
        effective["memory"]["embedding"]["enabled"] = Value::from(false);
        effective["memory"]["embedding"]["provider"] = Value::from("disabled");
    }
    if is_blank(effective, "/node/clawId") {
        effective["node"]["clawId"] = Value::from("claw-local");
    }
    if is_blank(effective, "/node/displayName") {
        effective["node"]["displayName"] = Value::from("KafClaw Local");
    }
    derive_knowledge(effective);
}

fn derive_knowledge(effective: &mut Value) {
    if is_blank(effective, "/knowledge/group") {
        let name = text(effective, "/group/groupName");
        effective["knowledge"]["group"] = Value::from(if name.is_empty() { "kafclaw" } else { name.as_str() });
    }
    let group = text(effective, "/knowledge/group");
    for topic in TOPICS {
        // KafClaw saves the topics of the group "kafclaw" into every file; they follow the group as blank ones do.
        let current = text(effective, &format!("/knowledge/topics/{topic}"));
        if current.is_empty() || current == format!("group.kafclaw.knowledge.{topic}") {
            effective["knowledge"]["topics"][topic] = Value::from(format!("group.{group}.knowledge.{topic}"));
        }
    }
}

/// Notes values that are fine alone and wrong together.
pub fn contradictions(effective: &Value, root: &Entry, problems: &mut Problems) {
    ports(effective, root, problems);
    let both = |problems: &mut Problems, one: &str, other: &str| {
        let (first, second) = (text(effective, &pointer(one)), text(effective, &pointer(other)));
        if first.is_empty() != second.is_empty() {
            let (set, missing) = if second.is_empty() { (one, other) } else { (other, one) };
            problems.add(
                root.origin_of(set),
                set,
                format!("a value without {missing}"),
                format!("set {missing} too, or clear {set}"),
            );
        }
    };
    both(problems, "gateway.tlsCert", "gateway.tlsKey");
    both(problems, "group.kafkaTlsCertFile", "group.kafkaTlsKeyFile");

    let host: Option<IpAddr> = text(effective, "/gateway/host").parse().ok();
    let is_open = effective.pointer("/gateway/compat") == Some(&Value::Bool(true));
    if is_open && host.is_some_and(|host| !host.is_loopback()) {
        let found = format!("true together with gateway.host {}", text(effective, "/gateway/host"));
        let valid =
            "the open doors of compat are for loopback only: set gateway.host to 127.0.0.1, or gateway.compat to false";
        problems.add(root.origin_of("gateway.compat"), "gateway.compat", found, valid);
    }
    let wants_broker = effective.pointer("/mqtt/enabled") == Some(&Value::Bool(true));
    if wants_broker && effective.pointer("/mqtt/url").is_some() && text(effective, "/mqtt/url").is_empty() {
        problems.add(
            root.origin_of("mqtt.enabled"),
            "mqtt.enabled",
            "true without mqtt.url",
            "set mqtt.url, such as mqtt://127.0.0.1:1883",
        );
    }
    providers(effective, root, problems);
}

fn ports(effective: &Value, root: &Entry, problems: &mut Problems) {
    let names = ["gateway.port", "gateway.dashboardPort", "gateway.controlPort"];
    for (index, name) in names.iter().enumerate() {
        let port = effective.pointer(&pointer(name)).and_then(Value::as_u64);
        let clash =
            names[..index].iter().find(|other| effective.pointer(&pointer(other)).and_then(Value::as_u64) == port);
        if let (Some(port @ 1..), Some(other)) = (port, clash) {
            // The complaint points at the one that somebody wrote.
            let (blamed, other) = if root.origin_of(name) == Origin::Nowhere { (other, name) } else { (name, other) };
            problems.add(
                root.origin_of(blamed),
                blamed,
                format!("{port}, which is {other} too"),
                "each door needs its own port",
            );
        }
    }
}

/// An id that is not in the table is somebody's own server and needs an address, or it is a slip of the hand.
fn providers(effective: &Value, root: &Entry, problems: &mut Problems) {
    let Some(providers) = effective.pointer("/providers").and_then(Value::as_object) else { return };
    for (id, provider) in providers {
        let is_listed = id == "localWhisper"
            || PROVIDERS_WITH_BASE.contains(&id.as_str())
            || PROVIDERS_LISTED.contains(&id.as_str());
        let has_base = provider.get("apiBase").is_none_or(|base| base.as_str().is_some_and(|base| !base.is_empty()));
        if !is_listed && !has_base {
            let known = PROVIDERS_WITH_BASE.iter().chain(&PROVIDERS_LISTED).copied();
            let valid = match crate::config::nearest::nearest(id, known) {
                Some(meant) => format!("did you mean providers.{meant}? A server of your own needs apiBase"),
                None => "a server of your own needs apiBase, such as http://10.0.0.5:8000/v1".to_owned(),
            };
            let key = format!("providers.{id}");
            problems.add(root.origin_of(&key), &key, "an unknown provider without apiBase", valid);
        }
    }
}

fn pointer(path: &str) -> String {
    format!("/{}", path.replace('.', "/"))
}

fn text(effective: &Value, pointer: &str) -> String {
    effective.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Present and empty: what was refused is not there and stays so.
fn is_blank(effective: &Value, pointer: &str) -> bool {
    match effective.pointer(pointer) {
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        _ => false,
    }
}
