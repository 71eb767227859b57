//! Candle's network on the processor against the reference and against our own: only where it computes differs on a GPU.

use candle_core::Device;

use crate::inference::language::cache::Cache;
use crate::inference::language::candle::Candle;
use crate::inference::language::engine::{Engine, Plan};
use crate::inference::language::model::Scratch;
use crate::inference::language::shape::Shape;
use crate::inference::language::tests::{MODELS, ask, best, deviation, generator, gguf, golden, model, question};
use crate::inference::language::vocabulary::Vocabulary;
use crate::inference::language::{Config, Message, Role};

fn candle(name: &str) -> Candle {
    let gguf = gguf(name);
    let shape = Shape::read(&gguf).expect("a shape");
    let tokens = Vocabulary::read(&gguf).expect("a vocabulary").len();
    Candle::read(gguf, (shape, tokens), 512, &Device::Cpu).expect("a model")
}

/// Whether all of a model's numbers are floats, so that nothing is rounded on the way.
fn is_exact(name: &str) -> bool {
    name.contains("f16") || name.contains("f32")
}

fn error(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    let squares: f32 = left.iter().zip(right).map(|(left, right)| (left - right).powi(2)).sum();
    (squares / left.len() as f32).sqrt() / deviation(right)
}

#[test]
fn every_family_is_as_sure_as_the_reference_and_goes_on_as_it_does() {
    for name in MODELS {
        for (number, case) in golden(name).continued.into_iter().enumerate() {
            let (mut candle, mut logits) = (candle(name), Vec::new());
            candle.pass(&case.tokens, 0, Some(&mut logits)).expect("computed");
            let (error, spread) = (error(&logits, &case.logits), deviation(&case.logits));
            let tolerance = if is_exact(name) { 0.003 } else { 0.1 };
            assert!(error < tolerance, "{name} {number}: the relative error is {error}");
            for (position, (token, margin)) in (case.tokens.len()..).zip(case.greedy.iter().zip(&case.margins)) {
                // Where the reference itself is nearly undecided, the paths may part.
                if *margin < 2.0 * tolerance * spread {
                    break;
                }
                assert_eq!(best(&logits), *token, "{name} {number} at {position}");
                candle.pass(&[*token], position, Some(&mut logits)).expect("computed");
            }
        }
    }
}

#[test]
fn both_engines_agree_wherever_a_conversation_is_taken_up_again() {
    for name in MODELS {
        let ((own, vocabulary), mut candle) = (model(name), candle(name));
        let tokens = vocabulary.tokens(&"Turn on the lamp in the kitchen, and tell me what time it is. ".repeat(6));
        assert!(tokens.len() > 64, "longer than any window");
        let (mut cache, mut scratch, mut ours, mut theirs) =
            (Cache::new(&own.shape, 512), Scratch::default(), Vec::new(), Vec::new());
        // Also back to what was read before, as for a question that begins like the last one.
        for (start, end) in
            [(0, 1), (1, 9), (9, 60), (20, 64), (64, 65), (5, tokens.len()), (tokens.len() - 1, tokens.len())]
        {
            own.pass(&tokens[start..end], start, &mut cache, &mut scratch, Some(&mut ours));
            candle.pass(&tokens[start..end], start, Some(&mut theirs)).expect("computed");
            let error = error(&theirs, &ours);
            assert!(error < if is_exact(name) { 0.003 } else { 0.1 }, "{name} {start} to {end}: {error}");
        }
        candle.clear();
        candle.pass(&tokens, 0, Some(&mut theirs)).expect("computed");
        assert!(error(&theirs, &ours) < 0.1, "{name}: from the beginning");
    }
}

#[test]
fn room_grows_and_what_was_read_stays() {
    let ((own, vocabulary), mut candle) = (model("llama_f16"), candle("llama_f16"));
    let tokens = vocabulary.tokens(&"One word after another. ".repeat(90));
    assert!(tokens.len() > 300);
    let (mut cache, mut scratch, mut ours, mut theirs) =
        (Cache::new(&own.shape, 512), Scratch::default(), Vec::new(), Vec::new());
    own.pass(&tokens[..300], 0, &mut cache, &mut scratch, Some(&mut ours));
    for (start, end) in [(0, 200), (200, 256), (256, 257), (257, 300)] {
        candle.pass(&tokens[start..end], start, Some(&mut theirs)).expect("computed");
    }
    assert!(error(&theirs, &ours) < 0.003);
}

#[test]
fn a_generator_answers_the_same_with_it_and_reads_only_what_is_new() {
    let plain = generator("llama_f16", &Config::default());
    let mut twin = generator("llama_f16", &Config::default());
    let file = gguf("llama_f16");
    let tokens = Vocabulary::read(&file).expect("a vocabulary").len();
    let plan =
        Plan { shape: Shape::read(&file).expect("a shape"), gguf: file, tokens, capacity: plain.context_tokens() };
    twin.engine = Engine::candle(plan, &Device::Cpu).expect("an engine");
    let (mut own, mut request) = (plain, question("Hello?"));
    for turn in 0..2 {
        let (expected, _) = ask(&mut own, &request);
        let (answer, _) = ask(&mut twin, &request);
        assert_eq!((&answer.text, answer.cached_tokens), (&expected.text, expected.cached_tokens), "turn {turn}");
        assert_eq!(answer.cached_tokens > 0, turn > 0);
        request.messages.push(Message::new(Role::Assistant, answer.text));
        request.messages.push(Message::new(Role::User, "And now?"));
    }
    twin.forget();
    assert_eq!(ask(&mut twin, &request).0.cached_tokens, 0);
}

#[test]
fn a_gpu_that_is_not_there_is_said() {
    let config = Config { device: "cuda:7".parse().expect("a device"), ..Config::default() };
    let refused =
        crate::inference::language::Generator::of(gguf("llama_f16"), &config, crate::base::clock::Clock::System);
    let told = crate::base::error::chain(&refused.expect_err("no such GPU"));
    assert!(told.contains(if cfg!(feature = "cuda") { "GPU 7" } else { "cuda:7 is not built in" }), "{told}");
}
