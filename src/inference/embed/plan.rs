//! Which rows are computed together: alike in length, so that little is spent on padding. Pure.

/// Most tokens of one run, padding included. More do not make a run faster (two cores are busy with far less), but each costs
/// 50 KiB of intermediate values.
pub(super) const RUN_TOKENS_MAX: usize = 1_024;
/// Most rows of one run.
pub(super) const RUN_ROWS_MAX: usize = 32;
/// A shorter row joins a run when its padding is at most this part of it, as a divisor: a quarter.
const PADDING_SHARE: usize = 4;
/// Fewer tokens of padding than this never begin another run, because a run costs something by itself.
const PADDING_FREE: usize = 8;

/// Groups the rows `0..lengths.len()` by length into runs. Every row is in exactly one run; a run holds at most [`RUN_ROWS_MAX`]
/// rows and [`RUN_TOKENS_MAX`] tokens, except that a single longer row is a run of its own.
pub(super) fn runs(lengths: &[usize]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|row| std::cmp::Reverse(lengths[*row]));
    let mut runs: Vec<Vec<usize>> = Vec::new();
    for row in order {
        match runs.last_mut() {
            Some(run) if fits(lengths, run, row) => run.push(row),
            _ => runs.push(vec![row]),
        }
    }
    runs
}

/// Whether `row`, not longer than any of `run`, is computed with it.
fn fits(lengths: &[usize], run: &[usize], row: usize) -> bool {
    let longest = lengths[run[0]];
    let padding = longest - lengths[row];
    run.len() < RUN_ROWS_MAX
        && (run.len() + 1) * longest <= RUN_TOKENS_MAX
        && (padding <= PADDING_FREE || padding <= longest / PADDING_SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    #[test]
    fn rows_of_one_length_go_together_and_a_long_one_goes_alone() {
        assert_eq!(runs(&[10, 12, 200, 11]), [vec![2], vec![1, 3, 0]]);
        assert_eq!(runs(&[5; 40]).iter().map(Vec::len).collect::<Vec<_>>(), [32, 8]);
        assert_eq!(runs(&[9_000, 9_000]), [vec![0], vec![1]]);
        assert!(runs(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn every_row_is_in_one_run_and_no_run_is_too_large(lengths in prop::collection::vec(1_usize..2_000, 0..200)) {
            let runs = runs(&lengths);
            let mut rows: Vec<usize> = runs.iter().flatten().copied().collect();
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..lengths.len()).collect::<Vec<_>>());
            for run in runs {
                let longest = run.iter().map(|row| lengths[*row]).max().unwrap();
                prop_assert!(run.len() == 1 || (run.len() <= RUN_ROWS_MAX && run.len() * longest <= RUN_TOKENS_MAX));
            }
        }
    }
}
