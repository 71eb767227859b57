//! What may be said next: the rules that OpenAI's decoder lays over the model's scores, without a model.
//!
//! Times come in pairs, never run backwards, and win over words when together they are likelier than any word; some signs are
//! never said and some words never first. After transformers' `WhisperTimeStampLogitsProcessor`.

use crate::inference::kernel::f32_vector::log_sum_exp;

/// Whether the model says when, or only what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    Said,
    /// `<|notimestamps|>` was part of the prompt.
    Left,
}

/// The rules for one model and one task.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Tokens that are never said.
    pub never: Vec<u32>,
    /// Tokens that are not said first.
    pub not_first: Vec<u32>,
    pub end: u32,
    pub no_times: u32,
    pub first_time: u32,
    /// Latest first time, in steps of 0.02 s; none for no bound.
    pub first_time_max: Option<u32>,
    pub times: Times,
}

impl Rules {
    /// Lays the rules over the scores of what follows `said`, the tokens after the prompt: what is forbidden becomes negative
    /// infinity.
    pub fn apply(&self, said: &[u32], scores: &mut [f32]) {
        if said.is_empty() {
            forbid(scores, &self.not_first);
        }
        forbid(scores, &self.never);
        if self.times == Times::Said {
            forbid(scores, &[self.no_times]);
            self.pair(said, scores);
            self.prefer_times(scores);
        }
    }

    /// Times appear in pairs, except before the end, and do not decrease.
    fn pair(&self, said: &[u32], scores: &mut [f32]) {
        let (first, end) = (self.first_time as usize, self.end as usize);
        let is_time = |token: &u32| *token >= self.first_time;
        let last_is_time = said.last().is_some_and(is_time);
        let one_before_is_time = said.len() < 2 || is_time(&said[said.len() - 2]);
        if last_is_time && one_before_is_time {
            scores[first..].fill(f32::NEG_INFINITY);
        } else if last_is_time {
            scores[..end].fill(f32::NEG_INFINITY);
        }
        if let Some(last) = said.iter().rev().find(|token| is_time(token)) {
            // A phrase may start when the one before ends, but it may not end when it starts.
            let least = *last as usize + usize::from(!last_is_time || one_before_is_time);
            let least = least.min(scores.len());
            scores[first..least].fill(f32::NEG_INFINITY);
        }
        if said.is_empty() {
            scores[..first].fill(f32::NEG_INFINITY);
            if let Some(most) = self.first_time_max {
                let from = (first + most as usize + 1).min(scores.len());
                scores[from..].fill(f32::NEG_INFINITY);
            }
        }
    }

    /// A time is due when all times together are likelier than the likeliest word.
    fn prefer_times(&self, scores: &mut [f32]) {
        let (words, times) = scores.split_at_mut(self.first_time as usize);
        let likeliest = words.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if log_sum_exp(times) > likeliest {
            words.fill(f32::NEG_INFINITY);
        }
    }
}

fn forbid(scores: &mut [f32], tokens: &[u32]) {
    for token in tokens {
        if let Some(score) = scores.get_mut(*token as usize) {
            *score = f32::NEG_INFINITY;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ten words (0 to 9), the end (10), `<|notimestamps|>` (11), times 12 to 31.
    fn rules() -> Rules {
        Rules {
            never: vec![3],
            not_first: vec![5, 10],
            end: 10,
            no_times: 11,
            first_time: 12,
            first_time_max: Some(4),
            times: Times::Said,
        }
    }

    fn allowed(rules: &Rules, said: &[u32]) -> Vec<u32> {
        let mut scores = vec![0.0; 32];
        // No word may lose against all times together.
        scores[12..].fill(-9.0);
        rules.apply(said, &mut scores);
        (0..32).filter(|token| scores[*token as usize] > f32::NEG_INFINITY).collect()
    }

    #[test]
    fn a_text_begins_with_an_early_time() {
        assert_eq!(allowed(&rules(), &[]), [12, 13, 14, 15, 16]);
    }

    #[test]
    fn after_the_first_time_come_words_and_after_a_word_later_times_too() {
        assert_eq!(allowed(&rules(), &[14]), [0, 1, 2, 4, 5, 6, 7, 8, 9, 10]);
        let after_word: Vec<u32> = [0, 1, 2, 4, 5, 6, 7, 8, 9, 10].into_iter().chain(15..32).collect();
        assert_eq!(allowed(&rules(), &[14, 0]), after_word);
    }

    #[test]
    fn after_a_phrase_comes_its_end_again_or_a_later_start_or_the_end() {
        assert_eq!(allowed(&rules(), &[12, 0, 20]), [10].into_iter().chain(20..32).collect::<Vec<_>>());
        assert_eq!(allowed(&rules(), &[12, 0, 20, 22]), [0, 1, 2, 4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn times_that_are_likelier_together_than_any_word_win() {
        let mut scores = vec![0.0; 32];
        scores[12..].fill(-1.0);
        rules().apply(&[12, 0], &mut scores);
        assert!(scores[..12].iter().all(|score| *score == f32::NEG_INFINITY));
        assert_eq!(scores[13], -1.0);
    }

    #[test]
    fn without_times_only_the_lists_count() {
        let rules = Rules { times: Times::Left, ..rules() };
        assert_eq!(allowed(&rules, &[]), [0, 1, 2, 4].into_iter().chain(6..10).chain(11..32).collect::<Vec<_>>());
        assert_eq!(allowed(&rules, &[0]), [0, 1, 2].into_iter().chain(4..32).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn whatever_is_chosen_times_pair_up_and_never_run_backwards(scores in proptest::collection::vec(-5.0_f32..5.0, 32 * 12)) {
            let mut said: Vec<u32> = Vec::new();
            for row in scores.chunks_exact(32) {
                let mut row = row.to_vec();
                rules().apply(&said, &mut row);
                let best = (0..32).max_by(|a, b| row[*a].total_cmp(&row[*b])).expect("a token");
                if row[best] == f32::NEG_INFINITY || best == 10 {
                    break;
                }
                said.push(best as u32);
            }
            let times: Vec<u32> = said.iter().copied().filter(|token| *token >= 12).collect();
            prop_assert!(times.is_sorted());
            prop_assert!(said.first().is_none_or(|first| (12..=16).contains(first)));
            prop_assert!(said.windows(3).all(|three| three.iter().any(|token| *token < 12)), "{said:?}");
            prop_assert!(!said.contains(&3) && !said.contains(&11));
        }
    }
}
