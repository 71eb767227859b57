//! The model with its memory of the last conversation: questions in, answers out.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::base::clock::Clock;
use crate::inference::device::{Device, DeviceError};
use crate::inference::language::answer::{Answer, AnswerError};
use crate::inference::language::engine::{Engine, Plan};
use crate::inference::language::prompt::{PromptError, Writer};
use crate::inference::language::sample::Sampler;
use crate::inference::language::shape::{Shape, ShapeError};
use crate::inference::language::template::{Template, TemplateError};
use crate::inference::language::vocabulary::{Vocabulary, VocabularyError};
use crate::inference::language::weights::WeightsError;
use crate::inference::language::wire::{Completion, FinishReason, Piece, Request};
use crate::inference::weights::gguf::{Gguf, GgufError};

/// Tokens that are read together: many enough to use each weight well, few enough to hear a caller who has left.
const CHUNK_TOKENS: usize = 128;
/// The least room for an answer.
const ANSWER_TOKENS_MIN: usize = 16;
/// Room for an answer whose length nobody said.
const ANSWER_TOKENS: usize = 512;

#[derive(Clone, Debug)]
pub struct Config {
    /// A GGUF file.
    pub path: PathBuf,
    /// Longest conversation with its answer; the model's own limit if that is less.
    pub context_tokens_max: usize,
    pub device: Device,
    /// None: as many as there are processors.
    pub threads: Option<usize>,
    /// Models that need more are refused before they are loaded.
    pub memory_bytes_max: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            context_tokens_max: 4_096,
            device: Device::Cpu,
            threads: None,
            memory_bytes_max: None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LanguageError {
    #[error("could not read the model file")]
    File(#[from] GgufError),
    #[error("this model cannot be run")]
    Shape(#[from] ShapeError),
    #[error("the model's weights are not as it says")]
    Weights(#[from] WeightsError),
    #[error("could not read the model's vocabulary")]
    Vocabulary(#[from] VocabularyError),
    #[error("the model's chat template is of no use")]
    Template(#[from] TemplateError),
    #[error("the model needs {needed_bytes} bytes of memory; {allowed_bytes} are allowed")]
    Memory { needed_bytes: u64, allowed_bytes: u64 },
    #[error("could not use the device")]
    Device(#[from] DeviceError),
    #[error("the model could not compute")]
    Compute(#[source] candle_core::Error),
    #[error("could not start threads")]
    Threads(#[source] rayon::ThreadPoolBuildError),
    #[error("could not write the question down")]
    Prompt(#[from] PromptError),
    #[error("the answer cannot have the form that is asked for")]
    Answer(#[from] AnswerError),
    #[error("no token of the model's vocabulary continues the form that is asked for")]
    NoToken,
}

/// What a model needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Mapped from the file; the kernel may drop what is not in use.
    pub weight_bytes: u64,
    /// Keys and values of a full context.
    pub cache_bytes: u64,
    /// Everything else: vocabulary, and the vectors of one pass.
    pub other_bytes: u64,
}

impl Memory {
    pub fn total_bytes(&self) -> u64 {
        self.weight_bytes + self.cache_bytes + self.other_bytes
    }
}

/// What a model needs, from the head of its file.
pub fn estimate(path: &Path, context_tokens_max: usize) -> Result<Memory, LanguageError> {
    let gguf = Gguf::open(path)?;
    let shape = Shape::read(&gguf)?;
    Ok(memory(&gguf, &shape, context_tokens_max))
}

fn memory(gguf: &Gguf, shape: &Shape, context_tokens_max: usize) -> Memory {
    let tokens = gguf.texts("tokenizer.ggml.tokens").map_or(0, |texts| texts.len()) as u64;
    let floats = 4 * (shape.width * 3 + shape.hidden * 4 + shape.query_width() * 3) as u64 * CHUNK_TOKENS as u64;
    Memory {
        weight_bytes: gguf.weight_bytes(),
        cache_bytes: shape.cache_bytes(context_tokens_max.min(shape.context)),
        other_bytes: tokens * 64 + floats,
    }
}

/// A loaded model.
#[derive(Debug)]
pub struct Generator {
    pub(super) engine: Engine,
    vocabulary: Vocabulary,
    template: Template,
    clock: Clock,
    /// Tokens of the longest conversation.
    capacity: usize,
    /// What the engine has read.
    known: Vec<u32>,
    /// Messages that the last question had to leave out.
    dropped: usize,
    memory: Memory,
}

impl Generator {
    pub fn load(config: &Config, clock: Clock) -> Result<Self, LanguageError> {
        let gguf = Arc::new(Gguf::open(&config.path)?);
        Self::of(gguf, config, clock)
    }

    pub(super) fn of(gguf: Arc<Gguf>, config: &Config, clock: Clock) -> Result<Self, LanguageError> {
        let shape = Shape::read(&gguf)?;
        let device = config.device.open()?;
        let mut memory = memory(&gguf, &shape, config.context_tokens_max);
        if !device.is_cpu() {
            // There keys and values have 32 bits.
            memory.cache_bytes *= 2;
        }
        if let Some(allowed_bytes) = config.memory_bytes_max.filter(|allowed| memory.total_bytes() > *allowed) {
            return Err(LanguageError::Memory { needed_bytes: memory.total_bytes(), allowed_bytes });
        }
        let vocabulary = Vocabulary::read(&gguf)?;
        let (bos, eos) = (vocabulary.text(vocabulary.bos), vocabulary.text(vocabulary.eos));
        let template = Template::new(gguf.text("tokenizer.chat_template"), bos, eos)?;
        let capacity = config.context_tokens_max.min(shape.context).max(ANSWER_TOKENS_MIN * 2);
        let plan = Plan { gguf, shape, tokens: vocabulary.len(), capacity };
        let engine = match device.is_cpu() {
            true => Engine::own(plan, config.threads.unwrap_or(0))?,
            false => Engine::candle(plan, &device)?,
        };
        Ok(Self { engine, vocabulary, template, clock, capacity, known: Vec::new(), dropped: 0, memory })
    }

    pub fn shape(&self) -> &Shape {
        self.engine.shape()
    }

    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// Tokens of the longest conversation.
    pub fn context_tokens(&self) -> usize {
        self.capacity
    }

    /// Forgets the last conversation and gives its memory back.
    pub fn forget(&mut self) {
        self.known.clear();
        self.engine.clear();
    }

    /// Answers. `hear` is told every piece and ends the answer with `Break`.
    pub fn generate(
        &mut self,
        request: &Request,
        hear: &mut dyn FnMut(Piece) -> ControlFlow<()>,
    ) -> Result<Completion, LanguageError> {
        let started = Instant::now();
        let wanted = request.max_tokens.map_or(ANSWER_TOKENS, |tokens| tokens as usize);
        let reserve = wanted.clamp(ANSWER_TOKENS_MIN, self.capacity / 2);
        let seed = request.sampling.seed.unwrap_or_else(chance);
        let answer = Answer::new(request, &self.template, chance())?;
        let lead = self.vocabulary.tokens(&Answer::lead(request, &self.template));
        let writer = Writer { template: &self.template, vocabulary: &self.vocabulary, now: self.clock.now() };
        let mut prompt = writer.write(request, self.capacity - reserve - lead.len(), self.dropped)?;
        prompt.tokens.extend(lead);
        self.dropped = prompt.dropped;
        let mut completion = Completion {
            text: String::new(),
            calls: Vec::new(),
            finish_reason: FinishReason::Stop,
            prompt_tokens: prompt.tokens.len(),
            cached_tokens: 0,
            completion_tokens: 0,
            messages_dropped: prompt.dropped,
            prompt_ms: 0,
            answer_ms: 0,
        };
        let Some(logits) = self.read(&prompt.tokens, &mut completion, hear)? else {
            completion.finish_reason = FinishReason::Canceled;
            completion.prompt_ms = started.elapsed().as_millis() as u64;
            return Ok(completion);
        };
        completion.prompt_ms = started.elapsed().as_millis() as u64;
        let answering = Instant::now();
        let sampler = Sampler::new(&request.sampling, seed);
        self.answer(answer, (sampler, logits), request.max_tokens, &mut completion, hear)?;
        completion.answer_ms = answering.elapsed().as_millis() as u64;
        Ok(completion)
    }

    /// Reads what the cache does not know yet; nothing when the listener left.
    fn read(
        &mut self,
        tokens: &[u32],
        completion: &mut Completion,
        hear: &mut dyn FnMut(Piece) -> ControlFlow<()>,
    ) -> Result<Option<Vec<f32>>, LanguageError> {
        let common = self.known.iter().zip(tokens).take_while(|(left, right)| left == right).count();
        // The last one is read anyway: what follows it is asked for.
        let cached = common.min(tokens.len() - 1);
        completion.cached_tokens = cached;
        self.known.truncate(cached);
        let mut logits = Vec::new();
        let total = tokens.len();
        if hear(Piece::Prompt { read: cached, cached, total }).is_break() {
            return Ok(None);
        }
        for chunk in tokens[cached..].chunks(CHUNK_TOKENS) {
            let is_last = self.known.len() + chunk.len() == total;
            self.pass(chunk, is_last.then_some(&mut logits))?;
            if hear(Piece::Prompt { read: self.known.len(), cached, total }).is_break() {
                return Ok(None);
            }
        }
        Ok(Some(logits))
    }

    fn pass(&mut self, tokens: &[u32], logits: Option<&mut Vec<f32>>) -> Result<(), LanguageError> {
        self.engine.pass(tokens, self.known.len(), logits)?;
        self.known.extend_from_slice(tokens);
        Ok(())
    }

    fn answer(
        &mut self,
        mut answer: Answer,
        (mut sampler, mut logits): (Sampler, Vec<f32>),
        tokens_max: Option<u32>,
        completion: &mut Completion,
        hear: &mut dyn FnMut(Piece) -> ControlFlow<()>,
    ) -> Result<(), LanguageError> {
        let room = self.capacity - self.known.len();
        let limit = tokens_max.map_or(room, |tokens| (tokens as usize).min(room));
        completion.finish_reason = loop {
            if completion.completion_tokens >= limit {
                break FinishReason::Length;
            }
            sampler.penalize(&mut logits, &self.known);
            let vocabulary = &self.vocabulary;
            let chosen = sampler.choose(&logits, &mut |token| answer.allows(vocabulary, token));
            let token = chosen.ok_or(LanguageError::NoToken)?;
            completion.completion_tokens += 1;
            if vocabulary.is_end(token) {
                break FinishReason::Stop;
            }
            answer.push(vocabulary, token);
            if tell(&mut answer, completion, hear).is_break() {
                break FinishReason::Canceled;
            }
            if answer.is_over() {
                break FinishReason::Stop;
            }
            self.pass(&[token], Some(&mut logits))?;
        };
        answer.finish();
        if completion.finish_reason != FinishReason::Canceled && tell(&mut answer, completion, hear).is_break() {
            completion.finish_reason = FinishReason::Canceled;
        }
        completion.calls = answer.calls;
        if completion.finish_reason == FinishReason::Stop && !completion.calls.is_empty() {
            completion.finish_reason = FinishReason::ToolCalls;
        }
        Ok(())
    }
}

fn tell(
    answer: &mut Answer,
    completion: &mut Completion,
    hear: &mut dyn FnMut(Piece) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for piece in answer.pieces() {
        if let Piece::Text(text) = &piece {
            completion.text.push_str(text);
        }
        hear(piece)?;
    }
    ControlFlow::Continue(())
}

/// A seed that nobody knows; the same one every time on a machine without any chance.
fn chance() -> u64 {
    getrandom::u64().unwrap_or(0)
}
