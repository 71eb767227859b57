//! Models played by a small server on loopback.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::wire::Assembly;
use super::*;
use crate::base::clock::{Clock, Timestamp};
use crate::base::secret::Secret;
use crate::domain::message::Route;

/// One scripted answer.
enum Play {
    Stream(Vec<String>),
    Json(u16, Value),
    BreakOff(String),
}

struct Stage {
    base: String,
    heard: Arc<Mutex<Vec<(String, Value)>>>,
}

/// Plays `script`, one answer per connection.
async fn stage(script: Vec<Play>) -> Stage {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}/v1", listener.local_addr().expect("an address"));
    let heard: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
    let (script, log) = (Mutex::new(VecDeque::from(script)), heard.clone());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            let body_at = loop {
                let mut piece = [0_u8; 4096];
                let count = stream.read(&mut piece).await.unwrap_or(0);
                request.extend_from_slice(&piece[..count]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some(at) = text.find("\r\n\r\n") else { continue };
                let length = text
                    .to_lowercase()
                    .split("content-length: ")
                    .nth(1)
                    .and_then(|rest| rest.split("\r\n").next()?.parse().ok());
                if request.len() >= at + 4 + length.unwrap_or(0) {
                    break at + 4;
                }
            };
            let head = String::from_utf8_lossy(&request[..body_at]).into_owned();
            let body = serde_json::from_slice(&request[body_at..]).unwrap_or_default();
            log.lock().expect("unpoisoned").push((head, body));
            let play = script.lock().expect("unpoisoned").pop_front();
            let wire = match play {
                Some(Play::Stream(events)) => {
                    let events: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
                    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{events}")
                }
                Some(Play::BreakOff(event)) => format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n\r\ndata: {event}\n\n"
                ),
                Some(Play::Json(status, value)) => {
                    let text = value.to_string();
                    format!(
                        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nRetry-After: 0\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
                        text.len()
                    )
                }
                None => return,
            };
            let _ = stream.write_all(wire.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    Stage { base, heard }
}

fn word(text: &str) -> String {
    json!({"choices": [{"delta": {"content": text}}]}).to_string()
}

fn end() -> String {
    json!({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
        .to_string()
}

fn chain(bases: &[&str]) -> (Chain, Clock) {
    let clock = Clock::manual(Timestamp::from_millis(1_787_063_412_000));
    let endpoints = bases.iter().enumerate().map(|(index, base)| {
        let configured = |_: &str| Some((Secret::new("key".to_owned()), (*base).to_owned()));
        resolve(&format!("vllm/model-{index}"), configured).expect("an endpoint")
    });
    let options = Options { max_tokens: 64, temperature: 0.7, timeout: Duration::from_secs(10) };
    (Chain::new(endpoints.collect(), options, clock.clone()), clock)
}

fn question() -> Request {
    Request {
        messages: vec![Message::System("be brief".to_owned()), Message::User("hello".to_owned())],
        tools: vec![json!({"type": "function", "function": {"name": "t"}})],
    }
}

#[tokio::test]
async fn an_answer_streams_and_the_request_is_what_servers_expect() {
    let stage = stage(vec![Play::Stream(vec![word("Hel"), word("lo"), end(), "[DONE]".to_owned()])]).await;
    let (chain, _) = chain(&[&stage.base]);
    let (sender, mut heard) = mpsc::channel(8);
    let answer = chain.ask(&question(), Some(&sender)).await.expect("an answer");
    assert_eq!(
        (answer.text.as_str(), answer.route, answer.prompt_tokens, answer.completion_tokens),
        ("Hello", Route::Local, 7, 3)
    );
    assert_eq!(heard.recv().await, Some(Delta::Text("Hel".to_owned())));
    let (head, body) = stage.heard.lock().expect("unpoisoned")[0].clone();
    assert!(head.starts_with("POST /v1/chat/completions") && head.to_lowercase().contains("authorization: bearer key"));
    assert_eq!(
        (&body["model"], &body["max_tokens"], &body["temperature"]),
        (&json!("model-0"), &json!(64), &json!(0.7))
    );
    assert_eq!(body["tool_choice"], "auto");
}

#[tokio::test]
async fn tool_calls_come_together_from_pieces_and_whole_answers_work_too() {
    let pieces = vec![
        json!({"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "lamp", "arguments": "{\"on\""}}]}}]}).to_string(),
        json!({"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": ": true}"}}, {"index": 1, "id": "b", "function": {"name": "fan", "arguments": "nonsense"}}]}}]}).to_string(),
        end(),
    ];
    let whole = json!({"choices": [{"message": {"content": "<think>hm</think>\n\nYes.", "tool_calls": null}, "finish_reason": "stop"}]});
    let stage = stage(vec![Play::Stream(pieces), Play::Json(200, whole)]).await;
    let (chain, _) = chain(&[&stage.base]);
    let answer = chain.ask(&question(), None).await.expect("an answer");
    assert_eq!((answer.calls[0].tool.as_str(), &answer.calls[0].arguments), ("lamp", &json!({"on": true})));
    assert_eq!(answer.calls[1].arguments, json!({"raw": "nonsense"}));
    assert_eq!(chain.ask(&question(), None).await.expect("an answer").text, "Yes.");
}

#[tokio::test]
async fn a_busy_server_is_asked_again_and_a_wrong_request_is_not() {
    let stage = stage(vec![
        Play::Json(429, json!({})),
        Play::Stream(vec![word("ok"), end()]),
        Play::Json(400, json!({"error": {"message": "too long"}})),
    ])
    .await;
    let (chain, _) = chain(&[&stage.base]);
    assert_eq!(chain.ask(&question(), None).await.expect("an answer").text, "ok");
    let refused = chain.ask(&question(), None).await.expect_err("refused");
    assert!(refused.to_string().contains("too long"), "{refused}");
    assert_eq!(stage.heard.lock().expect("unpoisoned").len(), 3);
}

#[tokio::test]
async fn an_unreachable_model_is_passed_over_and_comes_back() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let away = format!("http://{}/v1", closed.local_addr().expect("an address"));
    let address = closed.local_addr().expect("an address");
    drop(closed);
    let local = stage((0..3).map(|_| Play::Stream(vec![word("local"), end()])).collect()).await;
    let (chain, clock) = chain(&[&away, &local.base]);
    assert_eq!(chain.ask(&question(), None).await.expect("an answer").text, "local");
    let status = chain.status();
    assert!(!status[0].reachable && status[1].reachable);
    // The cable is back, on the same port.
    let listener = TcpListener::bind(address).await.expect("the port again");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut piece = [0_u8; 8192];
            let _ = stream.read(&mut piece).await;
            let events = format!("data: {}\n\ndata: {}\n\n", word("remote"), end());
            let _ = stream
                .write_all(
                    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{events}")
                        .as_bytes(),
                )
                .await;
        }
    });
    assert_eq!(chain.ask(&question(), None).await.expect("an answer").text, "local", "passed over for now");
    clock.advance(Duration::from_secs(3));
    assert_eq!(chain.ask(&question(), None).await.expect("an answer").text, "remote");
    assert!(chain.status()[0].reachable);
}

#[tokio::test]
async fn text_of_an_answer_that_breaks_off_is_taken_back() {
    let broken =
        stage(vec![Play::BreakOff(word("half")), Play::BreakOff(word("half")), Play::BreakOff(word("half"))]).await;
    let whole = stage(vec![Play::Stream(vec![word("whole"), end()])]).await;
    let (chain, _) = chain(&[&broken.base, &whole.base]);
    let (sender, mut heard) = mpsc::channel(32);
    assert_eq!(chain.ask(&question(), Some(&sender)).await.expect("an answer").text, "whole");
    drop(sender);
    let mut shown = String::new();
    while let Some(delta) = heard.recv().await {
        match delta {
            Delta::Text(text) => shown.push_str(&text),
            Delta::Restart => shown.clear(),
        }
    }
    assert_eq!(shown, "whole");
}

#[tokio::test]
async fn with_no_model_the_error_says_what_was_tried() {
    let (empty, _) = chain(&[]);
    assert!(matches!(empty.ask(&question(), None).await, Err(ProviderError::NoneReachable { .. })));
    let (away, _) = chain(&["http://127.0.0.1:9/v1"]);
    let error = away.ask(&question(), None).await.expect_err("away");
    assert_eq!(error.to_string(), "no model can be reached; tried vllm/model-0");
}

proptest! {
    #[test]
    fn thoughts_stay_hidden_however_they_are_cut(before in "[a-z ]{0,10}", thought in "[a-z <]{0,10}", after in "[a-z]{1,10}", cut in 1_usize..6) {
        let text = format!("{before}<think>{thought}</think>{after}");
        let mut assembly = Assembly::default();
        let mut shown = String::new();
        for piece in text.as_bytes().chunks(cut) {
            shown += &assembly.take(&word(std::str::from_utf8(piece).expect("ASCII"))).expect("JSON");
        }
        let expected = format!("{before}{after}");
        prop_assert_eq!(shown, expected.trim_start());
    }

    #[test]
    fn any_data_is_taken_or_refused(data in "\\PC{0,100}") {
        let _ = Assembly::default().take(&data);
    }
}
