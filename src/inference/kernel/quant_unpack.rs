//! What ggml's blocks mean, one group of 32 elements at a time (`ggml-quants.c`, `dequantize_row_*`).

use half::{bf16, f16};

use crate::inference::kernel::quant::{Format, GROUP, half_at};

/// 32 elements of a row: element `i` is `scales[i / 16] * quants[i] + offset`.
pub(super) struct Group {
    pub(super) quants: [i8; GROUP],
    pub(super) scales: [f32; 2],
    pub(super) offset: f32,
}

/// A row as floats.
pub(super) fn read(format: Format, row: &[u8], out: &mut [f32]) {
    match format {
        Format::F32 => {
            for (out, bytes) in out.iter_mut().zip(row.as_chunks::<4>().0) {
                *out = f32::from_le_bytes(*bytes);
            }
        }
        Format::F16 => {
            for (out, bytes) in out.iter_mut().zip(row.as_chunks::<2>().0) {
                *out = f16::from_le_bytes(*bytes).to_f32();
            }
        }
        Format::Bf16 => {
            for (out, bytes) in out.iter_mut().zip(row.as_chunks::<2>().0) {
                *out = bf16::from_le_bytes(*bytes).to_f32();
            }
        }
        _ => {
            for (number, out) in out.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
                let group = group(format, row, number);
                for (index, out) in out.iter_mut().enumerate() {
                    *out = group.scales[index / 16] * f32::from(group.quants[index]) + group.offset;
                }
            }
        }
    }
}

/// Group `number` of a quantised row.
pub(super) fn group(format: Format, row: &[u8], number: usize) -> Group {
    let (elements, bytes) = format.block();
    let per_block = elements / GROUP;
    let block = &row[number / per_block * bytes..][..bytes];
    let within = number % per_block;
    match format {
        Format::Q4_0 => small(half_at(block, 0), 0.0, |index| nibble(&block[2..], index) as i8 - 8),
        Format::Q4_1 => small(half_at(block, 0), half_at(block, 2), |index| nibble(&block[4..], index) as i8),
        Format::Q5_0 => {
            small(half_at(block, 0), 0.0, |index| (nibble(&block[6..], index) | fifth(&block[2..], index)) as i8 - 16)
        }
        Format::Q5_1 => small(half_at(block, 0), half_at(block, 2), |index| {
            (nibble(&block[8..], index) | fifth(&block[4..], index)) as i8
        }),
        Format::Q8_0 => small(half_at(block, 0), 0.0, |index| block[2 + index].cast_signed()),
        Format::Q4K => {
            let (scale, offset) = k_scale(block, within);
            small(scale, offset, |index| k_nibble(&block[16..], within, index) as i8)
        }
        Format::Q5K => {
            let (scale, offset) = k_scale(block, within);
            let high = |index: usize| (block[16 + index] >> within & 1) << 4;
            small(scale, offset, |index| (k_nibble(&block[48..], within, index) | high(index)) as i8)
        }
        Format::Q6K => six(block, within),
        Format::F32 | Format::F16 | Format::Bf16 => small(0.0, 0.0, |_| 0),
    }
}

fn small(scale: f32, offset: f32, quant: impl Fn(usize) -> i8) -> Group {
    Group { quants: std::array::from_fn(quant), scales: [scale; 2], offset }
}

/// Blocks of 32: the first half in the low nibbles, the second in the high ones.
fn nibble(packed: &[u8], index: usize) -> u8 {
    if index < 16 { packed[index] & 15 } else { packed[index - 16] >> 4 }
}

/// The fifth bit, from a mask of 32.
fn fifth(mask: &[u8], index: usize) -> u8 {
    (mask[index / 8] >> (index % 8) & 1) << 4
}

/// Blocks of 256: two groups share 32 bytes.
fn k_nibble(packed: &[u8], group: usize, index: usize) -> u8 {
    let byte = packed[group / 2 * 32 + index];
    if group.is_multiple_of(2) { byte & 15 } else { byte >> 4 }
}

/// Scale and (negative) offset of a group of `Q4_K` or `Q5_K`: 6 bits each, packed as in `get_scale_min_k4`.
fn k_scale(block: &[u8], group: usize) -> (f32, f32) {
    let packed = &block[4..16];
    let (scale, min) = if group < 4 {
        (packed[group] & 63, packed[group + 4] & 63)
    } else {
        let scale = packed[group + 4] & 15 | (packed[group - 4] >> 6) << 4;
        (scale, packed[group + 4] >> 4 | (packed[group] >> 6) << 4)
    };
    (half_at(block, 0) * f32::from(scale), -half_at(block, 2) * f32::from(min))
}

/// `Q6_K`: low four bits, high two bits, one scale for 16.
fn six(block: &[u8], group: usize) -> Group {
    let (half, quarter) = (group / 4, group % 4);
    let low = &block[half * 64 + quarter % 2 * 32..][..GROUP];
    let high = &block[128 + half * 32..][..GROUP];
    let scale = half_at(block, 208);
    let scales = [0, 1].map(|part| scale * f32::from(block[192 + half * 8 + quarter * 2 + part].cast_signed()));
    let quant = |index: usize| {
        let four = if quarter < 2 { low[index] & 15 } else { low[index] >> 4 };
        (four | (high[index] >> (quarter * 2) & 3) << 4) as i8 - 32
    };
    Group { quants: std::array::from_fn(quant), scales, offset: 0.0 }
}
