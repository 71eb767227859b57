//! When each word was said: where the model listened while it said it, straightened by dynamic time warping.
//!
//! After OpenAI's `timing.py`: the shares of the heads that follow time are normalized over the tokens, smoothed, averaged, and the
//! cheapest way through them gives every token its moment.

use crate::inference::transcript::{Segment, Word};
use crate::inference::whisper::Parts;
use crate::inference::whisper::engine::Engine;
use crate::inference::whisper::error::WhisperError;
use crate::inference::whisper::tokenizer::{TIME_STEP_S, Vocabulary};

/// Width of the median that smooths shares over time.
const MEDIAN: usize = 7;
/// Signs that belong to the word after them, and those that belong to the word before.
const OPENING: &str = "\"'“¿([{-";
const CLOSING: &str = "\"'.。,，!！?？:：”)]}、";
/// Languages that put no spaces between words: every character stands for itself.
const WITHOUT_SPACES: [&str; 7] = ["zh", "ja", "th", "lo", "my", "km", "yue"];

/// A segment's tokens with the logarithm of each one's probability.
pub type Chances = Vec<Vec<f32>>;

/// Gives the words of a window's segments their times. `prompt` is start, language and task; the window has `used` positions with
/// sound and begins at `at_s`.
pub fn word_times<E: Engine>(
    engine: &E,
    heard: &E::Heard,
    (parts, language, prompt): (&Parts, &str, &[u32]),
    (used, at_s): (usize, f64),
    (segments, chances): (&mut [Segment], &Chances),
) -> Result<(), WhisperError> {
    let vocabulary = &parts.vocabulary;
    let is_word = |token: &u32| *token < vocabulary.end;
    let words: Vec<u32> = segments.iter().flat_map(|segment| &segment.tokens).copied().filter(is_word).collect();
    let mut tokens: Vec<u32> = prompt.iter().copied().filter(|token| *token != vocabulary.no_times).collect();
    let first = tokens.len();
    tokens.push(vocabulary.no_times);
    tokens.extend(&words);
    tokens.push(vocabulary.end);
    if words.is_empty() || used == 0 || tokens.len() > engine.positions() {
        return Ok(());
    }
    let shares = engine.attend(heard, &tokens, &parts.alignment)?;
    let shape = [tokens.len(), parts.alignment.len(), shares.len() / (tokens.len() * parts.alignment.len())];
    let matrix = smooth(&shares, shape, used);
    // The row of a token is the one in which it is about to be said; that of the end tells when the last word ends.
    let starts = warp(&matrix[first * used..(tokens.len() - 1) * used], used);
    let mut at = 0;
    for (segment, chances) in segments.iter_mut().zip(chances) {
        let spoken: Vec<(u32, f32)> =
            segment.tokens.iter().copied().zip(chances.iter().copied()).filter(|(token, _)| is_word(token)).collect();
        let times = &starts[at..=at + spoken.len()];
        at += spoken.len();
        let has_spaces = !WITHOUT_SPACES.contains(&language);
        segment.words =
            Some(place(split(&spoken, vocabulary, has_spaces), times, (at_s, segment.start_s, segment.end_s)));
    }
    Ok(())
}

/// A word, and how many tokens it has.
#[derive(Debug, Clone, PartialEq)]
struct Piece {
    text: String,
    tokens: usize,
    /// Sum of the probabilities of its tokens.
    chance: f32,
}

/// Words get the times of their first token and of the token after their last, within the segment.
fn place(pieces: Vec<Piece>, times: &[usize], (at_s, from_s, to_s): (f64, f64, f64)) -> Vec<Word> {
    let mut words = Vec::with_capacity(pieces.len());
    let (mut at, mut before_s) = (0, from_s);
    for piece in pieces {
        let second = |step: usize| (at_s + step as f64 * TIME_STEP_S).min(to_s.max(from_s));
        let start_s = second(times[at]).max(before_s);
        let end_s = second(times[at + piece.tokens]).max(start_s);
        words.push(Word { start_s, end_s, text: piece.text, probability: piece.chance / piece.tokens as f32 });
        at += piece.tokens;
        before_s = start_s;
    }
    words
}

/// Tokens to words: whole characters first, then at spaces, then signs to the words they belong to.
fn split(spoken: &[(u32, f32)], vocabulary: &Vocabulary, has_spaces: bool) -> Vec<Piece> {
    let mut characters: Vec<Piece> = Vec::new();
    let mut open: Vec<u32> = Vec::new();
    let mut chance = 0.0;
    for (index, (token, logprob)) in spoken.iter().enumerate() {
        open.push(*token);
        chance += logprob.exp();
        let text = vocabulary.text(&open);
        if !text.contains('\u{FFFD}') || index + 1 == spoken.len() {
            characters.push(Piece { text, tokens: open.len(), chance });
            open.clear();
            chance = 0.0;
        }
    }
    join(characters, has_spaces)
}

fn join(characters: Vec<Piece>, has_spaces: bool) -> Vec<Piece> {
    let mut words: Vec<Piece> = Vec::new();
    for piece in characters {
        let sign = piece.text.trim();
        let is_closing =
            !sign.is_empty() && sign.chars().all(|sign| CLOSING.contains(sign)) && !piece.text.starts_with(' ');
        let continues = has_spaces && !piece.text.starts_with(' ');
        match words.last_mut() {
            Some(word) if is_closing || continues || is_opening(&word.text) => append(word, piece),
            _ => words.push(piece),
        }
    }
    words
}

fn is_opening(text: &str) -> bool {
    let sign = text.trim();
    text.starts_with(' ') && !sign.is_empty() && sign.chars().all(|sign| OPENING.contains(sign))
}

fn append(word: &mut Piece, piece: Piece) {
    word.text.push_str(&piece.text);
    word.tokens += piece.tokens;
    word.chance += piece.chance;
}

/// Shares `[tokens, heads, positions]` to one matrix `[tokens, used]`: normalized over the tokens, smoothed, averaged over heads.
fn smooth(shares: &[f32], [tokens, heads, positions]: [usize; 3], used: usize) -> Vec<f32> {
    let mut matrix = vec![0.0; tokens * used];
    let mut plane = vec![0.0; tokens * used];
    for head in 0..heads {
        for token in 0..tokens {
            let row = &shares[(token * heads + head) * positions..][..used];
            let sum: f32 = row.iter().sum::<f32>().max(f32::MIN_POSITIVE);
            plane[token * used..][..used].iter_mut().zip(row).for_each(|(to, share)| *to = share / sum);
        }
        normalize(&mut plane, used);
        for (row, sums) in plane.chunks_exact(used).zip(matrix.chunks_exact_mut(used)) {
            for (position, sum) in sums.iter_mut().enumerate() {
                *sum += median(row, position) / heads as f32;
            }
        }
    }
    matrix
}

/// Each column to mean 0 and deviation 1.
fn normalize(plane: &mut [f32], used: usize) {
    let rows = (plane.len() / used) as f32;
    for column in 0..used {
        let values = || plane[column..].iter().step_by(used);
        let mean = values().sum::<f32>() / rows;
        let deviation = (values().map(|value| (value - mean).powi(2)).sum::<f32>() / rows).sqrt().max(1e-10);
        plane[column..].iter_mut().step_by(used).for_each(|value| *value = (*value - mean) / deviation);
    }
}

/// The median of a place and its neighbors; at the edges the row is reflected.
fn median(row: &[f32], position: usize) -> f32 {
    let half = MEDIAN / 2;
    if row.len() <= half {
        return row[position];
    }
    let mut window: [f32; MEDIAN] = std::array::from_fn(|offset| {
        let at = (position + offset).abs_diff(half);
        row[if at >= row.len() { 2 * (row.len() - 1) - at } else { at }]
    });
    window.sort_unstable_by(f32::total_cmp);
    window[half]
}

/// The way through a matrix (`width` positions per token) on which most was listened to: for every token the position where the
/// way enters its row.
fn warp(matrix: &[f32], width: usize) -> Vec<usize> {
    let rows = matrix.len() / width;
    // One row and column more, for the beginning. 0: both went on, 1: the next token, 2: the next position.
    let mut cost = vec![f32::INFINITY; (rows + 1) * (width + 1)];
    let mut from = vec![2_u8; (rows + 1) * (width + 1)];
    let at = |row: usize, column: usize| row * (width + 1) + column;
    cost[0] = 0.0;
    for row in 1..=rows {
        for column in 1..=width {
            let ways = [cost[at(row - 1, column - 1)], cost[at(row - 1, column)], cost[at(row, column - 1)]];
            let best = if ways[0] < ways[1] && ways[0] < ways[2] {
                0
            } else if ways[1] < ways[0] && ways[1] < ways[2] {
                1
            } else {
                2
            };
            cost[at(row, column)] = ways[best] - matrix[(row - 1) * width + column - 1];
            from[at(row, column)] = best as u8;
        }
    }
    from[..=width].fill(2);
    (1..=rows).for_each(|row| from[at(row, 0)] = 1);
    let mut starts = vec![0; rows];
    let (mut row, mut column) = (rows, width);
    while row > 0 {
        starts[row - 1] = column.saturating_sub(1);
        match from[at(row, column)] {
            0 => (row, column) = (row - 1, column.saturating_sub(1)),
            1 => row -= 1,
            _ if column == 0 => row -= 1,
            _ => column -= 1,
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_way_follows_where_was_listened() {
        let mut matrix = vec![-1.0; 3 * 9];
        for (row, positions) in [(0, 0..2), (1, 2..6), (2, 6..9)] {
            positions.for_each(|position| matrix[row * 9 + position] = 1.0);
        }
        assert_eq!(warp(&matrix, 9), [0, 2, 6]);
    }

    #[test]
    fn signs_stay_with_their_words() {
        let piece = |text: &str| Piece { text: text.into(), tokens: 1, chance: 0.5 };
        let texts = |pieces: &[&str], has_spaces| {
            join(pieces.iter().map(|text| piece(text)).collect(), has_spaces)
                .into_iter()
                .map(|piece| (piece.text, piece.tokens))
                .collect::<Vec<_>>()
        };
        let words = texts(&[" Tur", "n", " on", ",", " \"", "please", ".", "\""], true);
        let expected = [(" Turn", 2), (" on,", 2), (" \"please.\"", 4)].map(|(text, count)| (text.to_owned(), count));
        assert_eq!(words, expected);
        assert_eq!(texts(&["開", "け", "て", "。"], false).len(), 3);
    }

    proptest! {
        #[test]
        fn starts_never_run_backwards(values in proptest::collection::vec(-3.0_f32..3.0, 1..120), width in 1_usize..12) {
            let rows = values.len() / width;
            prop_assume!(rows > 0);
            let starts = warp(&values[..rows * width], width);
            prop_assert_eq!(starts.len(), rows);
            prop_assert!(starts.is_sorted() && starts.iter().all(|start| *start < width));
        }

        #[test]
        fn smoothing_gives_numbers(shares in proptest::collection::vec(0.0_f32..1.0, 2 * 3 * 10), used in 1_usize..10) {
            let matrix = smooth(&shares, [3, 2, 10], used);
            prop_assert!(matrix.len() == 3 * used && matrix.iter().all(|value| value.is_finite()));
        }
    }
}
