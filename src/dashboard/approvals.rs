//! Questions that wait for a yes or no (specification §3.5).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use crate::approval::{self, Decision, Responder, Response as Outcome};
use crate::base::id::ApprovalId;
use crate::dashboard::{Dashboard, unstored, view};
use crate::http::{Request, Response, error};

pub(super) async fn pending(it: Arc<Dashboard>) -> Response {
    match it.db.read(approval::pending).await {
        Ok(requests) => Response::json(&view::approvals(&requests)),
        Err(problem) => unstored(&problem),
    }
}

#[derive(Deserialize)]
struct Answer {
    approved: bool,
}

pub(super) async fn respond(it: Arc<Dashboard>, request: Request) -> Response {
    let id = ApprovalId::from(request.param("id"));
    if id.as_str().trim().is_empty() || id.as_str() == "pending" {
        return error(400, "approval_id required", None);
    }
    let Ok(answer) = serde_json::from_slice::<Answer>(&request.body) else {
        return error(400, "invalid JSON body", Some("send {\"approved\": true} or {\"approved\": false}"));
    };
    let decision = if answer.approved { Decision::Approve } else { Decision::Deny };
    let owner = Responder::Owner { name: "webui:admin".to_owned() };
    match it.decider.respond(id.clone(), decision, owner).await {
        Ok(Outcome::Responded(request)) => {
            Response::json(&json!({"approval_id": id, "status": request.status.as_str()}))
        }
        Ok(Outcome::AlreadyDecided(status)) => Response::json_with(
            409,
            &json!({"error": "this question was answered before", "approval_id": id, "status": status.as_str()}),
        ),
        Ok(Outcome::Refused | Outcome::Unknown) => error(404, "there is no such question", None),
        Err(problem) => unstored(&problem),
    }
}
