//! Whatever is written can be read again; hostile vocabularies are refused.

use std::time::{Duration, Instant};

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

use crate::inference::language::vocabulary::{Utf8Stream, Vocabulary};
use crate::inference::weights::gguf::testing::Builder;

/// GPT-2's letters for all bytes, a few merges, and control tokens.
fn bpe(pre: &str) -> Builder {
    let plain = |byte: u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut extra = 0;
    let mut tokens: Vec<String> = (0..256_u32)
        .map(|byte| {
            let code = if plain(byte) {
                byte
            } else {
                extra += 1;
                255 + extra
            };
            char::from_u32(code).map(String::from).unwrap_or_default()
        })
        .collect();
    tokens.extend(["aa", "aaaa", "\u{120}a", "he", "llo", "hello", "lo"].map(str::to_owned));
    let mut kinds = vec![1; tokens.len()];
    tokens.extend(["<|end|>", "<|end|>x"].map(str::to_owned));
    kinds.extend([3, 3]);
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    Builder::default()
        .text("tokenizer.ggml.model", "gpt2")
        .text("tokenizer.ggml.pre", pre)
        .texts("tokenizer.ggml.tokens", &tokens)
        .counts("tokenizer.ggml.token_type", &kinds)
        .texts("tokenizer.ggml.merges", &["a a", "aa aa", "\u{120} a", "h e", "l o", "l lo", "he llo"])
}

fn scored() -> Builder {
    let bytes: Vec<String> = (0..256).map(|byte| format!("<0x{byte:02X}>")).collect();
    let mut tokens = vec!["<unk>", "<s>", "</s>"];
    tokens.extend(bytes.iter().map(String::as_str));
    tokens.extend(["\u{2581}", "a", "b", "ab", "\u{2581}a", "\u{2581}ab"]);
    let mut kinds = vec![2, 3, 3];
    kinds.resize(259, 6);
    kinds.resize(tokens.len(), 1);
    Builder::default()
        .text("tokenizer.ggml.model", "llama")
        .texts("tokenizer.ggml.tokens", &tokens)
        .counts("tokenizer.ggml.token_type", &kinds)
}

fn vocabulary(builder: &Builder) -> Vocabulary {
    Vocabulary::read(&builder.read()).expect("a vocabulary")
}

fn again(vocabulary: &Vocabulary, tokens: &[u32]) -> String {
    let bytes: Vec<u8> = tokens.iter().flat_map(|token| vocabulary.bytes(*token).to_vec()).collect();
    String::from_utf8(bytes).expect("what was utf-8")
}

#[test]
fn a_megabyte_without_a_space_is_no_trap() {
    let vocabulary = vocabulary(&bpe("gpt-2"));
    let started = Instant::now();
    let tokens = vocabulary.tokens(&"a".repeat(200_000));
    assert_eq!(tokens.len(), 50_000);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn the_longest_control_token_is_found() {
    let vocabulary = vocabulary(&bpe("qwen2"));
    assert_eq!(vocabulary.tokens("<|end|>x<|end|>"), [264, 263]);
    assert!(vocabulary.is_end(263) && vocabulary.is_control(263) && !vocabulary.is_end(264));
}

#[test]
fn a_vocabulary_that_makes_no_sense_is_refused() {
    for (builder, part) in [
        (Builder::default(), "no tokenizer"),
        (Builder::default().text("tokenizer.ggml.model", "bert"), "bert"),
        (Builder::default().text("tokenizer.ggml.model", "gpt2"), "no tokens"),
        (bpe("gpt-2").count("tokenizer.ggml.eos_token_id", 9_999), "token 9999"),
        (bpe("martian"), "cut texts into words"),
        (Builder::default().text("tokenizer.ggml.model", "llama").texts("tokenizer.ggml.tokens", &[]), "0 tokens"),
    ] {
        let error = Vocabulary::read(&builder.read()).expect_err(part);
        assert!(error.to_string().contains(part), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_text_comes_back(text in any::<String>(), pre in 0_usize..4) {
        let pre = ["gpt-2", "llama-bpe", "qwen2", "smollm"][pre];
        let bytes = vocabulary(&bpe(pre));
        prop_assert_eq!(again(&bytes, &bytes.tokens(&text)), text.replace('\u{fdd0}', ""));
        let scored = vocabulary(&scored());
        if !text.is_empty() {
            prop_assert_eq!(again(&scored, &scored.tokens(&text)), format!(" {text}").replace('\u{fdd0}', ""));
        }
    }

    #[test]
    fn what_people_write_never_becomes_a_control_token(text in "[<|end>x\u{fdd0} ]{0,40}") {
        let vocabulary = vocabulary(&bpe("qwen2"));
        let tokens = vocabulary.tokens(&vocabulary.defuse(&text));
        prop_assert!(tokens.iter().all(|token| !vocabulary.is_control(*token)));
        prop_assert_eq!(again(&vocabulary, &tokens), text.replace('\u{fdd0}', ""));
    }

    #[test]
    fn no_piece_ends_within_a_character(bytes in any::<Vec<u8>>(), size in 1_usize..5) {
        let mut stream = Utf8Stream::default();
        let mut text: String = bytes.chunks(size).map(|piece| stream.push(piece)).collect();
        text.push_str(&stream.finish());
        prop_assert_eq!(text, String::from_utf8_lossy(&bytes));
    }
}
