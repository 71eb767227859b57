//! Which rows are computed together: alike in length, so that little is spent on padding. Pure.

/// Most tokens of one run, padding included. More are slower each, because what is computed in between falls out of the cache:
/// 54 µs a token at 256, 58 at 512, 62 at 1,024, and 60 to 90 below 64 (int8 MiniLM, one x64 thread). Memory grows with it too.
pub(super) const RUN_TOKENS_MAX: usize = 256;
/// Most rows of one run.
pub(super) const RUN_ROWS_MAX: usize = 64;
/// What a run costs by itself, in tokens: from the same measurement.
const RUN_TOKENS_FIXED: usize = 7;

/// Groups the rows `0..lengths.len()` into the runs that cost least. Every row is in exactly one run; a run holds at most
/// [`RUN_ROWS_MAX`] rows and [`RUN_TOKENS_MAX`] tokens, except that a single longer row is a run of its own.
pub(super) fn runs(lengths: &[usize]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|row| std::cmp::Reverse(lengths[*row]));
    // For the first `end` rows of the order: the least cost, and where their last run begins.
    let mut best: Vec<(usize, usize)> = vec![(0, 0)];
    for end in 1..=order.len() {
        let starts = (end.saturating_sub(RUN_ROWS_MAX)..end).filter(|start| {
            let rows = end - start;
            rows == 1 || rows * lengths[order[*start]] <= RUN_TOKENS_MAX
        });
        let costs = starts.map(|start| {
            let cost = (end - start).saturating_mul(lengths[order[start]]).saturating_add(RUN_TOKENS_FIXED);
            (best[start].0.saturating_add(cost), start)
        });
        best.push(costs.min().unwrap_or((usize::MAX, end - 1)));
    }
    let mut runs = Vec::new();
    let mut end = order.len();
    while end > 0 {
        let start = best[end].1;
        runs.push(order[start..end].to_vec());
        end = start;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    #[test]
    fn rows_of_one_length_go_together_and_a_long_one_goes_alone() {
        assert_eq!(runs(&[10, 12, 200, 11]), [vec![1, 3, 0], vec![2]]);
        assert_eq!(runs(&[16; 40]).iter().map(Vec::len).sum::<usize>(), 40);
        assert_eq!(runs(&[16; 40]).len(), 3);
        assert_eq!(runs(&[9_000, 9_000]), [vec![1], vec![0]]);
        assert!(runs(&[]).is_empty());
    }

    #[test]
    fn a_little_padding_is_cheaper_than_another_run() {
        assert_eq!(runs(&[10, 8, 7]).len(), 1);
        assert_eq!(runs(&[60, 60, 10, 10, 10]).len(), 2);
    }

    fn cost(lengths: &[usize], runs: &[Vec<usize>]) -> usize {
        let longest = |run: &[usize]| run.iter().map(|row| lengths[*row]).max().unwrap();
        runs.iter().map(|run| run.len() * longest(run) + RUN_TOKENS_FIXED).sum()
    }

    proptest! {
        #[test]
        fn every_row_is_in_one_run_and_no_run_is_too_large(lengths in prop::collection::vec(1_usize..600, 0..200)) {
            let runs = runs(&lengths);
            let mut rows: Vec<usize> = runs.iter().flatten().copied().collect();
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..lengths.len()).collect::<Vec<_>>());
            for run in &runs {
                let longest = run.iter().map(|row| lengths[*row]).max().unwrap();
                prop_assert!(run.len() == 1 || (run.len() <= RUN_ROWS_MAX && run.len() * longest <= RUN_TOKENS_MAX));
            }
            let alone: Vec<Vec<usize>> = (0..lengths.len()).map(|row| vec![row]).collect();
            prop_assert!(cost(&lengths, &runs) <= cost(&lengths, &alone));
        }
    }
}
