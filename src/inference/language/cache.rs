//! Keys and values of what was read, as 16-bit floats, one run of memory for each layer and head.

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::inference::language::shape::Shape;

#[derive(Debug)]
pub struct Cache {
    layers: Vec<CacheLayer>,
    capacity: usize,
}

#[derive(Debug)]
pub struct CacheLayer {
    keys: Vec<f16>,
    values: Vec<f16>,
    capacity: usize,
    head_width: usize,
    kv_heads: usize,
}

impl Cache {
    /// For `capacity` tokens. Memory is used as tokens come: room doubles when it is full.
    pub fn new(shape: &Shape, capacity: usize) -> Self {
        let layer = || CacheLayer {
            keys: Vec::new(),
            values: Vec::new(),
            capacity: 0,
            head_width: shape.head_width,
            kv_heads: shape.kv_heads,
        };
        Self { layers: (0..shape.layers).map(|_| layer()).collect(), capacity }
    }

    pub fn layer(&self, layer: usize) -> &CacheLayer {
        &self.layers[layer]
    }

    /// Makes room for `tokens` tokens in every layer.
    pub fn reserve(&mut self, tokens: usize) {
        let wanted = room(tokens, self.capacity);
        for layer in &mut self.layers {
            layer.grow(wanted);
        }
    }

    /// Writes the keys and values (all heads of one token) at `position`.
    pub fn write(&mut self, layer: usize, position: usize, keys: &[f32], values: &[f32]) {
        let layer = &mut self.layers[layer];
        let width = layer.head_width;
        for head in 0..layer.kv_heads {
            let at = (head * layer.capacity + position) * width;
            layer.keys[at..at + width].convert_from_f32_slice(&keys[head * width..(head + 1) * width]);
            layer.values[at..at + width].convert_from_f32_slice(&values[head * width..(head + 1) * width]);
        }
    }

    /// Gives all memory back.
    pub fn clear(&mut self) {
        for layer in &mut self.layers {
            layer.keys = Vec::new();
            layer.values = Vec::new();
            layer.capacity = 0;
        }
    }
}

/// For how many tokens room is made when there are `tokens`, at most `capacity` if those are enough.
pub fn room(tokens: usize, capacity: usize) -> usize {
    tokens.next_power_of_two().max(256).min(capacity.max(tokens))
}

impl CacheLayer {
    fn grow(&mut self, capacity: usize) {
        if capacity <= self.capacity {
            return;
        }
        let (old, new) = (self.capacity * self.head_width, capacity * self.head_width);
        for side in [&mut self.keys, &mut self.values] {
            let mut grown = vec![f16::ZERO; new * self.kv_heads];
            for head in 0..self.kv_heads {
                grown[head * new..head * new + old].copy_from_slice(&side[head * old..(head + 1) * old]);
            }
            *side = grown;
        }
        self.capacity = capacity;
    }

    /// Keys of a head at positions `start..end`, one after another.
    pub fn keys(&self, head: usize, start: usize, end: usize) -> &[f16] {
        let first = head * self.capacity;
        &self.keys[(first + start) * self.head_width..(first + end) * self.head_width]
    }

    pub fn values(&self, head: usize, start: usize, end: usize) -> &[f16] {
        let first = head * self.capacity;
        &self.values[(first + start) * self.head_width..(first + end) * self.head_width]
    }
}
