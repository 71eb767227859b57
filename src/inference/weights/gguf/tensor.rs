//! One matrix of weights: its name, shape, type and place.

use std::ops::Range;

use crate::inference::kernel::quant::Format;
use crate::inference::weights::gguf::GgufError;
use crate::inference::weights::gguf::cursor::Cursor;

#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub format: Format,
    /// Elements of one row; a multiple of the format's block.
    pub columns: usize,
    /// Product of all other dimensions.
    pub rows: usize,
    /// Outermost first.
    dims: Vec<usize>,
    start: usize,
    end: usize,
}

impl Tensor {
    /// Dimensions, outermost first: the last one is the columns.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    pub(super) fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// What the file says, before it is believed.
pub(super) struct Head {
    pub(super) name: String,
    dims: Vec<u64>,
    kind: u32,
    offset: u64,
}

impl Head {
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, GgufError> {
        let name = cursor.name("a tensor's name")?;
        let dim_count = cursor.u32("a tensor's shape")?;
        if dim_count == 0 || dim_count > 4 {
            return Err(GgufError::Tensor { name, wrong: "has no, or more than four, dimensions" });
        }
        let mut dims = Vec::new();
        for _ in 0..dim_count {
            dims.push(cursor.u64("a tensor's shape")?);
        }
        let kind = cursor.u32("a tensor's type")?;
        let offset = cursor.u64("a tensor's place")?;
        Ok(Self { name, dims, kind, offset })
    }

    pub(super) fn place(self, data_start: u64, file_len: u64) -> Result<Tensor, GgufError> {
        let Some(format) = Format::of_ggml(self.kind) else {
            return Err(GgufError::TensorType { name: self.name, kind: self.kind });
        };
        let sized = || {
            let columns = usize::try_from(self.dims[0]).ok()?;
            let rows = self.dims[1..].iter().try_fold(1_u64, |product, dim| product.checked_mul(*dim))?;
            let rows = usize::try_from(rows).ok()?;
            let row_bytes = format.row_bytes(columns)?;
            let bytes = row_bytes.checked_mul(rows).filter(|bytes| *bytes > 0)?;
            Some((columns, rows, bytes as u64))
        };
        let Some((columns, rows, bytes)) = sized() else {
            return Err(GgufError::Tensor { name: self.name, wrong: "has an impossible shape" });
        };
        let start = data_start.checked_add(self.offset);
        let end = start.and_then(|start| start.checked_add(bytes)).filter(|end| *end <= file_len);
        let (Some(start), Some(end)) = (start, end) else {
            return Err(GgufError::Tensor { name: self.name, wrong: "lies beyond the end of the file" });
        };
        let dims = self.dims.iter().rev().map(|dim| *dim as usize).collect();
        Ok(Tensor { format, columns, rows, dims, start: start as usize, end: end as usize })
    }
}
