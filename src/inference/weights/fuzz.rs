//! Files of weights that lie: whatever is changed in one, it is read or refused, within its own size.

use std::io::{Seek, Write};

use crate::base::fuzz::{Seed, heap_peak, run};
use crate::inference::weights::Bytes;
use crate::inference::weights::gguf::Gguf;
use crate::inference::weights::gguf::testing::Builder;
use crate::inference::weights::safetensors::Safetensors;

/// A file of a few KiB may take this much of the heap: a table has empty places, an error its words.
const HEAP_BYTES_FREE: usize = 64 * 1024;
/// Descriptions take a few times what they take in the file; four bits become 32.
const HEAP_TIMES_MAX: usize = 32;

fn within(peak: usize, file_len: usize) -> bool {
    peak <= HEAP_BYTES_FREE + HEAP_TIMES_MAX * file_len
}

fn ggufs() -> Vec<Seed> {
    let described = Builder::default()
        .text("general.architecture", "llama")
        .count("general.alignment", 32)
        .count("llama.block_count", 2)
        .texts("tokenizer.ggml.tokens", &["a", "b", "\u{120}c"])
        .counts("tokenizer.ggml.token_type", &[1, 1, 3])
        .entry("pi", 6, &3.5_f32.to_le_bytes())
        .entry("wide", 10, &77_u64.to_le_bytes())
        .entry("yes", 7, &[1]);
    let kinds = [(0, 128), (1, 64), (30, 64), (2, 18), (3, 20), (6, 22), (7, 24), (8, 34)];
    let small = |builder: Builder, (kind, bytes): (u32, usize)| {
        builder.tensor(&format!("of {kind}"), &[32, 2], kind, &vec![0x3c; 2 * bytes])
    };
    let all = kinds.into_iter().fold(described.clone(), small);
    let large = [(12, 144), (13, 176), (14, 210)];
    let blocks = large.into_iter().fold(described.clone(), |builder: Builder, (kind, bytes)| {
        builder.tensor(&format!("of {kind}"), &[256, 1, 1], kind, &vec![0x3c; bytes])
    });
    let seed = |builder: Builder| {
        let (bytes, empty) = (builder.bytes(), builder.without_data().bytes());
        Seed::new(bytes, empty.len())
    };
    [described, all, blocks].map(seed).into()
}

#[test]
fn a_gguf_file_that_lies_is_read_within_itself_or_refused() {
    let mut read = 0_u64;
    run(&ggufs(), |_, bytes| {
        let len = bytes.len();
        let (gguf, peak) = heap_peak(|| Gguf::read(Bytes::Owned(bytes)));
        assert!(within(peak, len), "{peak} bytes of heap for {len} of file");
        let Ok(gguf) = gguf else { return };
        read += 1;
        for (name, tensor) in gguf.tensors() {
            let (floats, peak) = heap_peak(|| gguf.floats(tensor).len());
            assert_eq!(floats, tensor.dims().iter().product::<usize>(), "{name}");
            assert!(within(peak, len), "{peak} bytes of heap for {name}");
        }
        for key in ["tokenizer.ggml.tokens", "tokenizer.ggml.token_type"] {
            assert!(gguf.texts(key).is_none_or(|texts| texts.map(|text| text.len()).sum::<usize>() <= 3 * len));
            assert!(gguf.numbers(key).is_none_or(|numbers| numbers.count() <= len));
        }
    });
    assert!(read > 100, "{read} of the files were good enough to be read further");
}

fn safetensors() -> Vec<Seed> {
    let few = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[4,8],"data_offsets":[0,128]},
        "b":{"dtype":"BF16","shape":[64],"data_offsets":[128,256]},"c":{"dtype":"I64","shape":[],"data_offsets":[256,264]}}"#;
    let many =
        (0..60).map(|n| format!(r#""t{n}":{{"dtype":"F16","shape":[2,1],"data_offsets":[{},{}]}}"#, 4 * n, 4 * n + 4));
    let many = format!("{{{}}}", many.collect::<Vec<_>>().join(","));
    let seed = |(header, data_len): (&str, usize)| {
        // Of a length that may be told anew after changes.
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(vec![0x3c; data_len]);
        Seed::new(bytes, header.len())
    };
    [(few, 264), (many.as_str(), 240)].map(seed).into()
}

#[test]
fn a_safetensors_file_that_lies_is_read_within_itself_or_refused() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let mut read = 0_u64;
    run(&safetensors(), |number, bytes| {
        // Most tell the length of their header right, so that what is in it is looked at.
        let header = bytes.iter().rposition(|byte| *byte == b'}').map_or(0, |at| at as u64 + 1);
        let length = if number % 8 == 0 { header ^ (1 << (number / 8 % 64)) } else { header };
        file.as_file().set_len(0).and_then(|()| file.rewind()).expect("an empty file");
        file.write_all(&[&length.to_le_bytes(), &bytes[..]].concat()).expect("written");
        let len = bytes.len() + 8;
        let (tensors, peak) = heap_peak(|| Safetensors::open(file.path()));
        assert!(within(peak, len), "{peak} bytes of heap for {len} of file");
        let Ok(tensors) = tensors else { return };
        read += 1;
        for name in ["a", "b", "c", "t1", "t59"] {
            let Some((Ok(floats), peak)) =
                tensors.dims(name).map(|_| heap_peak(|| tensors.floats(name).expect("there")))
            else {
                continue;
            };
            assert_eq!(floats.len(), tensors.dims(name).expect("there").iter().product::<usize>());
            assert!(within(peak, len), "{peak} bytes of heap for {name}");
        }
    });
    assert!(read > 20, "{read} of the files were good enough to be read further");
}
