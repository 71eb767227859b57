//! The one face of both ways to compute: a batch of token ids in, vectors out.

use super::bert::Bert;
use super::error::RunError;
use super::pool::{Pooling, pooled};
use super::session::OnnxNetwork;

/// Rows of equal length, padded.
pub(super) struct Batch {
    /// Token ids, `rows * columns` of them; behind a row's end is padding.
    pub ids: Vec<i64>,
    /// Real tokens of each row.
    pub lengths: Vec<usize>,
    pub columns: usize,
}

impl Batch {
    /// Pads `rows` with `padding` to the longest of them.
    pub(super) fn new(rows: &[&[u32]], padding: u32) -> Self {
        let columns = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let mut ids = Vec::with_capacity(rows.len() * columns);
        for row in rows {
            ids.extend(row.iter().map(|id| i64::from(*id)));
            ids.resize(ids.len() + columns - row.len(), i64::from(padding));
        }
        Self { ids, lengths: rows.iter().map(|row| row.len()).collect(), columns }
    }

    pub(super) fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// One for each real token, zero for padding.
    pub(super) fn mask(&self) -> Vec<i64> {
        let of = |length: usize| (0..self.columns).map(move |column| i64::from(column < length));
        self.lengths.iter().flat_map(|length| of(*length)).collect()
    }
}

/// A network that is loaded.
pub(super) enum Network {
    Onnx(OnnxNetwork),
    Bert(Bert),
}

impl Network {
    /// One pooled vector for each row of `batch`, of any length.
    pub(super) fn run(&mut self, batch: &Batch, pooling: Pooling) -> Result<Vec<Vec<f32>>, RunError> {
        match self {
            Self::Onnx(network) => network.run(batch, pooling),
            Self::Bert(network) => pool_rows(&network.run(batch)?, batch, pooling, network.dims()),
        }
    }

    /// Whether it should be loaded anew: see [`OnnxNetwork::is_outgrown`].
    pub(super) fn is_outgrown(&self) -> bool {
        match self {
            Self::Onnx(network) => network.is_outgrown(),
            Self::Bert(_) => false,
        }
    }

    /// Gives back what runs have taken and the next one may take again.
    pub(super) fn rest(&mut self) -> Result<(), RunError> {
        match self {
            Self::Onnx(network) => network.rest(),
            Self::Bert(_) => Ok(()),
        }
    }
}

/// Pools states of shape `[rows, columns, dims]`.
pub(super) fn pool_rows(
    states: &[f32],
    batch: &Batch,
    pooling: Pooling,
    dims: usize,
) -> Result<Vec<Vec<f32>>, RunError> {
    let width = batch.columns * dims;
    if states.len() != batch.rows() * width {
        return Err(RunError::Shape {
            found: vec![states.len() as i64],
            expected: vec![batch.rows(), batch.columns, dims],
        });
    }
    let rows = states.chunks_exact(width).zip(&batch.lengths);
    Ok(rows.map(|(states, tokens)| pooled(pooling, states, *tokens, dims)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_padded_to_the_longest_and_the_mask_says_where() {
        let batch = Batch::new(&[&[5, 6, 7], &[8]], 1);
        assert_eq!((batch.rows(), batch.columns), (2, 3));
        assert_eq!(batch.ids, [5, 6, 7, 8, 1, 1]);
        assert_eq!(batch.mask(), [1, 1, 1, 1, 0, 0]);
    }

    #[test]
    fn states_of_another_size_are_refused() {
        let batch = Batch::new(&[&[5, 6]], 0);
        assert!(pool_rows(&[0.0; 5], &batch, Pooling::Mean, 3).is_err());
        assert_eq!(pool_rows(&[1.0, 2.0, 3.0, 4.0], &batch, Pooling::Mean, 2).unwrap(), [[2.0, 3.0]]);
    }
}
