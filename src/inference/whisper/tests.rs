//! The whole of it against the reference implementation: a small model with Whisper's architecture and what Hugging Face's
//! transformers make of it (`scripts/whisper_reference.py`).

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::Deserialize;

use super::*;
use crate::inference::weights::Tensors;
use crate::inference::whisper::engine::Step;
use crate::inference::whisper::saying::{Way, say};

#[derive(Deserialize)]
pub(super) struct Golden {
    pub scenes: std::collections::BTreeMap<String, Scene>,
    long: Long,
}

#[derive(Deserialize)]
pub(super) struct Scene {
    code: String,
    /// Index of the word and start in steps of 0.02 s.
    words: Vec<(usize, usize)>,
    seconds: f64,
    pub plain: Vec<u32>,
    pub timed: Vec<u32>,
    pub beams: Vec<u32>,
    languages: std::collections::BTreeMap<String, f32>,
    no_speech: f32,
}

#[derive(Deserialize)]
pub(super) struct Long {
    code: String,
    words: Vec<(usize, usize)>,
    seconds: f64,
    segments: Vec<Told>,
}

#[derive(Deserialize)]
struct Told {
    start: f64,
    end: f64,
    tokens: Vec<u32>,
}

pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/whisper")
}

pub(super) fn golden() -> Golden {
    serde_json::from_slice(&std::fs::read(folder().join("golden.json")).expect("a file"))
        .expect("what the script wrote")
}

/// Loaded once for all tests.
pub(super) fn whisper() -> &'static Whisper {
    static WHISPER: OnceLock<Whisper> = OnceLock::new();
    WHISPER.get_or_init(|| {
        Whisper::load(&Config { folder: folder(), threads: 2, ..Config::default() }).expect("the model")
    })
}

pub(super) fn engine() -> &'static Slices {
    slices(whisper())
}

fn slices(whisper: &Whisper) -> &Slices {
    match &whisper.model {
        Model::Slices(engine) => engine,
        Model::Candle(_) => panic!("the processor computes here"),
    }
}

/// The script's formula: chords for words, a third tone for German, quiet noise.
fn speech(code: &str, words: &[(usize, usize)], seconds: f64) -> Vec<f32> {
    const LOW: [f64; 4] = [400.0, 600.0, 900.0, 1300.0];
    const HIGH: [f64; 2] = [1700.0, 2300.0];
    let count = (seconds * RATE as f64).round() as usize;
    let mut samples = vec![0.0_f64; count];
    let word_len = RATE * 3 / 10;
    for (word, start) in words {
        for n in 0..word_len {
            let t = n as f64 / RATE as f64;
            let sine = |hertz: f64| (std::f64::consts::TAU * hertz * t).sin();
            let envelope = 0.5 - 0.5 * (std::f64::consts::TAU * t / 0.3).cos();
            let third = if code == "de" { sine(3300.0) } else { 0.0 };
            if let Some(sample) = samples.get_mut(start * RATE / 50 + n) {
                *sample += 0.2 * envelope * (sine(LOW[word % 4]) + sine(HIGH[word / 4]) + third);
            }
        }
    }
    let mut state = 12_345_u32;
    let noisy = samples.into_iter().map(|sample| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (sample + (f64::from(state) / 4_294_967_296.0 - 0.5) * 0.002) as f32
    });
    noisy.collect()
}

pub(super) fn of(scene: &Scene) -> Vec<f32> {
    speech(&scene.code, &scene.words, scene.seconds)
}

pub(super) fn full() -> Options {
    Options { audio_context: AudioContext::Full, ..Options::default() }
}

pub(super) fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

pub(super) fn floats(tensors: &Tensors, name: &str) -> Vec<f32> {
    let any = vec![0; tensors.dims(name).expect(name).len()];
    tensors.floats(name, &any).expect(name)
}

pub(super) fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn a_short_recording_is_heard_in_full_until_the_model_has_shown_that_it_need_not_be() {
    let folder_of_record = tempfile::tempdir().expect("a folder");
    let record = folder_of_record.path().join(super::TRIAL_FILE);
    let config = Config { folder: folder(), threads: 2, trial: Some(record.clone()), ..Config::default() };
    let samples = of(&golden().scenes["english"]);
    let heard = |audio_context| {
        let whisper = Whisper::load(&config).expect("the model");
        whisper
            .transcribe(&samples, &Options { audio_context, ..Options::default() }, &mut go_on)
            .expect("a transcript")
    };
    let (full, trimmed) = (heard(AudioContext::Full), heard(AudioContext::Trimmed));
    assert_eq!(heard(AudioContext::Quick), trimmed);
    assert!(!record.exists(), "nothing is tried when it is said how to hear");
    assert_eq!(heard(AudioContext::Tried), full);
    let noted = std::fs::read_to_string(&record).expect("a record");
    assert_eq!(noted.contains("\"differed\":true"), full.text() != trimmed.text(), "{noted}");
    std::fs::write(&record, r#"{"agreed":8,"differed":false}"#).expect("written");
    assert_eq!(heard(AudioContext::Tried), trimmed);
    std::fs::write(&record, r#"{"agreed":8,"differed":true}"#).expect("written");
    assert_eq!(heard(AudioContext::Quick), full);
}

#[test]
fn mel_encoder_and_scores_are_those_of_the_reference() {
    let tensors = Tensors::open(&folder().join("tensors.safetensors")).expect("a file");
    let tensor = |name: &str| floats(&tensors, name);
    let golden = golden();
    let samples = of(&golden.scenes["english"]);
    for (bands, name) in [(80, "mel"), (128, "mel_128")] {
        let mel = MelMaker::new(bands).hear(&samples, 30 * RATE, 3000);
        let rows: Vec<f32> = mel.values[..220 * bands].chunks(bands).step_by(5).flatten().copied().collect();
        assert!(distance(&rows, &tensor(name)) < 1e-4, "{name}");
    }
    let mel = whisper().parts.mel.hear(&samples, 30 * RATE, 3000);
    let encoded = engine().encode(&mel);
    let rows: Vec<f32> = encoded.chunks(64).step_by(30).flatten().copied().collect();
    assert!(distance(&rows, &tensor("encoded")) < 1e-3);
    let heard = engine().hear(&mel).expect("heard");
    let steps: Vec<Step> = tensor("tokens").iter().map(|token| Step { lane: 0, token: *token as u32 }).collect();
    let at_once = engine().say(&heard, &mut engine().tape(), &steps, &[0, 2, 5]).expect("scores");
    assert!(distance(&at_once, &tensor("logits")) < 1e-3);
    let (mut tape, mut last) = (engine().tape(), Vec::new());
    for step in &steps {
        last = engine().say(&heard, &mut tape, &[*step], &[0]).expect("scores");
    }
    let size = engine().vocabulary();
    assert!(distance(&last, &tensor("logits")[2 * size..]) < 1e-3, "one by one, with what was said before remembered");
}

/// Tokens as they are said about one window, before they are cut into phrases.
pub(super) fn said<E: Engine>(engine: &E, scene: &Scene, heard: &E::Heard, (times, beams): (Times, usize)) -> Vec<u32> {
    let parts = &whisper().parts;
    let vocabulary = &parts.vocabulary;
    let language = vocabulary.language_token(&scene.code).expect("known");
    let mut prompt = vec![vocabulary.start, language, vocabulary.transcribe];
    if times == Times::Left {
        prompt.push(vocabulary.no_times);
    }
    let rules = parts.rules(times);
    let way = Way {
        rules: &rules,
        prompt: &prompt,
        silence: (0, vocabulary.no_speech),
        temperature: 0.0,
        beams,
        tokens_max: 200,
        may_end: true,
        seed: 0,
    };
    let said = say(engine, heard, &way, &mut |_| ControlFlow::Continue(())).expect("said");
    assert!((said.no_speech_prob - scene.no_speech).abs() < 1e-3);
    assert_eq!(said.tokens.len(), said.logprobs.len());
    said.tokens
}

#[test]
fn the_same_tokens_are_said_greedily_with_times_and_by_beams() {
    for (name, scene) in &golden().scenes {
        let heard = engine().hear(&whisper().parts.mel.hear(&of(scene), 30 * RATE, 3000)).expect("heard");
        assert_eq!(said(engine(), scene, &heard, (Times::Left, 1)), scene.plain, "{name}");
        assert_eq!(said(engine(), scene, &heard, (Times::Said, 1)), scene.timed, "{name}");
        assert_eq!(said(engine(), scene, &heard, (Times::Left, 5)), scene.beams, "{name}");
    }
}

#[test]
fn languages_are_told_apart_as_the_reference_does() {
    let golden = golden();
    for name in ["english", "german"] {
        let scene = &golden.scenes[name];
        let options = full();
        let course = Course::new(engine(), &whisper().parts, &options).expect("a course");
        let shares = course.languages(&of(scene)).expect("shares");
        for (code, share) in &shares {
            assert!((share - scene.languages[code]).abs() < 1e-3, "{name} {code}");
        }
        assert_eq!(whisper().languages(&of(scene)).expect("shares")[0].0, scene.code);
    }
}

#[test]
fn a_long_recording_is_cut_as_the_reference_cuts_it() {
    let long = golden().long;
    let options = Options {
        language: Some(long.code.clone()),
        temperatures: vec![0.0],
        previous_text: false,
        guards: Guards { no_speech_max: 1.0, ..Guards::default() },
        ..full()
    };
    let samples = speech(&long.code, &long.words, long.seconds);
    let transcript = whisper().transcribe(&samples, &options, &mut go_on).expect("a transcript");
    // What follows is hiss, in which each guesses: the reference hears it relative to the loudest word of the whole recording.
    let speech_s = long.words.last().map_or(0.0, |(_, start)| *start as f64 * 0.02 - 0.5);
    let ours = transcript.segments.iter().filter(|segment| segment.start_s < speech_s);
    let ours: Vec<_> = ours.map(|segment| (segment.end_s, segment.tokens.clone())).collect();
    let end = whisper().parts.vocabulary.end;
    let has_words = |told: &&Told| told.start < speech_s && told.tokens.iter().any(|token| *token < end);
    for (told, (end_s, tokens)) in long.segments.iter().filter(has_words).zip(&ours) {
        // The reference leaves the start of the phrase after it where that phrase is cut.
        let extra = usize::from(matches!(told.tokens[..], [.., a, b] if a > end && b > end));
        assert_eq!(&told.tokens[..told.tokens.len() - extra], tokens, "{} to {}", told.start, told.end);
        assert!((told.end.min(long.seconds) - end_s).abs() < 0.03);
    }
    assert_eq!(long.segments.iter().filter(has_words).count(), ours.len());
    // More than one window, and more than one phrase in it.
    assert!(ours.len() > 6 && ours.iter().any(|(_, tokens)| tokens[0] < ours[1].1[0]));
    assert!(
        transcript.segments.iter().all(|segment| segment.start_s <= segment.end_s && segment.end_s <= long.seconds)
    );
}

#[test]
fn word_times_lie_within_their_phrases_and_a_caller_who_leaves_is_heard() {
    let golden = golden();
    let samples = of(&golden.scenes["english"]);
    let options = Options { word_times: true, language: Some("English".into()), ..Options::default() };
    let mut news = Vec::new();
    let transcript = whisper()
        .transcribe(&samples, &options, &mut |progress| {
            news.push(progress);
            ControlFlow::Continue(())
        })
        .expect("a transcript");
    assert_eq!((transcript.language.as_str(), transcript.duration_s), ("en", 4.0));
    for segment in &transcript.segments {
        let words = segment.words.as_ref().expect("asked for");
        assert_eq!(words.iter().map(|word| word.text.as_str()).collect::<String>().trim(), segment.text);
        for word in words {
            assert!(word.start_s >= segment.start_s && word.start_s <= word.end_s && word.end_s <= segment.end_s);
            assert!(word.probability > 0.0 && word.probability <= 1.0);
        }
    }
    assert!(!transcript.segments.is_empty() && matches!(news.last(), Some(Progress::Heard { .. })));
    let left = whisper().transcribe(&samples, &options, &mut |_| ControlFlow::Break(()));
    assert!(matches!(left, Err(WhisperError::Cancelled)));
}

#[test]
fn nothing_silence_and_broken_numbers_are_transcripts_and_odd_options_errors() {
    for samples in [vec![], vec![0.0; 50], vec![f32::NAN; 20_000], vec![f32::INFINITY; 9_000]] {
        let options = Options { temperatures: vec![0.0], ..Options::default() };
        let transcript = whisper().transcribe(&samples, &options, &mut go_on).expect("a transcript");
        assert_eq!(transcript.duration_s, samples.len() as f64 / 16_000.0);
    }
    for options in [
        Options { beams: 0, ..Options::default() },
        Options { temperatures: vec![], ..Options::default() },
        Options { temperatures: vec![f32::NAN], ..Options::default() },
        Options { language: Some("klingon".into()), ..Options::default() },
    ] {
        assert!(whisper().transcribe(&[0.0; 100], &options, &mut go_on).is_err());
    }
}

#[test]
fn models_that_are_cut_or_of_another_kind_are_refused() {
    let model = std::fs::read(folder().join("model.safetensors")).expect("a file");
    let copy = tempfile::tempdir().expect("a folder");
    for name in ["config.json", "generation_config.json", "tokenizer.json"] {
        std::fs::copy(folder().join(name), copy.path().join(name)).expect("copied");
    }
    let load = || Whisper::load(&Config { folder: copy.path().to_owned(), threads: 1, ..Config::default() });
    assert!(matches!(load(), Err(WhisperError::NoWeights { .. })));
    for len in [0, 7, 8, 5_000, model.len() / 2, model.len() - 1] {
        std::fs::write(copy.path().join("model.safetensors"), &model[..len]).expect("written");
        assert!(matches!(load(), Err(WhisperError::Weights { .. })), "{len}");
    }
    std::fs::write(copy.path().join("model.safetensors"), &model).expect("written");
    assert!(load().is_ok());
    for (name, wrong) in [("tokenizer.json", "{}"), ("tokenizer.json", "not JSON"), ("generation_config.json", "[")] {
        std::fs::write(copy.path().join(name), wrong).expect("written");
        assert!(load().is_err(), "{name}");
        std::fs::copy(folder().join(name), copy.path().join(name)).expect("copied");
    }
    let config = std::fs::read_to_string(folder().join("config.json")).expect("a file");
    let wider = config.replace("\"d_model\": 64", "\"d_model\": 128");
    std::fs::write(copy.path().join("config.json"), wider).expect("written");
    assert!(matches!(load(), Err(WhisperError::Weights { .. })));
}

#[test]
fn a_file_of_sixteen_bits_is_kept_in_them_and_loses_nothing() {
    let mel = whisper().parts.mel.hear(&of(&golden().scenes["english"]), 30 * RATE, 3000);
    let config = Config { folder: folder(), threads: 2, precision: Precision::F32, ..Config::default() };
    let whole = Whisper::load(&config).expect("the model");
    let wide = slices(&whole);
    assert!(engine().is_kept_in(Precision::F16) && wide.is_kept_in(Precision::F32));
    assert_eq!(engine().encode(&mel), wide.encode(&mel));
    let start = [Step { lane: 0, token: 5 }];
    let scores = |engine: &Slices| {
        let heard = engine.hear(&mel).expect("heard");
        engine.say(&heard, &mut engine.tape(), &start, &[0]).expect("scores")
    };
    assert_eq!(scores(engine()), scores(wide));
}

#[test]
fn eight_bits_say_the_same_and_hardly_anything_else_is_likelier() {
    let config = Config { folder: folder(), threads: 2, precision: Precision::Int8, ..Config::default() };
    let whisper = Whisper::load(&config).expect("the model");
    let tensors = Tensors::open(&folder().join("tensors.safetensors")).expect("a file");
    let engine = slices(&whisper);
    let golden = golden();
    let heard = engine.hear(&whisper.parts.mel.hear(&of(&golden.scenes["english"]), 30 * RATE, 3000)).expect("heard");
    let tokens = floats(&tensors, "tokens");
    let steps: Vec<Step> = tokens.iter().map(|token| Step { lane: 0, token: *token as u32 }).collect();
    let mut scores = engine.say(&heard, &mut engine.tape(), &steps, &[5]).expect("scores");
    let mut exact = floats(&tensors, "logits").split_off(2 * engine.vocabulary());
    for row in [&mut scores, &mut exact] {
        crate::inference::kernel::f32_vector::softmax(row, 1.0);
    }
    assert!(distance(&scores, &exact) < 0.15, "{}", distance(&scores, &exact));
}
