//! Speech found by Silero VAD (versions 5 and 6, MIT, snakers4/silero-vad), a small network in ONNX.
//!
//! Its ends, at 16 kHz: `input` \[1, 576\] is 512 samples and the 64 before them, `state` \[2, 1, 128\] what it remembers, `sr` the
//! rate; `output` \[1, 1\] is the probability, `stateN` what it remembers next.

use std::path::Path;

use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;

use crate::inference::audio::RATE_HZ;
use crate::inference::audio::vad::{Vad, VadError};
use crate::inference::onnx::Runtime;

const FRAME_LEN: usize = 512;
const CONTEXT_LEN: usize = 64;
const STATE_SHAPE: [usize; 3] = [2, 1, 128];
const STATE_LEN: usize = 2 * 128;

/// The detector that is better in noise.
pub struct SileroVad {
    session: Session,
    /// Dimensions of `sr`: none, or one in some exports.
    rate_shape: Vec<usize>,
    /// The end of the frame before, and the frame at hand.
    input: [f32; CONTEXT_LEN + FRAME_LEN],
    state: Vec<f32>,
}

impl std::fmt::Debug for SileroVad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SileroVad").finish_non_exhaustive()
    }
}

impl SileroVad {
    /// Loads the network at `path`. One thread, because a frame is a millisecond's work.
    pub fn load(runtime: &Runtime, path: &Path) -> Result<Self, VadError> {
        let build = || -> ort::Result<Session> {
            Session::builder(&runtime.environment)?
                .with_optimization_level(GraphOptimizationLevel::All)?
                .with_intra_threads(1)?
                .with_inter_threads(1)?
                .with_intra_op_spinning(false)?
                .commit_from_file(path)
        };
        let session = build().map_err(|source| VadError::Load { path: path.to_owned(), source })?;
        let other = |why: String| VadError::OtherModel { path: path.to_owned(), why };
        for name in ["input", "state", "sr"] {
            if !session.inputs().iter().any(|input| input.name() == name) {
                return Err(other(format!("it does not take `{name}`; only versions 5 and 6 are understood")));
            }
        }
        for name in ["output", "stateN"] {
            if !session.outputs().iter().any(|output| output.name() == name) {
                return Err(other(format!("it does not give `{name}`; only versions 5 and 6 are understood")));
            }
        }
        let rate =
            session.inputs().iter().find(|input| input.name() == "sr").and_then(|rate| rate.dtype().tensor_shape());
        let rate_shape = vec![1; rate.map_or(0, |shape| shape.len()).min(1)];
        Ok(Self { session, rate_shape, input: [0.0; CONTEXT_LEN + FRAME_LEN], state: vec![0.0; STATE_LEN] })
    }
}

impl Vad for SileroVad {
    fn frame_len(&self) -> usize {
        FRAME_LEN
    }

    fn speech(&mut self, frame: &[f32]) -> Result<f32, VadError> {
        let failed = |source| VadError::Run { source };
        self.input.copy_within(FRAME_LEN.., 0);
        self.input[CONTEXT_LEN..].copy_from_slice(&frame[..FRAME_LEN]);
        let rate = [i64::from(RATE_HZ)];
        let inputs = ort::inputs![
            "input" => TensorRef::from_array_view(([1, self.input.len()], &self.input[..])).map_err(failed)?,
            "state" => TensorRef::from_array_view((STATE_SHAPE, &self.state[..])).map_err(failed)?,
            "sr" => TensorRef::from_array_view((self.rate_shape.clone(), &rate[..])).map_err(failed)?,
        ];
        let outputs = self.session.run(inputs).map_err(failed)?;
        let (_, probability) = outputs["output"].try_extract_tensor::<f32>().map_err(failed)?;
        let (_, state) = outputs["stateN"].try_extract_tensor::<f32>().map_err(failed)?;
        let [probability] = probability else { return Err(VadError::Answer { len: probability.len() }) };
        if state.len() != STATE_LEN {
            return Err(VadError::Answer { len: state.len() });
        }
        self.state.copy_from_slice(state);
        Ok(if probability.is_nan() { 0.0 } else { probability.clamp(0.0, 1.0) })
    }

    fn reset(&mut self) {
        self.input.fill(0.0);
        self.state.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::inference::audio::testing::{noise, tone};
    use crate::inference::audio::vad::{Config, detect};
    use crate::inference::onnx;

    fn golden(name: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/vad").join(name)
    }

    /// `signature.onnx` has Silero's ends, and takes what is loud for speech: the mean height m of the 576 samples and the first
    /// number s of its state give 1 / (1 + exp(4 - 40 m - 20 s)); its state becomes half of what it was, plus m.
    #[test]
    fn a_network_with_the_right_ends_is_heard_with_context_and_state() {
        let runtime = onnx::testing::library();
        let mut vad = SileroVad::load(&runtime, &golden("signature.onnx")).expect("a detector");
        let frames = noise(10 * FRAME_LEN, 0.3, 1);
        let (mut state, mut before) = (0.0_f32, [0.0_f32; CONTEXT_LEN]);
        for frame in frames.chunks_exact(FRAME_LEN) {
            let heights = before.iter().chain(frame).map(|sample| sample.abs());
            let mean = heights.sum::<f32>() / (CONTEXT_LEN + FRAME_LEN) as f32;
            let expected = 1.0 / (1.0 + (4.0 - 40.0 * mean - 20.0 * state).exp());
            let found = vad.speech(frame).expect("judged");
            assert!((found - expected).abs() < 1e-4, "{found}, not {expected}");
            state = 0.5 * state + mean;
            before.copy_from_slice(&frame[FRAME_LEN - CONTEXT_LEN..]);
        }
        vad.reset();
        let silent = vad.speech(&[0.0; FRAME_LEN]).expect("judged");
        assert!((silent - 1.0 / (1.0 + 4.0_f32.exp())).abs() < 1e-4);
    }

    #[test]
    fn stretches_are_found_with_it_as_with_the_other() {
        let runtime = onnx::testing::library();
        let mut vad = SileroVad::load(&runtime, &golden("signature.onnx")).expect("a detector");
        let recording = [vec![0.0; 32_000], tone(300.0, 16_000, 1.0), vec![0.0; 32_000]].concat();
        let found = detect(&recording, &mut vad, &Config::default()).expect("judged");
        assert_eq!(found.len(), 1);
        assert!(found[0].start.abs_diff(28_000) < 1_000 && found[0].end.abs_diff(52_000) < 2_500, "{found:?}");
    }

    #[test]
    fn other_networks_and_other_files_are_refused() {
        let runtime = onnx::testing::library();
        let problem = SileroVad::load(&runtime, &golden("stranger.onnx")).expect_err("another network");
        assert!(matches!(&problem, VadError::OtherModel { why, .. } if why.contains("state")), "{problem}");
        for name in ["nothing.onnx", "../../fixtures/audio/tone.mp3"] {
            assert!(matches!(SileroVad::load(&runtime, &golden(name)), Err(VadError::Load { .. })), "{name}");
        }
    }
}
