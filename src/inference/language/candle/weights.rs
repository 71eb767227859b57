//! Matrices on the device: blocks as they lie in the file, or numbers.

use std::borrow::Cow;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Result, Tensor, bail};

use crate::inference::kernel::quant::{Format, Matrix};

/// A matrix that vectors are multiplied with, and what is added.
#[derive(Debug)]
pub struct Product {
    matrix: Rows,
    bias: Option<Tensor>,
}

#[derive(Debug)]
enum Rows {
    Blocks(QTensor),
    /// `[rows, columns]`.
    Numbers(Tensor),
}

impl Product {
    pub fn load(matrix: Matrix<'_>, bias: Option<&[f32]>, device: &Device) -> Result<Self> {
        let rows = match block_of(matrix.format) {
            Some(dtype) => Rows::Blocks(blocks(&matrix, dtype, device)?),
            None => Rows::Numbers(numbers(&matrix, device)?),
        };
        Ok(Self { matrix: rows, bias: bias.map(|bias| vector(bias, device)).transpose()? })
    }

    /// `[count, columns]` to `[count, rows]`.
    pub fn apply(&self, vectors: &Tensor) -> Result<Tensor> {
        let products = match &self.matrix {
            Rows::Blocks(blocks) => vectors.apply_op1_no_bwd(blocks)?,
            Rows::Numbers(rows) => vectors.to_dtype(rows.dtype())?.matmul(&rows.t()?)?.to_dtype(DType::F32)?,
        };
        match &self.bias {
            Some(bias) => products.broadcast_add(bias),
            None => Ok(products),
        }
    }
}

/// One row of floats.
pub fn vector(values: &[f32], device: &Device) -> Result<Tensor> {
    Tensor::from_slice(values, values.len(), device)
}

/// Candle's name of a block, which lies in memory as ggml's; none for plain numbers.
fn block_of(format: Format) -> Option<GgmlDType> {
    Some(match format {
        Format::F32 | Format::F16 | Format::Bf16 => return None,
        Format::Q4_0 => GgmlDType::Q4_0,
        Format::Q4_1 => GgmlDType::Q4_1,
        Format::Q5_0 => GgmlDType::Q5_0,
        Format::Q5_1 => GgmlDType::Q5_1,
        Format::Q8_0 => GgmlDType::Q8_0,
        Format::Q4K => GgmlDType::Q4K,
        Format::Q5K => GgmlDType::Q5K,
        Format::Q6K => GgmlDType::Q6K,
    })
}

fn blocks(matrix: &Matrix<'_>, dtype: GgmlDType, device: &Device) -> Result<QTensor> {
    let bytes = matrix.bytes();
    // Candle takes this for granted; blocks begin with a 16-bit float.
    if bytes.as_ptr().align_offset(align_of::<half::f16>()) != 0 {
        bail!("a matrix lies at an odd place in its file");
    }
    QTensor::new(QStorage::from_data(Cow::Borrowed(bytes), device, dtype)?, (matrix.rows, matrix.columns))
}

/// As wide as they are in the file on a GPU; the processor, where only tests run this, multiplies 32 bits.
fn numbers(matrix: &Matrix<'_>, device: &Device) -> Result<Tensor> {
    let dtype = match matrix.format {
        Format::F16 if !device.is_cpu() => DType::F16,
        Format::Bf16 if !device.is_cpu() => DType::BF16,
        _ => DType::F32,
    };
    let mut floats = vec![0.0; matrix.rows * matrix.columns];
    for (row, floats) in floats.chunks_exact_mut(matrix.columns).enumerate() {
        matrix.read_row(row, floats);
    }
    Tensor::from_vec(floats, (matrix.rows, matrix.columns), &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
}
