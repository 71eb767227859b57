//! Weights that rows are multiplied with, in the precision that was chosen.

use half::f16;
use serde::{Deserialize, Serialize};

use crate::inference::kernel::f32_matrix::{Finish, Packed, Rows, RowsMut, Weight, multiply_on_all};
use crate::inference::kernel::int8_matrix::PackedBytes;
use crate::inference::whisper::error::WhisperError;
use crate::inference::whisper::weights::Weights;

/// What weights are kept in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As the file has them: floats of 32 or 16 bits, or blocks of eight bits where the file is quantised.
    #[default]
    Auto,
    /// 32-bit floats.
    F32,
    /// 16-bit floats: half the memory, and tokens are said in little more than half the time. Sums have 32 bits all the same.
    F16,
    /// Eight bits per weight and a scale per 32 of them: a quarter of the memory, and faster.
    Int8,
}

/// `y = x W + b`.
#[derive(Debug)]
pub(super) enum Linear {
    Floats(Packed),
    Halves(Packed<f16>),
    Bytes(PackedBytes),
}

impl Linear {
    /// Weights of one or several layers side by side (as queries, keys and values), each `[outputs, inputs]`, with their biases
    /// where they have one.
    pub fn load(
        weights: &Weights,
        names: &[&str],
        sizes: [usize; 2],
        precision: Precision,
    ) -> Result<Self, WhisperError> {
        let [outputs, inputs] = sizes;
        let (mut matrix, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            matrix.extend(weights.floats(&format!("{name}.weight"), &sizes)?);
            let name = format!("{name}.bias");
            bias.extend(if weights.has(&name) { weights.floats(&name, &[outputs])? } else { vec![0.0; outputs] });
        }
        Ok(Self::of(&matrix, &bias, inputs, precision))
    }

    /// From weights as PyTorch keeps them: a row of `inputs` floats per output.
    pub fn of(matrix: &[f32], bias: &[f32], inputs: usize, precision: Precision) -> Self {
        match precision {
            Precision::Auto | Precision::F32 => Self::Floats(packed(matrix, bias, inputs)),
            Precision::F16 => Self::Halves(packed(matrix, bias, inputs)),
            Precision::Int8 => Self::Bytes(PackedBytes::from_weights(matrix, inputs, bias)),
        }
    }

    pub fn outputs(&self) -> usize {
        match self {
            Self::Floats(packed) => packed.width(),
            Self::Halves(packed) => packed.width(),
            Self::Bytes(packed) => packed.width(),
        }
    }

    fn inputs(&self) -> usize {
        match self {
            Self::Floats(packed) => packed.depth(),
            Self::Halves(packed) => packed.depth(),
            Self::Bytes(packed) => packed.depth(),
        }
    }

    /// Multiplies all rows of `from`; `to` has as many.
    pub fn apply(&self, from: &[f32], to: &mut [f32], finish: Finish) {
        let rows = Rows { data: from, stride: self.inputs(), count: from.len() / self.inputs() };
        let to = RowsMut { data: to, stride: self.outputs() };
        match self {
            Self::Floats(packed) => multiply_on_all(rows, packed.whole(), to, finish),
            Self::Halves(packed) => multiply_on_all(rows, packed.whole(), to, finish),
            Self::Bytes(packed) => packed.multiply(from, to, finish),
        }
    }

    /// The weights of one output.
    pub fn row(&self, output: usize, to: &mut [f32]) {
        match self {
            Self::Floats(packed) => to.iter_mut().zip(packed.column(output)).for_each(|(to, value)| *to = value),
            Self::Halves(packed) => to.iter_mut().zip(packed.column(output)).for_each(|(to, value)| *to = value),
            Self::Bytes(packed) => to.iter_mut().zip(packed.column(output)).for_each(|(to, value)| *to = value),
        }
    }
}

fn packed<W: Weight>(matrix: &[f32], bias: &[f32], inputs: usize) -> Packed<W> {
    let packed = Packed::from_weights(matrix, inputs);
    if bias.is_empty() { packed } else { packed.with_bias(bias) }
}
