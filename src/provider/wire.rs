//! OpenAI's chat completions: what is sent (specification §10.2).

use serde_json::{Value, json};

use crate::domain::call::Call;
use crate::provider::quirk::{Quirks, with_one_system};
use crate::provider::{Endpoint, Options, Request};

/// Google's documented stand-in for a thought that was not kept.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// One message of a conversation.
#[derive(Clone, PartialEq, Debug)]
pub enum Message {
    System(String),
    User(String),
    Assistant { text: String, calls: Vec<Call> },
    Tool { call_id: String, text: String },
}

pub(super) fn body(endpoint: &Endpoint, options: &Options, request: &Request, quirks: Quirks) -> Value {
    let folded;
    let messages = if quirks.wants_one_system {
        folded = with_one_system(&request.messages);
        &folded
    } else {
        &request.messages
    };
    let mut body = json!({
        "model": endpoint.model,
        "messages": messages.iter().map(|said| message(said, quirks)).collect::<Vec<_>>(),
        "stream": true,
    });
    let limit = if quirks.names_completion_tokens { "max_completion_tokens" } else { "max_tokens" };
    body[limit] = json!(options.max_tokens);
    if !quirks.fixes_temperature {
        // A float of one decimal, not its binary neighbor.
        body["temperature"] = json!((f64::from(options.temperature) * 1000.0).round() / 1000.0);
    }
    if !quirks.lacks_stream_options {
        body["stream_options"] = json!({"include_usage": true});
    }
    if !request.tools.is_empty() && !quirks.lacks_tools {
        body["tools"] = json!(request.tools);
        body["tool_choice"] = json!("auto");
    }
    body
}

fn message(message: &Message, quirks: Quirks) -> Value {
    match message {
        Message::System(text) => json!({"role": "system", "content": text}),
        Message::User(text) => json!({"role": "user", "content": text}),
        Message::Tool { call_id, text } if quirks.lacks_tools => {
            json!({"role": "user", "content": format!("Result of {call_id}: {text}")})
        }
        Message::Tool { call_id, text } => json!({"role": "tool", "tool_call_id": call_id, "content": text}),
        Message::Assistant { text, calls } if calls.is_empty() => json!({"role": "assistant", "content": text}),
        Message::Assistant { text, calls } if quirks.lacks_tools => {
            let names: Vec<String> = calls.iter().map(|call| format!("{} ({})", call.tool, call.id)).collect();
            json!({"role": "assistant", "content": format!("{text}\nCalled: {}", names.join(", "))})
        }
        Message::Assistant { text, calls } => {
            let mut calls: Vec<Value> = calls.iter().map(call).collect();
            if quirks.wants_signatures {
                calls[0]["extra_content"] = json!({"google": {"thought_signature": NO_SIGNATURE}});
            }
            json!({"role": "assistant", "content": text, "tool_calls": calls})
        }
    }
}

fn call(call: &Call) -> Value {
    let function = json!({"name": call.tool, "arguments": call.arguments.to_string()});
    json!({"id": call.id, "type": "function", "function": function})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Secret;
    use crate::provider::resolve;

    #[test]
    fn quirks_shape_the_request() {
        let endpoint = resolve("openai/gpt-5", |_| Some((Secret::new("k".to_owned()), String::new()))).expect("known");
        let options = Options { max_tokens: 9, temperature: 0.7, timeout: std::time::Duration::from_secs(1) };
        let call = Call { id: "c1".to_owned(), tool: "lamp".to_owned(), arguments: json!({"on": true}) };
        let request = Request {
            messages: vec![
                Message::System("a".to_owned()),
                Message::Assistant { text: String::new(), calls: vec![call] },
                Message::Tool { call_id: "c1".to_owned(), text: "done".to_owned() },
            ],
            tools: vec![json!({"type": "function"})],
        };
        let plain = body(&endpoint, &options, &request, Quirks::default());
        assert_eq!(
            (&plain["max_tokens"], &plain["temperature"], &plain["tool_choice"]),
            (&json!(9), &json!(0.7), &json!("auto"))
        );
        assert_eq!(plain["messages"][1]["tool_calls"][0]["function"]["arguments"], "{\"on\":true}");
        assert_eq!(plain["messages"][2]["tool_call_id"], "c1");

        let bent = Quirks {
            names_completion_tokens: true,
            fixes_temperature: true,
            lacks_stream_options: true,
            wants_signatures: true,
            ..Quirks::default()
        };
        let bent = body(&endpoint, &options, &request, bent);
        assert_eq!(bent["max_completion_tokens"], 9);
        for absent in ["max_tokens", "temperature", "stream_options"] {
            assert!(bent.get(absent).is_none(), "{absent}");
        }
        let signature = &bent["messages"][1]["tool_calls"][0]["extra_content"]["google"]["thought_signature"];
        assert_eq!(signature, NO_SIGNATURE);

        let bare = body(&endpoint, &options, &request, Quirks { lacks_tools: true, ..Quirks::default() });
        assert!(bare.get("tools").is_none() && !bare.to_string().contains("tool_calls"), "{bare}");
        assert_eq!(bare["messages"][2]["role"], "user");
    }
}
