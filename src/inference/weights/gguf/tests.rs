//! Files that are whole, cut short, and hostile.

use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};

use crate::inference::kernel::quant::Format;
use crate::inference::weights::Bytes;
use crate::inference::weights::gguf::testing::Builder;
use crate::inference::weights::gguf::{Gguf, GgufError};

fn sample() -> Builder {
    Builder::default()
        .text("general.architecture", "llama")
        .count("llama.block_count", 2)
        .texts("tokenizer.ggml.tokens", &["a", "b", "\u{120}c"])
        .counts("tokenizer.ggml.token_type", &[1, 1, 3])
        .entry("pi", 6, &3.5_f32.to_le_bytes())
        .entry("yes", 7, &[1])
        .tensor("one", &[4, 2], 0, &[0; 32])
        .tensor("two", &[32, 3], 8, &[7; 102])
}

fn refused(bytes: Vec<u8>) -> GgufError {
    Gguf::read(Bytes::Owned(bytes)).expect_err("refused")
}

#[test]
fn what_was_written_is_read() {
    let gguf = sample().read();
    assert_eq!((gguf.text("general.architecture"), gguf.count("llama.block_count")), (Some("llama"), Some(2)));
    assert_eq!((gguf.number("pi"), gguf.flag("yes"), gguf.count("none")), (Some(3.5), Some(true), None));
    let texts: Vec<_> = gguf.texts("tokenizer.ggml.tokens").expect("texts").collect();
    assert_eq!(texts, ["a", "b", "\u{120}c"]);
    let kinds: Vec<f64> = gguf.numbers("tokenizer.ggml.token_type").expect("numbers").collect();
    assert_eq!(kinds, [1.0, 1.0, 3.0]);
    let two = gguf.tensor("two").expect("a tensor");
    assert_eq!((two.format, two.columns, two.rows, gguf.data(two)), (Format::Q8_0, 32, 3, &[7; 102][..]));
    assert_eq!(gguf.weight_bytes(), 134);
}

#[test]
fn every_lie_is_named() {
    let of = |builder: Builder| refused(builder.bytes()).to_string();
    let tensor = |dims: &[u64], kind| of(Builder::default().tensor("t", dims, kind, &[0; 64]));
    for (error, part) in [
        (refused(b"GGML\x03\0\0\0".to_vec()).to_string(), "no GGUF"),
        (refused(b"GGUF\x01\0\0\0".to_vec()).to_string(), "version 1"),
        (refused([&b"GGUF\x03\0\0\0"[..], &[0xff; 16]].concat()).to_string(), "tensors"),
        (of(Builder::default().entry("a", 99, &[])), "unknown type 99"),
        (of(Builder::default().entry("a", 8, &u64::MAX.to_le_bytes())), "ends within"),
        (of(Builder::default().entry("a", 9, &[[9, 0, 0, 0].as_slice(), &[1; 8]].concat())), "elements of an array"),
        (
            of(Builder::default().entry("a", 9, &[[9, 0, 0, 0, 1, 0, 0, 0].as_slice(), &[0; 4]].concat())),
            "unknown type 9",
        ),
        (of(Builder::default().count("a", 1).count("a", 2)), "twice"),
        (of(Builder::default().count("general.alignment", 0)), "alignment 0"),
        (of(Builder::default().count("general.alignment", 48)), "alignment 48"),
        (tensor(&[], 0), "dimensions"),
        (tensor(&[1, 1, 1, 1, 1], 0), "dimensions"),
        (tensor(&[4, 0], 0), "impossible shape"),
        (tensor(&[33], 8), "impossible shape"),
        (tensor(&[u64::MAX, u64::MAX], 0), "impossible shape"),
        (tensor(&[1 << 40, 1 << 20], 0), "beyond the end"),
        (tensor(&[4_000], 0), "beyond the end"),
        (tensor(&[256], 16), "type 16, which is not supported"),
    ] {
        assert!(error.contains(part), "{error:?} says nothing of {part:?}");
    }
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused() {
    let bytes = sample().bytes();
    for len in 0..bytes.len() - 26 {
        refused(bytes[..len].to_vec());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_change_of_a_file_makes_it_read_beyond_itself(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = sample().bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let len = bytes.len();
        if let Ok(gguf) = Gguf::read(Bytes::Owned(bytes)) {
            for name in ["one", "two"] {
                if let Some(tensor) = gguf.tensor(name) {
                    prop_assert!(gguf.data(tensor).len() <= len);
                }
            }
            for key in ["tokenizer.ggml.tokens", "tokenizer.ggml.token_type"] {
                if let Some(texts) = gguf.texts(key) {
                    prop_assert!(texts.map(|text| text.len()).sum::<usize>() <= 3 * len);
                }
                if let Some(numbers) = gguf.numbers(key) {
                    prop_assert!(numbers.count() <= len);
                }
            }
        }
    }
}
