//! What is asked of the language model and what it answers: plain values that cross a process border unchanged.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A conversation to be continued. The JSON form is OpenAI's, as far as a field exists there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub messages: Vec<Message>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    #[serde(default)]
    pub tool_choice: ToolChoice,
    #[serde(default)]
    pub response_format: ResponseFormat,
    #[serde(default)]
    pub sampling: Sampling,
    /// Texts that end the answer and are not part of it; at most [`STOPS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Longest answer in tokens; without it, what the context has room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// More values for the model's chat template, such as `{"enable_thinking": false}`.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub template_values: serde_json::Map<String, Value>,
}

/// Stop strings in one request.
pub const STOPS_MAX: usize = 16;

impl Request {
    /// With everything but the messages as it comes.
    pub fn of(messages: Vec<Message>) -> Self {
        Self {
            messages,
            tools: Vec::new(),
            tool_choice: ToolChoice::default(),
            response_format: ResponseFormat::default(),
            sampling: Sampling::default(),
            stop: Vec::new(),
            max_tokens: None,
            template_values: serde_json::Map::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    pub role: Role,
    /// A string, null, or OpenAI's list of parts, of which the texts are joined.
    #[serde(default, deserialize_with = "text_of_content")]
    pub content: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub tool_calls: Vec<Call>,
    /// For [`Role::Tool`]: which call this is the result of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Message {
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), tool_calls: Vec::new(), tool_call_id: None, name: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    #[serde(alias = "developer")]
    System,
    User,
    Assistant,
    #[serde(alias = "function")]
    Tool,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// A finished call of a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    pub id: String,
    #[serde(rename = "type", default = "function")]
    pub kind: String,
    pub function: CalledFunction,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalledFunction {
    pub name: String,
    /// JSON text of an object.
    pub arguments: String,
}

/// A tool that may be called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    #[serde(rename = "type", default = "function")]
    pub kind: String,
    pub function: Function,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Function {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema of the arguments; without it, an empty object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
}

/// Whether tools are called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ChoiceForm", into = "ChoiceForm")]
pub enum ToolChoice {
    /// Text, or calls that the model introduces by itself.
    #[default]
    Auto,
    /// Text only; the tools are not even shown.
    None,
    /// At least one call.
    Required,
    /// A call of this tool.
    Function(String),
}

/// OpenAI's form: a word, or an object that names a function.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum ChoiceForm {
    Word(ChoiceWord),
    Named {
        #[serde(rename = "type", default = "function")]
        kind: String,
        function: ChosenFunction,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ChoiceWord {
    Auto,
    None,
    Required,
}

#[derive(Serialize, Deserialize)]
struct ChosenFunction {
    name: String,
}

impl From<ChoiceForm> for ToolChoice {
    fn from(form: ChoiceForm) -> Self {
        match form {
            ChoiceForm::Word(ChoiceWord::Auto) => Self::Auto,
            ChoiceForm::Word(ChoiceWord::None) => Self::None,
            ChoiceForm::Word(ChoiceWord::Required) => Self::Required,
            ChoiceForm::Named { function, .. } => Self::Function(function.name),
        }
    }
}

impl From<ToolChoice> for ChoiceForm {
    fn from(choice: ToolChoice) -> Self {
        match choice {
            ToolChoice::Auto => Self::Word(ChoiceWord::Auto),
            ToolChoice::None => Self::Word(ChoiceWord::None),
            ToolChoice::Required => Self::Word(ChoiceWord::Required),
            ToolChoice::Function(name) => Self::Named { kind: function(), function: ChosenFunction { name } },
        }
    }
}

/// What form the text of an answer has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResponseFormat {
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that follows a schema.
    JsonSchema { json_schema: NamedSchema },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedSchema {
    #[serde(default)]
    pub name: String,
    pub schema: Value,
}

/// How a word is chosen among the likely ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sampling {
    /// 0 takes the likeliest always.
    pub temperature: f32,
    /// Only so many of the likeliest; 0 is all.
    pub top_k: u32,
    /// Only the likeliest that together reach this probability; 1 is all.
    pub top_p: f32,
    /// Only those at least this likely relative to the likeliest; 0 is all.
    pub min_p: f32,
    /// Divides the logits of what was said lately; 1 does nothing.
    pub repetition_penalty: f32,
    /// How many of the last tokens the penalty looks at.
    pub repetition_window: u32,
    /// The same seed gives the same answer; without one, chance decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.7,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.0,
            repetition_penalty: 1.0,
            repetition_window: 64,
            seed: None,
        }
    }
}

impl Sampling {
    /// The likeliest word always.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }
}

/// What is heard while an answer grows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    /// So many tokens of the prompt are read; `cached` of them were known from the turn before.
    Prompt { read: usize, cached: usize, total: usize },
    /// The next characters of the answer, never half of one and never part of a stop string.
    Text(String),
    /// A call begins; its arguments follow.
    Call { index: usize, id: String, name: String },
    /// The next characters of a call's arguments.
    Arguments { index: usize, text: String },
}

/// A whole answer. The pieces, joined, are the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    pub text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
    pub finish_reason: FinishReason,
    pub prompt_tokens: usize,
    /// Of the prompt's tokens, those that were still known from the turn before.
    pub cached_tokens: usize,
    pub completion_tokens: usize,
    /// Oldest messages that were left out because the context is too short for all.
    pub messages_dropped: usize,
    /// Time to read the prompt, in milliseconds.
    pub prompt_ms: u64,
    /// Time to write the answer, in milliseconds.
    pub answer_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model had said everything, or a stop string came.
    Stop,
    /// `max_tokens`, or the context was full.
    Length,
    ToolCalls,
    /// The listener had enough.
    Canceled,
}

fn function() -> String {
    "function".to_owned()
}

fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

fn text_of_content<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(match Option::<Content>::deserialize(from)? {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => parts.into_iter().map(|part| part.text).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_request_in_openais_form_is_understood() {
        let form = json!({
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "lamp", "arguments": "{\"on\":true}"}}]},
                {"role": "tool", "tool_call_id": "c1", "content": "done"},
            ],
            "tools": [{"type": "function", "function": {"name": "lamp", "parameters": {"type": "object"}}}],
            "tool_choice": {"type": "function", "function": {"name": "lamp"}},
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
        });
        let request: Request = serde_json::from_value(form).expect("a request");
        assert_eq!((request.messages[0].role, request.messages[0].content.as_str()), (Role::System, "Be brief."));
        assert_eq!(request.messages[1].tool_calls[0].function.name, "lamp");
        assert_eq!(request.tool_choice, ToolChoice::Function("lamp".to_owned()));
        let again: Request = serde_json::from_value(serde_json::to_value(&request).expect("json")).expect("again");
        assert_eq!(again, request);
    }

    #[test]
    fn choices_are_words_or_names() {
        for (choice, form) in [
            (ToolChoice::Auto, json!("auto")),
            (ToolChoice::None, json!("none")),
            (ToolChoice::Required, json!("required")),
            (ToolChoice::Function("a".to_owned()), json!({"type": "function", "function": {"name": "a"}})),
        ] {
            assert_eq!(serde_json::to_value(&choice).expect("json"), form);
            assert_eq!(serde_json::from_value::<ToolChoice>(form).expect("a choice"), choice);
        }
    }
}
