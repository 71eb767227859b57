//! Keys and values of what was read, on the device. A pass writes at its own place: what lay there before is forgotten.

use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor};

use crate::inference::language::cache::room;
use crate::inference::language::shape::Shape;

#[derive(Debug)]
pub struct Cache {
    layers: Vec<Memory>,
}

/// One layer's.
#[derive(Debug)]
pub struct Memory {
    /// `[heads, room, head width]` both; nothing before the first write.
    sides: Option<[Tensor; 2]>,
    heads: usize,
    head_width: usize,
    capacity: usize,
    device: Device,
}

impl Cache {
    /// For `capacity` tokens. Memory is used as tokens come: room doubles when it is full.
    pub fn new(shape: &Shape, capacity: usize, device: &Device) -> Self {
        let layer = || Memory {
            sides: None,
            heads: shape.kv_heads,
            head_width: shape.head_width,
            capacity,
            device: device.clone(),
        };
        Self { layers: (0..shape.layers).map(|_| layer()).collect() }
    }

    pub fn layer(&mut self, layer: usize) -> &mut Memory {
        &mut self.layers[layer]
    }

    /// Gives all memory back.
    pub fn clear(&mut self) {
        self.layers.iter_mut().for_each(|layer| layer.sides = None);
    }
}

impl Memory {
    /// Keys and values, `[heads, tokens, head width]`, of the tokens from `start` on.
    pub fn write(&mut self, start: usize, keys: &Tensor, values: &Tensor) -> Result<()> {
        self.reserve(start, start + keys.dim(1)?)?;
        for (side, new) in self.sides.iter().flatten().zip([keys, values]) {
            side.slice_set(&new.contiguous()?, 1, start)?;
        }
        Ok(())
    }

    /// Keys and values at these places.
    pub fn read(&self, places: Range<usize>) -> Result<(Tensor, Tensor)> {
        let Some([keys, values]) = &self.sides else { candle_core::bail!("nothing was read yet") };
        Ok((keys.narrow(1, places.start, places.len())?, values.narrow(1, places.start, places.len())?))
    }

    /// Makes room for `tokens` tokens and keeps the first `known` of them.
    fn reserve(&mut self, known: usize, tokens: usize) -> Result<()> {
        let has = self.sides.as_ref().map_or(0, |[keys, _]| keys.dims()[1]);
        if tokens <= has {
            return Ok(());
        }
        let size = (self.heads, room(tokens, self.capacity), self.head_width);
        let grown = |old: Option<&Tensor>| {
            let side = Tensor::zeros(size, DType::F32, &self.device)?;
            if let Some(old) = old.filter(|_| known > 0) {
                side.slice_set(&old.narrow(1, 0, known.min(has))?.contiguous()?, 1, 0)?;
            }
            Ok::<_, candle_core::Error>(side)
        };
        let old = self.sides.as_ref();
        self.sides = Some([grown(old.map(|[keys, _]| keys))?, grown(old.map(|[_, values]| values))?]);
        Ok(())
    }
}
