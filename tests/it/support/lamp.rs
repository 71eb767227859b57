//! A lamp as Zigbee2MQTT shows it: announced, obedient, and with a memory of what it was told.

use std::sync::{Arc, Mutex};

use rumqttc::QoS;
use serde_json::{Value, json};

use super::{Door, Mosquitto, Mqtt, PATIENCE, eventually};

const ANNOUNCEMENT: &str = include_str!("../../fixtures/discovery/zigbee2mqtt_light.json");
const NAME: &str = "kitchen_lamp";

pub struct Lamp {
    mqtt: Mqtt,
    name: String,
    commands: Arc<Mutex<Vec<Value>>>,
}

impl Lamp {
    /// "kitchen lamp", switched off.
    pub fn in_kitchen(broker: &Mosquitto) -> Self {
        Self::named(broker, NAME)
    }

    /// A lamp with a name such as `desk_lamp`.
    pub fn named(broker: &Mosquitto, name: &str) -> Self {
        let commands: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (state_topic, log) = (format!("zigbee2mqtt/{name}"), commands.clone());
        let mut state = json!({"state": "OFF", "brightness": 254});
        let topic = state_topic.clone();
        let obey = move |client: &rumqttc::Client, heard: &super::Heard| {
            let command = heard.json();
            for (key, value) in command.as_object().into_iter().flatten() {
                state[key] = value.clone();
            }
            log.lock().expect("the log").push(command);
            let _ = client.try_publish(&topic, QoS::AtLeastOnce, true, state.to_string());
        };
        let mqtt = Mqtt::connect_with(broker, &[&format!("{state_topic}/set")], Box::new(obey));
        let announcement = ANNOUNCEMENT.replace(NAME, name).replace("0x00158d", &format!("0x{name}"));
        mqtt.publish_retained("zigbee2mqtt/bridge/state", r#"{"state":"online"}"#);
        mqtt.publish_retained(&state_topic, r#"{"state":"OFF","brightness":254}"#);
        mqtt.publish_retained(&format!("homeassistant/light/0x{name}/light/config"), announcement);
        Self { mqtt, name: name.to_owned(), commands }
    }

    /// What it was told to do, in order.
    pub fn commands(&self) -> Vec<Value> {
        self.commands.lock().expect("the log").clone()
    }

    /// Somebody turns the knob on the lamp itself.
    pub fn report(&self, state: &str) {
        self.mqtt.publish_retained(&format!("zigbee2mqtt/{}", self.name), json!({"state": state}).to_string());
    }

    /// As [`Mqtt::wait_until_connected`].
    #[track_caller]
    pub fn wait_until_connected(&self, number: usize) {
        self.mqtt.wait_until_connected(number);
    }

    /// Waits until a gateway knows the lamp and that it can be reached.
    #[track_caller]
    pub fn wait_until_known(&self, dashboard: &Door) {
        let name = self.name.replace('_', " ");
        eventually("the lamp is known", PATIENCE, || {
            let devices = dashboard.get("/api/v1/devices").json();
            let is_it = |device: &Value| device["name"] == name.as_str() && device["available"] == true;
            devices.as_array().is_some_and(|devices| devices.iter().any(is_it))
        });
    }
}
