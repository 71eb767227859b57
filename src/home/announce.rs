//! How the hub shows itself to Home Assistant: one device with its vital signs and a text field to talk to it.

use std::time::Duration;

use serde_json::{Value, json};

/// Who we are on the broker.
#[derive(Clone, Debug)]
pub struct HubFacts {
    pub discovery_prefix: String,
    /// `mqtt.topicPrefix`.
    pub topic_prefix: String,
    pub instance_id: String,
    pub name: String,
    pub version: &'static str,
}

/// How the hub is.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Vitals {
    pub uptime: Duration,
    pub queue_len: usize,
    pub cpu_celsius: Option<f64>,
}

/// A message of our own, all of them retained.
#[derive(Clone, PartialEq, Debug)]
pub struct Statement {
    pub topic: String,
    pub payload: String,
}

impl HubFacts {
    /// Our object id in discovery topics.
    pub fn own_id(&self) -> String {
        let id =
            self.instance_id.chars().map(|character| if character.is_ascii_alphanumeric() { character } else { '_' });
        format!("kafclaw_{}", id.collect::<String>())
    }

    /// Where `online` and, as the last will, `offline` is said.
    pub fn status_topic(&self) -> String {
        format!("{}/{}/status", self.topic_prefix, self.instance_id)
    }

    fn vitals_topic(&self) -> String {
        format!("{}/{}/vitals", self.topic_prefix, self.instance_id)
    }

    /// The discovery document, device-based.
    pub fn announcement(&self) -> Statement {
        let id = self.own_id();
        let conversation = format!("{}/{}", self.topic_prefix, self.instance_id);
        let diagnostic = |mut component: Value| {
            component["entity_category"] = json!("diagnostic");
            component
        };
        let sensor = |key: &str, name: &str| {
            diagnostic(json!({
                "platform": "sensor",
                "unique_id": format!("{id}_{key}"),
                "name": name,
                "state_topic": self.vitals_topic(),
                "value_template": format!("{{{{ value_json.{key} }}}}"),
            }))
        };
        let mut uptime = sensor("uptime_s", "Uptime");
        uptime["device_class"] = json!("duration");
        uptime["unit_of_measurement"] = json!("s");
        let mut celsius = sensor("cpu_celsius", "CPU temperature");
        celsius["device_class"] = json!("temperature");
        celsius["unit_of_measurement"] = json!("°C");
        let payload = json!({
            "device": {
                "identifiers": [id],
                "name": self.name,
                "manufacturer": "KafClaw",
                "model": "KafClaw Edge",
                "sw_version": self.version,
            },
            "origin": {"name": "KafClaw Edge", "sw_version": self.version},
            "availability_topic": self.status_topic(),
            "components": {
                "status": diagnostic(json!({
                    "platform": "binary_sensor",
                    "unique_id": format!("{id}_status"),
                    "name": "Status",
                    "device_class": "connectivity",
                    "state_topic": self.status_topic(),
                    "payload_on": "online",
                    "payload_off": "offline",
                })),
                "uptime": uptime,
                "queue": sensor("queue_len", "Waiting messages"),
                "cpu": celsius,
                "talk": {
                    "platform": "text",
                    "unique_id": format!("{id}_talk"),
                    "name": "Talk",
                    "command_topic": format!("{conversation}/in/homeassistant"),
                    "state_topic": format!("{conversation}/out/homeassistant"),
                    // Home Assistant keeps states of at most 255 characters.
                    "value_template": "{{ value[:255] }}",
                },
            },
        });
        Statement { topic: format!("{}/device/{id}/config", self.discovery_prefix), payload: payload.to_string() }
    }

    pub fn online(&self) -> Statement {
        Statement { topic: self.status_topic(), payload: "online".to_owned() }
    }

    pub fn vitals(&self, vitals: &Vitals) -> Statement {
        let payload = json!({
            "uptime_s": vitals.uptime.as_secs(),
            "queue_len": vitals.queue_len,
            "cpu_celsius": vitals.cpu_celsius,
        });
        Statement { topic: self.vitals_topic(), payload: payload.to_string() }
    }

    /// Where Home Assistant says that it has (re)started and wants to hear everything again.
    pub fn birth_topic(&self) -> String {
        format!("{}/status", self.discovery_prefix)
    }
}
