//! The order of what was found, as a pure function: two rankings are fused, then age and importance weigh in a little.

use std::time::Duration;

/// Damps the first ranks of a list, so that no single list decides alone (Cormack, Clarke and Büttcher, SIGIR 2009).
const FUSION_RANK: f32 = 60.0;

/// How much age and importance may take from a score.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Weights {
    /// Share of its score that a very old chunk loses.
    pub recency: f32,
    /// Age at which half of that is lost.
    pub age_half: Duration,
    /// Share of its score that a chunk of importance zero loses.
    pub importance: f32,
}

impl Default for Weights {
    fn default() -> Self {
        Self { recency: 0.10, age_half: Duration::from_secs(30 * 24 * 3600), importance: 0.10 }
    }
}

/// What is known about a chunk that was found by its meaning, its words, or both.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Candidate {
    /// Names the chunk; newer ones have higher numbers.
    pub key: i64,
    /// Place in the ranking by meaning, from 0.
    pub by_meaning: Option<usize>,
    /// Place in the ranking by words, from 0.
    pub by_words: Option<usize>,
    /// -1 to 1.
    pub cosine: Option<f32>,
    /// Share of the words asked for that it has, 0 to 1.
    pub words_share: f32,
    pub age: Duration,
    /// 0 to 1.
    pub importance: f32,
}

/// A candidate in its place.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ranked {
    pub key: i64,
    /// 0 to 1; orders this answer.
    pub score: f32,
    /// 0 to 1; says how well it fits, whatever else was found.
    pub relevance: f32,
}

/// Best first. `lists` is how many rankings there were (one or two).
pub fn rank(candidates: &[Candidate], lists: usize, weights: &Weights) -> Vec<Ranked> {
    let mut ranked: Vec<Ranked> = candidates.iter().map(|candidate| judge(candidate, lists, weights)).collect();
    ranked.sort_by(|one, other| other.score.total_cmp(&one.score).then(other.key.cmp(&one.key)));
    ranked
}

fn judge(candidate: &Candidate, lists: usize, weights: &Weights) -> Ranked {
    let part = |place: Option<usize>| place.map_or(0.0, |place| 1.0 / (FUSION_RANK + 1.0 + place as f32));
    let most = lists.max(1) as f32 / (FUSION_RANK + 1.0);
    let fused = ((part(candidate.by_meaning) + part(candidate.by_words)) / most).min(1.0);
    let relevance = candidate.cosine.unwrap_or(0.0).max(candidate.words_share).clamp(0.0, 1.0);
    // Fused ranks alone hardly tell the first from the tenth; how well a chunk fits tells.
    let fit = (fused + relevance) / 2.0;
    let halvings = candidate.age.as_secs_f32() / weights.age_half.as_secs_f32().max(1.0);
    let old = 1.0 - 0.5_f32.powf(halvings);
    let light = 1.0 - candidate.importance.clamp(0.0, 1.0);
    let kept = (1.0 - weights.recency * old) * (1.0 - weights.importance * light);
    Ranked { key: candidate.key, score: (fit * kept).clamp(0.0, 1.0), relevance }
}

/// Places of `count` things in their order, without those that repeat one that stays.
pub fn without_repeats(count: usize, repeats: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::new();
    for index in 0..count {
        if !kept.iter().any(|earlier| repeats(*earlier, index)) {
            kept.push(index);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: u64 = 24 * 3600;

    fn candidate() -> impl Strategy<Value = Candidate> {
        let place = || proptest::option::of(0_usize..200);
        let parts = (any::<i64>(), place(), place(), proptest::option::of(-1.0_f32..1.0), 0.0_f32..=1.0);
        (parts, 0_u64..4_000, 0.0_f32..=1.0).prop_map(
            |((key, by_meaning, by_words, cosine, words_share), days, importance)| {
                let age = Duration::from_secs(days * DAY);
                Candidate { key, by_meaning, by_words, cosine, words_share, age, importance }
            },
        )
    }

    /// At least as good in everything.
    fn dominates(one: &Candidate, other: &Candidate) -> bool {
        let place = |place: Option<usize>| place.unwrap_or(usize::MAX);
        place(one.by_meaning) <= place(other.by_meaning)
            && place(one.by_words) <= place(other.by_words)
            && one.cosine.unwrap_or(-1.0) >= other.cosine.unwrap_or(-1.0)
            && one.words_share >= other.words_share
            && one.age <= other.age
            && one.importance >= other.importance
    }

    proptest! {
        #[test]
        fn what_is_better_in_everything_never_comes_later(all in proptest::collection::vec(candidate(), 1..40)) {
            let ranked = rank(&all, 2, &Weights::default());
            prop_assert_eq!(ranked.len(), all.len());
            prop_assert!(ranked.windows(2).all(|pair| pair[0].score >= pair[1].score));
            prop_assert!(ranked.iter().all(|one| (0.0..=1.0).contains(&one.score) && (0.0..=1.0).contains(&one.relevance)));
            for one in &all {
                for other in all.iter().filter(|other| dominates(one, other)) {
                    let score = |candidate: &Candidate| judge(candidate, 2, &Weights::default()).score;
                    prop_assert!(score(one) >= score(other));
                }
            }
        }

        #[test]
        fn the_order_of_the_candidates_does_not_matter(mut all in proptest::collection::vec(candidate(), 1..40)) {
            all.sort_by_key(|candidate| candidate.key);
            all.dedup_by_key(|candidate| candidate.key);
            let forward = rank(&all, 2, &Weights::default());
            all.reverse();
            prop_assert_eq!(forward, rank(&all, 2, &Weights::default()));
        }

        #[test]
        fn of_every_group_of_repeats_the_first_stays(groups in proptest::collection::vec(0_u8..6, 0..40)) {
            let kept = without_repeats(groups.len(), |one, other| groups[one] == groups[other]);
            for (index, group) in groups.iter().enumerate() {
                let is_first = !groups[..index].contains(group);
                prop_assert_eq!(kept.contains(&index), is_first);
            }
        }
    }

    #[test]
    fn age_decides_among_equals_and_never_against_a_good_fit() {
        let old = Candidate {
            key: 1,
            by_meaning: Some(0),
            by_words: None,
            cosine: Some(0.62),
            words_share: 0.0,
            age: Duration::from_secs(900 * DAY),
            importance: 0.5,
        };
        let weak = Candidate { key: 2, by_meaning: Some(1), cosine: Some(0.25), age: Duration::ZERO, ..old };
        assert_eq!(rank(&[weak, old], 2, &Weights::default())[0].key, 1);
        let fresh = Candidate { key: 3, age: Duration::ZERO, ..old };
        assert_eq!(rank(&[old, fresh], 2, &Weights::default())[0].key, 3);
    }
}
