//! Keys about this installation: paths, doors, identity, storage, logs.

use crate::config::key::{Key, Kind, PORT, TEXTS, WEB, flag, key, optional, text};

pub const KEYS: &[Key] = &[
    optional("$schema", Kind::Text, "Address of the JSON Schema, for editors; the gateway does not read it."),
    key(
        "paths.workspace",
        Kind::Path,
        "~/KafClaw-Workspace",
        "Folder with the soul files and everything the tools may touch.",
    )
    .also(&["AGENTS_WORKSPACE"]),
    key(
        "paths.workRepoPath",
        Kind::Path,
        "~/KafClaw-Workspace",
        "Repository in which the assistant keeps what it makes.",
    )
    .also(&["AGENTS_WORK_REPO_PATH"]),
    key(
        "paths.systemRepoPath",
        Kind::Path,
        "",
        "Repository with this program's own documents and skills; blank for none.",
    )
    .also(&["AGENTS_SYSTEM_REPO_PATH"]),
    key(
        "gateway.host",
        Kind::Host,
        "127.0.0.1",
        "Address the doors listen on, such as 0.0.0.0 for all of this machine's.",
    ),
    key("gateway.port", PORT, "18790", "Port of the chat API; 0 takes any free port."),
    key("gateway.dashboardPort", PORT, "18791", "Port of the dashboard and its API; 0 takes any free port."),
    key("gateway.controlPort", PORT, "18789", "Port of the WebSocket control channel; 0 takes any free port."),
    text(
        "gateway.authToken",
        "",
        "Token that clients present; blank makes the gateway generate one at the first start.",
    )
    .secret(),
    key("gateway.tlsCert", Kind::Path, "", "Certificate chain (PEM) for TLS at the doors; needs gateway.tlsKey."),
    key("gateway.tlsKey", Kind::Path, "", "Private key (PEM) for TLS at the doors; needs gateway.tlsCert."),
    key(
        "gateway.daemonRuntime",
        Kind::OneOf(&["native", "node"]),
        "native",
        "How the service is run; only native is supported.",
    ),
    flag("gateway.compat", "false", "Restores KafClaw's open behavior (no token, any origin), on loopback only."),
    key(
        "gateway.allowedHosts",
        TEXTS,
        "",
        "Host header values accepted besides this machine's own names and addresses.",
    ),
    key(
        "gateway.allowedOrigins",
        TEXTS,
        "",
        "Origins of web pages that may call the API besides the dashboard itself.",
    ),
    flag(
        "update.automatic",
        "false",
        "Whether newer versions are installed without asking, in the maintenance window.",
    ),
    key("update.source", Kind::Url(WEB), "", "Where updates are looked for: an index of them, or another hub."),
    text("update.token", "", "Token that update.source asks for, such as the other hub's.").secret(),
    key(
        "update.window",
        Kind::Window,
        "02:00-05:00",
        "Time of day in which automatic updates are installed and started.",
    ),
    key("update.waves", Kind::Whole(1, 100), "4", "Number of waves in which a fleet takes an automatic update."),
    key("update.wave", Kind::Whole(-1, 99), "-1", "Wave of this hub, from 0; -1 derives it from the hub's id."),
    key("update.waveInterval", Kind::Duration, "24h", "Time between two waves, from the release on."),
    text("node.clawId", "claw-local", "Name of the household or fleet that this node belongs to."),
    key(
        "node.instanceId",
        Kind::Segment,
        "default",
        "Name of this node, unique in its fleet; part of the MQTT topics.",
    ),
    text("node.displayName", "KafClaw Local", "Name of this node for people."),
    key("retention.timelineDays", Kind::Whole(1, 36_500), "30", "Days for which timeline events are kept."),
    key("retention.timelineMaxRows", Kind::Whole(1_000, 100_000_000), "200000", "Timeline events kept at most."),
    key("retention.tasksDays", Kind::Whole(1, 36_500), "30", "Days for which finished tasks are kept."),
    key(
        "retention.decisionsDays",
        Kind::Whole(1, 36_500),
        "30",
        "Days for which policy decisions and approvals are kept.",
    ),
    key("retention.jobRunsDays", Kind::Whole(1, 36_500), "30", "Days for which the history of scheduled jobs is kept."),
    key(
        "retention.maxDatabaseMegabytes",
        Kind::Whole(16, 1_048_576),
        "512",
        "Size at which the oldest records go, whatever their age.",
    ),
    key(
        "log.level",
        Kind::OneOf(&["error", "warn", "info", "debug", "trace"]),
        "info",
        "Least important log lines that are written.",
    ),
];
