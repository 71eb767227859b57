//! Searching for callers who wait: the question gets its vector from the model whose vectors answer.

use std::sync::{Arc, PoisonError, RwLock};

use super::generation;
use super::port::{Embed, EmbedFailure, TextUse};
use super::search::Hit;
use super::seek::{Ask, Mode, QueryVector, seek};
use crate::base::error::chain;
use crate::db::{Db, DbError};

/// Handle; clones share the models.
#[derive(Clone)]
pub struct Recall {
    db: Db,
    models: Arc<RwLock<Vec<Arc<dyn Embed>>>>,
}

impl Recall {
    /// `models` may be none (words decide alone), one, or several while the memory moves from one to another.
    pub fn new(db: Db, models: Vec<Arc<dyn Embed>>) -> Self {
        Self { db, models: Arc::new(RwLock::new(models)) }
    }

    /// Uses other models from now on.
    pub fn replace(&self, models: Vec<Arc<dyn Embed>>) {
        *self.models.write().unwrap_or_else(PoisonError::into_inner) = models;
    }

    /// The question in terms of the vectors that answer; none when no model is there that made them, or it fails.
    pub async fn vector(&self, text: &str) -> Option<QueryVector> {
        let active = self.db.read(generation::active).await.ok().flatten()?;
        let model = {
            let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
            models.iter().find(|model| model.fingerprint() == active.fingerprint)?.clone()
        };
        match model.embed(vec![text.to_owned()], TextUse::Query).await {
            Ok(vectors) => {
                let values = vectors.into_iter().next()?;
                Some(QueryVector { fingerprint: active.fingerprint, values })
            }
            Err(EmbedFailure::Refused { .. }) => None,
            Err(failure) => {
                tracing::debug!(error = chain(&failure), "A question was answered by its words alone.");
                None
            }
        }
    }

    /// As [`seek`]; makes the question's vector where it is wanted and missing.
    pub async fn search(&self, mut ask: Ask) -> Result<Vec<Hit>, DbError> {
        if ask.vector.is_none() && ask.mode != Mode::Keyword {
            ask.vector = self.vector(&ask.text).await;
        }
        self.db.read(move |conn| seek(conn, &ask)).await
    }
}
