//! Vectors that are multiplied with rows of weights: rounded to 8 bits in groups of 32, once for all rows.

use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use crate::inference::kernel::quant::GROUP;
use crate::inference::kernel::quant_chip::{Chip, Groups, Quantised, Tiles, for_every_chip};
use crate::inference::kernel::quant_format::{Packed, Q8_0, STEP};

/// Vectors of one length: as floats, and in groups of 8-bit integers.
#[derive(Debug, Default)]
pub struct Vectors {
    pub(super) columns: usize,
    pub(super) count: usize,
    pub(super) values: Vec<f32>,
    /// Of each element, rounded value over its group's scale.
    pub(super) quants: Vec<i8>,
    /// Of each group. Here and below, zeros follow the last, because eight are read at once.
    pub(super) scales: Vec<f32>,
    /// Of each group, the sum of its quants times its scale.
    pub(super) sums: Vec<f32>,
    /// The same of each half of a group.
    pub(super) half_sums: Vec<f32>,
}

/// One vector's part of all that.
struct Slot<'a> {
    values: &'a mut [f32],
    quants: &'a mut [i8],
    scales: &'a mut [f32],
    sums: &'a mut [f32],
    half_sums: &'a mut [f32],
}

impl Vectors {
    /// Takes `values` as vectors of `columns` floats each.
    #[cfg(test)]
    pub(super) fn set(&mut self, values: &[f32], columns: usize) {
        self.fill(values.len() / columns, columns, |number, vector| {
            vector.copy_from_slice(&values[number * columns..(number + 1) * columns]);
        });
    }

    /// Lets `write` write each of `count` vectors, in the threads of the pool that this is called in. Keeps what was allocated
    /// before.
    pub fn fill(&mut self, count: usize, columns: usize, write: impl Fn(usize, &mut [f32]) + Sync) {
        (self.columns, self.count) = (columns, count);
        self.values.resize(count * columns, 0.0);
        if !columns.is_multiple_of(GROUP) {
            self.values.chunks_exact_mut(columns).enumerate().for_each(|(number, values)| write(number, values));
            return;
        }
        let groups = columns / GROUP;
        self.quants.resize(count * columns, 0);
        for (floats, len) in [(&mut self.scales, groups), (&mut self.sums, groups), (&mut self.half_sums, 2 * groups)] {
            floats.truncate(count * len);
            floats.resize(count * len + 2 * STEP, 0.0);
        }
        let all = self
            .values
            .par_chunks_exact_mut(columns)
            .zip(self.quants.par_chunks_exact_mut(columns))
            .zip(self.scales[..count * groups].par_chunks_exact_mut(groups))
            .zip(self.sums[..count * groups].par_chunks_exact_mut(groups))
            .zip(self.half_sums[..2 * count * groups].par_chunks_exact_mut(2 * groups));
        let chip = Chip::detect();
        all.enumerate().for_each(|(number, ((((values, quants), scales), sums), half_sums))| {
            write(number, values);
            quantise(chip, &mut Slot { values, quants, scales, sums, half_sums });
        });
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// What an element was rounded to.
    #[cfg(test)]
    pub(super) fn rounded(&self, vector: usize, at: usize) -> f32 {
        let at = vector * self.columns + at;
        f32::from(self.quants[at]) * self.scales[at / GROUP]
    }
}

for_every_chip! { fn quantise_on(from: &[f32; GROUP], to: &mut [i8; GROUP], out: &mut Quantised) = quantise_body }

#[allow(unsafe_code, reason = "vector instructions")]
fn quantise(chip: Chip, slot: &mut Slot<'_>) {
    let pairs = slot.values.as_chunks::<GROUP>().0.iter().zip(slot.quants.as_chunks_mut::<GROUP>().0);
    for (group, (values, quants)) in pairs.enumerate() {
        let mut quantised = Quantised { scale: 0.0, sums: [0; 2] };
        if chip == Chip::Scalar {
            quantised = quantise_scalar(values, quants);
        } else {
            // SAFETY: there are 32 of both.
            unsafe { quantise_on::<Q8_0>(chip, values, quants, &mut quantised) };
        }
        let Quantised { scale, sums } = quantised;
        slot.scales[group] = scale;
        slot.sums[group] = (sums[0] + sums[1]) as f32 * scale;
        slot.half_sums[2 * group] = sums[0] as f32 * scale;
        slot.half_sums[2 * group + 1] = sums[1] as f32 * scale;
    }
}

#[allow(unsafe_code, reason = "vector instructions")]
#[inline(always)]
unsafe fn quantise_body<G: Groups, T: Tiles, P: Packed>(
    from: &[f32; GROUP],
    to: &mut [i8; GROUP],
    out: &mut Quantised,
) {
    // SAFETY: the caller's promise.
    *out = unsafe { G::quantise(from.as_ptr(), to.as_mut_ptr()) };
}

fn quantise_scalar(from: &[f32; GROUP], to: &mut [i8; GROUP]) -> Quantised {
    let largest = from.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let mut sums = [0; 2];
    for (at, (to, from)) in to.iter_mut().zip(from).enumerate() {
        *to = (from * inverse).round_ties_even() as i8;
        sums[at / 16] += i32::from(*to);
    }
    Quantised { scale: largest / 127.0, sums }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn every_processor_rounds_alike(values in proptest::collection::vec(-9.0_f32..9.0, GROUP)) {
            let values: [f32; GROUP] = values.try_into().expect("32 floats");
            let mut plain = [0; GROUP];
            let wanted = quantise_scalar(&values, &mut plain);
            for chip in Chip::all().into_iter().filter(|chip| *chip != Chip::Scalar) {
                let (mut quants, mut quantised) = ([0; GROUP], Quantised { scale: 0.0, sums: [0; 2] });
                #[allow(unsafe_code, reason = "vector instructions")]
                // SAFETY: there are 32 of both.
                unsafe {
                    quantise_on::<Q8_0>(chip, &values, &mut quants, &mut quantised);
                }
                prop_assert_eq!(quants, plain);
                prop_assert_eq!((quantised.scale, quantised.sums), (wanted.scale, wanted.sums));
            }
        }
    }
}
