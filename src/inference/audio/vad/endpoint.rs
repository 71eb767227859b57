//! When somebody at a microphone begins and ends to speak: a state machine fed with samples as they come.

use crate::inference::audio::vad::{Config, Spans, Vad, VadError, samples_of};
use crate::inference::audio::{RATE_HZ, seconds};

/// When to say what.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointConfig {
    /// Its pause ends what is said, and its padding is kept before it.
    pub vad: Config,
    /// After so much more of speech a new guess at the words is worth its cost.
    pub partial_ms: u32,
    /// Whoever speaks longer is cut off, and goes on in the next utterance: none is longer, so that Whisper hears it in one window.
    pub utterance_s_max: usize,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        let vad = Config { silence_ms_min: 700, pad_ms: 300, ..Config::default() };
        Self { vad, partial_ms: 600, utterance_s_max: 30 }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Somebody speaks, since that many seconds after the microphone was opened.
    Started {
        at_s: f64,
    },
    /// [`Endpointer::utterance`] has grown enough to be understood anew.
    PartialDue,
    Ended(Utterance),
}

/// Something that was said.
#[derive(Debug, Clone, PartialEq)]
pub struct Utterance {
    /// One channel at 16 kHz, a little silence on both sides.
    pub samples: Vec<f32>,
    /// When it began, in seconds after the microphone was opened.
    pub start_s: f64,
    pub reason: Reason,
}

/// Why an utterance ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nobody said more.
    Pause,
    /// It became too long.
    TooLong,
    /// The microphone was closed.
    Closed,
}

/// Follows one microphone. It keeps what was said since the last event, and a moment of silence before.
pub struct Endpointer<V> {
    vad: V,
    config: EndpointConfig,
    spans: Spans,
    /// From sample `base` on.
    heard: Vec<f32>,
    base: usize,
    speaking: Option<Speaking>,
}

struct Speaking {
    /// Judged samples at the last [`Event::PartialDue`].
    told: usize,
}

impl<V: Vad> Endpointer<V> {
    pub fn new(mut vad: V, config: EndpointConfig) -> Self {
        vad.reset();
        let spans = Spans::new(&config.vad, vad.frame_len());
        Self { vad, config, spans, heard: Vec::new(), base: 0, speaking: None }
    }

    /// Takes samples, one channel at 16 kHz, in pieces of any length.
    pub fn push(&mut self, samples: &[f32]) -> Result<Vec<Event>, VadError> {
        // What comes from a network is not always numbers.
        self.heard.extend(samples.iter().map(|sample| if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 }));
        let mut events = Vec::new();
        loop {
            let from = self.spans.judged_len() - self.base;
            let Some(frame) = self.heard.get(from..from + self.vad.frame_len()) else { return Ok(events) };
            let probability = self.vad.speech(frame)?;
            self.judge(probability, &mut events);
        }
    }

    /// The microphone is closed; what was being said ends here.
    pub fn finish(&mut self) -> Option<Utterance> {
        self.end(Reason::Closed)
    }

    /// What was said so far by whoever speaks; empty when nobody does.
    pub fn utterance(&self) -> &[f32] {
        if self.speaking.is_none() {
            return &[];
        }
        &self.heard[self.spans.open_from() - self.base..self.spans.judged_len() - self.base]
    }

    fn judge(&mut self, probability: f32, events: &mut Vec<Event>) {
        let before = self.spans.open_from();
        let span = self.spans.next(probability);
        let judged = self.spans.judged_len();
        if let Some(span) = span {
            self.speaking = None;
            events.push(Event::Ended(self.take(span, Reason::Pause)));
        } else if self.spans.voiced_len() == 0 {
            // Nothing, or a noise that was too short to be speech.
            self.speaking = None;
            self.forget(self.spans.open_from());
        } else if self.speaking.is_none() && self.spans.voiced_len() >= samples_of(self.config.vad.speech_ms_min) {
            self.speaking = Some(Speaking { told: judged });
            events.push(Event::Started { at_s: seconds(before) });
        } else if judged - before + self.vad.frame_len() > self.config.utterance_s_max * RATE_HZ as usize {
            events.extend(self.end(Reason::TooLong).map(Event::Ended));
        } else if let Some(speaking) = &mut self.speaking
            && judged - speaking.told >= samples_of(self.config.partial_ms)
        {
            speaking.told = judged;
            events.push(Event::PartialDue);
        }
    }

    fn end(&mut self, reason: Reason) -> Option<Utterance> {
        self.speaking = None;
        let span = self.spans.finish()?;
        Some(self.take(span, reason))
    }

    fn take(&mut self, span: std::ops::Range<usize>, reason: Reason) -> Utterance {
        let samples = self.heard[span.start - self.base..span.end - self.base].to_vec();
        self.forget(span.end);
        Utterance { samples, start_s: seconds(span.start), reason }
    }

    /// Drops what lies before sample `until`.
    fn forget(&mut self, until: usize) {
        self.heard.drain(..until.saturating_sub(self.base));
        self.base = self.base.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes every frame with a loud first sample for speech.
    struct Simple;

    const FRAME: usize = 320;

    impl Vad for Simple {
        fn frame_len(&self) -> usize {
            FRAME
        }

        fn speech(&mut self, frame: &[f32]) -> Result<f32, VadError> {
            Ok(if frame[0] > 0.5 { 0.9 } else { 0.1 })
        }

        fn reset(&mut self) {}
    }

    fn config() -> EndpointConfig {
        let vad = Config { speech_ms_min: 60, silence_ms_min: 100, pad_ms: 40, ..Config::default() };
        EndpointConfig { vad, partial_ms: 100, utterance_s_max: 1 }
    }

    fn frames(pattern: &str) -> Vec<f32> {
        pattern.chars().flat_map(|frame| vec![if frame == '#' { 0.9 } else { 0.0 }; FRAME]).collect()
    }

    /// Events as words, each with the number of frames that were fed before it.
    fn events(pattern: &str, piece_len: usize) -> Vec<String> {
        let mut endpointer = Endpointer::new(Simple, config());
        let (mut told, mut fed) = (Vec::new(), 0);
        for piece in frames(pattern).chunks(piece_len) {
            fed += piece.len();
            for event in endpointer.push(piece).expect("judged") {
                told.push(match event {
                    Event::Started { at_s } => format!("{} started at {}", fed / FRAME, (at_s * 50.0).round()),
                    Event::PartialDue => format!("{} partial of {}", fed / FRAME, endpointer.utterance().len() / FRAME),
                    Event::Ended(utterance) => {
                        format!("{} ended with {}", fed / FRAME, utterance.samples.len() / FRAME)
                    }
                });
            }
        }
        told.extend(endpointer.finish().map(|utterance| format!("closed with {}", utterance.samples.len() / FRAME)));
        told
    }

    #[test]
    fn speech_starts_is_guessed_at_and_ends() {
        let told = events("....########.......", FRAME);
        // Three frames make it speech; two of padding come before; five of silence end it, two of which are kept.
        let expected = ["7 started at 2", "12 partial of 10", "17 ended with 12"];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_noise_is_nothing() {
        assert_eq!(events("....##............##......", FRAME), [""; 0]);
    }

    #[test]
    fn whoever_never_pauses_is_cut_off_and_goes_on() {
        let told = events(&"#".repeat(120), FRAME);
        let ends: Vec<_> = told.iter().filter(|event| event.contains("ended") || event.contains("closed")).collect();
        assert_eq!(ends, ["50 ended with 50", "100 ended with 50", "closed with 20"]);
    }

    #[test]
    fn a_closed_microphone_ends_what_is_said() {
        assert_eq!(events("..#####", FRAME).last().map(String::as_str), Some("closed with 7"));
        assert_eq!(events("..##", FRAME), [""; 0]);
    }

    #[test]
    fn pieces_of_any_length_tell_the_same() {
        let pattern = "....########.......##.....####........";
        let words = |piece_len| {
            let told = events(pattern, piece_len);
            told.into_iter().map(|event| event.split_once(' ').map_or(event.clone(), |(_, what)| what.to_owned()))
        };
        let expected: Vec<_> = words(FRAME).filter(|what| !what.contains("partial")).collect();
        for piece_len in [1, 100, 333, 5_000, 100_000] {
            let told: Vec<_> = words(piece_len).filter(|what| !what.contains("partial")).collect();
            assert_eq!(told, expected, "{piece_len}");
        }
    }

    #[test]
    fn silence_takes_no_memory_and_odd_numbers_do_no_harm() {
        let mut endpointer = Endpointer::new(Simple, config());
        for _ in 0..1_000 {
            assert_eq!(endpointer.push(&[f32::NAN; FRAME]).expect("judged"), []);
            assert!(endpointer.heard.len() <= 4 * FRAME);
        }
    }
}
