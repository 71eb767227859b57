//! What was said so far, in every lane: keys and values of the self attention, allocated once for as long as a text may be.

use crate::inference::whisper::shape::Shape;
use crate::inference::whisper::slices::Memory;

/// Texts that are decoded side by side.
#[derive(Debug)]
pub struct Past {
    lanes: Vec<Lane>,
    /// Lanes that are not in use, kept for when they are.
    spare: Vec<Lane>,
}

/// One text.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    pub len: usize,
    /// By layer, then by head.
    pub layers: Vec<Vec<Memory>>,
}

impl Past {
    pub fn new(shape: &Shape) -> Self {
        let head_width = shape.d_model / shape.decoder_attention_heads;
        let heads = vec![Memory::new(head_width, shape.max_target_positions); shape.decoder_attention_heads];
        Self { lanes: vec![Lane { len: 0, layers: vec![heads; shape.decoder_layers] }], spare: Vec::new() }
    }

    pub(super) fn lane(&mut self, index: usize) -> &mut Lane {
        &mut self.lanes[index]
    }

    /// Lane `i` becomes a copy of lane `from[i]`. A lane that goes on by itself is moved, not copied.
    pub fn keep(&mut self, from: &[usize]) {
        let mut old: Vec<Option<Lane>> = self.lanes.drain(..).map(Some).collect();
        let mut lanes: Vec<Option<Lane>> = vec![None; from.len()];
        // First those that are needed once more than they are copied.
        let mut owner = vec![None; old.len()];
        for (place, source) in from.iter().enumerate() {
            owner[*source] = Some(place);
        }
        for (place, source) in from.iter().enumerate() {
            if owner[*source] != Some(place) {
                let model = old[*source].as_ref().expect("invariant: its owner comes last");
                lanes[place] = Some(copy(model, self.spare.pop()));
            } else {
                lanes[place] = old[*source].take();
            }
        }
        self.spare.extend(old.into_iter().flatten());
        self.lanes = lanes.into_iter().flatten().collect();
    }
}

/// A copy, in the memory of a lane that is not needed any more where there is one.
fn copy(model: &Lane, spare: Option<Lane>) -> Lane {
    match spare {
        Some(mut lane) => {
            lane.clone_from(model);
            lane
        }
        None => model.clone(),
    }
}
