//! A model of this house: asked through a port, heard as if it were a server.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::provider::assembly::{Answer, Assembly};
use crate::provider::client::Audience;
use crate::provider::failure::Failure;
use crate::provider::port::LocalModels;
use crate::provider::quirk::Quirks;
use crate::provider::{Delta, Endpoint, Options, Request, wire};

/// Chunks between the model and the answer.
const EVENTS_LEN: usize = 64;

pub(super) struct Here {
    pub endpoint: Endpoint,
    pub models: Arc<dyn LocalModels>,
}

impl Here {
    /// Asks once: what fails in this house fails again at once. What was shown of a failed answer is taken back.
    pub(super) async fn ask(
        &self,
        options: &Options,
        request: &Request,
        listener: Option<&mpsc::Sender<Delta>>,
    ) -> Result<Answer, Failure> {
        let mut audience = Audience::new(listener);
        let asked = timeout(options.timeout, self.ask_once(options, request, &mut audience)).await;
        let answer = asked.unwrap_or(Err(Failure::TimedOut));
        if answer.is_err() {
            audience.take_back().await;
        }
        answer
    }

    async fn ask_once(
        &self,
        options: &Options,
        request: &Request,
        audience: &mut Audience<'_>,
    ) -> Result<Answer, Failure> {
        let body = wire::body(&self.endpoint, options, request, Quirks::default());
        let (sender, mut events) = mpsc::channel(EVENTS_LEN);
        let said = async { self.models.generate(&self.endpoint.model, body, sender).await.map_err(Failure::from) };
        let heard = async {
            let mut assembly = Assembly::default();
            while let Some(event) = events.recv().await {
                audience.hear(assembly.take(&event.to_string())?).await;
            }
            if assembly.is_done() {
                audience.hear(assembly.end()).await;
            }
            Ok::<_, Failure>(assembly)
        };
        let ((), assembly) = tokio::try_join!(said, heard)?;
        if !assembly.is_done() {
            return Err(Failure::Broken { why: "it ended in the middle".to_owned() });
        }
        Ok(assembly.finish(&self.endpoint))
    }
}
