//! Timers, reminders and jobs.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use crate::base::id::JobId;
use crate::dashboard::{Dashboard, unstored};
use crate::domain::message::{Channel, Origin};
use crate::http::{Request, Response, error};
use crate::scheduler::{JobSpec, JobView, SchedulerError, Target};

/// Runs shown of one job.
const RUNS_MAX: u32 = 50;

pub(super) async fn list(it: Arc<Dashboard>) -> Response {
    let now = it.clock.now();
    match it.scheduler.list().await {
        Ok(jobs) => Response::json(&jobs.iter().map(|job| JobView::new(job, now)).collect::<Vec<_>>()),
        Err(problem) => refused(&problem),
    }
}

pub(super) async fn create(it: Arc<Dashboard>, request: Request) -> Response {
    let spec: JobSpec = match request.json() {
        Ok(spec) => spec,
        Err(refusal) => return refusal,
    };
    let now = it.clock.now();
    let target = Target {
        channel: Channel::new(Channel::SCHEDULER),
        chat_id: "jobs".to_owned(),
        thread_id: None,
        session: format!("{}:jobs", Channel::SCHEDULER).into(),
        sender_id: "webui:admin".to_owned(),
        origin: Origin::Internal,
        reply_hint: None,
    };
    let new = match spec.read(target, "api", now) {
        Ok(new) => new,
        Err(problem) => return error(400, &problem.to_string(), None),
    };
    match it.scheduler.create(new).await {
        Ok(job) => Response::json(&JobView::new(&job, now)),
        Err(problem) => refused(&problem),
    }
}

pub(super) async fn one(it: Arc<Dashboard>, request: Request) -> Response {
    let id = JobId::from(request.param("id"));
    let job = match it.scheduler.find(id.clone()).await {
        Ok(job) => job,
        Err(problem) => return refused(&problem),
    };
    match it.scheduler.history(Some(id), RUNS_MAX).await {
        Ok(runs) => {
            let mut view = json!(JobView::new(&job, it.clock.now()));
            view["runs"] = json!(runs);
            Response::json(&view)
        }
        Err(problem) => refused(&problem),
    }
}

#[derive(Deserialize)]
struct Enable {
    enabled: bool,
}

pub(super) async fn enable(it: Arc<Dashboard>, request: Request) -> Response {
    let enable: Enable = match request.json() {
        Ok(enable) => enable,
        Err(refusal) => return refusal,
    };
    match it.scheduler.set_enabled(JobId::from(request.param("id")), enable.enabled).await {
        Ok(job) => Response::json(&JobView::new(&job, it.clock.now())),
        Err(problem) => refused(&problem),
    }
}

pub(super) async fn cancel(it: Arc<Dashboard>, request: Request) -> Response {
    match it.scheduler.cancel(JobId::from(request.param("id"))).await {
        Ok(job) => Response::json(&JobView::new(&job, it.clock.now())),
        Err(problem) => refused(&problem),
    }
}

pub(super) async fn run(it: Arc<Dashboard>, request: Request) -> Response {
    match it.scheduler.run_now(JobId::from(request.param("id"))).await {
        Ok(()) => Response::json(&json!({"status": "ok"})),
        Err(problem) => refused(&problem),
    }
}

fn refused(problem: &SchedulerError) -> Response {
    match problem {
        SchedulerError::Unknown(_) => error(404, &problem.to_string(), None),
        SchedulerError::Full | SchedulerError::Past(_) => error(409, &problem.to_string(), None),
        SchedulerError::Job(_) => error(400, &problem.to_string(), None),
        SchedulerError::Db(source) => unstored(source),
    }
}
