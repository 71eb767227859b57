//! Somebody at a microphone: samples come in while they speak, words go out while they do.
//!
//! A thread finds where phrases begin and end. A task has whole phrases understood, in their order and for good, and meanwhile
//! what there is of the phrase at hand, so that words appear early. Only one thing is understood at a time: a guess that is
//! overtaken is dropped, a phrase never is, and whoever brings more than can be understood waits.
//!
//! Absent on purpose: how samples get here, and what is done with the words.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::base::lane::{Lane, LaneError};
use crate::inference::audio::vad::{EndpointConfig, Endpointer, EnergyVad, Event, Vad, VadError};
use crate::inference::speech::Detector;
use crate::inference::transcript::Transcript;
use crate::inference::whisper::{AudioContext, Options};
use crate::inference::worker::EngineError;

/// Phrases that wait to be understood.
const PHRASES_LEN: usize = 2;
/// Pieces of sound on their way to the thread that listens.
const PIECES_LEN: usize = 4;

/// What turns samples, one channel of 16,000 a second, into words. Whoever drops the future has the work stop.
pub trait Scribe: Send + Sync {
    fn write_down(&self, samples: Vec<f32>, options: Options) -> BoxFuture<'_, Result<Transcript, EngineError>>;
}

/// What was heard so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// What will not change any more.
    pub said: String,
    /// What comes after it, as it sounds now.
    pub guess: String,
    /// Code of the language, such as `en`; blank as long as nobody knows.
    pub language: String,
}

#[derive(Debug, thiserror::Error)]
pub enum MicrophoneError {
    #[error("could not listen")]
    Listen { source: LaneError },
    #[error("could not tell speech from silence")]
    Detect { source: VadError },
    #[error(transparent)]
    Understand { source: EngineError },
}

/// A microphone that is open. Dropping it closes it and stops what is computed for it.
pub struct Microphone {
    ear: Lane<Ear>,
    phrases: mpsc::Sender<Vec<f32>>,
    part: watch::Sender<Vec<f32>>,
    heard: watch::Receiver<Heard>,
    task: JoinSet<()>,
}

#[derive(Clone, Default)]
struct Heard {
    words: Words,
    /// Why a phrase was not understood; nothing is after that.
    problem: Option<EngineError>,
}

impl Microphone {
    /// Must be called inside a runtime.
    pub fn open(scribe: Arc<dyn Scribe>, options: Options, detector: Detector) -> Result<Self, MicrophoneError> {
        let ear = Ear { detector, endpointer: None };
        let ear = Lane::start("microphone", PIECES_LEN, ear).map_err(|source| MicrophoneError::Listen { source })?;
        let (phrases, waiting) = mpsc::channel(PHRASES_LEN);
        let (part, parts) = watch::channel(Vec::new());
        let words = Words { language: options.language.clone().unwrap_or_default(), ..Words::default() };
        let (sender, heard) = watch::channel(Heard { words, problem: None });
        let mut task = JoinSet::new();
        task.spawn(write_down(scribe, options, (waiting, parts), sender));
        Ok(Self { ear, phrases, part, heard, task })
    }

    /// Takes the next samples, one channel of 16,000 a second, and tells the words so far. Those of these samples come later.
    pub async fn hear(&mut self, samples: Vec<f32>) -> Result<Words, MicrophoneError> {
        let found = self.ear.call(move |ear| ear.listen(&samples)).await;
        let found = found.map_err(|source| MicrophoneError::Listen { source })?;
        let found = found.map_err(|source| MicrophoneError::Detect { source })?;
        let is_new = !found.phrases.is_empty() || found.part.is_some();
        for phrase in found.phrases {
            // The task ends early only with a problem, which is told below.
            let _ = self.phrases.send(phrase).await;
        }
        if is_new {
            self.part.send_replace(found.part.unwrap_or_default());
        }
        self.words()
    }

    /// Nothing follows: what was being said ends here. Waits until all of it is understood.
    pub async fn finish(self) -> Result<Words, MicrophoneError> {
        let last = self.ear.call(Ear::finish).await.map_err(|source| MicrophoneError::Listen { source })?;
        if let Some(phrase) = last {
            let _ = self.phrases.send(phrase).await;
        }
        let Self { phrases, part, heard, mut task, .. } = self;
        drop((phrases, part));
        while task.join_next().await.is_some() {}
        told(&heard)
    }

    fn words(&self) -> Result<Words, MicrophoneError> {
        told(&self.heard)
    }
}

fn told(heard: &watch::Receiver<Heard>) -> Result<Words, MicrophoneError> {
    let Heard { words, problem } = heard.borrow().clone();
    problem.map_or(Ok(words), |source| Err(MicrophoneError::Understand { source }))
}

/// Phrases first. A guess is dropped as soon as there is one: it would be overtaken anyway.
async fn write_down(
    scribe: Arc<dyn Scribe>,
    mut options: Options,
    (mut phrases, mut parts): (mpsc::Receiver<Vec<f32>>, watch::Receiver<Vec<f32>>),
    heard: watch::Sender<Heard>,
) {
    let prompt = options.prompt.clone().unwrap_or_default();
    loop {
        let phrase = tokio::select! {
            biased;
            phrase = phrases.recv() => phrase,
            Ok(()) = parts.changed() => {
                let part = parts.borrow_and_update().clone();
                tokio::select! {
                    biased;
                    phrase = phrases.recv() => phrase,
                    () = guess(&*scribe, part, &options, &heard) => continue,
                }
            }
        };
        let Some(phrase) = phrase else { return };
        let understood = match scribe.write_down(phrase, options.clone()).await {
            Ok(understood) => understood,
            Err(problem) => {
                heard.send_modify(|heard| heard.problem = Some(problem));
                return;
            }
        };
        if options.language.is_none() && !understood.segments.is_empty() {
            // What follows is in the same language; a cough in it is not to change that.
            options.language = Some(understood.language.clone());
        }
        heard.send_modify(|Heard { words, .. }| {
            words.said = format!("{} {}", words.said, understood.text()).trim().to_owned();
            words.guess.clear();
            words.language = options.language.clone().unwrap_or_default();
        });
        let said = format!("{prompt} {}", heard.borrow().words.said).trim().to_owned();
        options.prompt = Some(said).filter(|said| !said.is_empty());
    }
}

/// A guess that fails is none: the phrase will tell why.
async fn guess(scribe: &dyn Scribe, part: Vec<f32>, options: &Options, heard: &watch::Sender<Heard>) {
    if part.is_empty() {
        return;
    }
    // Once is enough for what does not stay. Models are tried on what was said to its end.
    let audio_context = match options.audio_context {
        AudioContext::Tried => AudioContext::Quick,
        chosen => chosen,
    };
    let quick = Options { temperatures: vec![0.0], audio_context, ..options.clone() };
    if let Ok(understood) = scribe.write_down(part, quick).await {
        heard.send_modify(|heard| heard.words.guess = understood.text());
    }
}

/// What finds phrases, on its thread.
struct Ear {
    detector: Detector,
    /// None before the first sound: a detector may have to be read from the disk.
    endpointer: Option<Endpointer<Box<dyn Vad>>>,
}

/// What the newest sound brought.
#[derive(Default)]
struct Found {
    /// That have ended.
    phrases: Vec<Vec<f32>>,
    /// The one at hand, where it has grown enough.
    part: Option<Vec<f32>>,
}

impl Ear {
    fn listen(&mut self, samples: &[f32]) -> Result<Found, VadError> {
        let detector = &self.detector;
        let endpointer = self.endpointer.get_or_insert_with(|| {
            let vad = detector.open().unwrap_or_else(|| Box::<EnergyVad>::default());
            Endpointer::new(vad, EndpointConfig::default())
        });
        let mut found = Found::default();
        for event in endpointer.push(samples)? {
            match event {
                Event::Started { .. } => {}
                Event::PartialDue => found.part = Some(endpointer.utterance().to_vec()),
                Event::Ended(utterance) => {
                    found.part = None;
                    found.phrases.push(utterance.samples);
                }
            }
        }
        Ok(found)
    }

    fn finish(&mut self) -> Option<Vec<f32>> {
        self.endpointer.as_mut()?.finish().map(|utterance| utterance.samples)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::inference::audio::testing::{noise, tone};
    use crate::inference::transcript::Segment;

    /// Says how many whole seconds it heard, and notes what it was told before.
    #[derive(Default)]
    struct Parrot {
        asked: Mutex<Vec<Options>>,
        /// Whether it understands nothing.
        is_broken: bool,
    }

    impl Scribe for Parrot {
        fn write_down(&self, samples: Vec<f32>, options: Options) -> BoxFuture<'_, Result<Transcript, EngineError>> {
            self.asked.lock().expect("alone").push(options);
            let text = format!("{:.0} seconds.", samples.len() as f64 / 16_000.0);
            let segments = vec![Segment { text, ..Segment::default() }];
            let understood = Transcript { language: "de".to_owned(), segments, ..Transcript::default() };
            let answer = if self.is_broken { Err(EngineError::Busy) } else { Ok(understood) };
            Box::pin(async move { answer })
        }
    }

    /// Stretches of something that warbles enough to be taken for speech, with silence between them.
    fn speech(seconds: &[f32]) -> Vec<f32> {
        let mut samples = noise(16_000, 0.001, 1);
        for seconds in seconds {
            let warble = tone(300.0, 16_000, *seconds).into_iter().enumerate();
            samples.extend(warble.map(|(n, sample)| sample * (n as f32 * 0.001).sin()));
            samples.extend(noise(2 * 16_000, 0.001, 2));
        }
        samples
    }

    async fn until(microphone: &mut Microphone, is_so: impl Fn(&Words) -> bool) -> Words {
        let wait = async {
            while !is_so(&microphone.words().expect("words")) {
                microphone.heard.changed().await.expect("a task that works");
            }
            microphone.words().expect("words")
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("in time")
    }

    #[tokio::test]
    async fn words_come_while_somebody_speaks_and_phrases_stay() {
        let parrot = Arc::new(Parrot::default());
        let options = Options { prompt: Some("KafClaw".to_owned()), ..Options::default() };
        let mut microphone = Microphone::open(parrot.clone(), options, Detector::Energy).expect("open");
        let samples = speech(&[4.0, 6.0]);
        // Into the middle of the first stretch, piece by piece as a page sends them.
        let (begun, rest) = samples.split_at(4 * 16_000);
        for piece in begun.chunks(4_000) {
            microphone.hear(piece.to_vec()).await.expect("words");
        }
        let words = until(&mut microphone, |words| !words.guess.is_empty()).await;
        assert!(words.said.is_empty() && words.guess.ends_with("seconds."), "{words:?}");
        for piece in rest.chunks(4_000) {
            microphone.hear(piece.to_vec()).await.expect("words");
        }
        let words = microphone.finish().await.expect("words");
        assert_eq!((words.guess.as_str(), words.language.as_str()), ("", "de"));
        assert_eq!(words.said.matches("seconds.").count(), 2, "{words:?}");
        let asked = parrot.asked.lock().expect("alone");
        let (quick, whole): (Vec<_>, Vec<_>) = asked.iter().partition(|options| options.temperatures == [0.0]);
        assert_eq!(whole.len(), 2, "each phrase is understood once");
        assert!(!quick.is_empty());
        assert_eq!((whole[0].language.as_deref(), whole[0].prompt.as_deref()), (None, Some("KafClaw")));
        let before = words.said.split_once(". ").map(|(first, _)| format!("KafClaw {first}."));
        assert_eq!((whole[1].language.as_deref(), &whole[1].prompt), (Some("de"), &before));
    }

    #[tokio::test]
    async fn silence_is_nothing_and_odd_numbers_do_no_harm() {
        let parrot = Arc::new(Parrot::default());
        let mut microphone = Microphone::open(parrot.clone(), Options::default(), Detector::Off).expect("open");
        for piece in [vec![], vec![f32::NAN; 8_000], noise(48_000, 0.001, 3), vec![f32::INFINITY; 3]] {
            assert_eq!(microphone.hear(piece).await.expect("words"), Words::default());
        }
        assert_eq!(microphone.finish().await.expect("words"), Words::default());
        assert!(parrot.asked.lock().expect("alone").is_empty());
    }

    #[tokio::test]
    async fn a_phrase_that_is_not_understood_is_told_of_and_holds_nobody_up() {
        let parrot = Arc::new(Parrot { is_broken: true, ..Parrot::default() });
        let mut microphone = Microphone::open(parrot, Options::default(), Detector::Energy).expect("open");
        let mut told = None;
        for piece in speech(&[2.0; 6]).chunks(8_000) {
            told = told.or(microphone.hear(piece.to_vec()).await.err());
        }
        let told = told.or(microphone.finish().await.err()).expect("an error");
        assert_eq!(told.to_string(), "too many requests wait for a model");
    }
}
