//! The models of this house, as the doors and the chain see them.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::api::port::{Embedded, Embeddings, Hearing, Models, Purpose, Reason, Refusal, Speech, Talk};
use crate::inference::language;
use crate::inference::transcript::{Segment, Transcript};

/// A house without models.
pub(super) struct Nobody;

fn nobody(model: &str) -> Refusal {
    Refusal::new(Reason::NoModel, format!("the model `{model}` is not installed here"))
}

impl Models for Nobody {
    fn ids(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async { Vec::new() })
    }
}

impl Embeddings for Nobody {
    fn embed<'a>(&'a self, model: &'a str, _: Vec<String>, _: Purpose) -> BoxFuture<'a, Result<Embedded, Refusal>> {
        Box::pin(async move { Err(nobody(model)) })
    }
}

impl Speech for Nobody {
    fn transcribe<'a>(
        &'a self,
        model: &'a str,
        _: Bytes,
        _: Hearing,
        _: Option<mpsc::Sender<Segment>>,
    ) -> BoxFuture<'a, Result<Transcript, Refusal>> {
        Box::pin(async move { Err(nobody(model)) })
    }
}

impl Talk for Nobody {
    fn generate<'a>(
        &'a self,
        model: &'a str,
        _: language::Request,
        _: mpsc::Sender<language::Piece>,
    ) -> BoxFuture<'a, Result<language::Completion, Refusal>> {
        Box::pin(async move { Err(nobody(model)) })
    }
}
