//! Beam search over token scores, without a model: several texts side by side, the best few of their continuations survive.
//!
//! As OpenAI's `BeamSearchDecoder` with a patience of one and no length penalty but the length.

/// A text that has come to its end, or was cut.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Finished {
    pub tokens: Vec<u32>,
    /// Logarithm of each one's probability.
    pub logprobs: Vec<f32>,
    /// Logarithm of the whole text's probability.
    pub logprob: f32,
}

/// How the texts go on.
#[derive(Debug, PartialEq)]
pub enum Advance {
    /// Lane `i` continues what was lane `i.0` with token `i.1`.
    Say(Vec<(usize, u32)>),
    Done,
}

/// The texts that are followed.
#[derive(Debug)]
pub struct Beams {
    width: usize,
    end: u32,
    lanes: Vec<Finished>,
    finished: Vec<Finished>,
}

impl Beams {
    /// Starts with one lane, an empty text.
    pub fn new(width: usize, end: u32) -> Self {
        Self { width, end, lanes: vec![Finished::default()], finished: Vec::new() }
    }

    pub fn texts(&self) -> impl Iterator<Item = &[u32]> {
        self.lanes.iter().map(|lane| lane.tokens.as_slice())
    }

    /// The likeliest text as it stands.
    pub fn leader(&self) -> &[u32] {
        self.lanes.first().map_or(&[], |lane| &lane.tokens)
    }

    /// `logprobs` has a row per lane: the logarithms of the probabilities of what comes next.
    pub fn advance(&mut self, logprobs: &[f32]) -> Advance {
        let size = logprobs.len() / self.lanes.len();
        let mut candidates: Vec<(f32, usize, u32)> = Vec::new();
        for (lane, row) in logprobs.chunks_exact(size).enumerate() {
            let before = self.lanes[lane].logprob;
            candidates
                .extend(best(row, self.width + 1).into_iter().map(|(value, token)| (before + value, lane, token)));
        }
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (mut lanes, mut steps) = (Vec::with_capacity(self.width), Vec::with_capacity(self.width));
        for (logprob, lane, token) in candidates {
            let before = &self.lanes[lane];
            let (mut tokens, mut logprobs) = (before.tokens.clone(), before.logprobs.clone());
            if token == self.end {
                if self.finished.len() < self.width {
                    self.finished.push(Finished { tokens, logprobs, logprob });
                }
                continue;
            }
            tokens.push(token);
            logprobs.push(logprob - before.logprob);
            lanes.push(Finished { tokens, logprobs, logprob });
            steps.push((lane, token));
            if steps.len() == self.width {
                break;
            }
        }
        if self.finished.len() >= self.width || steps.is_empty() {
            return Advance::Done;
        }
        self.lanes = lanes;
        Advance::Say(steps)
    }

    /// The best text by mean logarithm per token. Texts that were cut count only when too few have ended.
    pub fn best(mut self) -> Finished {
        for lane in self.lanes {
            if self.finished.len() >= self.width {
                break;
            }
            self.finished.push(lane);
        }
        let mean = |text: &Finished| text.logprob / text.tokens.len().max(1) as f32;
        let best = self.finished.into_iter().max_by(|a, b| mean(a).total_cmp(&mean(b)));
        best.expect("invariant: there is always a lane")
    }
}

/// The `count` largest values and their places, largest first. Impossible ones are left out.
fn best(row: &[f32], count: usize) -> Vec<(f32, u32)> {
    let mut best: Vec<(f32, u32)> = Vec::with_capacity(count + 1);
    let mut least = f32::NEG_INFINITY;
    for (place, value) in row.iter().enumerate() {
        if *value <= least {
            continue;
        }
        let at = best.partition_point(|(other, _)| other >= value);
        best.insert(at, (*value, place as u32));
        best.truncate(count);
        if best.len() == count {
            least = best[count - 1].0;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const END: u32 = 3;

    fn logs(rows: &[[f32; 4]]) -> Vec<f32> {
        rows.iter().flatten().map(|share| share.ln()).collect()
    }

    #[test]
    fn a_text_that_begins_worse_may_end_better() {
        // Greedy takes 0 and then has only bad choices; 1 goes on well.
        let mut beams = Beams::new(2, END);
        assert_eq!(beams.advance(&logs(&[[0.6, 0.4, 0.0, 0.0]])), Advance::Say(vec![(0, 0), (0, 1)]));
        let rows = [[0.25, 0.25, 0.25, 0.25], [0.0, 0.0, 0.9, 0.1]];
        assert_eq!(beams.advance(&logs(&rows)), Advance::Say(vec![(1, 2), (0, 0)]));
        assert_eq!(beams.texts().collect::<Vec<_>>(), [&[1, 2][..], &[0, 0]]);
        assert_eq!(beams.leader(), [1, 2]);
        let rows = [[0.0, 0.0, 0.1, 0.9], [0.0, 0.0, 0.1, 0.9]];
        assert_eq!(beams.advance(&logs(&rows)), Advance::Done);
        assert_eq!(beams.best().tokens, [1, 2]);
    }

    #[test]
    fn a_text_without_continuation_is_done() {
        let mut beams = Beams::new(3, END);
        assert_eq!(beams.advance(&[f32::NEG_INFINITY; 4]), Advance::Done);
        assert_eq!(beams.best(), Finished::default());
    }

    proptest! {
        #[test]
        fn the_best_few_are_those_of_a_sorted_row(row in proptest::collection::vec(-9.0_f32..0.0, 1..60), count in 1_usize..9) {
            let mut sorted = row.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            sorted.truncate(count);
            prop_assert_eq!(best(&row, count).into_iter().map(|(value, _)| value).collect::<Vec<_>>(), sorted);
        }

        #[test]
        fn one_beam_is_greedy(rows in proptest::collection::vec(proptest::collection::vec(-9.0_f32..0.0, 4), 1..10)) {
            let mut beams = Beams::new(1, END);
            let mut greedy = Vec::new();
            for row in &rows {
                let token = (0..4).max_by(|a, b| row[*a].total_cmp(&row[*b])).expect("a token") as u32;
                let advance = beams.advance(row);
                if token == END {
                    prop_assert_eq!(advance, Advance::Done);
                    break;
                }
                greedy.push(token);
            }
            prop_assert_eq!(beams.best().tokens, greedy);
        }
    }
}
