//! Who computes which part of a product: rows in turns where there are many, panels of the matrix where there are few.

use std::ops::Range;

use rayon::prelude::{IntoParallelIterator, ParallelIterator};

/// Rows that one thread works on before it looks for more: their numbers stay in the second cache.
const ROWS_PER_TURN: usize = 96;
/// A matrix with more panels than this for each thread is cut into more pieces than there are threads.
const PANELS_PER_THREAD: usize = 64;

/// How large a product is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub rows: usize,
    pub panels: usize,
    pub rows_per_tile: usize,
    /// Other threads are not worth waking.
    pub is_small: bool,
    /// With fewer tiles of rows for each thread, panels are shared instead.
    pub tiles_per_thread_min: usize,
}

/// Runs `work` on ranges of rows and of panels that together are the whole product, on all threads of the current pool.
pub(super) fn on_all_threads(size: Size, work: impl Fn(Range<usize>, Range<usize>) + Sync) {
    let Size { rows, panels, rows_per_tile, is_small, tiles_per_thread_min } = size;
    let threads = rayon::current_num_threads();
    if threads == 1 || is_small {
        return work(0..rows, 0..panels);
    }
    if rows >= tiles_per_thread_min * threads * rows_per_tile {
        let turn = rows.div_ceil(threads * 2).min(ROWS_PER_TURN).next_multiple_of(rows_per_tile);
        let turns = rows.div_ceil(turn);
        (0..turns).into_par_iter().for_each(|index| work(index * turn..((index + 1) * turn).min(rows), 0..panels));
    } else {
        let pieces = panels.min(if panels > PANELS_PER_THREAD * threads { 4 * threads } else { threads });
        (0..pieces)
            .into_par_iter()
            .for_each(|index| work(0..rows, index * panels / pieces..(index + 1) * panels / pieces));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_row_meets_every_panel_once(
            rows in 0_usize..700, panels in 0_usize..300, rows_per_tile in 1_usize..13, is_small: bool
        ) {
            let met: Vec<AtomicUsize> = (0..rows * panels).map(|_| AtomicUsize::new(0)).collect();
            let size = Size { rows, panels, rows_per_tile, is_small, tiles_per_thread_min: 2 };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("threads");
            pool.install(|| on_all_threads(size, |rows, of| {
                for place in rows.flat_map(|row| of.clone().map(move |panel| row * panels + panel)) {
                    met[place].fetch_add(1, Ordering::Relaxed);
                }
            }));
            prop_assert!(met.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        }
    }
}
