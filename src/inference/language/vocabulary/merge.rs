//! Joins neighbors, the best pair first, until no pair can be joined: what both families of tokenizers do.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A run of bytes that is, or may become, a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Symbol {
    pub(super) start: usize,
    /// 0 when it was joined to the one before it.
    pub(super) len: usize,
    pub(super) token: Option<u32>,
}

/// A pair that could be joined: its rank, its place, its whole length, and the token it would be.
type Offer = Reverse<(i64, usize, usize, usize, u32)>;

const NONE: usize = usize::MAX;

/// `join` gives the rank (low ones first; among equals the leftmost) and the token of two neighbors.
///
/// Takes `n log n` steps, so that a megabyte without a space is no trap.
pub(super) fn merge(symbols: &mut Vec<Symbol>, join: impl Fn(&Symbol, &Symbol) -> Option<(i64, u32)>) {
    if symbols.len() < 2 {
        return;
    }
    let mut next: Vec<usize> = (1..symbols.len()).chain([NONE]).collect();
    let mut previous: Vec<usize> = [NONE].into_iter().chain(0..symbols.len() - 1).collect();
    let offer = |symbols: &[Symbol], left: usize, right: usize| -> Option<Offer> {
        if left == NONE || right == NONE {
            return None;
        }
        let (rank, token) = join(&symbols[left], &symbols[right])?;
        Some(Reverse((rank, left, right, symbols[left].len + symbols[right].len, token)))
    };
    let mut heap: BinaryHeap<Offer> = (1..symbols.len()).filter_map(|right| offer(symbols, right - 1, right)).collect();
    while let Some(Reverse((_, left, right, len, token))) = heap.pop() {
        // One of the two may have been joined elsewhere since.
        let is_stale = symbols[left].len == 0 || symbols[right].len == 0 || next[left] != right;
        if is_stale || symbols[left].len + symbols[right].len != len {
            continue;
        }
        symbols[left].len = len;
        symbols[left].token = Some(token);
        symbols[right].len = 0;
        next[left] = next[right];
        if next[left] != NONE {
            previous[next[left]] = left;
        }
        heap.extend(offer(symbols, previous[left], left));
        heap.extend(offer(symbols, left, next[left]));
    }
    symbols.retain(|symbol| symbol.len > 0);
}
