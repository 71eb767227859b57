//! Weights that rows are multiplied with, in the precision that was chosen.

use serde::{Deserialize, Serialize};

use crate::inference::kernel::f32_matrix::{Finish, Packed, Rows, RowsMut, multiply_on_all};
use crate::inference::kernel::int8_matrix::PackedBytes;
use crate::inference::whisper::error::WhisperError;
use crate::inference::whisper::weights::Weights;

/// What weights are kept in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As the file has them: floats, or blocks of eight bits where the file is quantised.
    #[default]
    Auto,
    /// 32-bit floats.
    F32,
    /// Eight bits per weight and a scale per 32 of them: a quarter of the memory, and faster.
    Int8,
}

/// `y = x W + b`.
#[derive(Debug)]
pub(super) enum Linear {
    Floats(Packed),
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
        if precision == Precision::Int8 {
            return Self::Bytes(PackedBytes::from_weights(matrix, inputs, bias));
        }
        let packed = Packed::from_weights(matrix, inputs);
        Self::Floats(if bias.is_empty() { packed } else { packed.with_bias(bias) })
    }

    pub fn outputs(&self) -> usize {
        match self {
            Self::Floats(packed) => packed.width(),
            Self::Bytes(packed) => packed.width(),
        }
    }

    fn inputs(&self) -> usize {
        match self {
            Self::Floats(packed) => packed.depth(),
            Self::Bytes(packed) => packed.depth(),
        }
    }

    /// Multiplies all rows of `from`; `to` has as many.
    pub fn apply(&self, from: &[f32], to: &mut [f32], finish: Finish) {
        let count = from.len() / self.inputs();
        match self {
            Self::Floats(packed) => {
                let rows = Rows { data: from, stride: packed.depth(), count };
                multiply_on_all(rows, packed.whole(), RowsMut { data: to, stride: packed.width() }, finish);
            }
            Self::Bytes(packed) => packed.multiply(from, RowsMut { data: to, stride: packed.width() }, finish),
        }
    }

    /// The weights of one output.
    pub fn row(&self, output: usize, to: &mut [f32]) {
        match self {
            Self::Floats(packed) => to.iter_mut().zip(packed.column(output)).for_each(|(to, value)| *to = value),
            Self::Bytes(packed) => to.iter_mut().zip(packed.column(output)).for_each(|(to, value)| *to = value),
        }
    }
}
