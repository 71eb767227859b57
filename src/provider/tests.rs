//! The chain against models that answer, are busy, hang, lie and come back.

use std::time::Duration;

use reqwest::Url;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::client::Model;
use super::failure::Failure;
use super::stage::{Closed, Play, Stage, end, says, word};
use super::*;
use crate::base::clock::{Clock, Timestamp};
use crate::base::secret::Secret;
use crate::domain::message::Route;
use crate::link::http::{Client, Config};

fn endpoint(index: usize, base: &str) -> Endpoint {
    let configured = |_: &str| Some((Secret::new("hunter2".to_owned()), base.to_owned()));
    resolve(&format!("vllm/model-{index}"), configured).expect("an endpoint")
}

fn options() -> Options {
    Options { max_tokens: 64, temperature: 0.7, timeout: Duration::from_secs(10) }
}

fn chain_with(bases: &[&str], options: Options) -> (Chain, Clock) {
    let clock = Clock::manual(Timestamp::from_millis(1_787_063_412_000));
    let endpoints = bases.iter().enumerate().map(|(index, base)| endpoint(index, base)).collect();
    (Chain::new(endpoints, options, clock.clone()), clock)
}

fn chain(bases: &[&str]) -> (Chain, Clock) {
    chain_with(bases, options())
}

fn question() -> Request {
    Request {
        messages: vec![Message::System("be brief".to_owned()), Message::User("hello".to_owned())],
        tools: vec![json!({"type": "function", "function": {"name": "t"}})],
    }
}

async fn text(chain: &Chain) -> String {
    chain.ask(&question(), None).await.expect("an answer").text
}

/// What a listener has in front of it at the end.
async fn shown(mut heard: mpsc::Receiver<Delta>) -> String {
    let mut shown = String::new();
    while let Some(delta) = heard.recv().await {
        match delta {
            Delta::Text(text) => shown.push_str(&text),
            Delta::Restart => shown.clear(),
        }
    }
    shown
}

#[tokio::test]
async fn an_answer_streams_and_the_request_is_what_servers_expect() {
    let stage = Stage::open(vec![Play::Stream(vec![word("Hel"), word("lo"), end(), "[DONE]".to_owned()])]).await;
    let (chain, _) = chain(&[&stage.base]);
    let (sender, mut heard) = mpsc::channel(8);
    let answer = chain.ask(&question(), Some(&sender)).await.expect("an answer");
    assert_eq!(
        (answer.text.as_str(), answer.route, answer.prompt_tokens, answer.completion_tokens),
        ("Hello", Route::Local, 7, 3)
    );
    assert_eq!(heard.recv().await, Some(Delta::Text("Hel".to_owned())));
    let (head, body) = stage.heard()[0].clone();
    assert!(head.starts_with("post /v1/chat/completions") && head.contains("authorization: bearer hunter2"));
    assert_eq!(
        (&body["model"], &body["max_tokens"], &body["temperature"]),
        (&json!("model-0"), &json!(64), &json!(0.7))
    );
}

#[tokio::test]
async fn whole_and_mislabeled_answers_work_too() {
    let whole = json!({"choices": [{"message": {"content": "<think>hm</think>\n\nYes.", "tool_calls": null}}]});
    let mislabeled = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\ndata: {}\n\ndata: {}",
        word("No."),
        end()
    );
    let stage = Stage::open(vec![Play::Json(200, whole), Play::Raw(mislabeled)]).await;
    let (chain, _) = chain(&[&stage.base]);
    assert_eq!(text(&chain).await, "Yes.");
    assert_eq!(text(&chain).await, "No.");
    assert_eq!(chain.status()[0].rate_limits.as_ref().and_then(|limits| limits.remaining_tokens), Some(5));
}

#[tokio::test]
async fn a_busy_server_is_asked_again_and_a_wrong_request_is_not() {
    let stage = Stage::open(vec![
        Play::Json(429, json!({})),
        Play::Json(503, json!({})),
        says("ok"),
        Play::Json(400, json!({"error": {"message": "too long"}})),
    ])
    .await;
    let other = Stage::open(vec![]).await;
    let (chain, _) = chain(&[&stage.base, &other.base]);
    assert_eq!(text(&chain).await, "ok");
    let refused = chain.ask(&question(), None).await.expect_err("refused");
    assert!(
        matches!(&refused, ProviderError::Refused { status: 400, message, .. } if message == "too long"),
        "{refused}"
    );
    assert_eq!((stage.heard().len(), other.heard().len()), (4, 0));
    assert!(chain.status()[0].reachable, "it is well");
}

#[tokio::test]
async fn what_only_a_person_can_mend_is_passed_over_and_said_in_the_status() {
    for status in [401, 402, 404, 302] {
        let wrong = Stage::open(vec![Play::Json(status, json!({"error": "model 'x' not found"}))]).await;
        let right = Stage::open(vec![says("a"), says("b")]).await;
        let (chain, clock) = chain(&[&wrong.base, &right.base]);
        assert_eq!(text(&chain).await, "a");
        clock.advance(Duration::from_secs(40));
        assert_eq!(text(&chain).await, "b");
        assert_eq!(wrong.heard().len(), 1, "{status}");
        let problem = chain.status()[0].problem.clone().expect("a problem");
        assert!(problem.contains(&status.to_string()) && !problem.contains("hunter2"), "{problem}");
    }
}

#[tokio::test]
async fn a_servers_peculiarities_are_learned_once() {
    let refusal =
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
    let stage = Stage::open(vec![
        Play::Json(400, json!({"error": {"message": refusal}})),
        Play::Json(500, json!({"error": {"message": "tools param requires --jinja flag"}})),
        says("a"),
        says("b"),
    ])
    .await;
    let (chain, _) = chain(&[&stage.base]);
    assert_eq!((text(&chain).await, text(&chain).await), ("a".to_owned(), "b".to_owned()));
    let bodies: Vec<Value> = stage.heard().into_iter().map(|(_, body)| body).collect();
    let shape = |body: &Value| (body.get("max_tokens").is_some(), body.get("tools").is_some());
    assert_eq!(
        bodies.iter().map(shape).collect::<Vec<_>>(),
        [(true, true), (false, true), (false, false), (false, false)]
    );
}

#[tokio::test]
async fn an_unreachable_model_is_passed_over_and_comes_back() {
    let away = Closed::new();
    let local = Stage::open(vec![says("local"), says("local"), says("local")]).await;
    let (chain, clock) = chain(&[&away.base, &local.base]);
    assert_eq!(text(&chain).await, "local");
    let status = chain.status();
    assert!(!status[0].reachable && status[1].reachable);
    clock.advance(Duration::from_secs(3));
    assert_eq!(text(&chain).await, "local", "nobody answered the knock");
    // The cable is back, on the same port.
    let _remote = Stage::opened(away, vec![says("remote")]);
    assert_eq!(text(&chain).await, "local", "passed over for now");
    clock.advance(Duration::from_secs(30));
    assert_eq!(text(&chain).await, "remote");
    assert!(chain.status()[0].reachable && chain.status()[0].problem.is_none());
}

#[tokio::test]
async fn a_model_that_is_passed_over_is_still_the_last_resort() {
    let first = Stage::open(vec![Play::Json(401, json!({})), says("after all")]).await;
    let second = Stage::open(vec![says("second"), Play::Json(401, json!({}))]).await;
    let (chain, _) = chain(&[&first.base, &second.base]);
    assert_eq!(text(&chain).await, "second");
    assert_eq!(text(&chain).await, "after all");
}

#[tokio::test]
async fn text_of_an_answer_that_breaks_off_is_taken_back() {
    let half = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n\r\ndata: {}\n\n",
        word("half")
    );
    let broken = Stage::open(vec![Play::Raw(half.clone()), Play::Raw(half.clone()), Play::Raw(half)]).await;
    let whole = Stage::open(vec![Play::Stream(vec![word("a thought</think>who"), word("le <"), end()])]).await;
    let (chain, _) = chain(&[&broken.base, &whole.base]);
    let (sender, heard) = mpsc::channel(32);
    assert_eq!(chain.ask(&question(), Some(&sender)).await.expect("an answer").text, "whole <");
    drop(sender);
    assert_eq!(shown(heard).await, "whole <");
}

#[tokio::test]
async fn a_listener_that_stands_still_does_not_hold_up_the_answer() {
    let words: Vec<String> = ["a", "b", "c"].map(word).into_iter().chain([end()]).collect();
    let stage = Stage::open(vec![Play::Stream(words)]).await;
    let (chain, _) = chain(&[&stage.base]);
    let (sender, _heard) = mpsc::channel(1);
    assert_eq!(chain.ask(&question(), Some(&sender)).await.expect("an answer").text, "abc");
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_and_the_next_one_answers() {
    let quick = Options { timeout: Duration::from_secs(3), ..options() };
    for play in [Play::Hang, Play::StreamAndHang(vec![word("half")])] {
        let hung = Stage::open(vec![play]).await;
        let well = Stage::open(vec![says("well")]).await;
        let (chain, _) = chain_with(&[&hung.base, &well.base], quick.clone());
        let (sender, heard) = mpsc::channel(32);
        assert_eq!(chain.ask(&question(), Some(&sender)).await.expect("an answer").text, "well");
        drop(sender);
        assert_eq!(shown(heard).await, "well");
        assert_eq!(chain.status()[0].problem.as_deref(), Some("it did not answer in time"));
    }
}

#[tokio::test]
async fn silence_ends_the_waiting_long_before_the_whole_answers_time() {
    let model = |base: &str| {
        let http = Client::new(Config::for_url(&Url::parse(base).expect("an address")));
        let endpoint = endpoint(0, base);
        let base = endpoint.base.clone().expect("an address");
        Model::with_silence(endpoint, base, http, Duration::from_secs(2))
    };
    let options = Options { timeout: Duration::from_secs(60), ..options() };
    let begun = Instant::now();
    for play in [Play::Hang, Play::StreamAndHang(vec![word("half")])] {
        let stage = Stage::open(vec![play]).await;
        let failure = model(&stage.base).ask(&options, &question(), None).await.expect_err("silence");
        assert!(matches!(failure, Failure::TimedOut), "{failure:?}");
    }
    // What is whole is an answer, even when the server never hangs up.
    let stage = Stage::open(vec![Play::StreamAndHang(vec![word("whole"), end()])]).await;
    assert_eq!(model(&stage.base).ask(&options, &question(), None).await.expect("an answer").text, "whole");
    assert!(begun.elapsed() < options.timeout);
}

#[tokio::test]
async fn what_is_no_answer_is_not_asked_for_again() {
    let raw = |kind: &str, body: &str| {
        Play::Raw(format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n{body}"))
    };
    let huge = "x".repeat(9 * 1024 * 1024);
    for play in [
        raw("text/html", "<html>Please log in to the hotel's network</html>"),
        raw("application/json", "[1, 2"),
        raw("text/event-stream", "data: nonsense\n\n"),
        raw("text/event-stream", &huge),
        raw("application/json", &huge),
        Play::Raw("SSH-2.0-OpenSSH_9.2\r\n".to_owned()),
    ] {
        let garbage = Stage::open(vec![play]).await;
        let well = Stage::open(vec![says("well")]).await;
        let (chain, _) = chain(&[&garbage.base, &well.base]);
        assert_eq!(text(&chain).await, "well");
        assert_eq!(garbage.heard().len(), 1);
        assert!(!chain.status()[0].reachable);
    }
}

#[tokio::test]
async fn a_question_that_is_dropped_ends_with_its_connection() {
    let stage = Stage::open(vec![Play::Hang, says("next")]).await;
    let (chain, _) = chain(&[&stage.base]);
    let asked = question();
    let ask = chain.ask(&asked, None);
    tokio::pin!(ask);
    while stage.heard().is_empty() {
        tokio::select! {
            _ = &mut ask => unreachable!("it hangs"),
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(text(&chain).await, "next");
}

#[tokio::test]
async fn with_no_model_the_error_says_what_was_tried() {
    let (empty, _) = chain(&[]);
    assert!(matches!(empty.ask(&question(), None).await, Err(ProviderError::NoneReachable { .. })));
    let (first, second) = (Closed::new(), Closed::new());
    let (away, _) = chain(&[&first.base, &second.base]);
    for _ in 0..2 {
        let error = away.ask(&question(), None).await.expect_err("away");
        assert_eq!(error.to_string(), "no model can be reached; tried vllm/model-0, vllm/model-1");
    }
}

/// A model of this house that says what it is told to, and fails when it has nothing left.
struct Parrot(std::sync::Mutex<Vec<Vec<Value>>>);

impl port::LocalModels for Parrot {
    fn generate<'a>(
        &'a self,
        id: &'a str,
        body: Value,
        events: mpsc::Sender<Value>,
    ) -> futures_util::future::BoxFuture<'a, Result<(), port::LocalFault>> {
        Box::pin(async move {
            assert_eq!((id, &body["model"], &body["max_tokens"]), ("parrot", &json!("parrot"), &json!(64)));
            let said = self.0.lock().expect("unpoisoned").pop();
            for event in said.ok_or_else(|| port::LocalFault::Missing("there is no parrot".to_owned()))? {
                events.send(event).await.expect("somebody listens");
            }
            Ok(())
        })
    }
}

fn said(text: &str) -> Value {
    serde_json::from_str(&word(text)).expect("JSON")
}

fn over() -> Value {
    serde_json::from_str(&end()).expect("JSON")
}

#[tokio::test]
async fn a_model_of_this_house_is_one_of_the_chain() {
    let server = Stage::open(vec![says("from afar")]).await;
    let clock = Clock::manual(Timestamp::from_millis(1_787_063_412_000));
    let here = resolve("local/parrot", |_| None).expect("it needs no key");
    let answers = vec![vec![said("half")], vec![said("<think>hm</think>"), said("He"), said("llo"), over()]];
    let parrot: std::sync::Arc<dyn port::LocalModels> = std::sync::Arc::new(Parrot(answers.into()));
    let chain = Chain::with_local(vec![here, endpoint(0, &server.base)], options(), clock, &parrot);
    let (sender, heard) = mpsc::channel(16);
    let answer = chain.ask(&question(), Some(&sender)).await.expect("an answer");
    drop(sender);
    assert_eq!((answer.text.as_str(), answer.provider.as_str(), answer.route), ("Hello", "local", Route::Local));
    assert_eq!((answer.prompt_tokens, answer.completion_tokens, shown(heard).await.as_str()), (7, 3, "Hello"));
    let (sender, heard) = mpsc::channel(16);
    let answer = chain.ask(&question(), Some(&sender)).await.expect("an answer");
    drop(sender);
    assert_eq!((answer.text.as_str(), shown(heard).await.as_str()), ("from afar", "from afar"), "half was taken back");
    let status = &chain.status()[0];
    assert_eq!((status.name.as_str(), status.reachable), ("local/parrot", false));
}
