//! Floor 2: models that run here, with no network: meaning of texts, speech, language.
//!
//! Takes paths and bytes, gives numbers and words. Absent on purpose: where models come from (`models`), what anybody does with
//! the results, and any knowledge of conversations. The submodules know each other only where it says so.

pub mod audio;
pub mod device;
pub mod embed;
pub mod kernel;
pub mod language;
pub mod microphone;
pub mod onnx;
pub mod speech;
mod tokenizer;
pub mod transcript;
pub mod weights;
pub mod whisper;
pub mod worker;
