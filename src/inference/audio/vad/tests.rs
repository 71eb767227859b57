//! Detectors on what they are for: a spoken sentence, voices and noises made here, and streams cut by them.

use std::f32::consts::TAU;
use std::ops::Range;

use crate::inference::audio::testing::{fixture, noise, tone, wav};
use crate::inference::audio::vad::{
    Config, Cut, EndpointConfig, Endpointer, EnergyVad, Event, PieceConfig, Pieces, Vad, VadError, detect,
};
use crate::inference::audio::{Limits, Stream, decode, seconds};

/// Syllables of a hoarse voice: harmonics of a falling pitch below two formants, four syllables a second, louder and quieter.
fn voice(seconds: f32, peak: f32, pitch_hz: f32) -> Vec<f32> {
    let mut phase = 0.0_f32;
    let hoarse = noise((seconds * 16_000.0) as usize, 0.1, 7);
    let sample = |(n, hoarse): (usize, &f32)| {
        let time = n as f32 / 16_000.0;
        phase += TAU * pitch_hz * (1.0 - 0.2 * (time % 1.0)) / 16_000.0;
        let formants = [500.0 + 200.0 * (TAU * time * 1.3).sin(), 1_500.0];
        let harmonics = (1..=25).map(|number| {
            let hz = number as f32 * pitch_hz;
            let near: f32 = formants.iter().map(|formant| (-((hz - formant) / 150.0).powi(2)).exp()).sum();
            (near + 0.02) * (phase * number as f32).sin()
        });
        let syllable = (TAU * time * 2.0).sin().abs();
        peak * (harmonics.sum::<f32>() * 0.3 + hoarse) * syllable
    };
    hoarse.iter().enumerate().map(sample).collect()
}

fn silence(seconds: f32) -> Vec<f32> {
    vec![0.0; (seconds * 16_000.0) as usize]
}

fn mixed(samples: &[f32], other: &[f32]) -> Vec<f32> {
    samples.iter().zip(other.iter().cycle()).map(|(a, b)| a + b).collect()
}

fn spans(samples: &[f32]) -> Vec<Range<f64>> {
    let found = detect(samples, &mut EnergyVad::default(), &Config::default()).expect("judged");
    found.into_iter().map(|span| seconds(span.start)..seconds(span.end)).collect()
}

fn is_near(found: &[Range<f64>], expected: &[Range<f64>]) -> bool {
    let is_close = |a: &Range<f64>, b: &Range<f64>| (a.start - b.start).abs() < 0.35 && (a.end - b.end).abs() < 0.45;
    found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| is_close(a, b))
}

#[test]
fn a_spoken_sentence_is_found_between_silences() {
    let audio = decode(fixture("speech.opus"), &Limits::default()).expect("a recording");
    let found = spans(&audio.samples);
    let expected = 1.0..audio.seconds() - 1.5;
    assert!(is_near(&found, std::slice::from_ref(&expected)), "{found:?}, not {expected:?}");
}

#[test]
fn a_spoken_sentence_is_found_in_noise() {
    let audio = decode(fixture("speech.opus"), &Limits::default()).expect("a recording");
    for (peak, seed) in [(0.002, 1), (0.01, 2), (0.03, 3)] {
        let found = spans(&mixed(&audio.samples, &noise(100_000, peak, seed)));
        let expected = 1.0..audio.seconds() - 1.5;
        assert!(is_near(&found, std::slice::from_ref(&expected)), "{peak}: {found:?}, not {expected:?}");
    }
}

#[test]
fn voices_are_found_high_and_low_loud_and_quiet() {
    for (pitch_hz, peak) in [(90.0, 0.5), (130.0, 0.05), (220.0, 0.5), (300.0, 0.02)] {
        let recording =
            [silence(1.5), voice(2.0, peak, pitch_hz), silence(1.5), voice(1.0, peak, pitch_hz), silence(1.0)].concat();
        let found = spans(&mixed(&recording, &noise(50_000, 0.001, 5)));
        assert!(is_near(&found, &[1.5..3.5, 5.0..6.0]), "{pitch_hz} Hz at {peak}: {found:?}");
    }
}

#[test]
fn whoever_speaks_at_once_and_to_the_end_is_heard() {
    let found = spans(&voice(3.0, 0.3, 120.0));
    assert!(is_near(&found, &[0.0..3.0]), "{found:?}");
}

#[test]
fn silence_noise_hum_and_clicks_are_no_speech() {
    let mut clicks = noise(160_000, 0.001, 9);
    for click in (8_000..160_000).step_by(20_000) {
        clicks[click..click + 200].copy_from_slice(&noise(200, 0.8, 4));
    }
    let hum = mixed(&tone(50.0, 16_000, 10.0), &tone(150.0, 16_000, 10.0));
    let recordings = [
        ("silence", silence(10.0)),
        ("nothing", Vec::new()),
        ("faint noise", noise(160_000, 0.0005, 1)),
        ("noise", noise(160_000, 0.02, 2)),
        ("loud noise", noise(160_000, 0.5, 3)),
        ("hum", mixed(&hum, &noise(160_000, 0.01, 4))),
        ("clicks", clicks),
    ];
    for (name, samples) in recordings {
        assert_eq!(spans(&samples), [], "{name}");
    }
}

#[test]
fn a_fan_that_starts_is_speech_for_two_seconds_at_most() {
    let recording = [noise(80_000, 0.001, 1), noise(160_000, 0.2, 2)].concat();
    let found = spans(&recording);
    assert!(found.iter().all(|span| span.end < 8.0), "{found:?}");
}

#[test]
fn it_forgets_what_it_heard_with_a_new_recording() {
    let recording = mixed(&[silence(1.0), voice(1.0, 0.3, 120.0), silence(1.0)].concat(), &noise(9_999, 0.001, 1));
    let mut vad = EnergyVad::default();
    let first = detect(&recording, &mut vad, &Config::default()).expect("judged");
    detect(&noise(160_000, 0.9, 1), &mut vad, &Config::default()).expect("judged");
    assert_eq!(detect(&recording, &mut vad, &Config::default()).expect("judged"), first);
}

fn pieces(samples: &[f32], vad: Option<Box<dyn Vad>>, piece_s_max: usize) -> Vec<Cut> {
    let stream = Stream::of(wav(samples, 16_000), &Limits::default()).expect("a stream");
    let mut pieces = Pieces::new(stream, vad, &PieceConfig { piece_s_max, ..PieceConfig::default() });
    let mut found = Vec::new();
    while let Some(piece) = pieces.next_piece().expect("a piece") {
        found.push(piece);
    }
    assert_eq!(pieces.progress().bytes, pieces.progress().bytes_total);
    found
}

#[test]
fn a_stream_in_pieces_has_the_speech_of_the_whole() {
    let recording = mixed(
        &[silence(2.0), voice(2.0, 0.3, 120.0), silence(3.0), voice(1.0, 0.3, 200.0)].concat(),
        &noise(9_999, 0.001, 1),
    );
    let samples = decode(wav(&recording, 16_000), &Limits::default()).expect("a recording").samples;
    let whole = detect(&samples, &mut EnergyVad::default(), &Config::default()).expect("judged");
    assert_eq!(pieces(&recording, Some(Box::<EnergyVad>::default()), 60), [Cut::of(&samples, &whole)]);
}

#[test]
fn pieces_are_not_longer_than_asked_for_and_keep_their_times() {
    let sentence = mixed(&[voice(12.0, 0.3, 120.0), silence(2.0)].concat(), &noise(9_999, 0.001, 1));
    let recording = sentence.repeat(6);
    let found = pieces(&recording, Some(Box::<EnergyVad>::default()), 40);
    let lens: Vec<_> = found.iter().map(|piece| seconds(piece.samples.len())).collect();
    assert!(lens.len() == 2 && lens.iter().all(|len| (36.0..40.0).contains(len)), "{lens:?}");
    assert!((found[1].start_s(0.0) - 42.0).abs() < 0.5, "{}", found[1].start_s(0.0));
    assert_eq!(pieces(&silence(5.0), Some(Box::<EnergyVad>::default()), 40), []);
}

#[test]
fn without_a_judge_pieces_end_where_it_is_quietest_and_nothing_is_lost() {
    let mut recording = noise(100 * 16_000, 0.2, 1);
    recording[30 * 16_000..30 * 16_000 + 640].fill(0.0);
    let found = pieces(&recording, None, 40);
    let total: usize = found.iter().map(|piece| piece.samples.len()).sum();
    assert_eq!((found.len(), total), (3, recording.len()));
    assert_eq!(seconds(found[0].samples.len()), 30.0);
    assert_eq!(found[1].start_s(0.0), 30.0);
}

/// Always certain; frames of Silero's length.
struct Always;

impl Vad for Always {
    fn frame_len(&self) -> usize {
        512
    }

    fn speech(&mut self, _frame: &[f32]) -> Result<f32, VadError> {
        Ok(1.0)
    }

    fn reset(&mut self) {}
}

#[test]
fn whoever_never_pauses_is_cut_and_nothing_is_lost() {
    let recording = noise(100 * 16_000 + 77, 0.2, 1);
    let found = pieces(&recording, Some(Box::new(Always)), 40);
    let total: usize = found.iter().map(|piece| piece.samples.len()).sum();
    assert_eq!((found.len(), total), (3, recording.len()));
}

#[test]
fn a_microphone_hears_the_sentence_once() {
    let audio = decode(fixture("speech.opus"), &Limits::default()).expect("a recording");
    let mut endpointer = Endpointer::new(EnergyVad::default(), EndpointConfig::default());
    let mut told = Vec::new();
    for frame in mixed(&audio.samples, &noise(50_000, 0.002, 1)).chunks(320) {
        told.extend(endpointer.push(frame).expect("judged"));
    }
    assert!(matches!(told.first(), Some(Event::Started { at_s }) if (0.5..1.2).contains(at_s)), "{:?}", told.first());
    let Some(Event::Ended(utterance)) = told.last() else { panic!("{} events without an end", told.len()) };
    let expected = audio.seconds() - 2.5 + 0.6;
    assert!((seconds(utterance.samples.len()) - expected).abs() < 0.5, "{}", seconds(utterance.samples.len()));
    let partials = told.iter().filter(|event| **event == Event::PartialDue).count();
    assert_eq!(told.len(), partials + 2);
    assert!((2..6).contains(&partials), "{partials}");
}
