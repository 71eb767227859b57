//! A language model that runs here, from one GGUF file: text and tool calls out of a conversation.

mod wire;

pub use wire::{
    Call, CalledFunction, Completion, FinishReason, Function, Message, NamedSchema, Piece, Request, ResponseFormat,
    Role, STOPS_MAX, Sampling, Tool, ToolChoice,
};
