//! One window is put into words: greedy, drawn by chance, or by beams, under the rules, until the end or until it is stuck.

use std::ops::ControlFlow;

use crate::inference::kernel::f32_vector::{log_sum_exp, softmax};
use crate::inference::whisper::beam::{Advance, Beams};
use crate::inference::whisper::engine::{Engine, Step};
use crate::inference::whisper::error::WhisperError;
use crate::inference::whisper::judge::is_stuck;
use crate::inference::whisper::rules::Rules;

/// Tokens between two looks at the caller.
const TOKENS_PER_LOOK: usize = 8;

/// How to say it.
#[derive(Debug, Clone)]
pub struct Way<'a> {
    pub rules: &'a Rules,
    pub prompt: &'a [u32],
    /// Index of `<|startoftranscript|>` in the prompt and the token of silence.
    pub silence: (usize, u32),
    pub temperature: f32,
    pub beams: usize,
    pub tokens_max: usize,
    /// Off: a text goes on until `tokens_max`.
    pub may_end: bool,
    pub seed: u64,
}

/// What was said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    /// Words and times, without prompt and end.
    pub tokens: Vec<u32>,
    /// Logarithm of each one's probability.
    pub logprobs: Vec<f32>,
    /// Mean over the tokens and the end.
    pub avg_logprob: f32,
    pub no_speech_prob: f32,
    pub is_stuck: bool,
}

/// Told now and then what was said so far; stops when it says so.
pub type Watch<'a> = &'a mut dyn FnMut(&[u32]) -> ControlFlow<()>;

/// Puts a window into words.
pub fn say<E: Engine>(engine: &E, heard: &E::Heard, way: &Way<'_>, watch: Watch<'_>) -> Result<Said, WhisperError> {
    let mut tape = engine.tape();
    let steps: Vec<Step> = way.prompt.iter().map(|token| Step { lane: 0, token: *token }).collect();
    let mut scores = engine.say(heard, &mut tape, &steps, &[way.silence.0, steps.len() - 1])?;
    let mut last = scores.split_off(engine.vocabulary());
    softmax(&mut scores, 1.0);
    let no_speech_prob = scores.get(way.silence.1 as usize).copied().unwrap_or(0.0);
    let said = if way.beams > 1 && way.temperature == 0.0 {
        follow(engine, heard, &mut tape, last, (way, watch))?
    } else {
        one_by_one(engine, heard, &mut tape, &mut last, (way, watch))?
    };
    Ok(Said { no_speech_prob, ..said })
}

/// One text: the likeliest token each time, or one drawn by chance.
fn one_by_one<E: Engine>(
    engine: &E,
    heard: &E::Heard,
    tape: &mut E::Tape,
    scores: &mut Vec<f32>,
    (way, watch): (&Way<'_>, Watch<'_>),
) -> Result<Said, WhisperError> {
    let mut dice = Dice(way.seed ^ u64::from(way.temperature.to_bits()));
    let mut said = Said::default();
    let (mut sum, mut count) = (0.0, 0);
    while said.tokens.len() < way.tokens_max {
        lay_rules(way, &said.tokens, scores);
        let token = if way.temperature == 0.0 { likeliest(scores) } else { draw(scores, way.temperature, &mut dice) };
        let logprob = scores[token as usize] - log_sum_exp(scores);
        sum += if logprob.is_nan() { f32::NEG_INFINITY } else { logprob };
        count += 1;
        if token == way.rules.end {
            break;
        }
        said.tokens.push(token);
        said.logprobs.push(logprob);
        if way.may_end && is_stuck_in(&said.tokens, way.rules) {
            said.is_stuck = true;
            break;
        }
        if said.tokens.len() % TOKENS_PER_LOOK == 0 && watch(&said.tokens).is_break() {
            return Err(WhisperError::Cancelled);
        }
        if said.tokens.len() < way.tokens_max {
            *scores = engine.say(heard, tape, &[Step { lane: 0, token }], &[0])?;
        }
    }
    said.avg_logprob = sum / count.max(1) as f32;
    Ok(said)
}

/// Several texts, of which the best is taken.
fn follow<E: Engine>(
    engine: &E,
    heard: &E::Heard,
    tape: &mut E::Tape,
    mut scores: Vec<f32>,
    (way, watch): (&Way<'_>, Watch<'_>),
) -> Result<Said, WhisperError> {
    let mut beams = Beams::new(way.beams, way.rules.end);
    for count in 1..=way.tokens_max {
        for (row, text) in scores.chunks_exact_mut(engine.vocabulary()).zip(beams.texts()) {
            lay_rules(way, text, row);
            let total = log_sum_exp(row);
            row.iter_mut().for_each(|score| *score -= total);
        }
        let Advance::Say(next) = beams.advance(&scores) else { break };
        if count % TOKENS_PER_LOOK == 0 && watch(beams.leader()).is_break() {
            return Err(WhisperError::Cancelled);
        }
        if count == way.tokens_max || is_stuck_in(beams.leader(), way.rules) {
            break;
        }
        let from: Vec<usize> = next.iter().map(|(lane, _)| *lane).collect();
        engine.keep(tape, &from)?;
        let steps: Vec<Step> = next.iter().enumerate().map(|(lane, (_, token))| Step { lane, token: *token }).collect();
        let wanted: Vec<usize> = (0..steps.len()).collect();
        scores = engine.say(heard, tape, &steps, &wanted)?;
    }
    let best = beams.best();
    let avg_logprob = best.logprob / (best.tokens.len() + 1) as f32;
    let is_stuck = is_stuck_in(&best.tokens, way.rules);
    Ok(Said { tokens: best.tokens, logprobs: best.logprobs, avg_logprob, no_speech_prob: 0.0, is_stuck })
}

fn lay_rules(way: &Way<'_>, said: &[u32], scores: &mut [f32]) {
    way.rules.apply(said, scores);
    if !way.may_end {
        scores[way.rules.end as usize] = f32::NEG_INFINITY;
    }
}

fn is_stuck_in(tokens: &[u32], rules: &Rules) -> bool {
    let words: Vec<u32> = tokens.iter().copied().filter(|token| *token < rules.first_time).collect();
    is_stuck(&words)
}

/// The place of the largest score, the first of equals.
pub fn likeliest(scores: &[f32]) -> u32 {
    let mut best = (f32::NEG_INFINITY, 0);
    for (place, score) in scores.iter().enumerate() {
        if *score > best.0 {
            best = (*score, place);
        }
    }
    best.1 as u32
}

/// A place by chance, each as likely as its score says at this temperature.
fn draw(scores: &[f32], temperature: f32, dice: &mut Dice) -> u32 {
    let mut shares = scores.to_vec();
    softmax(&mut shares, 1.0 / temperature);
    let mut rest = dice.roll();
    for (place, share) in shares.iter().enumerate() {
        rest -= share;
        if rest < 0.0 && *share > 0.0 {
            return place as u32;
        }
    }
    likeliest(scores)
}

/// Random numbers that are the same for the same seed (SplitMix64, Steele et al. 2014).
struct Dice(u64);

impl Dice {
    /// From 0 up to 1.
    fn roll(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 40) as f32 / (1_u64 << 24) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing_follows_the_scores_and_the_seed() {
        let scores = [0.5_f32.ln(), 0.3_f32.ln(), 0.2_f32.ln(), f32::NEG_INFINITY];
        let mut dice = Dice(1);
        let mut counts = [0; 4];
        for _ in 0..4000 {
            counts[draw(&scores, 1.0, &mut dice) as usize] += 1;
        }
        assert!((1850..2150).contains(&counts[0]) && (650..950).contains(&counts[2]) && counts[3] == 0, "{counts:?}");
        let again = |seed| {
            let mut dice = Dice(seed);
            (0..20).map(|_| draw(&scores, 1.0, &mut dice)).collect::<Vec<_>>()
        };
        assert_eq!(again(7), again(7));
        assert_ne!(again(7), again(8));
    }

    #[test]
    fn scores_that_are_no_numbers_do_not_stop_the_choice() {
        assert_eq!(likeliest(&[f32::NAN, 1.0, 2.0]), 2);
        assert_eq!(likeliest(&[f32::NAN; 3]), 0);
        assert!(draw(&[f32::NAN; 3], 1.0, &mut Dice(1)) < 3);
    }
}
