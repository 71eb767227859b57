//! The page's microphone: a recording comes in, words go back.

use std::sync::Arc;

use serde_json::json;

use crate::api::port::{Hearing, Reason, Refusal};
use crate::dashboard::Dashboard;
use crate::http::{Request, Response, error};

/// Longest language code that is looked at, in bytes.
const LANGUAGE_BYTES_MAX: usize = 16;

/// The body is the recording itself, in any format that can be read; `?language` helps when it is known.
pub(super) async fn transcribe(it: Arc<Dashboard>, request: Request) -> Response {
    if request.body.is_empty() {
        return error(400, "the body is a recording, and it is empty", None);
    }
    let language = match language(&request) {
        Ok(language) => language,
        Err(wrong) => return wrong,
    };
    let hearing = Hearing { language, ..Hearing::default() };
    let understood = tokio::select! {
        understood = it.speech.transcribe("", request.body.clone(), hearing, None) => understood,
        () = request.left.triggered() => return error(503, "nobody waits for the answer", None),
    };
    match understood {
        Ok(found) => {
            let seconds = (found.duration_s * 1000.0).round() / 1000.0;
            Response::json(&json!({"text": found.text(), "language": found.language, "duration": seconds}))
        }
        Err(refusal) => refused(&refusal),
    }
}

/// `?language`, when it is there.
pub(super) fn language(request: &Request) -> Result<Option<String>, Response> {
    let language = request.query("language").map(str::trim).filter(|code| !code.is_empty());
    if language.is_some_and(|code| code.len() > LANGUAGE_BYTES_MAX) {
        return Err(error(400, "`language` is a code such as en", None));
    }
    Ok(language.map(str::to_ascii_lowercase))
}

pub(super) fn refused(refusal: &Refusal) -> Response {
    let install = "`kafclaw models list` shows what can be installed";
    match refusal.reason {
        Reason::NoModel => error(503, &refusal.sentence, Some(install)),
        Reason::Input => error(400, &refusal.sentence, None),
        Reason::Busy => error(429, &refusal.sentence, None).with("Retry-After", "5"),
        Reason::Unavailable => error(503, &refusal.sentence, None).with("Retry-After", "5"),
    }
}
