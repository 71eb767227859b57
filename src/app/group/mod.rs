//! The group in this house: the configuration's keys, and the ports between group, bus, agent and memory.

mod courier;
mod house;
mod peers;

pub(super) use courier::GroupCourier;
pub(super) use peers::GroupPeers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::app::gateway::GatewayError;
use crate::app::{state, wiring};
use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::base::id::{PeerId, ZoneId};
use crate::base::secret::Secret;
use crate::base::shutdown::Shutdown;
use crate::bus::Bus;
use crate::config::Config;
use crate::db::Db;
use crate::domain::peer::{Identity, Visibility};
use crate::group::connectivity;
use crate::group::hub::{self, Group};
use crate::group::inbox::Bounds;
use crate::group::onboarding;
use crate::group::outbox::{Limits, Pace};
use crate::group::task;
use crate::group::wire::sign::Signer;
use crate::group::wire::{self, GroupName, Topics};
use crate::knowledge::{self, ShareMode, ballot, distinct_claw_id};
use crate::link::kafka::{Address, Broker, Security, SecurityWords};
use crate::orchestrator;
use crate::provider::Chain;
use crate::tool::Registry;

use house::Household;

/// Heartbeats come once in so many poll intervals (group specification §4).
const POLLS_PER_HEARTBEAT: u32 = 15;

/// The keys of `group`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keys {
    enabled: bool,
    group_name: String,
    kafka_brokers: String,
    kafka_security_protocol: String,
    kafka_sasl_mechanism: String,
    kafka_sasl_username: String,
    kafka_sasl_password: Secret<String>,
    #[serde(rename = "kafkaTlsCAFile")]
    kafka_tls_ca_file: PathBuf,
    kafka_tls_cert_file: PathBuf,
    kafka_tls_key_file: PathBuf,
    consumer_group: String,
    agent_id: String,
    poll_interval_ms: u64,
    max_delegation_depth: u32,
    onboard_mode: String,
    unsigned: String,
    skills: Vec<String>,
}

/// The keys of `orchestrator`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrchestratorKeys {
    enabled: bool,
    role: String,
    zone_id: String,
    zone_visibility: String,
    zone_allowed: Vec<String>,
    parent_id: String,
    endpoint: String,
}

/// The keys of `knowledge`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KnowledgeKeys {
    enabled: bool,
    governance_enabled: bool,
    group: String,
    share_mode: String,
    topics: KnowledgeTopics,
    publish: Publish,
    voting: Voting,
}

#[derive(Clone, Debug, Deserialize)]
struct KnowledgeTopics {
    capabilities: String,
    presence: String,
    proposals: String,
    votes: String,
    decisions: String,
    facts: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Publish {
    allow_tags: Vec<String>,
    deny_tags: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Voting {
    enabled: bool,
    min_pool_size: usize,
    quorum_yes: usize,
    quorum_no: usize,
    timeout_sec: u64,
    allow_self_vote: bool,
}

/// The keys of `node`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeKeys {
    claw_id: String,
    instance_id: String,
    display_name: String,
}

/// What the group stands on.
pub(super) struct Ground<'a> {
    pub config: &'a Config,
    pub db: &'a Db,
    pub clock: &'a Clock,
    pub bus: &'a Bus,
    pub chain: &'a Arc<Chain>,
    pub shutdown: &'a Shutdown,
}

/// None where no group is configured; then nothing of it runs or is remembered.
pub(super) async fn start(ground: Ground<'_>, tools: &Registry) -> Result<Option<Group>, GatewayError> {
    let unread = |source| GatewayError::Group { why: format!("its part of the configuration: {source}") };
    let keys: Keys = ground.config.section("/group").map_err(unread)?;
    if !keys.enabled {
        return Ok(None);
    }
    let config = hub_config(ground.config, &keys, tools)?;
    let address = Address {
        brokers: Broker::list(&keys.kafka_brokers)
            .map_err(|error| GatewayError::Group { why: format!("group.kafkaBrokers: {error}") })?,
        security: security(&keys)?,
        client_id: config.me.id.to_string(),
    };
    let house = Household { bus: ground.bus.clone(), chain: ground.chain.clone() };
    let mut seed = [0_u8; 8];
    // Without randomness hubs wait alike; that is no reason not to start.
    let _ = getrandom::fill(&mut seed);
    let parts = hub::Parts {
        db: ground.db.clone(),
        clock: ground.clock.clone(),
        house: Arc::new(house),
        config,
        address,
        seed: u64::from_le_bytes(seed),
        shutdown: ground.shutdown.clone(),
    };
    let (group, _) = Group::start(parts).await.map_err(|error| GatewayError::Group { why: chain(&error) })?;
    Ok(Some(group))
}

fn security(keys: &Keys) -> Result<Security, GatewayError> {
    let file = |path: &PathBuf| Some(path.clone()).filter(|path| !path.as_os_str().is_empty());
    Security::new(SecurityWords {
        protocol: keys.kafka_security_protocol.clone(),
        mechanism: keys.kafka_sasl_mechanism.clone(),
        user: keys.kafka_sasl_username.clone(),
        password: keys.kafka_sasl_password.clone(),
        ca_file: file(&keys.kafka_tls_ca_file),
        certificate_file: file(&keys.kafka_tls_cert_file),
        key_file: file(&keys.kafka_tls_key_file),
    })
    .map_err(|error| GatewayError::Group { why: chain(&error) })
}

fn hub_config(config: &Config, keys: &Keys, tools: &Registry) -> Result<hub::Config, GatewayError> {
    let unread = |source| GatewayError::Group { why: format!("the configuration: {source}") };
    let orchestrator: OrchestratorKeys = config.section("/orchestrator").map_err(unread)?;
    let shared: KnowledgeKeys = config.section("/knowledge").map_err(unread)?;
    let node: NodeKeys = config.section("/node").map_err(unread)?;
    let agent_id = match keys.agent_id.as_str() {
        "" => format!("kafclaw-{}", wiring::hostname()),
        chosen => chosen.to_owned(),
    };
    let Some(name) = GroupName::parse(&keys.group_name) else {
        let why = "group.groupName: one word of letters, digits, dots, dashes and underscores".to_owned();
        return Err(GatewayError::Group { why });
    };
    let knowledge = knowledge_config(&shared, &node, &agent_id);
    let topics = Topics::new(name, knowledge_topics(&shared, &knowledge.group));
    let me = PeerId::from(agent_id.as_str());
    let signer = Signer::from_seed(&state::group_seed(&config.paths)?);
    let heartbeat = Duration::from_millis(keys.poll_interval_ms.max(100)) * POLLS_PER_HEARTBEAT;
    let task = task::Config { depth_max: keys.max_delegation_depth, ..task::Config::of(me.clone()) };
    Ok(hub::Config {
        me: Identity {
            id: me,
            name: node.display_name,
            soul: String::new(),
            capabilities: tools.specs().map(|spec| spec.name.to_owned()).collect(),
            skills: keys.skills.clone(),
            channels: vec!["cli".to_owned()],
            model: config.model.name.clone(),
            status: "active".to_owned(),
            role: orchestrator.role.clone(),
            parent: Some(orchestrator.parent_id.as_str()).filter(|id| !id.is_empty()).map(PeerId::from),
            zone: Some(orchestrator.zone_id.as_str()).filter(|id| !id.is_empty()).map(ZoneId::from),
            endpoint: Some(orchestrator.endpoint.clone()).filter(|url| !url.is_empty()),
            joined_at: None,
            public_key: None,
            load: None,
            can_think: None,
        },
        topics,
        consumer_group: if keys.consumer_group.is_empty() { agent_id.clone() } else { keys.consumer_group.clone() },
        heartbeat,
        bounds: Bounds { depth_max: keys.max_delegation_depth, ..Bounds::default() },
        task,
        limits: Limits::default(),
        pace: Pace::default(),
        wire: wire::Limits::default(),
        connectivity: connectivity::Config::default(),
        orchestrator: orchestrator::Config {
            is_enabled: orchestrator.enabled,
            role: orchestrator.role,
            zone: Some(orchestrator.zone_id.as_str()).filter(|id| !id.is_empty()).map(ZoneId::from),
            visibility: Visibility::parse(&orchestrator.zone_visibility),
            allowed: orchestrator.zone_allowed.iter().map(|id| PeerId::from(id.as_str())).collect(),
            parent: Some(orchestrator.parent_id.as_str()).filter(|id| !id.is_empty()).map(PeerId::from),
            endpoint: orchestrator.endpoint,
        },
        knowledge,
        signer: Some(signer),
        onboarding: onboarding::Config {
            mode: onboarding::Mode::parse(&keys.onboard_mode),
            keyless: if keys.unsigned == "refuse" { onboarding::Keyless::Refuse } else { onboarding::Keyless::Accept },
            ..onboarding::Config::of(PeerId::from(agent_id.as_str()), keys.group_name.clone())
        },
    })
}

fn knowledge_config(keys: &KnowledgeKeys, node: &NodeKeys, agent_id: &str) -> knowledge::Config {
    let voting = &keys.voting;
    knowledge::Config {
        is_enabled: keys.enabled,
        is_governed: keys.governance_enabled,
        group: if keys.group.is_empty() { "kafclaw".to_owned() } else { keys.group.clone() },
        claw_id: distinct_claw_id(&node.claw_id, agent_id),
        instance_id: node.instance_id.clone(),
        display_name: node.display_name.clone(),
        share_mode: if keys.share_mode == "direct" { ShareMode::Direct } else { ShareMode::Proposal },
        allow_tags: keys.publish.allow_tags.clone(),
        deny_tags: keys.publish.deny_tags.clone(),
        policy: ballot::Policy {
            is_voting: voting.enabled,
            pool_min: voting.min_pool_size,
            quorum_yes: voting.quorum_yes,
            quorum_no: voting.quorum_no,
            open_max: Duration::from_secs(voting.timeout_sec),
            counts_own: voting.allow_self_vote,
        },
    }
}

fn knowledge_topics(keys: &KnowledgeKeys, group: &str) -> knowledge::wire::Topics {
    use knowledge::wire::Kind;
    let topics = &keys.topics;
    let chosen = [
        (Kind::Capabilities, &topics.capabilities),
        (Kind::Presence, &topics.presence),
        (Kind::Proposals, &topics.proposals),
        (Kind::Votes, &topics.votes),
        (Kind::Decisions, &topics.decisions),
        (Kind::Facts, &topics.facts),
    ];
    let named = chosen.into_iter().filter(|(_, name)| !name.is_empty());
    named.fold(knowledge::wire::Topics::of_group(group), |topics, (kind, name)| topics.with(kind, name))
}
