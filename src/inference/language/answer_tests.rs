//! Calls, whatever a model would rather say.

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use serde_json::{Value, json};

use crate::inference::language::answer::Answer;
use crate::inference::language::grammar::tests::{follows, schemas};
use crate::inference::language::sample::{Die, Sampler};
use crate::inference::language::template::Template;
use crate::inference::language::tests::gguf;
use crate::inference::language::vocabulary::Vocabulary;
use crate::inference::language::wire::{
    Message, NamedSchema, Piece, Request, ResponseFormat, Role, Sampling, Tool, ToolChoice,
};

const LLAMA: &str = "{{ messages[0].content }}{# ipython #}";

fn vocabulary() -> Vocabulary {
    Vocabulary::read(&gguf("qwen2_k")).expect("a vocabulary")
}

fn template(source: Option<&str>) -> Template {
    Template::new(source, String::new(), String::new()).expect("a template")
}

fn tools(schemas: &[Value]) -> Vec<Tool> {
    let tool = |(number, schema): (usize, &Value)| {
        let function = json!({"name": format!("tool_{number}\"\u{fc}"), "parameters": schema});
        serde_json::from_value(json!({"type": "function", "function": function})).expect("a tool")
    };
    schemas.iter().enumerate().map(tool).collect()
}

/// Objects only, as tools have them.
fn objects() -> Vec<Value> {
    schemas().into_iter().filter(|schema| schema.get("type") == Some(&json!("object"))).collect()
}

fn request(choice: ToolChoice) -> Request {
    let mut request = Request::of(vec![Message::new(Role::User, "?")]);
    request.tools = tools(&objects());
    request.tool_choice = choice;
    request.sampling = Sampling { temperature: 1.5, top_k: 0, top_p: 1.0, ..Sampling::default() };
    request
}

/// What is heard when a model's likelihoods are chance, a little in favor of ends.
fn babble(request: &Request, template: &Template, seed: u64) -> Option<(Answer, Vec<Piece>)> {
    let vocabulary = vocabulary();
    let mut answer = Answer::new(request, template, 7).expect("an answer");
    let mut sampler = Sampler::new(&request.sampling, seed);
    let mut die = Die::new(seed);
    let mut pieces = Vec::new();
    let find = |text: &&str| (0..vocabulary.len()).find(|token| vocabulary.bytes(*token as u32) == text.as_bytes());
    let ends = ["\"", "}", "]", "}}", "\"}", "</tool_call>", "<|im_end|>", "e", "0"];
    let ends: Vec<usize> = ends.iter().filter_map(find).collect();
    for step in 0..2_000 {
        let mut logits: Vec<f32> = (0..vocabulary.len()).map(|_| (die.next() % 1_000) as f32 / 100.0).collect();
        ends.iter().for_each(|token| logits[*token] += step as f32 / 4.0);
        let token = sampler.choose(&logits, &mut |token| answer.allows(&vocabulary, token))?;
        if vocabulary.is_end(token) {
            break;
        }
        answer.push(&vocabulary, token);
        pieces.extend(answer.pieces());
        if answer.is_over() {
            break;
        }
    }
    answer.finish();
    pieces.extend(answer.pieces());
    Some((answer, pieces))
}

/// Says exactly this; false when it is not allowed.
fn say(answer: &mut Answer, vocabulary: &Vocabulary, text: &str) -> bool {
    vocabulary.tokens(text).into_iter().all(|token| {
        let is_allowed = answer.allows(vocabulary, token);
        if is_allowed {
            answer.push(vocabulary, token);
        }
        is_allowed
    })
}

#[test]
fn a_call_in_the_middle_of_a_text_is_taken_out_of_it() {
    let (vocabulary, template) = (vocabulary(), template(None));
    let mut answer = Answer::new(&request(ToolChoice::Auto), &template, 7).expect("an answer");
    let text =
        "1 < 2 <tool <<tool_call>\n{\"name\": \"tool_0\\\"\u{fc}\", \"arguments\": {\"on\": true}}\n</tool_call>";
    assert!(say(&mut answer, &vocabulary, text));
    assert!(!answer.allows(&vocabulary, vocabulary.tokens("x")[0]), "only another call may follow");
    assert!(say(
        &mut answer,
        &vocabulary,
        "\n<tool_call>\n{\"name\": \"tool_1\\\"\u{fc}\", \"arguments\": {}}</tool_call>"
    ));
    answer.finish();
    let pieces = answer.pieces();
    let text: String = pieces
        .iter()
        .filter_map(|piece| if let Piece::Text(text) = piece { Some(text.as_str()) } else { None })
        .collect();
    assert_eq!(text, "1 < 2 <tool <");
    let calls: Vec<(&str, &str)> =
        answer.calls.iter().map(|call| (call.function.name.as_str(), call.function.arguments.as_str())).collect();
    assert_eq!(calls, [("tool_0\"\u{fc}", "{\"on\": true}"), ("tool_1\"\u{fc}", "{}")]);
    assert_ne!(answer.calls[0].id, answer.calls[1].id);
}

#[test]
fn a_call_that_breaks_its_schema_is_not_let_through() {
    let (vocabulary, template) = (vocabulary(), template(None));
    for wrong in [
        "<tool_call>\n{\"name\": \"nothing\"",
        "<tool_call>\n{\"name\": \"tool_0\\\"\u{fc}\", \"arguments\": {\"level\": 0",
        "<tool_call>\n{\"name\": \"tool_0\\\"\u{fc}\", \"arguments\": {}",
        "<tool_call>hello",
    ] {
        let mut answer = Answer::new(&request(ToolChoice::Auto), &template, 7).expect("an answer");
        assert!(!say(&mut answer, &vocabulary, wrong), "{wrong}");
    }
    let mut answer = Answer::new(&request(ToolChoice::None), &template, 7).expect("an answer");
    assert!(say(&mut answer, &vocabulary, "<tool_call>hello"), "where there are no tools it is text");
}

#[test]
fn llamas_calls_are_the_whole_answer() {
    let (vocabulary, template) = (vocabulary(), template(Some(LLAMA)));
    let mut answer = Answer::new(&request(ToolChoice::Auto), &template, 7).expect("an answer");
    assert!(say(&mut answer, &vocabulary, "{\"name\": \"tool_1\\\"\u{fc}\", \"parameters\": {}}"));
    assert!(answer.is_over() && answer.calls.len() == 1);
    let mut answer = Answer::new(&request(ToolChoice::Auto), &template, 7).expect("an answer");
    assert!(say(&mut answer, &vocabulary, "Well, {\"name\" is a key."));
}

#[test]
fn a_tool_that_is_not_there_cannot_be_asked_for() {
    let template = template(None);
    let none = Answer::new(&request(ToolChoice::Function("none".to_owned())), &template, 7);
    assert!(none.expect_err("none").to_string().contains("no tool is named none"));
    let mut bare = request(ToolChoice::Required);
    bare.tools.clear();
    assert!(Answer::new(&bare, &template, 7).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_model_would_say_a_call_that_is_asked_for_parses(seed in any::<u64>(), llama in any::<bool>(), only in any::<bool>()) {
        let choice = if only { ToolChoice::Function("tool_0\"\u{fc}".to_owned()) } else { ToolChoice::Required };
        let request = request(choice);
        let babbled = babble(&request, &template(llama.then_some(LLAMA)), seed);
        prop_assert!(babbled.is_some(), "a dead end");
        let Some((answer, pieces)) = babbled else { return Ok(()) };
        prop_assert!(!answer.calls.is_empty(), "{pieces:?}");
        let schemas = objects();
        for (index, call) in answer.calls.iter().enumerate() {
            let number: usize = call.function.name[5..6].parse().expect("a number");
            prop_assert!(!only || number == 0);
            let arguments: Value = serde_json::from_str(&call.function.arguments).expect("json");
            prop_assert!(follows(&arguments, &schemas[number], &schemas[number]), "{arguments}");
            let told: String = pieces.iter().filter_map(|piece| match piece {
                Piece::Arguments { index: at, text } if *at == index => Some(text.as_str()),
                _ => None,
            }).collect();
            prop_assert_eq!(&told, &call.function.arguments);
            let begun = Piece::Call { index, id: call.id.clone(), name: call.function.name.clone() };
            prop_assert!(pieces.contains(&begun));
        }
        prop_assert!(!pieces.iter().any(|piece| matches!(piece, Piece::Text(_))));
    }

    #[test]
    fn an_answer_in_a_form_has_that_form(seed in any::<u64>(), number in 0_usize..13) {
        let mut request = request(ToolChoice::None);
        let schema = schemas().get(number).cloned();
        request.response_format = match &schema {
            Some(schema) => ResponseFormat::JsonSchema { json_schema: NamedSchema { name: String::new(), schema: schema.clone() } },
            None => ResponseFormat::JsonObject,
        };
        let babbled = babble(&request, &template(None), seed);
        prop_assert!(babbled.is_some(), "a dead end");
        let Some((_, pieces)) = babbled else { return Ok(()) };
        let text: String = pieces.iter().filter_map(|piece| if let Piece::Text(text) = piece { Some(text.as_str()) } else { None }).collect();
        let value: Result<Value, _> = serde_json::from_str(&text);
        prop_assert!(value.is_ok(), "{text}");
        let schema = schema.unwrap_or_else(|| json!({"type": "object"}));
        prop_assert!(follows(&value.expect("json"), &schema, &schema), "{text}");
    }
}
