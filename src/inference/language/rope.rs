//! Rotary positions: pairs of a head's elements are turned by an angle that grows with the position.

use std::ops::Range;

use crate::inference::language::shape::{Rope, RopeStyle, Shape, Window};

/// The angle per position of each pair.
#[derive(Clone, Debug)]
pub struct Angles {
    frequencies: Vec<f32>,
    style: RopeStyle,
    magnitude: f32,
}

/// Cosine and sine of each pair at one position.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    pairs: Vec<(f32, f32)>,
}

/// Cosines and sines of many positions, a row of pairs for each.
#[derive(Clone, Debug, Default)]
pub struct RopeTable {
    pub cosines: Vec<f32>,
    pub sines: Vec<f32>,
}

impl Angles {
    /// A model's, and those of its windowed layers.
    pub fn of(shape: &Shape, factors: Option<&[f32]>) -> (Self, Option<Self>) {
        let windowed = |window: &Window| {
            let unscaled = Rope { divisor: 1.0, ..shape.rope.clone() };
            Self::new(&unscaled, window.base, None)
        };
        (Self::new(&shape.rope, shape.rope.base, factors), shape.window.as_ref().map(windowed))
    }

    /// `factors` divides each pair's frequency (Llama 3.1's and Phi 3's long contexts).
    pub fn new(rope: &Rope, base: f32, factors: Option<&[f32]>) -> Self {
        let half = rope.width / 2;
        let frequency = |pair: usize| {
            let exponent = -2.0 * pair as f32 / rope.width as f32;
            let factor = factors.map_or(1.0, |factors| factors[pair]);
            base.powf(exponent) / factor / rope.divisor
        };
        Self { frequencies: (0..half).map(frequency).collect(), style: rope.style, magnitude: rope.magnitude }
    }

    pub fn at(&self, position: usize) -> Turn {
        let pair = |frequency: &f32| {
            let (sine, cosine) = (position as f32 * frequency).sin_cos();
            (cosine * self.magnitude, sine * self.magnitude)
        };
        Turn { pairs: self.frequencies.iter().map(pair).collect() }
    }

    pub fn table(&self, positions: Range<usize>) -> RopeTable {
        let pairs = positions.flat_map(|position| self.at(position).pairs);
        let (cosines, sines) = pairs.unzip();
        RopeTable { cosines, sines }
    }

    /// Turns every head in `heads`.
    pub fn apply(&self, turn: &Turn, heads: &mut [f32], head_width: usize) {
        let half = turn.pairs.len();
        for head in heads.chunks_exact_mut(head_width) {
            match self.style {
                RopeStyle::Neighbors => {
                    for (pair, (cosine, sine)) in head.as_chunks_mut::<2>().0.iter_mut().zip(&turn.pairs) {
                        *pair = [pair[0] * cosine - pair[1] * sine, pair[0] * sine + pair[1] * cosine];
                    }
                }
                RopeStyle::Halves => {
                    let (left, right) = head.split_at_mut(half);
                    for ((left, right), (cosine, sine)) in left.iter_mut().zip(right).zip(&turn.pairs) {
                        (*left, *right) = (*left * cosine - *right * sine, *left * sine + *right * cosine);
                    }
                }
            }
        }
    }
}
