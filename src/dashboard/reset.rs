//! Factory reset from the web page: who asks types the words and, when there is one, the owner's password once more.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use serde::Deserialize;
use serde_json::json;

use crate::base::error::chain;
use crate::base::secret::Secret;
use crate::dashboard::{Dashboard, auth};
use crate::http::{Request, Response, error};
use crate::reset::{self, Reach, WORDS};

/// For the answer to reach the page.
const FAREWELL: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct Wish {
    words: String,
    password: Option<Secret<String>>,
}

pub(super) async fn begin(it: Arc<Dashboard>, request: Request) -> Response {
    let wish: Wish = match request.json() {
        Ok(wish) => wish,
        Err(refusal) => return refusal,
    };
    if wish.words.trim() != WORDS {
        return error(400, "the words are not right", Some("type: forget everything"));
    }
    if it.owner.glance().has_password
        && let Err(refusal) = auth::confirm(&it, &request, wish.password.unwrap_or_default()).await
    {
        // Who asks is logged in all the same; a 401 would say otherwise.
        let status = if refusal.status == 401 { 403 } else { refusal.status };
        return Response { status, ..refusal };
    }
    if let Err(problem) = reset::request(&it.state_dir) {
        tracing::error!(error = chain(&problem), "A factory reset could not be asked for.");
        return error(503, "the request cannot be written; is the disk full or read-only?", None);
    }
    tracing::warn!("The owner has asked for a factory reset.");
    if reset::reach() == Reach::Folder {
        // Ends as for a signal from outside, because that is the one way down; the next start forgets.
        tokio::spawn(async {
            tokio::time::sleep(FAREWELL).await;
            let _ = kill_process(getpid(), Signal::TERM);
        });
    }
    Response::json_with(202, &json!({"status": "forgetting"}))
}
