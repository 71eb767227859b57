//! A conversation as tokens: written by the model's template, cut to what the context holds.

use serde_json::{Map, Value, json};

use crate::base::clock::Timestamp;
use crate::inference::language::template::{Template, TemplateError};
use crate::inference::language::vocabulary::Vocabulary;
use crate::inference::language::wire::{Message, Request, Role, ToolChoice};

#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    #[error("a conversation needs at least one message")]
    Empty,
    #[error("could not write the conversation")]
    Template(#[from] TemplateError),
    #[error("the last message alone is {tokens} tokens; there is room for {room}")]
    TooLong { tokens: usize, room: usize },
}

/// A conversation, ready to be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    pub tokens: Vec<u32>,
    /// Oldest messages that were left out.
    pub dropped: usize,
}

/// Writes conversations.
pub struct Writer<'a> {
    pub template: &'a Template,
    pub vocabulary: &'a Vocabulary,
    pub now: Timestamp,
}

impl Writer<'_> {
    /// At most `room` tokens: the oldest turns go first, system messages and the last turn stay. `usual` is how many messages
    /// were dropped the last time: when that fits again, the beginning stays the same and need not be read again.
    pub fn write(&self, request: &Request, room: usize, usual: usize) -> Result<Prompt, PromptError> {
        if request.messages.is_empty() {
            return Err(PromptError::Empty);
        }
        let whole = self.tokens(request, 0)?;
        if whole.len() <= room {
            return Ok(Prompt { tokens: whole, dropped: 0 });
        }
        let cuts = cuts(&request.messages);
        if cuts.contains(&usual) {
            let tokens = self.tokens(request, usual)?;
            if tokens.len() <= room {
                return Ok(Prompt { tokens, dropped: usual });
            }
        }
        // A quarter stays free, so that the next turns have room behind the same beginning.
        let wanted = room - room / 4;
        let (mut low, mut high) = (0, cuts.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.tokens(request, cuts[middle])?.len() <= wanted { high = middle } else { low = middle + 1 }
        }
        let dropped = cuts.get(low).or(cuts.last()).copied().unwrap_or(0);
        let tokens = self.tokens(request, dropped)?;
        if tokens.len() > room {
            return Err(PromptError::TooLong { tokens: tokens.len(), room });
        }
        Ok(Prompt { tokens, dropped })
    }

    fn tokens(&self, request: &Request, dropped: usize) -> Result<Vec<u32>, PromptError> {
        let kept = kept(&request.messages, dropped);
        let text = match self.render(request, kept.clone()) {
            Ok(text) => text,
            // Some templates know no system message or insist on turns that alternate.
            Err(error) => self.render(request, plainer(kept)).map_err(|_| error)?,
        };
        let mut tokens = self.vocabulary.tokens(&text);
        // Many templates write it themselves.
        let bos = self.vocabulary.bos.filter(|bos| self.vocabulary.adds_bos && tokens.first() != Some(bos));
        if let Some(bos) = bos {
            tokens.insert(0, bos);
        }
        Ok(tokens)
    }

    fn render(&self, request: &Request, messages: Vec<Message>) -> Result<String, PromptError> {
        let mut values = Map::new();
        let offers_tools = !request.tools.is_empty() && request.tool_choice != ToolChoice::None;
        let knows_tools = self.template.mentions("tools");
        let messages = if knows_tools { messages } else { told(messages, request, offers_tools) };
        if offers_tools && knows_tools {
            let tools: Vec<Value> = request.tools.iter().map(|tool| self.harmless(&json!(tool))).collect();
            values.insert("tools".to_owned(), tools.into());
        }
        let messages: Vec<Value> = messages.iter().map(|message| self.message(message)).collect();
        values.insert("messages".to_owned(), messages.into());
        for (key, value) in &request.template_values {
            values.entry(key.clone()).or_insert_with(|| value.clone());
        }
        Ok(self.template.render(values, self.now)?)
    }

    fn message(&self, message: &Message) -> Value {
        let mut value = json!({"role": message.role.as_str(), "content": self.vocabulary.defuse(&message.content)});
        if !message.tool_calls.is_empty() {
            let call = |call: &crate::inference::language::wire::Call| {
                let arguments = serde_json::from_str(&call.function.arguments).unwrap_or_else(|_| json!({}));
                let function = json!({"name": call.function.name, "arguments": self.harmless(&arguments)});
                json!({"id": call.id, "type": "function", "function": function})
            };
            value["tool_calls"] = message.tool_calls.iter().map(call).collect();
        }
        for (key, text) in [("tool_call_id", &message.tool_call_id), ("name", &message.name)] {
            if let Some(text) = text {
                value[key] = self.vocabulary.defuse(text).into();
            }
        }
        value
    }

    /// Control tokens' names are taken apart wherever a text is.
    fn harmless(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.vocabulary.defuse(text).into(),
            Value::Array(items) => items.iter().map(|item| self.harmless(item)).collect(),
            Value::Object(fields) => {
                let field = |(key, value): (&String, &Value)| (self.vocabulary.defuse(key), self.harmless(value));
                Value::Object(fields.iter().map(field).collect())
            }
            other => other.clone(),
        }
    }
}

/// Numbers of messages that can be dropped: turns end before a person speaks again.
fn cuts(messages: &[Message]) -> Vec<usize> {
    let spoken: Vec<&Message> = messages.iter().filter(|message| message.role != Role::System).collect();
    (1..spoken.len()).filter(|at| spoken[*at].role == Role::User).collect()
}

/// All system messages, and the others without the oldest `dropped`.
fn kept(messages: &[Message], dropped: usize) -> Vec<Message> {
    let mut left = dropped;
    let mut kept = Vec::new();
    for message in messages {
        if message.role != Role::System && left > 0 {
            left -= 1;
        } else {
            kept.push(message.clone());
        }
    }
    kept
}

/// Without system messages (the next person's message begins with them), neighbors of one role as one.
fn plainer(messages: Vec<Message>) -> Vec<Message> {
    let mut plain: Vec<Message> = Vec::new();
    for mut message in messages {
        if message.role == Role::System {
            message.role = Role::User;
        }
        match plain.last_mut() {
            Some(last) if last.role == message.role && message.role != Role::Tool && message.tool_calls.is_empty() => {
                last.content.push_str("\n\n");
                last.content.push_str(&message.content);
            }
            _ => plain.push(message),
        }
    }
    plain
}

/// For templates that know nothing of tools: they are described in words, and calls and results are text.
fn told(messages: Vec<Message>, request: &Request, offers_tools: bool) -> Vec<Message> {
    let mut told: Vec<Message> = Vec::new();
    if offers_tools {
        let tools: Vec<String> = request.tools.iter().map(|tool| json!(tool).to_string()).collect();
        let text = format!(
            "You may call functions. They are:\n<tools>\n{}\n</tools>\nTo call one, answer only with its name and arguments:\n\
             <tool_call>\n{{\"name\": \"...\", \"arguments\": {{...}}}}\n</tool_call>",
            tools.join("\n")
        );
        told.push(Message::new(Role::System, text));
    }
    for mut message in messages {
        for call in std::mem::take(&mut message.tool_calls) {
            let name = json!(call.function.name);
            let text =
                format!("<tool_call>\n{{\"name\": {name}, \"arguments\": {}}}\n</tool_call>", call.function.arguments);
            message.content.push_str(&text);
        }
        if message.role == Role::Tool {
            message.role = Role::User;
            message.content = format!("<tool_response>\n{}\n</tool_response>", message.content);
        }
        match told.last_mut() {
            Some(first) if first.role == Role::System && message.role == Role::System => {
                first.content = format!("{}\n\n{}", message.content, first.content);
            }
            _ => told.push(message),
        }
    }
    told
}
