//! A group's plan: the configuration, what was said at run time, and who this house is.

use std::path::PathBuf;
use std::time::Duration;

use crate::app::gateway::GatewayError;
use crate::app::{state, wiring};
use crate::base::error::chain;
use crate::base::id::{PeerId, ZoneId};
use crate::config::{Config, Paths};
use crate::domain::peer::{Identity, Visibility};
use crate::group::connectivity;
use crate::group::hub::{self, Proxy};
use crate::group::inbox::Bounds;
use crate::group::membership::{Blueprint, Plan, PlanError, Words};
use crate::group::onboarding;
use crate::group::outbox::{Limits, Pace};
use crate::group::task;
use crate::group::trace;
use crate::group::wire::sign::Signer;
use crate::group::wire::{self, GroupName, Topics};
use crate::knowledge::{self, ShareMode, ballot, distinct_claw_id};
use crate::link::http::Url;
use crate::link::kafka::{Address, Broker, Security, SecurityWords};
use crate::orchestrator;
use crate::tool::Registry;

use super::keys::{Keys, KnowledgeKeys, NodeKeys, OrchestratorKeys};

/// Heartbeats come once in so many poll intervals (group specification §4).
const POLLS_PER_HEARTBEAT: u32 = 15;
const POLL_INTERVAL_MS_MIN: u64 = 100;
/// What KafClaw writes where nobody named a proxy.
const PROXY_DEFAULT: &str = "http://localhost:8080";
/// How often a hub looks at what waits for the network: all that an idle one without a network does for the group.
const SWEEP: Duration = Duration::from_secs(600);

/// What of the configuration makes a group.
pub(super) struct Planner {
    group: Keys,
    orchestrator: OrchestratorKeys,
    knowledge: KnowledgeKeys,
    node: NodeKeys,
    /// Where the key of this hub lies.
    paths: Paths,
    model: String,
    capabilities: Vec<String>,
}

impl Planner {
    pub fn new(config: &Config, tools: &Registry) -> Result<Self, GatewayError> {
        let unread = |source| GatewayError::Group { why: format!("its part of the configuration: {source}") };
        Ok(Self {
            group: config.section("/group").map_err(unread)?,
            orchestrator: config.section("/orchestrator").map_err(unread)?,
            knowledge: config.section("/knowledge").map_err(unread)?,
            node: config.section("/node").map_err(unread)?,
            paths: config.paths.clone(),
            model: config.model.name.clone(),
            capabilities: tools.specs().map(|spec| spec.name.to_owned()).collect(),
        })
    }

    fn identity(&self, words: &Words) -> Identity {
        let orchestrator = self.orchestrator();
        Identity {
            id: PeerId::from(words.agent_id.as_str()),
            name: self.node.display_name.clone(),
            soul: String::new(),
            capabilities: self.capabilities.clone(),
            skills: words.skills.clone(),
            channels: vec!["cli".to_owned()],
            model: self.model.clone(),
            status: "active".to_owned(),
            role: orchestrator.role,
            parent: orchestrator.parent,
            zone: orchestrator.zone,
            endpoint: Some(orchestrator.endpoint).filter(|url| !url.is_empty()),
            joined_at: None,
            public_key: None,
            load: None,
            can_think: None,
        }
    }

    fn orchestrator(&self) -> orchestrator::Config {
        let keys = &self.orchestrator;
        orchestrator::Config {
            is_enabled: keys.enabled,
            role: keys.role.clone(),
            zone: Some(keys.zone_id.as_str()).filter(|id| !id.is_empty()).map(ZoneId::from),
            visibility: Visibility::parse(&keys.zone_visibility),
            allowed: keys.zone_allowed.iter().map(|id| PeerId::from(id.as_str())).collect(),
            parent: Some(keys.parent_id.as_str()).filter(|id| !id.is_empty()).map(PeerId::from),
            endpoint: keys.endpoint.clone(),
        }
    }

    fn onboarding(&self, words: &Words) -> onboarding::Config {
        let keys = &self.group;
        onboarding::Config {
            mode: onboarding::Mode::parse(&keys.onboard_mode),
            keyless: if keys.unsigned == "refuse" { onboarding::Keyless::Refuse } else { onboarding::Keyless::Accept },
            ..onboarding::Config::of(PeerId::from(words.agent_id.as_str()), words.group_name.clone())
        }
    }
}

impl Blueprint for Planner {
    fn file(&self) -> Words {
        let keys = &self.group;
        Words {
            is_wanted: keys.enabled,
            group_name: keys.group_name.clone(),
            brokers: keys.kafka_brokers.clone(),
            agent_id: match keys.agent_id.as_str() {
                "" => format!("kafclaw-{}", wiring::hostname()),
                chosen => chosen.to_owned(),
            },
            consumer_group: keys.consumer_group.clone(),
            lfs_proxy_url: keys.lfs_proxy_url.clone(),
            lfs_proxy_api_key: keys.lfs_proxy_api_key.clone(),
            poll_interval_ms: keys.poll_interval_ms,
            skills: keys.skills.clone(),
        }
    }

    fn plan(&self, words: &Words) -> Result<Plan, PlanError> {
        let name = GroupName::parse(&words.group_name).ok_or(PlanError::Name)?;
        let address = Address {
            brokers: Broker::list(&words.brokers).map_err(|source| PlanError::Brokers { source })?,
            security: security(&self.group)?,
            client_id: words.agent_id.clone(),
        };
        let group = knowledge_group(&self.knowledge, &self.group.group_name, &words.group_name);
        let topics = Topics::new(name, knowledge_topics(&self.knowledge, &group));
        let seed = state::group_seed(&self.paths).map_err(|error| PlanError::Configuration { text: chain(&error) })?;
        let depth_max = self.group.max_delegation_depth;
        let me = self.identity(words);
        let heartbeat = Duration::from_millis(words.poll_interval_ms.max(POLL_INTERVAL_MS_MIN)) * POLLS_PER_HEARTBEAT;
        let config = hub::Config {
            topics,
            consumer_group: match words.consumer_group.as_str() {
                "" => words.agent_id.clone(),
                chosen => chosen.to_owned(),
            },
            heartbeat,
            bounds: Bounds { depth_max, ..Bounds::default() },
            task: task::Config { depth_max, ..task::Config::of(me.id.clone()) },
            limits: Limits::default(),
            pace: Pace::default(),
            wire: wire::Limits::default(),
            connectivity: connectivity::Config::default(),
            orchestrator: self.orchestrator(),
            knowledge: knowledge_config(&self.knowledge, &self.node, &words.agent_id, group),
            signer: Some(Signer::from_seed(&seed)),
            onboarding: self.onboarding(words),
            sweep: SWEEP,
            proxy: proxy(words),
            watch: watch(&self.group),
            me,
        };
        Ok(Plan { config, address })
    }
}

/// What others may watch. Words of private conversations only where both keys say so.
fn watch(keys: &Keys) -> trace::Config {
    let private = match keys.share_traces.as_str() {
        "all" if keys.share_trace_text => trace::Private::Words,
        "all" => trace::Private::Figures,
        _ => trace::Private::Nothing,
    };
    trace::Config { is_on: keys.share_traces != "off", private, one_in: keys.trace_one_in }
}

/// The proxy through which pointers are followed. KafClaw's default means that nobody chose one.
fn proxy(words: &Words) -> Option<Proxy> {
    let url = Some(words.lfs_proxy_url.as_str()).filter(|url| !url.is_empty() && *url != PROXY_DEFAULT)?;
    Some(Proxy { url: Url::parse(url).ok()?, api_key: words.lfs_proxy_api_key.clone() })
}

fn security(keys: &Keys) -> Result<Security, PlanError> {
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
    .map_err(|source| PlanError::Security { source })
}

/// The knowledge of a group that was joined at run time is that group's, unless it has a name of its own.
fn knowledge_group(keys: &KnowledgeKeys, file: &str, joined: &str) -> String {
    let follows = keys.group.is_empty() || (!file.is_empty() && keys.group == file);
    let group = if follows { joined } else { &keys.group };
    group.to_owned()
}

fn knowledge_config(keys: &KnowledgeKeys, node: &NodeKeys, agent_id: &str, group: String) -> knowledge::Config {
    let voting = &keys.voting;
    knowledge::Config {
        is_enabled: keys.enabled,
        is_governed: keys.governance_enabled,
        group,
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
    // Names that follow the configured group follow the joined one.
    let usual = knowledge::wire::Topics::of_group(&keys.group);
    let named = chosen.into_iter().filter(|(kind, name)| !name.is_empty() && name.as_str() != usual.name(*kind));
    named.fold(knowledge::wire::Topics::of_group(group), |topics, (kind, name)| topics.with(kind, name))
}
