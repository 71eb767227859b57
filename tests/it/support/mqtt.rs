//! An MQTT client for tests: publishes, listens, remembers everything it heard.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rumqttc::{Client, Event, MqttOptions, Packet, QoS, RecvTimeoutError};
use serde_json::Value;

use super::{Mosquitto, PATIENCE, wait_for};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heard {
    pub topic: String,
    pub payload: String,
}

impl Heard {
    /// Null when it is no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.payload).unwrap_or(Value::Null)
    }
}

type Listener = Box<dyn FnMut(&Client, &Heard) + Send>;

/// A client that connects again by itself and listens to the same topics again.
pub struct Mqtt {
    client: Client,
    heard: Arc<Mutex<Vec<Heard>>>,
    /// Connections on which the broker has confirmed every filter.
    connections: Arc<AtomicUsize>,
    stops: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Mqtt {
    pub fn connect(broker: &Mosquitto, filters: &[&str]) -> Self {
        Self::connect_with(broker, filters, Box::new(|_, _| ()))
    }

    /// Calls `listener` with everything it hears, in order.
    pub fn connect_with(broker: &Mosquitto, filters: &[&str], mut listener: Listener) -> Self {
        let mut options = MqttOptions::new(format!("test-{}", fresh_number()), "127.0.0.1", broker.port());
        options.set_keep_alive(Duration::from_secs(30)).set_max_packet_size(1 << 20, 1 << 20);
        let (client, mut connection) = Client::new(options, 10_000);
        // Otherwise small messages wait for each other's acknowledgments, 40 ms and more.
        connection.eventloop.network_options.set_tcp_nodelay(true);
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let (connections, stops): (Arc<AtomicUsize>, Arc<AtomicBool>) = Default::default();
        let filters: Vec<String> = filters.iter().map(|filter| (*filter).to_owned()).collect();
        let (ours, log, count, is_stopping) = (client.clone(), heard.clone(), connections.clone(), stops.clone());
        let thread = thread::spawn(move || {
            let mut confirmed = 0;
            while !is_stopping.load(Ordering::SeqCst) {
                match connection.recv_timeout(Duration::from_millis(100)) {
                    Ok(Ok(Event::Incoming(Packet::ConnAck(_)))) => {
                        confirmed = 0;
                        for filter in &filters {
                            let _ = ours.try_subscribe(filter, QoS::AtLeastOnce);
                        }
                        if filters.is_empty() {
                            count.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    Ok(Ok(Event::Incoming(Packet::SubAck(_)))) => {
                        confirmed += 1;
                        if confirmed == filters.len() {
                            count.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    Ok(Ok(Event::Incoming(Packet::Publish(publish)))) => {
                        let payload = String::from_utf8_lossy(&publish.payload).into_owned();
                        let message = Heard { topic: publish.topic, payload };
                        listener(&ours, &message);
                        log.lock().expect("the log").push(message);
                    }
                    Ok(Ok(_)) | Err(RecvTimeoutError::Timeout) => {}
                    Ok(Err(_)) => {
                        // The broker is away; a short look elsewhere keeps the loop from spinning.
                        let _ =
                            wait_for(Duration::from_millis(50), || is_stopping.load(Ordering::SeqCst).then_some(()));
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        });
        let mqtt = Self { client, heard, connections, stops, thread: Some(thread) };
        mqtt.wait_until_connected(1);
        mqtt
    }

    /// Waits until it listens for the `number`th time. Between two connections it hears nothing, and what it says is lost.
    #[track_caller]
    pub fn wait_until_connected(&self, number: usize) {
        let is_there = || (self.connections.load(Ordering::SeqCst) >= number).then_some(());
        assert!(wait_for(PATIENCE, is_there).is_some(), "the broker is deaf to connection {number}");
    }

    /// Publishes with QoS 1.
    pub fn publish(&self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.client.publish(topic, QoS::AtLeastOnce, false, payload).expect("room for a message");
    }

    pub fn publish_retained(&self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.client.publish(topic, QoS::AtLeastOnce, true, payload).expect("room for a message");
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("the log").clone()
    }

    /// The first message that fits, now or soon.
    #[track_caller]
    pub fn expect(&self, what: &str, fits: impl Fn(&Heard) -> bool) -> Heard {
        let found = wait_for(PATIENCE, || self.heard().into_iter().find(&fits));
        found.unwrap_or_else(|| panic!("never heard {what}; heard {:?}", self.heard()))
    }
}

impl Drop for Mqtt {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::SeqCst);
        let _ = self.client.try_disconnect();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn fresh_number() -> u64 {
    use std::sync::atomic::AtomicU64;
    static NEXT: AtomicU64 = AtomicU64::new(0);
    u64::from(std::process::id()) << 20 | NEXT.fetch_add(1, Ordering::SeqCst)
}
