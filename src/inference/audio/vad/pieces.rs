//! A recording of any length in pieces that fit into memory, without its silence.

use std::ops::Range;

use crate::inference::audio::vad::{Config, Cut, PRIME_S, Spans, Vad, VadError, samples_of};
use crate::inference::audio::{AudioError, Progress, RATE_HZ, Stream, Warnings};

/// Where a piece may end when nobody pauses: within its last part.
const SEAM_S: usize = 20;
/// Without a judge, that is looked for in frames of this length: 20 ms.
const FRAME_LEN: usize = 320;

/// How to cut a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct PieceConfig {
    pub vad: Config,
    /// Longest piece; it is the memory that is needed, 64 KB a second.
    pub piece_s_max: usize,
}

impl Default for PieceConfig {
    fn default() -> Self {
        Self { vad: Config::default(), piece_s_max: 240 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PieceError {
    #[error(transparent)]
    Audio(#[from] AudioError),
    #[error(transparent)]
    Vad(#[from] VadError),
}

/// Pulls a [`Stream`] and gives its speech piece by piece, each with the way back to its times.
pub struct Pieces {
    stream: Stream,
    /// None to leave the silence in.
    vad: Option<Box<dyn Vad>>,
    piece_len_max: usize,
    frame_len: usize,
    spans: Spans,
    is_primed: bool,
    /// What was read and may still be needed, and which sample of the recording its first is.
    buffer: Vec<f32>,
    base: usize,
    cut: Cut,
    finished: Option<Cut>,
    is_over: bool,
}

impl std::fmt::Debug for Pieces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pieces").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Pieces {
    pub fn new(stream: Stream, mut vad: Option<Box<dyn Vad>>, config: &PieceConfig) -> Self {
        let frame_len = vad.as_ref().map_or(FRAME_LEN, |vad| vad.frame_len());
        if let Some(vad) = &mut vad {
            vad.reset();
        }
        Self {
            stream,
            vad,
            piece_len_max: config.piece_s_max.max(2 * SEAM_S) * RATE_HZ as usize,
            frame_len,
            spans: Spans::new(&config.vad, frame_len),
            is_primed: false,
            buffer: Vec::new(),
            base: 0,
            cut: Cut::default(),
            finished: None,
            is_over: false,
        }
    }

    /// The next piece; none at the end, and at once for a recording in which nobody speaks.
    pub fn next_piece(&mut self) -> Result<Option<Cut>, PieceError> {
        loop {
            if let Some(cut) = self.finished.take() {
                return Ok(Some(cut));
            }
            if self.is_over {
                let last = std::mem::take(&mut self.cut);
                return Ok((!last.is_empty()).then_some(last));
            }
            self.is_over = !self.stream.read(&mut self.buffer)?;
            match &mut self.vad {
                Some(vad) => {
                    let prime_len = PRIME_S * RATE_HZ as usize;
                    if !self.is_primed && (self.is_over || self.buffer.len() >= prime_len) {
                        vad.prime(&self.buffer[..self.buffer.len().min(prime_len)])?;
                        self.is_primed = true;
                    }
                    if self.is_primed {
                        self.judge()?;
                    }
                }
                None => self.divide(),
            }
        }
    }

    /// How far the recording was read.
    pub fn progress(&self) -> Progress {
        self.stream.progress()
    }

    /// What was found wrong with it so far.
    pub fn warnings(&self) -> Warnings {
        self.stream.warnings()
    }

    /// Judges every whole frame, at the end the last one too.
    fn judge(&mut self) -> Result<(), PieceError> {
        let end = self.base + self.buffer.len();
        if self.is_over {
            let judged = self.spans.judged_len() - self.base;
            let tail = (self.buffer.len() - judged).next_multiple_of(self.frame_len);
            self.buffer.resize(judged + tail, 0.0);
        }
        loop {
            let Some(vad) = &mut self.vad else { return Ok(()) };
            let from = self.spans.judged_len() - self.base;
            let Some(frame) = self.buffer.get(from..from + self.frame_len) else { break };
            let probability = vad.speech(frame)?;
            let mut span = self.spans.next(probability);
            if span.is_none() && self.is_overlong() {
                span = self.spans.finish();
            }
            if let Some(span) = span {
                self.keep(span.start..span.end.min(end));
            }
        }
        if self.is_over
            && let Some(span) = self.spans.finish()
        {
            self.keep(span.start..span.end.min(end));
        }
        let needless = self.spans.open_from().min(self.base + self.buffer.len()) - self.base;
        self.buffer.drain(..needless);
        self.base += needless;
        Ok(())
    }

    /// Whether the open stretch must end: at any pause when it is nearly as long as may be, and at last anyhow.
    fn is_overlong(&self) -> bool {
        let len = self.spans.judged_len() - self.spans.open_from();
        let seam_len = SEAM_S * RATE_HZ as usize;
        let is_pause = self.spans.pause_len() >= samples_of(100);
        len >= self.piece_len_max || (len >= self.piece_len_max - seam_len && is_pause)
    }

    /// Without a judge: ends pieces at their quietest moment.
    fn divide(&mut self) {
        while self.buffer.len() >= self.piece_len_max {
            let seam = self.piece_len_max - SEAM_S * RATE_HZ as usize;
            let frames = self.buffer[seam..self.piece_len_max].chunks_exact(FRAME_LEN);
            let power = |frame: &[f32]| frame.iter().map(|sample| sample * sample).sum::<f32>();
            let quietest = frames.map(power).enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(at, _)| at);
            self.release(seam + quietest * FRAME_LEN);
        }
        if self.is_over && !self.buffer.is_empty() {
            self.release(self.buffer.len());
        }
    }

    /// Gives out the first `len` samples of the buffer.
    fn release(&mut self, len: usize) {
        self.keep(self.base..self.base + len);
        self.buffer.drain(..len);
        self.base += len;
    }

    /// Adds a stretch of the recording to the piece at hand, or begins the next one with it.
    fn keep(&mut self, span: Range<usize>) {
        if span.is_empty() {
            return;
        }
        if !self.cut.is_empty() && self.cut.samples.len() + span.len() > self.piece_len_max {
            // One block of a stream is shorter than a piece, so at most one piece is finished at a time, except at the end of a
            // hostile one; then the pieces are joined.
            let full = std::mem::take(&mut self.cut);
            match &mut self.finished {
                None => self.finished = Some(full),
                Some(finished) => finished.append(full),
            }
        }
        self.cut.push(&self.buffer[span.start - self.base..span.end - self.base], span.start);
    }
}
