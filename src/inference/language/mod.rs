//! A language model that runs here, from one GGUF file: text and tool calls out of a conversation.
//!
//! The way of a question: `prompt` writes the conversation as the model's template says and cuts it to the context, `vocabulary`
//! makes tokens of it, `model` reads those that the cache does not know yet (on a GPU, `candle`), `sample` chooses the next ones among those that
//! `answer` allows, and `answer` makes text and calls of them. Matrices are multiplied where they lie in the mapped file
//! (`kernel::quant`).
//!
//! Who may do what: whoever owns a [`Generator`] asks it one question at a time (a lane, or a worker process). Absent on purpose:
//! where files come from, several conversations at once, and thoughts as something else than text.

mod answer;
#[cfg(test)]
mod answer_tests;
mod attention;
mod cache;
mod candle;
mod engine;
mod gate;
mod generator;
mod grammar;
mod model;
mod prompt;
mod rope;
mod sample;
mod shape;
mod stop;
mod template;
#[cfg(test)]
mod tests;
mod vocabulary;
mod weights;
mod wire;

pub use answer::AnswerError;
pub use generator::{Config, Generator, LanguageError, Memory, estimate};
pub use grammar::SchemaError;
pub use prompt::PromptError;
pub use shape::{Architecture, Shape, ShapeError};
pub use template::TemplateError;
pub use vocabulary::VocabularyError;
pub use weights::WeightsError;
pub use wire::{
    Call, CalledFunction, Completion, FinishReason, Function, Message, NamedSchema, Piece, Request, ResponseFormat,
    Role, STOPS_MAX, Sampling, Tool, ToolChoice,
};
