//! Commands on their way to the broker, beside the loop: whoever is slow to confirm holds up nobody.

use std::task::Poll;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::base::error::chain;
use crate::base::id::EntityId;
use crate::domain::household::CommandResult;
use crate::home::command::Publication;
use crate::home::confirm::{Reply, Sent};
use crate::link::mqtt::{MqttError, MqttHandle, Qos, Retain};

/// How long the broker may take to confirm one message.
const PUBACK_WAIT: Duration = Duration::from_secs(5);

/// A command for one entity, or why there is none.
pub(super) type Worded = (EntityId, Result<(Vec<Publication>, Sent), CommandResult>);

/// What the publishing of a batch came to.
pub(super) struct Published {
    pub results: Vec<(EntityId, Result<Sent, CommandResult>)>,
    pub reply: Reply,
}

/// Begins to publish and returns; the outcome goes to `published`.
pub(super) async fn start(
    handle: Option<MqttHandle>,
    worded: Vec<Worded>,
    reply: Reply,
    published: mpsc::Sender<Published>,
) {
    let mut going = Box::pin(async move {
        let sent = worded.into_iter().map(|(id, command)| {
            let handle = handle.clone();
            async move {
                let result = match (command, handle) {
                    (Ok((publications, sent)), Some(handle)) => publish(&handle, publications).await.map(|()| sent),
                    (Ok(_), None) => Err(CommandResult::NotConnected),
                    (Err(result), _) => Err(result),
                };
                (id, result)
            }
        });
        let results = futures_util::future::join_all(sent).await;
        // The loop ends before its senders only at shutdown; the caller hears that from its dropped channel.
        let _ = published.send(Published { results, reply }).await;
    });
    // Begun here, so that of two commands for one lamp the first is also sent first.
    let is_over = std::future::poll_fn(|ctx| Poll::Ready(going.as_mut().poll(ctx).is_ready())).await;
    if !is_over {
        tokio::spawn(going);
    }
}

async fn publish(handle: &MqttHandle, publications: Vec<Publication>) -> Result<(), CommandResult> {
    for Publication { topic, payload, retain } in publications {
        let retain = if retain { Retain::Yes } else { Retain::No };
        let sent = tokio::time::timeout(PUBACK_WAIT, handle.publish(&topic, payload, Qos::AtLeastOnce, retain));
        match sent.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), "A command did not reach the broker.");
                return Err(match error {
                    MqttError::NotConnected => CommandResult::NotConnected,
                    _ => CommandResult::NotConfirmed,
                });
            }
            Err(_) => {
                tracing::warn!("The broker did not confirm a command in time.");
                return Err(CommandResult::NotConfirmed);
            }
        }
    }
    Ok(())
}
