//! Keys about the home: the broker, the assistant's name and tongue, intents, the clock.

use crate::config::key::{Key, Kind, TEXTS, flag, key, optional, text};

pub const KEYS: &[Key] = &[
    key(
        "mqtt.url",
        Kind::Url(&["mqtt", "mqtts"]),
        "",
        "Broker of the home, as mqtt://user:password@host:1883 or mqtts://host.",
    )
    .secret(),
    optional("mqtt.enabled", Kind::Flag, "Whether the broker is used; absent means yes as soon as mqtt.url is set."),
    text("mqtt.clientId", "", "Client id at the broker; blank means kafclaw-<node.instanceId>."),
    text("mqtt.username", "", "User at the broker; outweighs the one in mqtt.url."),
    text("mqtt.password", "", "Password at the broker; outweighs the one in mqtt.url.").secret(),
    key(
        "mqtt.caFile",
        Kind::Path,
        "",
        "Certificates (PEM) that the broker's is checked against; blank means the system's.",
    ),
    key("mqtt.discoveryPrefix", Kind::Topic, "homeassistant", "Topic under which devices announce themselves."),
    key("mqtt.topicPrefix", Kind::Topic, "kafclaw", "Topic under which this gateway talks."),
    key("mqtt.confirmTimeout", Kind::Duration, "2s", "How long a device may take to confirm a command."),
    flag("mqtt.publishDiscovery", "true", "Whether the gateway announces itself to Home Assistant."),
    text("assistant.name", "KafClaw", "Name the assistant answers to."),
    key(
        "assistant.language",
        Kind::OneOf(&["en", "de", "auto"]),
        "en",
        "Language of the answers; auto follows the question.",
    ),
    text("assistant.timeZone", "", "Time zone such as Europe/Berlin; blank means the system's."),
    text("assistant.location", "", "Where the home is, for answers that need it."),
    flag("intents.enabled", "true", "Whether sentences are matched before any model is asked."),
    key("intents.languages", TEXTS, "en,de", "Languages whose sentences are matched, most likely one first."),
    key("intents.directory", Kind::Path, "", "Folder with further sentence files; blank for none."),
    flag("scheduler.enabled", "true", "Whether timers, reminders and jobs run."),
    key("scheduler.tickInterval", Kind::Duration, "60s", "How often jobs are looked at when nothing is due earlier."),
    key("scheduler.maxConcLLM", Kind::Count(1_000), "3", "Jobs that talk to a model at the same time."),
    key("scheduler.maxConcShell", Kind::Count(1_000), "1", "Jobs that run a command at the same time."),
    key("scheduler.maxConcDefault", Kind::Count(1_000), "5", "Other jobs at the same time."),
    key(
        "scheduler.missed",
        Kind::OneOf(&["run-once", "skip"]),
        "run-once",
        "What happens to jobs that were due while the power was off.",
    ),
    key("scheduler.missedWithin", Kind::Duration, "24h", "How late a missed job may still run."),
];
