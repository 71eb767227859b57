//! The keys of the configuration that are about other hubs.

use std::path::PathBuf;

use serde::Deserialize;

use crate::base::secret::Secret;

/// The keys of `group`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Keys {
    pub enabled: bool,
    pub group_name: String,
    pub lfs_proxy_url: String,
    pub lfs_proxy_api_key: Secret<String>,
    pub kafka_brokers: String,
    pub kafka_security_protocol: String,
    pub kafka_sasl_mechanism: String,
    pub kafka_sasl_username: String,
    pub kafka_sasl_password: Secret<String>,
    #[serde(rename = "kafkaTlsCAFile")]
    pub kafka_tls_ca_file: PathBuf,
    pub kafka_tls_cert_file: PathBuf,
    pub kafka_tls_key_file: PathBuf,
    pub consumer_group: String,
    pub agent_id: String,
    pub poll_interval_ms: u64,
    pub max_delegation_depth: u32,
    pub onboard_mode: String,
    pub unsigned: String,
    pub skills: Vec<String>,
    pub share_traces: String,
    pub share_trace_text: bool,
    pub trace_one_in: u32,
}

/// The keys of `orchestrator`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrchestratorKeys {
    pub enabled: bool,
    pub role: String,
    pub zone_id: String,
    pub zone_visibility: String,
    pub zone_allowed: Vec<String>,
    pub parent_id: String,
    pub endpoint: String,
}

/// The keys of `knowledge`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KnowledgeKeys {
    pub enabled: bool,
    pub governance_enabled: bool,
    pub group: String,
    pub share_mode: String,
    pub topics: KnowledgeTopics,
    pub publish: Publish,
    pub voting: Voting,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct KnowledgeTopics {
    pub capabilities: String,
    pub presence: String,
    pub proposals: String,
    pub votes: String,
    pub decisions: String,
    pub facts: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Publish {
    pub allow_tags: Vec<String>,
    pub deny_tags: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Voting {
    pub enabled: bool,
    pub min_pool_size: usize,
    pub quorum_yes: usize,
    pub quorum_no: usize,
    pub timeout_sec: u64,
    pub allow_self_vote: bool,
}

/// The keys of `node`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeKeys {
    pub claw_id: String,
    pub instance_id: String,
    pub display_name: String,
}
