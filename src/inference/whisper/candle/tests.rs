//! Candle's Whisper on the processor against the reference and against our own: only where it computes differs on a GPU.

use std::sync::OnceLock;

use candle_core::{DType, Device};

use crate::base::error::chain;
use crate::inference::weights::Tensors;
use crate::inference::whisper::candle::Candle;
use crate::inference::whisper::engine::{Engine, Step};
use crate::inference::whisper::mel::{Mel, RATE};
use crate::inference::whisper::rules::Times;
use crate::inference::whisper::tests::{distance, engine, floats, folder, full, go_on, golden, of, said, whisper};
use crate::inference::whisper::weights::Weights;
use crate::inference::whisper::{AudioContext, Config, Model, Options, Whisper};

fn load(numbers: DType) -> Candle {
    let weights = Weights::open(&folder(), None).expect("weights");
    Candle::load_as(&weights, &whisper().parts.shape, (&Device::Cpu, numbers)).expect("a model")
}

fn candle() -> &'static Candle {
    static CANDLE: OnceLock<Candle> = OnceLock::new();
    CANDLE.get_or_init(|| load(DType::F32))
}

fn mel(scene: &str) -> Mel {
    whisper().parts.mel.hear(&of(&golden().scenes[scene]), 30 * RATE, 3000)
}

fn of_reference(name: &str) -> Vec<f32> {
    floats(&Tensors::open(&folder().join("tensors.safetensors")).expect("a file"), name)
}

fn steps() -> Vec<Step> {
    of_reference("tokens").iter().map(|token| Step { lane: 0, token: *token as u32 }).collect()
}

#[test]
fn encoder_and_scores_are_those_of_the_reference() {
    let encoded: Vec<Vec<f32>> = candle().encoder.run(&mel("english")).and_then(|rows| rows.to_vec2()).expect("rows");
    let rows: Vec<f32> = encoded.into_iter().step_by(30).flatten().collect();
    assert!(distance(&rows, &of_reference("encoded")) < 1e-3);
    let heard = candle().hear(&mel("english")).expect("heard");
    let logits = of_reference("logits");
    let at_once = candle().say(&heard, &mut candle().tape(), &steps(), &[0, 2, 5]).expect("scores");
    assert!(distance(&at_once, &logits) < 1e-3);
    let (mut tape, mut last) = (candle().tape(), Vec::new());
    for step in &steps() {
        last = candle().say(&heard, &mut tape, &[*step], &[0]).expect("scores");
    }
    let size = candle().vocabulary();
    assert!(distance(&last, &logits[2 * size..]) < 1e-3, "one by one, with what was said before remembered");
}

#[test]
fn the_same_tokens_are_said_greedily_with_times_and_by_beams() {
    for (name, scene) in &golden().scenes {
        let heard = candle().hear(&mel(name)).expect("heard");
        assert_eq!(said(candle(), scene, &heard, (Times::Left, 1)), scene.plain, "{name}");
        assert_eq!(said(candle(), scene, &heard, (Times::Said, 1)), scene.timed, "{name}");
        assert_eq!(said(candle(), scene, &heard, (Times::Left, 5)), scene.beams, "{name}");
    }
}

#[test]
fn lanes_of_any_length_in_any_order_are_those_of_our_own_engine() {
    let (theirs, ours) = (candle(), engine());
    let (mut tape, mut past) = (theirs.tape(), ours.tape());
    let (heard, memory) = (theirs.hear(&mel("german")).expect("heard"), ours.hear(&mel("german")).expect("heard"));
    let mut both = |steps: &[(usize, u32)], keep: &[usize]| {
        let steps: Vec<Step> = steps.iter().map(|(lane, token)| Step { lane: *lane, token: *token }).collect();
        let wanted: Vec<usize> = (0..steps.len()).collect();
        let scores = theirs.say(&heard, &mut tape, &steps, &wanted).expect("scores");
        let expected = ours.say(&memory, &mut past, &steps, &wanted).expect("scores");
        assert!(distance(&scores, &expected) < 1e-3, "{steps:?}");
        theirs.keep(&mut tape, keep).expect("kept");
        ours.keep(&mut past, keep).expect("kept");
    };
    both(&[(0, 3), (0, 5), (0, 7)], &[0, 0, 0]);
    both(&[(2, 9), (0, 11), (0, 2), (1, 4), (2, 6)], &[2, 0]);
    both(&[(1, 1), (0, 8), (1, 3), (1, 3)], &[1]);
    both(&[(0, 12)], &[0]);
}

#[test]
fn attention_lies_where_our_own_engine_has_it() {
    let heads = [(0, 1), (1, 0), (0, 0)];
    let tokens: Vec<u32> = steps().iter().map(|step| step.token).collect();
    let theirs = candle().attend(&candle().hear(&mel("english")).expect("heard"), &tokens, &heads).expect("shares");
    let ours = engine().attend(&engine().hear(&mel("english")).expect("heard"), &tokens, &heads).expect("shares");
    assert!(distance(&theirs, &ours) < 1e-4);
}

#[test]
fn sixteen_bits_say_the_same() {
    let (narrow, scene) = (load(DType::F16), &golden().scenes["english"]);
    let heard = narrow.hear(&mel("english")).expect("heard");
    assert_eq!(said(&narrow, scene, &heard, (Times::Said, 1)), scene.timed);
}

#[test]
fn a_whole_recording_is_the_same_transcript() {
    let own = whisper();
    let parts = Whisper::load(&Config { folder: folder(), threads: 2, ..Config::default() }).expect("the model").parts;
    let twin = Whisper { model: Model::Candle(Box::new(load(DType::F32))), parts };
    let samples = of(&golden().scenes["english"]);
    for audio_context in [AudioContext::Full, AudioContext::default()] {
        let options = Options { temperatures: vec![0.0], word_times: true, audio_context, ..full() };
        let expected = own.transcribe(&samples, &options, &mut go_on).expect("a transcript");
        let heard = twin.transcribe(&samples, &options, &mut go_on).expect("a transcript");
        let tokens = |transcript: &crate::inference::transcript::Transcript| {
            transcript
                .segments
                .iter()
                .map(|segment| (segment.text.clone(), segment.words.as_ref().map(Vec::len)))
                .collect::<Vec<_>>()
        };
        assert_eq!(tokens(&heard), tokens(&expected));
    }
    assert_eq!(twin.languages(&samples).expect("shares")[0].0, own.languages(&samples).expect("shares")[0].0);
}

#[test]
fn a_gpu_that_is_not_there_is_said() {
    let config =
        Config { folder: folder(), threads: 1, device: "cuda:7".parse().expect("a device"), ..Config::default() };
    let told = chain(&Whisper::load(&config).expect_err("no such GPU"));
    assert!(told.contains(if cfg!(feature = "cuda") { "GPU 7" } else { "cuda:7 is not built in" }), "{told}");
}
