//! Tokens become text and calls. Says before each token whether it may come.

use serde_json::{Map, Value, json};

use crate::inference::language::gate::{CALLS_MAX, Gate, Marks, OPEN, Place};
use crate::inference::language::grammar::{Grammar, Machine, SchemaError};
use crate::inference::language::stop::Stops;
use crate::inference::language::template::Template;
use crate::inference::language::vocabulary::{Utf8Stream, Vocabulary};
use crate::inference::language::wire::{Call, CalledFunction, Piece, Request, ResponseFormat, ToolChoice};

/// What each call's text begins with, up to its arguments.
#[derive(Clone, Debug)]
struct Opening {
    name: String,
    text: Vec<u8>,
}

/// An answer that grows.
#[derive(Debug)]
pub struct Answer {
    gate: Gate,
    openings: Vec<Opening>,
    letters: Utf8Stream,
    stops: Stops,
    /// Bytes that may be part of a mark.
    held: Vec<u8>,
    call: CallText,
    pub calls: Vec<Call>,
    pieces: Vec<Piece>,
    /// Bytes that can come first now; made when many tokens were refused.
    first: Option<Box<[bool; 256]>>,
    refusals: usize,
    /// Makes ids of calls.
    id: u64,
}

/// The call that is being written.
#[derive(Debug, Default)]
struct CallText {
    bytes: Vec<u8>,
    /// Which one it is, once that is clear.
    name: Option<String>,
    /// Where the arguments begin.
    start: usize,
    /// Up to where they were told.
    told: usize,
    letters: Utf8Stream,
}

/// Tokens of a position that are tried one by one before the others are sorted by their first byte.
const TRIES: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    #[error("the parameters of the tools, or the form of the answer, cannot be held")]
    Schema(#[from] SchemaError),
    #[error("no tool is named {0}")]
    NoTool(String),
    #[error("a call is asked for, but no tool is given")]
    NoTools,
}

impl Answer {
    /// `id` makes the ids of calls.
    pub fn new(request: &Request, template: &Template, id: u64) -> Result<Self, AnswerError> {
        let marks = marks(template);
        let tools = openings(request, marks)?;
        let machine = || -> Result<Machine, AnswerError> {
            let frames: Vec<_> =
                tools.iter().map(|(opening, schema)| (opening.text.clone(), schema.clone(), b"}".to_vec())).collect();
            Ok(Machine::new(Grammar::of_framed(&frames)?))
        };
        let gate = match (&request.tool_choice, &request.response_format) {
            (ToolChoice::Required, _) => Gate::in_call(marks, machine()?, CALLS_MAX),
            (ToolChoice::Function(_), _) => Gate::in_call(marks, machine()?, 1),
            (ToolChoice::Auto, ResponseFormat::Text) if !tools.is_empty() => Gate::with_calls(marks, machine()?),
            (_, ResponseFormat::Text) => Gate::free(),
            (_, ResponseFormat::JsonObject) => Gate::json(Machine::new(Grammar::of_objects())),
            (_, ResponseFormat::JsonSchema { json_schema }) => {
                Gate::json(Machine::new(Grammar::of_schema(&json_schema.schema)?))
            }
        };
        Ok(Self {
            gate,
            openings: tools.into_iter().map(|(opening, _)| opening).collect(),
            letters: Utf8Stream::default(),
            stops: Stops::new(&request.stop),
            held: Vec::new(),
            call: CallText::default(),
            calls: Vec::new(),
            pieces: Vec::new(),
            first: None,
            refusals: 0,
            id,
        })
    }

    /// What stands before the first token: the mark of a call that has to come.
    pub fn lead(request: &Request, template: &Template) -> String {
        let is_forced = matches!(request.tool_choice, ToolChoice::Required | ToolChoice::Function(_));
        if is_forced && marks(template) == Marks::Tagged { format!("{OPEN}\n") } else { String::new() }
    }

    /// Whether this token may come now.
    pub fn allows(&mut self, vocabulary: &Vocabulary, token: u32) -> bool {
        let bytes = vocabulary.bytes(token);
        if vocabulary.is_end(token) {
            return self.gate.may_end();
        }
        let is_strict = self.gate.is_strict();
        if vocabulary.is_control(token) || bytes.is_empty() {
            return !is_strict;
        }
        if !is_strict && !self.gate.cares_about(bytes) {
            return true;
        }
        if self.refusals > TRIES {
            let gate = &self.gate;
            let first = self
                .first
                .get_or_insert_with(|| Box::new(std::array::from_fn(|byte| gate.clone().push(byte as u8).is_some())));
            if !first[usize::from(bytes[0])] {
                return false;
            }
        }
        let mut gate = self.gate.clone();
        let is_allowed = bytes.iter().all(|byte| gate.push(*byte).is_some());
        self.refusals += usize::from(!is_allowed);
        is_allowed
    }

    /// Takes a token that is allowed; what is heard of it is in [`Self::pieces`].
    pub fn push(&mut self, vocabulary: &Vocabulary, token: u32) {
        self.refusals = 0;
        self.first = None;
        if vocabulary.is_control(token) {
            return;
        }
        let mut text = Vec::new();
        for byte in vocabulary.bytes(token) {
            match self.gate.push(*byte) {
                Some(Place::Text) => {
                    text.append(&mut self.held);
                    text.push(*byte);
                }
                Some(Place::Mark) => {
                    // What was held turned out to be text, and a new mark may begin.
                    if *byte == OPEN.as_bytes()[0] {
                        text.append(&mut self.held);
                    }
                    self.held.push(*byte);
                }
                Some(Place::Opened) => self.held.clear(),
                Some(Place::Call) => {
                    self.call.bytes.push(*byte);
                }
                Some(Place::CallEnd) => {
                    self.say(&text);
                    text.clear();
                    self.end_call();
                }
                Some(Place::Nowhere) | None => {}
            }
        }
        self.say(&text);
        self.say_arguments();
    }

    /// Nothing more comes.
    pub fn finish(&mut self) {
        let held = std::mem::take(&mut self.held);
        self.say(&held);
        let rest = self.letters.finish();
        let text = self.stops.push(&rest) + &self.stops.finish();
        self.tell(text);
    }

    pub fn is_over(&self) -> bool {
        self.stops.is_over() || self.gate.is_over()
    }

    /// What is to be heard since the last time.
    pub fn pieces(&mut self) -> Vec<Piece> {
        std::mem::take(&mut self.pieces)
    }

    fn say(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let text = self.letters.push(bytes);
            let text = self.stops.push(&text);
            self.tell(text);
        }
    }

    fn tell(&mut self, text: String) {
        if !text.is_empty() {
            self.pieces.push(Piece::Text(text));
        }
    }

    /// Tells a call as soon as its name is known, then what its arguments have grown by.
    fn say_arguments(&mut self) {
        let index = self.calls.len();
        if self.call.name.is_none() {
            let found = self.openings.iter().find(|opening| self.call.bytes.starts_with(&opening.text));
            let Some(Opening { name, text }) = found.cloned() else { return };
            self.pieces.push(Piece::Call { index, id: self.call_id(), name: name.clone() });
            self.call.name = Some(name);
            self.call.start = text.len();
            self.call.told = text.len();
        }
        let text = self.call.letters.push(&self.call.bytes[self.call.told..]);
        self.call.told = self.call.bytes.len();
        if !text.is_empty() {
            self.pieces.push(Piece::Arguments { index, text });
        }
    }

    fn call_id(&self) -> String {
        format!("call_{:016x}", self.id.wrapping_add(self.calls.len() as u64))
    }

    /// The byte that ended it closes the call, not its arguments, and was not kept.
    fn end_call(&mut self) {
        self.say_arguments();
        let call = std::mem::take(&mut self.call);
        let Some(name) = call.name else { return };
        let arguments = String::from_utf8_lossy(&call.bytes[call.start..]).into_owned();
        let function = CalledFunction { name, arguments };
        self.calls.push(Call { id: self.call_id(), kind: "function".to_owned(), function });
    }
}

fn marks(template: &Template) -> Marks {
    let is_llama =
        template.mentions("<|python_tag|>") || template.mentions("<|eom_id|>") || template.mentions("ipython");
    if is_llama && !template.mentions(OPEN) { Marks::Bare } else { Marks::Tagged }
}

/// The tools that may be called, with the schemas of their arguments.
fn openings(request: &Request, marks: Marks) -> Result<Vec<(Opening, Value)>, AnswerError> {
    let key = if marks == Marks::Bare { "parameters" } else { "arguments" };
    let only = match &request.tool_choice {
        ToolChoice::None => return Ok(Vec::new()),
        ToolChoice::Function(name) => Some(name),
        ToolChoice::Auto | ToolChoice::Required => None,
    };
    let chosen =
        request.tools.iter().map(|tool| &tool.function).filter(|tool| only.is_none_or(|name| tool.name == *name));
    let openings: Vec<(Opening, Value)> = chosen
        .map(|tool| {
            let text = format!("{{\"name\": {}, \"{key}\": ", json!(tool.name)).into_bytes();
            let schema = tool.parameters.clone().filter(Value::is_object);
            let schema = schema.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
            (Opening { name: tool.name.clone(), text }, arguments_schema(schema))
        })
        .collect();
    match only {
        Some(name) if openings.is_empty() => Err(AnswerError::NoTool(name.clone())),
        None if openings.is_empty() && request.tool_choice == ToolChoice::Required => Err(AnswerError::NoTools),
        _ => Ok(openings),
    }
}

/// Arguments are always an object.
fn arguments_schema(schema: Value) -> Value {
    let Value::Object(mut rules) = schema else { return json!({"type": "object"}) };
    let chooses = ["$ref", "anyOf", "oneOf", "allOf", "enum", "const"].iter().any(|key| rules.contains_key(*key));
    if !chooses {
        rules.insert("type".to_owned(), "object".into());
    }
    Value::Object(Map::from_iter(rules))
}
