//! One model of the chain, wherever it is.

use tokio::sync::mpsc;

use crate::provider::client::Model;
use crate::provider::failure::Failure;
use crate::provider::here::Here;
use crate::provider::{Answer, Delta, Endpoint, Options, RateLimits, Request};

pub(super) enum Member {
    /// At a server.
    There(Model),
    Here(Here),
}

impl Member {
    pub(super) fn endpoint(&self) -> &Endpoint {
        match self {
            Self::There(model) => &model.endpoint,
            Self::Here(model) => &model.endpoint,
        }
    }

    /// Whether somebody is there.
    pub(super) async fn knock(&self) -> bool {
        match self {
            Self::There(model) => model.knock().await,
            Self::Here(_) => true,
        }
    }

    pub(super) fn limits(&self) -> Option<RateLimits> {
        match self {
            Self::There(model) => model.limits(),
            Self::Here(_) => None,
        }
    }

    pub(super) async fn ask(
        &self,
        options: &Options,
        request: &Request,
        listener: Option<&mpsc::Sender<Delta>>,
    ) -> Result<Answer, Failure> {
        match self {
            Self::There(model) => model.ask(options, request, listener).await,
            Self::Here(model) => model.ask(options, request, listener).await,
        }
    }
}
