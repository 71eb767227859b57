//! Keys about other machines: the Kafka group, the orchestrator, shared knowledge, memory services.

use crate::config::key::{Key, Kind, TEXTS, WEB, flag, key, text};

pub const KEYS: &[Key] = &[
    flag("group.enabled", "false", "Whether this node joins a group."),
    text("group.groupName", "", "Name of the group.").also(&["GROUP_NAME"]),
    key("group.lfsProxyUrl", Kind::Url(WEB), "http://localhost:8080", "Address of the KafScale LFS proxy.")
        .also(&["GROUP_KAFSCALE_LFS_PROXY_URL"]),
    text("group.lfsProxyApiKey", "", "Key for the KafScale LFS proxy.")
        .secret()
        .also(&["GROUP_KAFSCALE_LFS_PROXY_API_KEY"]),
    text("group.kafkaBrokers", "", "Kafka brokers as host:port, separated by commas."),
    key(
        "group.kafkaSecurityProtocol",
        Kind::OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]),
        "",
        "How the brokers are spoken to.",
    ),
    text("group.kafkaSaslMechanism", "", "SASL mechanism, such as SCRAM-SHA-512."),
    text("group.kafkaSaslUsername", "", "SASL user."),
    text("group.kafkaSaslPassword", "", "SASL password.").secret(),
    key("group.kafkaTlsCAFile", Kind::Path, "", "Certificates (PEM) that the brokers' are checked against."),
    key("group.kafkaTlsCertFile", Kind::Path, "", "Client certificate (PEM) for the brokers."),
    key("group.kafkaTlsKeyFile", Kind::Path, "", "Client key (PEM) for the brokers."),
    text("group.consumerGroup", "", "Kafka consumer group; blank means the agent id.")
        .also(&["GROUP_KAFKA_CONSUMER_GROUP"]),
    text("group.agentId", "", "Name of this node in the group; blank means kafclaw-<host name>."),
    key("group.pollIntervalMs", Kind::Count(3_600_000), "2000", "Milliseconds between looks at the proxy."),
    key("group.onboardMode", Kind::OneOf(&["open", "gated"]), "", "Who may join; blank means open."),
    key("group.maxDelegationDepth", Kind::Count(64), "3", "How often a task may be handed on."),
    key(
        "group.unsigned",
        Kind::OneOf(&["accept", "refuse"]),
        "accept",
        "What happens to messages that nobody signed; agents in Go do not sign.",
    ),
    key("group.skills", TEXTS, "", "Skills that this node offers to the group."),
    key(
        "group.shareTraces",
        Kind::OneOf(&["off", "group", "all"]),
        "group",
        "Whose work the group may watch, in traces and audits: nobody's, its own, or everybody's, in figures.",
    ),
    flag(
        "group.shareTraceText",
        "false",
        "Whether the words of private conversations go with them; KafClaw told them to everybody.",
    ),
    key("group.traceOneIn", Kind::Whole(1, 1_000_000), "1", "One in so many traces is told."),
    flag("orchestrator.enabled", "false", "Whether tasks are shared out in the group."),
    text("orchestrator.role", "worker", "Part this node plays: orchestrator, worker or observer."),
    text("orchestrator.zoneId", "", "Zone this node belongs to."),
    key(
        "orchestrator.zoneVisibility",
        Kind::OneOf(&["public", "shared", "private"]),
        "",
        "Who may use that zone when it is this node's own; blank begins with shared.",
    ),
    key("orchestrator.zoneAllowed", TEXTS, "", "Nodes that may come into that zone without asking."),
    text("orchestrator.parentId", "", "Node above this one."),
    key("orchestrator.endpoint", Kind::Url(WEB), "", "Address at which other nodes reach this one."),
    key("er1.url", Kind::Url(WEB), "", "Address of the ER1 memory service; blank for none."),
    text("er1.apiKey", "", "Key for ER1.").secret(),
    text("er1.userId", "", "User at ER1."),
    key("er1.syncInterval", Kind::Duration, "5m", "Time between exchanges with ER1."),
    key("kafgraph.url", Kind::Url(WEB), "", "Address of KafGraph; blank for none."),
    text("kafgraph.label", "MemoryItem", "Label of memories in KafGraph."),
    key("kafgraph.syncInterval", Kind::Duration, "5m", "Time between exchanges with KafGraph."),
    flag("observer.enabled", "false", "Whether long conversations are condensed into observations."),
    text("observer.model", "", "Model that condenses; blank means model.name."),
    key("observer.messageThreshold", Kind::Count(1_000_000), "50", "Messages after which a conversation is condensed.")
        .also(&["OBSERVER_MSG_THRESHOLD"]),
    key("observer.maxObservations", Kind::Count(1_000_000), "200", "Observations kept per conversation.")
        .also(&["OBSERVER_MAX_OBS"]),
];

pub const KNOWLEDGE: &[Key] = &[
    flag("knowledge.enabled", "false", "Whether facts are shared in the group."),
    flag("knowledge.governanceEnabled", "true", "Whether shared facts are voted on."),
    text("knowledge.group", "", "Group that shares facts; blank means group.groupName, else kafclaw."),
    key("knowledge.shareMode", Kind::OneOf(&["proposal", "direct"]), "proposal", "How facts are shared."),
    text("knowledge.topics.capabilities", "", "Topic for capabilities; blank follows knowledge.group.")
        .also(&["KNOWLEDGE_TOPICS_TOPIC_CAPABILITIES"]),
    text("knowledge.topics.presence", "", "Topic for presence; blank follows knowledge.group.")
        .also(&["KNOWLEDGE_TOPICS_TOPIC_PRESENCE"]),
    text("knowledge.topics.proposals", "", "Topic for proposals; blank follows knowledge.group.")
        .also(&["KNOWLEDGE_TOPICS_TOPIC_PROPOSALS"]),
    text("knowledge.topics.votes", "", "Topic for votes; blank follows knowledge.group.")
        .also(&["KNOWLEDGE_TOPICS_TOPIC_VOTES"]),
    text("knowledge.topics.decisions", "", "Topic for decisions; blank follows knowledge.group.")
        .also(&["KNOWLEDGE_TOPICS_TOPIC_DECISIONS"]),
    text("knowledge.topics.facts", "", "Topic for facts; blank follows knowledge.group.")
        .also(&["KNOWLEDGE_TOPICS_TOPIC_FACTS"]),
    key(
        "knowledge.publish.allowTags",
        TEXTS,
        "ops,security,runbook,integration",
        "Tags whose facts may leave this node.",
    ),
    key("knowledge.publish.denyTags", TEXTS, "pii,secrets,customer-private", "Tags whose facts stay here."),
    flag("knowledge.voting.enabled", "true", "Whether votes are counted."),
    key("knowledge.voting.minPoolSize", Kind::Count(100_000), "3", "Nodes needed before a vote counts."),
    key("knowledge.voting.quorumYes", Kind::Count(100_000), "2", "Votes that accept a fact."),
    key("knowledge.voting.quorumNo", Kind::Count(100_000), "2", "Votes that refuse a fact."),
    key("knowledge.voting.timeoutSec", Kind::Count(31_536_000), "120", "Seconds a vote stays open."),
    flag("knowledge.voting.allowSelfVote", "false", "Whether the proposer may vote."),
];
