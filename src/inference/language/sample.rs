//! Which token comes next: likelihoods, bent and cut as asked, and a die with a seed.

use crate::inference::language::wire::Sampling;

/// Candidates that are looked at beyond the likeliest when nothing cuts them; what comes after is never drawn in practice.
const CANDIDATES_MAX: usize = 4_096;

/// A die: SplitMix64 (Steele et al., 2014). Not for secrets.
#[derive(Clone, Debug)]
pub struct Die(u64);

impl Die {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1, without 1.
    fn fraction(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u64 << 24) as f32
    }
}

/// Chooses one token after another.
#[derive(Debug)]
pub struct Sampler {
    sampling: Sampling,
    die: Die,
    candidates: Vec<(f32, u32)>,
}

impl Sampler {
    pub fn new(sampling: &Sampling, seed: u64) -> Self {
        Self { sampling: sampling.clone(), die: Die::new(seed), candidates: Vec::new() }
    }

    /// Makes what was said lately less likely.
    pub fn penalize(&self, logits: &mut [f32], said: &[u32]) {
        let penalty = self.sampling.repetition_penalty;
        if penalty == 1.0 || !penalty.is_finite() || penalty <= 0.0 {
            return;
        }
        let window = said.len().saturating_sub(self.sampling.repetition_window as usize);
        let mut recent = said[window..].to_vec();
        recent.sort_unstable();
        recent.dedup();
        for token in recent {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
    }

    /// A token that `allows` lets pass; nothing when it lets none pass.
    pub fn choose(&mut self, logits: &[f32], allows: &mut dyn FnMut(u32) -> bool) -> Option<u32> {
        let temperature = self.sampling.temperature;
        let is_greedy = !temperature.is_finite() || temperature <= 0.0 || self.sampling.top_k == 1;
        // The likeliest few are enough nearly always; all are ordered only when a constraint refuses those.
        for count in [if is_greedy { 1 } else { self.wanted() }, 256, usize::MAX] {
            self.take(logits, count);
            self.candidates.retain(|(_, token)| allows(*token));
            if !self.candidates.is_empty() {
                break;
            }
        }
        if is_greedy || self.candidates.len() <= 1 {
            return self.candidates.first().map(|(_, token)| *token);
        }
        self.cut(temperature);
        self.draw()
    }

    fn wanted(&self) -> usize {
        match self.sampling.top_k {
            0 => CANDIDATES_MAX,
            count => count as usize,
        }
    }

    /// The `count` likeliest, in order. What is not a number is not likely.
    fn take(&mut self, logits: &[f32], count: usize) {
        self.candidates.clear();
        if count == 1 {
            let mut best: Option<(f32, u32)> = None;
            for (token, logit) in logits.iter().enumerate() {
                if best.is_none_or(|(most, _)| *logit > most) && !logit.is_nan() {
                    best = Some((*logit, token as u32));
                }
            }
            self.candidates.extend(best);
            return;
        }
        let all = logits.iter().enumerate().filter(|(_, logit)| !logit.is_nan());
        self.candidates.extend(all.map(|(token, logit)| (*logit, token as u32)));
        let order = |left: &(f32, u32), right: &(f32, u32)| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1));
        if count < self.candidates.len() {
            self.candidates.select_nth_unstable_by(count, order);
            self.candidates.truncate(count);
        }
        self.candidates.sort_unstable_by(order);
    }

    /// Likelihoods instead of logits, cut at `min_p` and `top_p`.
    fn cut(&mut self, temperature: f32) {
        let most = self.candidates[0].0;
        for (logit, _) in &mut self.candidates {
            let weight = ((*logit - most) / temperature).exp();
            *logit = if weight.is_finite() { weight } else { 0.0 };
        }
        self.candidates[0].0 = 1.0;
        if self.sampling.min_p > 0.0 {
            let least = self.sampling.min_p.min(1.0);
            self.candidates.retain(|(weight, _)| *weight >= least);
        }
        if self.sampling.top_p < 1.0 {
            let total: f32 = self.candidates.iter().map(|(weight, _)| weight).sum();
            let mut sum = 0.0;
            let enough = self.candidates.iter().position(|(weight, _)| {
                sum += weight;
                sum >= self.sampling.top_p.max(0.0) * total
            });
            self.candidates.truncate(enough.map_or(usize::MAX, |last| last + 1));
        }
    }

    fn draw(&mut self) -> Option<u32> {
        let total: f32 = self.candidates.iter().map(|(weight, _)| weight).sum();
        let mut left = self.die.fraction() * total;
        for (weight, token) in &self.candidates {
            if left < *weight {
                return Some(*token);
            }
            left -= weight;
        }
        self.candidates.first().map(|(_, token)| *token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};

    fn sampling(change: impl FnOnce(&mut Sampling)) -> Sampling {
        let mut sampling = Sampling { top_k: 0, top_p: 1.0, temperature: 1.0, ..Sampling::default() };
        change(&mut sampling);
        sampling
    }

    fn chosen(sampling: &Sampling, logits: &[f32]) -> Vec<u32> {
        let mut sampler = Sampler::new(sampling, 7);
        let mut tokens: Vec<u32> = (0..400).filter_map(|_| sampler.choose(logits, &mut |_| true)).collect();
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    }

    #[test]
    fn every_cut_leaves_the_likely_ones() {
        let logits = [0.0, 3.0, 2.9, -1.0, f32::NAN, 2.0];
        assert_eq!(chosen(&Sampling::greedy(), &logits), [1]);
        assert_eq!(chosen(&sampling(|wanted| wanted.top_k = 2), &logits), [1, 2]);
        assert_eq!(chosen(&sampling(|wanted| wanted.top_p = 0.5), &logits), [1, 2]);
        assert_eq!(chosen(&sampling(|wanted| wanted.min_p = 0.3), &logits), [1, 2, 5]);
        assert_eq!(chosen(&sampling(|_| ()), &logits), [0, 1, 2, 3, 5]);
    }

    #[test]
    fn a_seed_gives_the_same_answer_twice() {
        let logits: Vec<f32> = (0..50).map(|token| (token % 7) as f32).collect();
        let run = |seed| {
            let mut sampler = Sampler::new(&sampling(|_| ()), seed);
            (0..20).filter_map(|_| sampler.choose(&logits, &mut |_| true)).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn what_was_said_becomes_less_likely() {
        let sampler = Sampler::new(&sampling(|wanted| wanted.repetition_penalty = 2.0), 0);
        let mut logits = [1.0, 1.0, -1.0, -1.0];
        sampler.penalize(&mut logits, &[0, 2, 0, 99]);
        assert_eq!(logits, [0.5, 1.0, -2.0, -1.0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn whatever_the_logits_a_chosen_token_is_allowed(
            logits in proptest::collection::vec(any::<f32>(), 0..600),
            temperature in any::<f32>(), top_p in any::<f32>(), min_p in any::<f32>(), top_k in 0_u32..700, odd in any::<bool>(),
        ) {
            let sampling = Sampling { temperature, top_p, min_p, top_k, ..Sampling::default() };
            let chosen = Sampler::new(&sampling, 3).choose(&logits, &mut |token| (token % 2 == 1) == odd);
            if let Some(token) = chosen {
                prop_assert!((token % 2 == 1) == odd && (token as usize) < logits.len());
            }
            let exists = logits.iter().enumerate().any(|(token, logit)| (token % 2 == 1) == odd && !logit.is_nan());
            prop_assert!(chosen.is_some() == exists);
        }
    }
}
