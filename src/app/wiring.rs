//! From the configuration's sections to what each component wants.

use std::sync::Arc;
use std::time::Duration;

use crate::agent;
use crate::approval;
use crate::base::secret::Secret;
use crate::channel;
use crate::channel::bridge::Bridge;
use crate::config::{Config, Language, Missed, ToolRule};
use crate::home::{self, HubFacts};
use crate::http;
use crate::intent::{self, LanguageId};
use crate::link::mqtt::{self, Address, AddressError, Will};
use crate::policy::{self, Rate, Rates, Rule};
use crate::provider::{self, Endpoint};
use crate::scheduler;
use crate::tool;

pub(super) fn policy(config: &Config) -> policy::Config {
    let rule = |rule: &ToolRule| match rule {
        ToolRule::Allow => Rule::Allow,
        ToolRule::Ask => Rule::Ask,
        ToolRule::Deny => Rule::Deny,
    };
    policy::Config {
        max_auto_tier: config.policy.max_auto_tier,
        external_max_tier: config.policy.external_max_tier,
        peer_max_tier: config.policy.peer_max_tier,
        tools: config.policy.tools.iter().map(|(name, said)| (name.clone(), rule(said))).collect(),
        allowed_senders: config.policy.allowed_senders.iter().cloned().collect(),
    }
}

/// People of the household are trusted with their own house; the rate is for everybody else.
pub(super) fn rates(config: &Config) -> Rates {
    let rate = config.policy.sender_rate;
    let rate = Some(Rate { per_minute: rate.per_minute, burst: rate.burst });
    Rates { external: rate, ..Rates::default() }
}

pub(super) fn language(config: &Config) -> Option<LanguageId> {
    match config.assistant.language {
        Language::En => Some(LanguageId::new("en")),
        Language::De => Some(LanguageId::new("de")),
        Language::Auto => None,
    }
}

pub(super) fn agent(config: &Config) -> agent::Config {
    agent::Config {
        identity: agent::Identity {
            name: config.assistant.name.clone(),
            location: config.assistant.location.clone(),
            workspace: config.paths.workspace.clone(),
            work_repo: config.paths.work_repo.clone(),
        },
        policy: policy(config),
        approval: approval::Config { timeout: config.policy.approval_timeout },
        rounds_max: config.model.max_tool_iterations,
        daily_token_limit: (config.policy.daily_token_limit > 0).then_some(config.policy.daily_token_limit),
        language: language(config),
        memories_max: config.section("/memory/search/maxResults").unwrap_or(agent::Config::default().memories_max),
        ..agent::Config::default()
    }
}

pub(super) fn intents(config: &Config) -> intent::Config {
    intent::Config {
        enabled: config.intents.enabled,
        languages: config.intents.languages.clone(),
        extra_dir: config.intents.directory.clone(),
    }
}

/// The models that can be asked, in order, and a sentence for each that cannot.
pub(super) fn endpoints(config: &Config) -> (Vec<Endpoint>, Vec<String>) {
    let (mut endpoints, mut problems) = (Vec::new(), Vec::new());
    let mut order = config.model.order.clone();
    // A model that was chosen for this house answers when no other does, also where nobody listed it.
    let own: String = config.section("/inference/languageModel").unwrap_or_default();
    if !own.is_empty() && !order.iter().any(|name| name.starts_with("local/")) {
        order.push(format!("local/{own}"));
    }
    for name in &order {
        match endpoint(config, name) {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(error) => problems.push(error.to_string()),
        }
    }
    (endpoints, problems)
}

/// One model by its name.
pub(super) fn endpoint(config: &Config, name: &str) -> Result<Endpoint, provider::CatalogError> {
    provider::resolve(name, |id: &str| {
        let found = config.providers.iter().find(|(known, _)| known.eq_ignore_ascii_case(id));
        found.map(|(_, provider)| (provider.api_key.clone(), provider.api_base.clone()))
    })
}

pub(super) fn model_options(config: &Config) -> provider::Options {
    provider::Options {
        max_tokens: config.model.max_tokens,
        temperature: config.model.temperature,
        timeout: config.model.timeout,
    }
}

pub(super) fn hub(config: &Config) -> HubFacts {
    let name = if config.node.display_name.is_empty() { &config.assistant.name } else { &config.node.display_name };
    HubFacts {
        discovery_prefix: config.mqtt.discovery_prefix.clone(),
        topic_prefix: config.mqtt.topic_prefix.clone(),
        instance_id: config.node.instance_id.clone(),
        name: name.clone(),
        version: env!("CARGO_PKG_VERSION"),
    }
}

pub(super) fn broker(config: &Config, hub: &HubFacts) -> Result<Option<mqtt::Config>, AddressError> {
    let url = config.mqtt.url.reveal();
    if !config.mqtt.enabled || url.is_empty() {
        return Ok(None);
    }
    let client_id = match config.mqtt.client_id.as_str() {
        "" => format!("kafclaw-{}", config.node.instance_id),
        chosen => chosen.to_owned(),
    };
    let mut broker = mqtt::Config::new(Address::parse(url)?, client_id, &config.paths.run_dir);
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    broker.username = given(&config.mqtt.username);
    broker.password = given(config.mqtt.password.reveal()).map(Secret::new);
    broker.ca_file = config.mqtt.ca_file.clone();
    broker.last_will = Some(Will { topic: hub.status_topic(), payload: "offline".to_owned() });
    Ok(Some(broker))
}

pub(super) fn conversations(config: &Config) -> channel::mqtt::Config {
    channel::mqtt::Config { prefix: config.mqtt.topic_prefix.clone(), instance_id: config.node.instance_id.clone() }
}

/// Slack and Teams, those that are switched on.
pub(super) fn bridges(config: &Config) -> Result<Vec<Arc<Bridge>>, serde_json::Error> {
    let mut bridges = Vec::new();
    for (channel, enabled, section) in [
        ("slack", "/channels/slack/enabled", "/channels/slack"),
        ("msteams", "/channels/msteams/enabled", "/channels/msteams"),
    ] {
        if config.section::<bool>(enabled)? {
            bridges.push(Arc::new(config.section::<Bridge>(section)?.named(channel)));
        }
    }
    Ok(bridges)
}

pub(super) fn home(config: &Config, hub: &HubFacts) -> home::Config {
    home::Config {
        discovery_prefix: config.mqtt.discovery_prefix.clone(),
        confirm_wait: config.mqtt.confirm_timeout,
        own_id: hub.own_id(),
    }
}

pub(super) fn scheduler(config: &Config) -> scheduler::Config {
    let within = match config.scheduler.missed {
        Missed::RunOnce => config.scheduler.missed_within,
        Missed::Skip => Duration::ZERO,
    };
    scheduler::Config { late: scheduler::LatePolicy { missed_within: within, ..scheduler::LatePolicy::default() } }
}

pub(super) fn files(config: &Config) -> tool::file::Config {
    tool::file::Config {
        work_repo: Some(config.paths.work_repo.clone()),
        workspace: Some(config.paths.workspace.clone()),
        home: Some(config.paths.home.clone()),
    }
}

pub(super) fn exec(config: &Config) -> tool::exec::Config {
    let denial_text =
        if config.gateway.compat { tool::exec::DenialText::Kafclaw } else { tool::exec::DenialText::Plain };
    tool::exec::Config { timeout: config.exec.timeout, denial_text, ..tool::exec::Config::default() }
}

pub(super) fn guard(config: &Config, token: Secret<String>) -> http::GuardConfig {
    http::GuardConfig {
        is_open: config.gateway.compat && config.gateway.auth_token.is_empty(),
        token,
        allowed_hosts: config.gateway.allowed_hosts.clone(),
        allowed_origins: config.gateway.allowed_origins.clone(),
        hostname: hostname(),
    }
}

/// Both doors; the certificate belongs to the dashboard's (specification §3.0).
pub(super) fn doors(config: &Config) -> (http::Config, http::Config) {
    let gateway = &config.gateway;
    let chat = http::Config::new("chat", gateway.host, gateway.port, &config.paths.run_dir);
    let mut dashboard = http::Config::new("dashboard", gateway.host, gateway.dashboard_port, &config.paths.run_dir);
    dashboard.tls = gateway.tls.tls_cert.clone().zip(gateway.tls.tls_key.clone());
    (chat, dashboard)
}

pub(super) fn hostname() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}
