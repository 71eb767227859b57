//! From rows of tokens to one vector of a text: pooling, length one, the mean of windows. Pure.

/// How the vectors of tokens become one (the names of sentence-transformers' `1_Pooling/config.json`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean over real tokens.
    Mean,
    /// The first token's.
    Cls,
}

/// Pools the first `tokens` rows of `states`, which are `dims` wide each. The result is not of length one yet.
pub(super) fn pooled(pooling: Pooling, states: &[f32], tokens: usize, dims: usize) -> Vec<f32> {
    let mut sum = states[..dims].to_vec();
    if pooling == Pooling::Cls {
        return sum;
    }
    for row in states[dims..tokens * dims].chunks_exact(dims) {
        sum.iter_mut().zip(row).for_each(|(total, value)| *total += value);
    }
    let share = 1.0 / tokens as f32;
    sum.iter_mut().for_each(|total| *total *= share);
    sum
}

/// Makes `vector` one long. False, and untouched, when it has no direction (zero, or not numbers).
pub(super) fn normalize(vector: &mut [f32]) -> bool {
    let squares: f64 = vector.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
    let length = squares.sqrt();
    if !length.is_finite() || length < f64::from(f32::MIN_POSITIVE) {
        return false;
    }
    vector.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    true
}

/// Sums up the windows of one text, each by its weight; one window alone stays what it is.
#[derive(Default)]
pub(super) struct Blend(Vec<f32>);

impl Blend {
    /// Adds the vector of a window with `tokens` tokens. False when the window's vector has no direction.
    pub(super) fn add(&mut self, mut window: Vec<f32>, tokens: usize) -> bool {
        if !normalize(&mut window) {
            return false;
        }
        let weight = tokens as f32;
        window.iter_mut().for_each(|value| *value *= weight);
        if self.0.is_empty() {
            self.0 = window;
        } else {
            self.0.iter_mut().zip(window).for_each(|(total, value)| *total += value);
        }
        true
    }

    /// The unit vector of the whole text; `None` when the windows cancel each other out or none was added.
    pub(super) fn finish(mut self) -> Option<Vec<f32>> {
        normalize(&mut self.0).then_some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, prop, prop_assert, prop_assume, proptest};

    fn length(vector: &[f32]) -> f64 {
        vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn the_mean_counts_real_tokens_only_and_cls_takes_the_first() {
        let states = [1.0, 2.0, 3.0, 6.0, 100.0, 100.0];
        assert_eq!(pooled(Pooling::Mean, &states, 2, 2), [2.0, 4.0]);
        assert_eq!(pooled(Pooling::Cls, &states, 2, 2), [1.0, 2.0]);
    }

    #[test]
    fn what_has_no_direction_is_refused() {
        for mut vector in [vec![0.0, 0.0], vec![f32::NAN, 1.0], vec![f32::INFINITY, 1.0], vec![]] {
            assert!(!normalize(&mut vector), "{vector:?}");
        }
        assert!(Blend::default().finish().is_none());
        let mut canceled = Blend::default();
        assert!(canceled.add(vec![1.0, 0.0], 3) && canceled.add(vec![-1.0, 0.0], 3));
        assert!(canceled.finish().is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_has_a_direction_becomes_one_long_and_keeps_it(mut vector in prop::collection::vec(-1e3_f32..1e3, 1..64)) {
            prop_assume!(length(&vector) > 1e-3);
            let before = vector.clone();
            prop_assert!(normalize(&mut vector));
            prop_assert!((length(&vector) - 1.0).abs() < 1e-5);
            let dot: f64 = vector.iter().zip(&before).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            prop_assert!((dot - length(&before)).abs() < 1e-3 * length(&before));
        }

        #[test]
        fn padding_never_changes_the_mean(rows in prop::collection::vec(-1e3_f32..1e3, 4..40), padding in prop::collection::vec(-1e9_f32..1e9, 0..40)) {
            let tokens = rows.len() / 4;
            let padded: Vec<f32> = rows[..tokens * 4].iter().chain(&padding).copied().collect();
            prop_assert!(pooled(Pooling::Mean, &padded, tokens, 4) == pooled(Pooling::Mean, &rows, tokens, 4));
        }

        #[test]
        fn one_window_is_the_text_itself(vector in prop::collection::vec(0.5_f32..1e3, 1..32), tokens in 1_usize..500) {
            let mut alone = vector.clone();
            prop_assert!(normalize(&mut alone));
            let mut blend = Blend::default();
            prop_assert!(blend.add(vector, tokens));
            let blended = blend.finish().unwrap();
            prop_assert!(alone.iter().zip(&blended).all(|(a, b)| (a - b).abs() < 1e-6));
        }
    }
}
