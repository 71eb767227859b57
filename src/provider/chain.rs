//! The models in their order: the first that answers, answers.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};

use crate::base::clock::Clock;
use crate::base::error::chain;
use crate::domain::message::Route;
use crate::link::http::{Client, Config};
use crate::provider::client::Model;
use crate::provider::failure::Failure;
use crate::provider::here::Here;
use crate::provider::member::Member;
use crate::provider::order::{Manner, Order, Verdict};
use crate::provider::port::LocalModels;
use crate::provider::{Answer, Delta, Endpoint, Options, ProviderError, RateLimits, Request};

/// How a model is, for people.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct ModelStatus {
    pub name: String,
    pub route: Route,
    pub reachable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limits: Option<RateLimits>,
}

pub struct Chain {
    models: Vec<Member>,
    options: Options,
    clock: Clock,
    state: Mutex<State>,
    can_think: watch::Sender<bool>,
}

struct State {
    order: Order,
    /// The last failure of each model.
    problems: Vec<Option<String>>,
}

impl Chain {
    /// Models of this house are left out.
    pub fn new(endpoints: Vec<Endpoint>, options: Options, clock: Clock) -> Self {
        Self::build(endpoints, options, clock, None)
    }

    /// `here` runs the models of this house.
    pub fn with_local(endpoints: Vec<Endpoint>, options: Options, clock: Clock, here: &Arc<dyn LocalModels>) -> Self {
        Self::build(endpoints, options, clock, Some(here))
    }

    fn build(endpoints: Vec<Endpoint>, options: Options, clock: Clock, here: Option<&Arc<dyn LocalModels>>) -> Self {
        // One client for the house and one for the internet; only the latter ever reads root certificates.
        let mut clients: Vec<(Route, Client)> = Vec::new();
        let mut models = Vec::with_capacity(endpoints.len());
        for endpoint in endpoints {
            let Some(base) = endpoint.base.clone() else {
                models.extend(here.map(|models| Member::Here(Here { endpoint, models: models.clone() })));
                continue;
            };
            let http = match clients.iter().find(|(route, _)| *route == endpoint.route) {
                Some((_, http)) => http.clone(),
                None => {
                    let config = Config { total_timeout: options.timeout, ..Config::for_url(&base) };
                    clients.push((endpoint.route, Client::new(config)));
                    clients[clients.len() - 1].1.clone()
                }
            };
            models.push(Member::There(Model::new(endpoint, base, http, &options)));
        }
        let state = State { order: Order::new(models.len()), problems: vec![None; models.len()] };
        let can_think = watch::Sender::new(!models.is_empty());
        Self { models, options, clock, state: Mutex::new(state), can_think }
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
        let mut asked = Vec::new();
        while let Some((index, manner)) = self.next(&asked) {
            let model = &self.models[index];
            let failure = match self.ask_one(model, manner, request, listener).await {
                Ok(answer) => {
                    self.note(index, Verdict::Answered, None);
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            let name = model.endpoint().name();
            tracing::warn!(peer = name, error = chain(&failure), "A model did not answer.");
            self.note(index, failure.verdict(), Some(failure.to_string()));
            if let Failure::Refused { status, message, .. } = failure {
                // The request is at fault; the next model would be sent the same.
                return Err(ProviderError::Refused { model: name, status, message });
            }
            asked.push(index);
        }
        asked.sort_unstable();
        let tried: Vec<String> = asked.iter().map(|index| self.models[*index].endpoint().name()).collect();
        Err(ProviderError::NoneReachable { tried: tried.join(", ") })
    }

    async fn ask_one(
        &self,
        model: &Member,
        manner: Manner,
        request: &Request,
        listener: Option<&mpsc::Sender<Delta>>,
    ) -> Result<Answer, Failure> {
        if manner == Manner::KnockFirst && !model.knock().await {
            return Err(Failure::NobodyThere);
        }
        model.ask(&self.options, request, listener).await
    }

    fn next(&self, asked: &[usize]) -> Option<(usize, Manner)> {
        let now = self.clock.now();
        self.lock().order.next(now, asked)
    }

    fn note(&self, index: usize, verdict: Verdict, problem: Option<String>) {
        let now = self.clock.now();
        let mut state = self.lock();
        state.order.note(index, verdict, now);
        state.problems[index] = problem.filter(|_| verdict != Verdict::Answered);
        let can_think = (0..self.models.len()).any(|index| state.order.is_well(index));
        self.can_think.send_if_modified(|known| std::mem::replace(known, can_think) != can_think);
    }

    /// Whether a model answered when one was asked last; told when that changes.
    pub fn can_think(&self) -> watch::Receiver<bool> {
        self.can_think.subscribe()
    }

    /// Every model in its order.
    pub fn status(&self) -> Vec<ModelStatus> {
        let state = self.lock();
        let status = |(index, model): (usize, &Member)| ModelStatus {
            name: model.endpoint().name(),
            route: model.endpoint().route,
            reachable: state.order.is_well(index),
            problem: state.problems[index].clone(),
            rate_limits: model.limits(),
        };
        self.models.iter().enumerate().map(status).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
