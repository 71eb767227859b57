//! Searching for callers who wait: the question gets its vector from the model whose vectors answer.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::port::{Embed, EmbedFailure, TextUse};
use super::search::Hit;
use super::seek::{Ask, Mode, QueryVector, seek};
use super::{fill, generation};
use crate::base::error::chain;
use crate::db::{Db, DbError};

/// A question waits so long for the vectors of what was just written, and for so many of them; an import would take minutes.
const NEWEST_WAIT_MAX: Duration = Duration::from_secs(1);
const NEWEST_MAX: usize = 16;

/// Handle; clones share the models.
#[derive(Clone)]
pub struct Recall {
    db: Db,
    models: Arc<RwLock<Vec<Arc<dyn Embed>>>>,
    newest_wait: Duration,
}

impl Recall {
    /// `models` may be none (words decide alone), one, or several while the memory moves from one to another.
    pub fn new(db: Db, models: Vec<Arc<dyn Embed>>) -> Self {
        Self { db, models: Arc::new(RwLock::new(models)), newest_wait: NEWEST_WAIT_MAX }
    }

    /// A busy machine may take longer than a person would wait.
    #[cfg(test)]
    pub(super) fn with_newest_wait(self, newest_wait: Duration) -> Self {
        Self { newest_wait, ..self }
    }

    /// Uses other models from now on.
    pub fn replace(&self, models: Vec<Arc<dyn Embed>>) {
        *self.models.write().unwrap_or_else(PoisonError::into_inner) = models;
    }

    /// The question in terms of the vectors that answer; none when no model is there that made them, or it fails. When it returns,
    /// what was just written has its vector too, unless that takes longer than a person would wait for it.
    pub async fn vector(&self, text: &str) -> Option<QueryVector> {
        let active = self.db.read(generation::active).await.ok().flatten()?;
        let model = {
            let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
            models.iter().find(|model| model.fingerprint() == active.fingerprint)?.clone()
        };
        match model.embed(vec![text.to_owned()], TextUse::Query).await {
            Ok(vectors) => {
                let values = vectors.into_iter().next()?;
                self.await_newest(active.number).await;
                Some(QueryVector { fingerprint: active.fingerprint, values })
            }
            Err(EmbedFailure::Refused { .. }) => None,
            Err(failure) => {
                tracing::debug!(error = chain(&failure), "A question was answered by its words alone.");
                None
            }
        }
    }

    /// What was said a moment ago is what people ask for first, and the indexer gathers for a moment before it computes.
    async fn await_newest(&self, number: i64) {
        let mut committed = self.db.committed();
        let indexed = async {
            loop {
                committed.mark_unchanged();
                let waiting = self.db.read(move |conn| fill::waiting(conn, number, NEWEST_MAX + 1)).await;
                let is_soon = waiting.is_ok_and(|waiting| (1..=NEWEST_MAX).contains(&waiting.len()));
                if !is_soon || committed.changed().await.is_err() {
                    return;
                }
            }
        };
        // Late vectors are found by the next question.
        let _ = tokio::time::timeout(self.newest_wait, indexed).await;
    }

    /// As [`seek`]; makes the question's vector where it is wanted and missing.
    pub async fn search(&self, mut ask: Ask) -> Result<Vec<Hit>, DbError> {
        if ask.vector.is_none() && ask.mode != Mode::Keyword {
            ask.vector = self.vector(&ask.text).await;
        }
        self.db.read(move |conn| seek(conn, &ask)).await
    }
}
