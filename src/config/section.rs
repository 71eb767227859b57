//! The resolved configuration in types, one struct per section that a component uses.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::base::secret::Secret;
use crate::config::duration;
use crate::config::paths::Paths;
use crate::domain::call::Tier;

/// Everything the gateway was told. It has many fields because it mirrors the file; no component ever sees it whole.
#[derive(Clone, Debug)]
pub struct Config {
    pub paths: Paths,
    pub gateway: Gateway,
    pub node: Node,
    pub model: Model,
    /// By id as in `provider/model`: anthropic, openai, ollama, ...; only those with a key or an address.
    pub providers: BTreeMap<String, Provider>,
    pub policy: Policy,
    pub exec: Exec,
    pub mqtt: Mqtt,
    pub assistant: Assistant,
    pub intents: Intents,
    pub scheduler: Scheduler,
    pub retention: Retention,
    pub log: Log,
    rest: Value,
}

impl Config {
    pub(super) fn from_effective(
        effective: &Value,
        home: &Path,
        config_file: &Path,
    ) -> Result<Self, serde_json::Error> {
        let folder = |key: &str| effective["paths"][key].as_str().unwrap_or_default();
        let mut providers: BTreeMap<String, Provider> = BTreeMap::new();
        for (id, value) in
            effective["providers"].as_object().into_iter().flatten().filter(|(id, _)| *id != "localWhisper")
        {
            let provider = Provider::deserialize(value)?;
            if !provider.api_key.is_empty() || !provider.api_base.is_empty() {
                providers.insert(id.clone(), provider);
            }
        }
        Ok(Self {
            paths: Paths::new(home, config_file, folder("workspace"), folder("workRepoPath"), folder("systemRepoPath")),
            gateway: Gateway::deserialize(&effective["gateway"])?,
            node: Node::deserialize(&effective["node"])?,
            model: Model::deserialize(&effective["model"])?,
            providers,
            policy: Policy::deserialize(&effective["policy"])?,
            exec: Exec::deserialize(&effective["tools"]["exec"])?,
            mqtt: Mqtt::deserialize(&effective["mqtt"])?,
            assistant: Assistant::deserialize(&effective["assistant"])?,
            intents: Intents::deserialize(&effective["intents"])?,
            scheduler: Scheduler::deserialize(&effective["scheduler"])?,
            retention: Retention::deserialize(&effective["retention"])?,
            log: Log::deserialize(&effective["log"])?,
            rest: effective.clone(),
        })
    }

    /// A section that has no type here, such as `/group` or `/memory/embedding`, as the type of whoever needs it.
    pub fn section<T: DeserializeOwned>(&self, pointer: &str) -> Result<T, serde_json::Error> {
        T::deserialize(self.rest.pointer(pointer).unwrap_or(&Value::Null))
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    pub host: IpAddr,
    /// 0 takes any free port, here and below.
    pub port: u16,
    pub dashboard_port: u16,
    pub control_port: u16,
    /// Blank when one is to be generated.
    pub auth_token: Secret<String>,
    #[serde(flatten)]
    pub tls: Tls,
    pub compat: bool,
    pub allowed_hosts: Vec<String>,
    pub allowed_origins: Vec<String>,
}

/// Both or neither are set.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    #[serde(deserialize_with = "path")]
    pub tls_cert: Option<PathBuf>,
    #[serde(deserialize_with = "path")]
    pub tls_key: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    pub claw_id: String,
    pub instance_id: String,
    pub display_name: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    pub name: String,
    /// Never empty; just `name` unless set.
    pub order: Vec<String>,
    pub max_tokens: u32,
    pub temperature: f32,
    pub max_tool_iterations: u32,
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
    pub task_routing: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    #[serde(default)]
    pub api_key: Secret<String>,
    /// Blank means the provider's own address.
    #[serde(default)]
    pub api_base: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    #[serde(deserialize_with = "tier")]
    pub max_auto_tier: Tier,
    #[serde(deserialize_with = "tier")]
    pub external_max_tier: Tier,
    #[serde(deserialize_with = "tier")]
    pub peer_max_tier: Tier,
    pub tools: BTreeMap<String, ToolRule>,
    pub sender_rate: SenderRate,
    /// 0 means no limit.
    pub daily_token_limit: u64,
    /// Empty means everybody.
    pub allowed_senders: Vec<String>,
    #[serde(deserialize_with = "duration::deserialize")]
    pub approval_timeout: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolRule {
    Allow,
    Ask,
    Deny,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SenderRate {
    pub per_minute: u32,
    pub burst: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exec {
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
    pub restrict_to_workspace: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mqtt {
    pub enabled: bool,
    /// May carry user and password; `link::mqtt` takes it apart.
    pub url: Secret<String>,
    pub client_id: String,
    /// Blank leaves what the address says, here and below.
    pub username: String,
    pub password: Secret<String>,
    #[serde(deserialize_with = "path")]
    pub ca_file: Option<PathBuf>,
    pub discovery_prefix: String,
    pub topic_prefix: String,
    #[serde(deserialize_with = "duration::deserialize")]
    pub confirm_timeout: Duration,
    pub publish_discovery: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assistant {
    pub name: String,
    pub language: Language,
    /// Blank means the system's.
    pub time_zone: String,
    pub location: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    En,
    De,
    Auto,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intents {
    pub enabled: bool,
    pub languages: Vec<String>,
    #[serde(deserialize_with = "path")]
    pub directory: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scheduler {
    pub enabled: bool,
    #[serde(deserialize_with = "duration::deserialize")]
    pub tick_interval: Duration,
    #[serde(rename = "maxConcLLM")]
    pub max_conc_llm: usize,
    pub max_conc_shell: usize,
    pub max_conc_default: usize,
    pub missed: Missed,
    #[serde(deserialize_with = "duration::deserialize")]
    pub missed_within: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missed {
    RunOnce,
    Skip,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    pub timeline_days: u32,
    pub timeline_max_rows: u64,
    pub tasks_days: u32,
    pub decisions_days: u32,
    pub job_runs_days: u32,
    pub max_database_megabytes: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Log {
    pub level: LogLevel,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

fn tier<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Tier, D::Error> {
    Tier::from_u8(u8::deserialize(deserializer)?).ok_or_else(|| serde::de::Error::custom("not a tier"))
}

/// Blank is none.
fn path<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}
