//! Says that this member shares knowledge, and what it can do: on their time, while there is a broker to say it to. Nothing of it is
//! ever queued: what was so an hour ago concerns nobody.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::base::error::chain;
use crate::group::connectivity::{Connectivity, State};
use crate::group::outbox;
use crate::knowledge::{self, Context, Outgoing};
use crate::link::kafka::{self, Producer};

use super::core::Core;

/// A broker that can be reached takes it sooner.
const SAID_WITHIN: Duration = Duration::from_secs(5);

/// How often, in terms of the group's heartbeat: 45 s and 5 min where that is 30 s (group specification §4).
fn times(heartbeat: Duration) -> (Duration, Duration) {
    (heartbeat * 3 / 2, heartbeat * 10)
}

/// Begins at once when this member is announced, and rests while there is no connection.
pub(super) async fn keep(core: Arc<Core>, producer: Producer, handle: Connectivity) {
    if !core.config.knowledge.is_enabled {
        return;
    }
    let (presence_every, capabilities_every) = times(core.config.heartbeat);
    let (mut presence, mut capabilities) = (interval(presence_every), interval(capabilities_every));
    presence.set_missed_tick_behavior(MissedTickBehavior::Delay);
    capabilities.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut status = handle.watch();
    loop {
        tokio::select! {
            _ = presence.tick() => {
                if status.wait_for(|status| matches!(status.state, State::Online { .. })).await.is_err() {
                    return;
                }
                say(&core, &producer, |context| knowledge::presence(context, "active")).await;
            }
            _ = capabilities.tick() => {
                if status.wait_for(|status| matches!(status.state, State::Online { .. })).await.is_err() {
                    return;
                }
                let identity = &core.config.me;
                let of = |context: &Context<'_>| knowledge::capabilities(context, &identity.capabilities, &identity.model);
                say(&core, &producer, of).await;
            }
        }
    }
}

/// Says that this member stops sharing.
pub(super) async fn stop(core: &Arc<Core>, producer: &Producer) {
    if core.config.knowledge.is_enabled {
        say(core, producer, |context| knowledge::presence(context, "stopping")).await;
    }
}

/// Now or not at all; what is missed is said again soon.
async fn say(core: &Arc<Core>, producer: &Producer, of: impl Fn(&Context<'_>) -> Outgoing) {
    let stamp = match core.db.write(outbox::next_stamp).await {
        Ok(stamp) => stamp,
        Err(error) => return tracing::error!(error = chain(&error), "The group's counter could not be moved on."),
    };
    let outgoing = of(&core.known(core.clock.now()));
    let (topic, value) = core.known_record(outgoing.kind, outgoing.message, stamp);
    let out = kafka::Outgoing { topic: &topic, key: Some(outgoing.key.as_bytes()), payload: &value, headers: &[] };
    match tokio::time::timeout(SAID_WITHIN, producer.send_one(&out)).await {
        Ok(Ok(Ok(_))) => {}
        Ok(Ok(Err(error))) => tracing::debug!(error = chain(&error), "Presence did not reach the broker."),
        Ok(Err(error)) => tracing::debug!(error = chain(&error), "Presence did not reach the broker's client."),
        Err(_) => tracing::debug!("Presence was not acknowledged in time."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_specification_where_heartbeats_are() {
        assert_eq!(times(Duration::from_secs(30)), (Duration::from_secs(45), Duration::from_secs(300)));
    }
}
