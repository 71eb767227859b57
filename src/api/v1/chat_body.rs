//! The body of `POST /v1/chat/completions`, taken apart and checked.

use serde::Deserialize;
use serde_json::Value;

use crate::api::v1::error::Wrong;
use crate::inference::language::{Message, Request, ResponseFormat, Role, STOPS_MAX, Sampling, Tool, ToolChoice};

/// Messages of one conversation.
const MESSAGES_MAX: usize = 4096;

/// As it arrives. Fields of OpenAI's that change nothing here (store, metadata, service_tier and so on) are let pass.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    n: Option<u32>,
    #[serde(default)]
    logprobs: Option<bool>,
    #[serde(default)]
    functions: Option<Value>,
    #[serde(default)]
    tools: Option<Vec<Tool>>,
    #[serde(default)]
    tool_choice: Option<ToolChoice>,
    #[serde(default)]
    response_format: Option<ResponseFormat>,
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(default)]
    max_completion_tokens: Option<u32>,
    #[serde(default)]
    temperature: Option<f32>,
    #[serde(default)]
    top_p: Option<f32>,
    #[serde(default)]
    top_k: Option<u32>,
    #[serde(default)]
    min_p: Option<f32>,
    #[serde(default)]
    repetition_penalty: Option<f32>,
    #[serde(default)]
    seed: Option<i64>,
    #[serde(default)]
    stop: Option<Stop>,
    /// More values for the model's template, as vLLM takes them.
    #[serde(default)]
    chat_template_kwargs: Option<serde_json::Map<String, Value>>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

/// How the answer is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    Whole,
    Streamed { with_usage: bool },
}

/// What was asked.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Asked {
    pub model: String,
    pub user: Option<String>,
    pub manner: Manner,
    pub request: Request,
}

pub(super) fn read(bytes: &[u8]) -> Result<Asked, Wrong> {
    let body: Body = serde_json::from_slice(bytes)
        .map_err(|problem| Wrong::new("", format!("the body is not as it should be: {problem}")))?;
    check(&body)?;
    let sampling = sampling(&body)?;
    let stop = match body.stop {
        None => Vec::new(),
        Some(Stop::One(text)) => vec![text],
        Some(Stop::Many(texts)) => texts,
    };
    if stop.len() > STOPS_MAX || stop.iter().any(String::is_empty) {
        return Err(Wrong::new("stop", format!("`stop` is a text or up to {STOPS_MAX} of them, none empty")));
    }
    let manner = match body.stream {
        Some(true) => Manner::Streamed { with_usage: body.stream_options.is_some_and(|options| options.include_usage) },
        _ => Manner::Whole,
    };
    let request = Request {
        tools: body.tools.unwrap_or_default(),
        tool_choice: body.tool_choice.unwrap_or_default(),
        response_format: body.response_format.unwrap_or_default(),
        sampling,
        stop,
        max_tokens: body.max_completion_tokens.or(body.max_tokens),
        template_values: body.chat_template_kwargs.unwrap_or_default(),
        ..Request::of(body.messages)
    };
    Ok(Asked { model: body.model, user: body.user.filter(|user| !user.is_empty()), manner, request })
}

fn check(body: &Body) -> Result<(), Wrong> {
    if body.messages.is_empty() || body.messages.len() > MESSAGES_MAX {
        return Err(Wrong::new("messages", format!("`messages` has 1 to {MESSAGES_MAX} messages")));
    }
    if body.n.is_some_and(|n| n != 1) {
        return Err(Wrong::new("n", "one answer is given at a time; `n` is 1"));
    }
    if body.logprobs == Some(true) {
        return Err(Wrong::new("logprobs", "probabilities of tokens are not told"));
    }
    if body.functions.is_some() {
        return Err(Wrong::new("functions", "`functions` is the old name; send `tools`"));
    }
    if body.max_completion_tokens.or(body.max_tokens) == Some(0) {
        return Err(Wrong::new("max_tokens", "an answer has at least one token"));
    }
    Ok(())
}

fn sampling(body: &Body) -> Result<Sampling, Wrong> {
    let within = |name: &'static str, value: Option<f32>, most: f32| match value {
        Some(value) if !(0.0..=most).contains(&value) => {
            Err(Wrong::new(name, format!("`{name}` is a number from 0 to {most}")))
        }
        _ => Ok(()),
    };
    within("temperature", body.temperature, 2.0)?;
    within("top_p", body.top_p, 1.0)?;
    within("min_p", body.min_p, 1.0)?;
    within("repetition_penalty", body.repetition_penalty, 10.0)?;
    let usual = Sampling::default();
    Ok(Sampling {
        temperature: body.temperature.unwrap_or(usual.temperature),
        top_p: body.top_p.unwrap_or(usual.top_p),
        top_k: body.top_k.unwrap_or(usual.top_k),
        min_p: body.min_p.unwrap_or(usual.min_p),
        repetition_penalty: body.repetition_penalty.unwrap_or(usual.repetition_penalty),
        // Any whole number is a seed; only its bits count.
        seed: body.seed.map(i64::cast_unsigned),
        ..usual
    })
}

/// What the person said last; the assistant remembers the rest by itself.
pub(super) fn last_said(request: &Request) -> Result<&str, Wrong> {
    let said = request.messages.iter().rev().find(|message| message.role == Role::User);
    said.map(|message| message.content.as_str())
        .filter(|text| !text.trim().is_empty())
        .ok_or_else(|| Wrong::new("messages", "there is no message of role user with text in it"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn body(more: &Value) -> Vec<u8> {
        let mut body = json!({"model": "local/a", "messages": [{"role": "user", "content": "hi"}]});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        body.to_string().into_bytes()
    }

    #[test]
    fn openais_fields_are_understood() {
        let asked = read(&body(&json!({
            "stream": true, "stream_options": {"include_usage": true}, "user": "ann", "temperature": 0, "top_p": 0.5,
            "seed": -1, "stop": "END", "max_completion_tokens": 7, "max_tokens": 9, "store": false, "n": null,
            "tools": null, "response_format": {"type": "json_object"},
        })))
        .expect("fine");
        assert_eq!((asked.model.as_str(), asked.user.as_deref()), ("local/a", Some("ann")));
        assert_eq!(asked.manner, Manner::Streamed { with_usage: true });
        assert_eq!((asked.request.sampling.temperature, asked.request.sampling.seed), (0.0, Some(u64::MAX)));
        assert_eq!((asked.request.stop, asked.request.max_tokens), (vec!["END".to_owned()], Some(7)));
        assert_eq!(asked.request.response_format, ResponseFormat::JsonObject);
        assert_eq!(read(&body(&json!({}))).expect("fine").manner, Manner::Whole);
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_its_field() {
        for (more, param) in [
            (json!({"n": 2}), "n"),
            (json!({"messages": []}), "messages"),
            (json!({"temperature": 3}), "temperature"),
            (json!({"top_p": -0.1}), "top_p"),
            (json!({"logprobs": true}), "logprobs"),
            (json!({"functions": []}), "functions"),
            (json!({"stop": [""]}), "stop"),
            (json!({"max_tokens": 0}), "max_tokens"),
            (json!({"messages": [{"role": "stranger", "content": "hi"}]}), ""),
        ] {
            assert_eq!(read(&body(&more)).expect_err("refused").param, param, "{more}");
        }
        assert!(read(b"{").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = read(&bytes);
        }

        #[test]
        fn any_field_of_any_shape_is_taken_or_refused(
            field in "messages|tools|tool_choice|stop|stream_options|response_format|seed|user",
            value in "null|1|\"a\"|\\[\\]|\\{\\}|\\[1\\]|\\[\\{\\}\\]|\\{\"type\":\"x\"\\}|1e99"
        ) {
            let text = format!("{{\"messages\":[{{\"role\":\"user\",\"content\":\"a\"}}],\"{field}\":{value}}}");
            let _ = read(text.as_bytes());
        }
    }
}
