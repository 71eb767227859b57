//! Tensors of a file as candle's, on a device, under whatever name the file has for its network.

use std::path::Path;

use candle_core::{Device, Tensor};

use super::error::LoadError;
use crate::inference::weights::Tensors;

pub(super) struct Weights {
    tensors: Tensors,
    /// What stands before all names: published files of one network differ in it.
    prefix: &'static str,
    device: Device,
}

impl Weights {
    /// Takes the first of `prefixes` under which `name` is there.
    pub(super) fn open(
        path: &Path,
        device: Device,
        (name, prefixes): (&str, &[&'static str]),
    ) -> Result<Self, LoadError> {
        let tensors = Tensors::open(path)?;
        let has = |prefix: &&&'static str| tensors.dims(&format!("{prefix}{name}")).is_some();
        let prefix = prefixes.iter().find(has).copied().unwrap_or_default();
        Ok(Self { tensors, prefix, device })
    }

    /// Tensor `name` as 32-bit floats, which must have `shape`; a zero in it stands for any size.
    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, LoadError> {
        let name = format!("{}{name}", self.prefix);
        let floats = self.tensors.floats(&name, shape)?;
        let shape = self.tensors.dims(&name).unwrap_or_default();
        Tensor::from_vec(floats, shape, &self.device).map_err(|source| LoadError::Network { source })
    }
}
