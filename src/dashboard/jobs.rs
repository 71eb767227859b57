//! Timers, reminders and jobs.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use crate::base::id::JobId;
use crate::dashboard::{Dashboard, unstored};
use crate::domain::message::{Channel, Origin};
use crate::http::{Request, Response, error};
use crate::scheduler::{JobSpec, JobView, SchedulerError, Target};
use crate::webuser;

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
    let target = match target(&it, &request).await {
        Ok(target) => target,
        Err(refusal) => return refusal,
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

/// Where the job speaks: in the conversation of `?web_user_id`, or in one of its own.
async fn target(it: &Dashboard, request: &Request) -> Result<Target, Response> {
    let user = match request.query_number("web_user_id") {
        Some(id) => match it.db.read(move |conn| webuser::find(conn, id)).await {
            Ok(Some(user)) => Some(user),
            Ok(None) => return Err(error(404, "web user not found", None)),
            Err(problem) => return Err(unstored(&problem)),
        },
        None => None,
    };
    let (channel, chat_id, sender_id) = match &user {
        Some(user) => (Channel::WEBUI, user.id.to_string(), format!("webui:{}", user.name)),
        None => (Channel::SCHEDULER, "jobs".to_owned(), "webui:admin".to_owned()),
    };
    Ok(Target {
        channel: Channel::new(channel),
        session: format!("{channel}:{chat_id}").into(),
        chat_id,
        thread_id: None,
        sender_id,
        origin: Origin::Internal,
        reply_hint: None,
    })
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
