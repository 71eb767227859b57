//! Conversations over MQTT: `<prefix>/<instance>/in/<conversation>` in, `<prefix>/<instance>/out/<conversation>` out.
//!
//! Plain text in gets plain text out; a JSON object `{"id","text","sender"}` gets
//! `{"id","in_reply_to","text","route","trace_id"}`. The broker is the home's own (an image's keeps its user `devices` away from
//! these topics), so whoever may publish here is one of the
//! household. A message is acknowledged to the broker when it is committed, never before.

mod payload;

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::base::error::chain;
use crate::base::id::{SessionKey, TraceId};
use crate::base::shutdown::Shutdown;
use crate::bus::{Accepted, BusError, Courier, Undelivered};
use crate::channel::{Intake, IntakeError};
use crate::domain::message::{Channel, DeliveryFailure, Inbound, Origin, Outbound};
use crate::link::mqtt::{
    Incoming, LinkState, Message, MqttError, MqttHandle, Qos, Reliability, Retain, Route, RouteConfig,
};

use payload::{Form, Heard};

/// Where announcements go that belong to no MQTT conversation.
pub const ANNOUNCEMENTS: &str = "announcements";
/// Wait before a message that could not be taken is offered to the bus again; the broker holds what comes after.
const RETRY_WAIT: Duration = Duration::from_millis(500);
/// How long the broker may take to repeat a message that was not acknowledged.
const REPEAT_WITHIN: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Debug)]
pub struct Config {
    /// `mqtt.topicPrefix`.
    pub prefix: String,
    /// `node.instanceId`.
    pub instance_id: String,
}

impl Config {
    fn topic(&self, direction: &str, conversation: &str) -> String {
        format!("{}/{}/{direction}/{conversation}", self.prefix, self.instance_id)
    }

    /// What the link has to subscribe for [`listen`].
    pub fn route(&self) -> RouteConfig {
        RouteConfig { reliability: Reliability::Everything, filters: vec![self.topic("in", "+")] }
    }
}

/// Takes messages in until shutdown, one after the other, so that the order of a conversation is the broker's.
pub async fn listen(config: Config, handle: MqttHandle, mut route: Route, intake: Intake, shutdown: Shutdown) {
    let mut state = handle.link_state();
    loop {
        tokio::select! {
            incoming = route.incoming.recv() => match incoming {
                Some(incoming) => take(&config, &handle, &intake, incoming, &shutdown).await,
                None => return,
            },
            changed = state.changed() => {
                if changed.is_ok() && matches!(*state.borrow_and_update(), LinkState::Connected { .. }) {
                    intake.bus().wake_couriers();
                }
            }
            () = shutdown.triggered() => return,
        }
    }
}

async fn take(config: &Config, handle: &MqttHandle, intake: &Intake, incoming: Incoming, shutdown: &Shutdown) {
    let Incoming { message, ack } = incoming;
    match payload::read(&message.payload) {
        Ok(heard) => {
            let Some(inbound) = inbound_of(config, intake, &message, heard) else { return };
            if !store(intake, &message, inbound, shutdown).await {
                // Not acknowledged: the broker sends it again at the next start.
                return;
            }
        }
        Err(why) => {
            tracing::warn!(peer = %message.topic, bytes = message.payload.len(), error = why, "An MQTT message was not understood.");
        }
    }
    if let Some(token) = ack
        && let Err(error) = handle.ack(token)
    {
        tracing::debug!(error = chain(&error), "An MQTT message will be repeated by the broker.");
    }
}

/// Offers the message to the bus until it is committed; false when the house stops before.
async fn store(intake: &Intake, message: &Message, inbound: Inbound, shutdown: &Shutdown) -> bool {
    loop {
        let offered = if message.is_repeated { known(intake, &inbound).await } else { Ok(None) };
        let accepted = match offered {
            Ok(Some(known)) => Ok(known),
            Ok(None) => intake.accept(inbound.clone()).await,
            Err(error) => Err(error),
        };
        let wait = match accepted {
            Ok(Accepted::New(_)) => return true,
            Ok(Accepted::Duplicate(task_id)) => {
                if let Err(error) = intake.bus().repeat_answer(&task_id).await {
                    tracing::warn!(task_id = %task_id, error = chain(&error), "An answer could not be sent again.");
                }
                return true;
            }
            Err(IntakeError::Empty) => return true,
            Err(IntakeError::Bus(BusError::TooLong { bytes, .. })) => {
                tracing::warn!(peer = %message.topic, bytes, "An MQTT message was too long and was dropped.");
                return true;
            }
            Err(IntakeError::TooFast { retry_after }) => retry_after,
            Err(error) => {
                tracing::warn!(peer = %message.topic, error = chain(&error), "An MQTT message waits to be stored.");
                RETRY_WAIT
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.triggered() => return false,
        }
    }
}

/// Whether a plain message that the broker repeats was committed before; JSON messages carry their own id.
async fn known(intake: &Intake, inbound: &Inbound) -> Result<Option<Accepted>, IntakeError> {
    let Some((prefix, _)) = inbound.idempotency_key.as_deref().and_then(|key| key.rsplit_once('@')) else {
        return Ok(None);
    };
    let since = inbound.received_at.minus(REPEAT_WITHIN);
    let found = intake.bus().find_by_key(format!("{prefix}@"), since).await?;
    Ok(found.map(Accepted::Duplicate))
}

fn inbound_of(config: &Config, intake: &Intake, message: &Message, heard: Heard) -> Option<Inbound> {
    let conversation = message.topic.strip_prefix(&config.topic("in", ""))?;
    let received_at = intake.clock().now();
    let (idempotency_key, message_id) = match &heard.id {
        Some(id) => (format!("mqtt:{conversation}:{id}"), Some(id.clone())),
        // A plain message has no id: its packet number and its words are what a repeated one has in common with it.
        None => {
            let words = payload::fingerprint(&heard.text);
            (format!("mqtt:{conversation}:#{}:{words}@{}", message.packet_id, received_at.as_millis()), None)
        }
    };
    Some(Inbound {
        channel: Channel::new(Channel::MQTT),
        chat_id: conversation.to_owned(),
        thread_id: None,
        sender_id: heard.sender.unwrap_or_else(|| format!("mqtt:{conversation}")),
        session: SessionKey::from(format!("{}:{conversation}", Channel::MQTT)),
        trace_id: TraceId::random(),
        idempotency_key: Some(idempotency_key),
        message_id,
        content: heard.text,
        origin: Origin::Internal,
        reply_hint: Some(heard.form.as_str().to_owned()),
        received_at,
    })
}

/// Carries answers to the broker.
pub struct MqttCourier {
    config: Config,
    handle: MqttHandle,
}

impl MqttCourier {
    pub fn new(config: Config, handle: MqttHandle) -> Self {
        Self { config, handle }
    }
}

impl Courier for MqttCourier {
    fn deliver<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Result<(), Undelivered>> {
        Box::pin(async move {
            let topic = self.config.topic("out", &outbound.chat_id);
            let payload = match Form::parse(outbound.reply_hint.as_deref()) {
                Form::Plain => outbound.content.clone(),
                Form::Json => payload::answer(outbound),
            };
            let published = self.handle.publish(&topic, payload, Qos::AtLeastOnce, Retain::No).await;
            published.map_err(|error| match error {
                // It may have arrived; the next attempt carries the same id.
                MqttError::NotConnected | MqttError::Unconfirmed => Undelivered::Offline,
                _ => Undelivered::Failed(DeliveryFailure::InvalidTargetOrPayload),
            })
        })
    }
}
