//! The doors in OpenAI's dialect, over raw HTTP; `scripts/check_openai.sh` does the same with OpenAI's own client.

use serde_json::{Value, json};

use crate::support::{Connection, Door, Plan, Reply, request};

fn post(door: &Door, path: &str, body: &Value) -> Reply {
    door.try_call("POST", path, &["Content-Type: application/json"], body.to_string().as_bytes()).expect("a response")
}

/// The data lines of a stream.
fn data(reply: &Reply) -> Vec<Value> {
    let text = reply.text();
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|_| json!(line))).collect()
}

fn form(fields: &[(&str, &str)], file: &[u8]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes());
    }
    body.extend(b"--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n");
    body.extend(file);
    body.extend(b"\r\n--XX--\r\n");
    ("Content-Type: multipart/form-data; boundary=XX".to_owned(), body)
}

#[test]
fn the_assistant_is_a_model_that_openais_clients_can_ask() {
    let gateway = Plan::new().start();
    let door = gateway.chat();
    let models = door.get("/v1/models").json();
    assert_eq!((&models["object"], &models["data"][0]["id"]), (&json!("list"), &json!("kafclaw")), "{models}");
    assert_eq!(door.get("/v1/models/kafclaw").json()["object"], "model");

    let mut body = json!({"model": "kafclaw", "user": "ann", "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "what time is it?"}]},
    ]});
    let whole = post(door, "/v1/chat/completions", &body).json();
    assert_eq!((&whole["object"], &whole["model"]), (&json!("chat.completion"), &json!("kafclaw")), "{whole}");
    let said = whole["choices"][0]["message"]["content"].as_str().expect("text").to_owned();
    assert_eq!((said.is_empty(), &whole["choices"][0]["finish_reason"]), (false, &json!("stop")));

    body["stream"] = json!(true);
    let streamed = post(door, "/v1/chat/completions", &body);
    assert!(streamed.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")));
    let chunks = data(&streamed);
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert!(text.contains(':'), "{text}");
    assert_eq!(chunks.last(), Some(&json!("[DONE]")));
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], "stop");
}

#[test]
fn what_cannot_be_answered_is_refused_in_openais_shape() {
    let gateway = Plan::new().start();
    let door = gateway.chat();
    let hello = json!([{"role": "user", "content": "hi"}]);
    for (path, body, status, param, code) in [
        (
            "/v1/chat/completions",
            json!({"model": "local/none", "messages": hello}),
            404,
            json!("model"),
            json!("model_not_found"),
        ),
        (
            "/v1/chat/completions",
            json!({"model": "local/none", "messages": hello, "stream": true}),
            404,
            json!("model"),
            json!("model_not_found"),
        ),
        ("/v1/chat/completions", json!({"model": "kafclaw", "messages": []}), 400, json!("messages"), Value::Null),
        ("/v1/chat/completions", json!({"model": "kafclaw", "messages": hello, "n": 3}), 400, json!("n"), Value::Null),
        ("/v1/chat/completions", json!([]), 400, Value::Null, Value::Null),
        ("/v1/embeddings", json!({"model": "none", "input": "a"}), 404, json!("model"), json!("model_not_found")),
        ("/v1/embeddings", json!({"model": "none", "input": [1, 2]}), 400, json!("input"), Value::Null),
        (
            "/v1/embeddings",
            json!({"model": "none", "input": "a", "encoding_format": "x"}),
            400,
            json!("encoding_format"),
            Value::Null,
        ),
    ] {
        let reply = post(door, path, &body);
        let error = reply.json()["error"].clone();
        assert_eq!((reply.status, &error["param"], &error["code"]), (status, &param, &code), "{body}: {error}");
        assert!(error["message"].as_str().is_some_and(|message| message.len() > 5), "{error}");
        assert_eq!(error["type"], "invalid_request_error");
    }
    assert_eq!(door.get("/v1/models/none").status, 404);
}

#[test]
fn recordings_may_be_large_where_they_are_wanted_and_from_those_who_may_come_in() {
    let gateway = Plan::new().start();
    let door = gateway.chat();
    let (kind, body) = form(&[("model", "none")], &vec![7; 5 * 1024 * 1024]);
    let reply = door.try_call("POST", "/v1/audio/transcriptions", &[&kind], &body).expect("a response");
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (404, &json!("model_not_found")), "{}", reply.text());
    let (kind, twisted) = form(&[("response_format", "docx")], b"RIFF");
    let reply = door.try_call("POST", "/v1/audio/translations", &[&kind], &twisted).expect("a response");
    assert_eq!((reply.status, &reply.json()["error"]["param"]), (400, &json!("response_format")));

    // Elsewhere a body of this size is refused on its head, and so is everything from strangers.
    let head = |path: &str, headers: &[String], length: usize| {
        let wire = String::from_utf8(request("POST", path, headers, b"")).expect("ASCII");
        let wire = wire.replace("Content-Length: 0", &format!("Content-Length: {length}"));
        Connection::open(door.address).expect("a connection").exchange(wire.as_bytes()).expect("a response").status
    };
    let known = [door.authorization()];
    assert_eq!(head("/v1/embeddings", &known, 2 * 1024 * 1024), 413);
    assert_eq!(head("/v1/audio/transcriptions", &known, 65 * 1024 * 1024), 413);
    assert_eq!(head("/v1/audio/transcriptions", &[], 5 * 1024 * 1024), 401);
}
