//! What a model computes, whatever it computes with: the face between decoding and arithmetic.

use crate::inference::whisper::error::WhisperError;
use crate::inference::whisper::mel::Mel;

/// A token that is said next in one of several texts that are decoded side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Which text.
    pub lane: usize,
    pub token: u32,
}

/// A Whisper, ready to hear and to say.
pub trait Engine: Sync {
    /// What was heard in a window: keys and values of the cross attention.
    type Heard: Send;
    /// What was said so far, in every lane: keys and values of the self attention.
    type Tape: Send;

    /// Tokens the model can say.
    fn vocabulary(&self) -> usize;

    /// Tokens that one text may have, with its prompt.
    fn positions(&self) -> usize;

    /// Runs the encoder over all frames, two of which are one position.
    fn hear(&self, mel: &Mel) -> Result<Self::Heard, WhisperError>;

    /// An empty tape with one lane.
    fn tape(&self) -> Self::Tape;

    /// Says `steps`, in order, and returns the scores of what comes after each of `wanted` (indices into `steps`): the vocabulary's
    /// length per index. Lanes must exist and have room.
    fn say(
        &self,
        heard: &Self::Heard,
        tape: &mut Self::Tape,
        steps: &[Step],
        wanted: &[usize],
    ) -> Result<Vec<f32>, WhisperError>;

    /// Makes lane `i` a copy of what lane `from[i]` was; other lanes are gone.
    fn keep(&self, tape: &mut Self::Tape, from: &[usize]) -> Result<(), WhisperError>;

    /// Where the model listened while it said `tokens` from an empty tape: for every token, head of `heads` (layer, head) and
    /// audio position its share, in this order of dimensions.
    fn attend(&self, heard: &Self::Heard, tokens: &[u32], heads: &[(usize, usize)]) -> Result<Vec<f32>, WhisperError>;
}
