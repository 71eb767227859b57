//! The models in their order: the first that answers, answers. One that cannot be reached is passed over for a while and
//! comes back by itself.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::base::clock::{Clock, Timestamp};
use crate::base::error::chain;
use crate::domain::message::Route;
use crate::provider::client::{Failure, Model};
use crate::provider::{Answer, Delta, Endpoint, Options, ProviderError, Request};

/// First time a model is passed over; doubles with each failure.
const PASS_OVER_MIN: Duration = Duration::from_secs(2);
const PASS_OVER_MAX: Duration = Duration::from_secs(30);

/// How a model has been lately. A value without I/O.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Health {
    failures: u32,
    passed_over_until: Option<Timestamp>,
}

impl Health {
    fn may_be_asked(&self, now: Timestamp) -> bool {
        // A clock that was set back must not keep a model away for longer than it would have been.
        self.passed_over_until.is_none_or(|until| until <= now || until.since(now) > PASS_OVER_MAX)
    }

    fn failed(&mut self, now: Timestamp) {
        let wait =
            PASS_OVER_MIN.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(PASS_OVER_MAX);
        self.failures = self.failures.saturating_add(1);
        self.passed_over_until = Some(now.plus(wait));
    }

    fn answered(&mut self) {
        *self = Self::default();
    }
}

/// How a model is, for people.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct ModelStatus {
    pub name: String,
    pub route: Route,
    pub reachable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

pub struct Chain {
    models: Vec<Model>,
    options: Options,
    clock: Clock,
    health: Mutex<Vec<(Health, Option<String>)>>,
}

impl Chain {
    pub fn new(endpoints: Vec<Endpoint>, options: Options, clock: Clock) -> Self {
        let models: Vec<Model> = endpoints.into_iter().map(|endpoint| Model::new(endpoint, &options)).collect();
        let health = Mutex::new(vec![(Health::default(), None); models.len()]);
        Self { models, options, clock, health }
    }

    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// Asks one model after the other until one answers.
    pub async fn ask(
        &self,
        request: &Request,
        listener: Option<&mpsc::Sender<Delta>>,
    ) -> Result<Answer, ProviderError> {
        let mut tried = Vec::new();
        for index in self.candidates() {
            let model = &self.models[index];
            let failure = match model.ask(&self.options, request, listener).await {
                Ok(answer) => {
                    self.note(index, None);
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            let name = model.endpoint.name();
            tracing::warn!(peer = name, error = chain(&failure), "A model did not answer.");
            if let Failure::Refused { status, message } = failure {
                // The request is at fault; the next model would be sent the same.
                self.note(index, None);
                return Err(ProviderError::Refused { model: name, status, message });
            }
            tried.push(name);
            self.note(index, Some(failure.to_string()));
        }
        Err(ProviderError::NoneReachable { tried: tried.join(", ") })
    }

    /// Those that may be asked, in order; when all are passed over, all of them: somebody is waiting.
    fn candidates(&self) -> Vec<usize> {
        let now = self.clock.now();
        let health = self.lock();
        let well: Vec<usize> = (0..health.len()).filter(|index| health[*index].0.may_be_asked(now)).collect();
        if well.is_empty() { (0..health.len()).collect() } else { well }
    }

    fn note(&self, index: usize, problem: Option<String>) {
        let now = self.clock.now();
        let mut health = self.lock();
        let (state, last) = &mut health[index];
        match &problem {
            Some(_) => state.failed(now),
            None => state.answered(),
        }
        *last = problem;
    }

    /// Every model in its order.
    pub fn status(&self) -> Vec<ModelStatus> {
        let health = self.lock();
        let status = |(model, (state, problem)): (&Model, &(Health, Option<String>))| ModelStatus {
            name: model.endpoint.name(),
            route: model.endpoint.route,
            reachable: state.failures == 0,
            problem: problem.clone(),
        };
        self.models.iter().zip(health.iter()).map(status).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Health, Option<String>)>> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_passed_over_longer_each_time_and_forgiven_at_once() {
        let mut health = Health::default();
        let now = Timestamp::from_millis(1_000_000);
        let mut waits = Vec::new();
        for _ in 0..6 {
            health.failed(now);
            waits.push(health.passed_over_until.expect("passed over").since(now).as_secs());
        }
        assert_eq!(waits, [2, 4, 8, 16, 30, 30]);
        assert!(!health.may_be_asked(now.plus(Duration::from_secs(29))));
        assert!(health.may_be_asked(now.plus(Duration::from_secs(30))));
        assert!(health.may_be_asked(now.minus(Duration::from_secs(3600))), "the clock was set back");
        health.answered();
        assert!(health.may_be_asked(now));
    }
}
