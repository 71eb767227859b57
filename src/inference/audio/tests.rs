//! Recordings of every kind, good ones and bad ones.

use std::io::{Seek as _, SeekFrom, Write as _};

use bytes::Bytes;
use proptest::prelude::*;

use crate::base::fuzz::{Seed, heap_peak, run};
use crate::inference::audio::testing::{WavFile, fixture, noise, riff, share_at, tone, wav};
use crate::inference::audio::vad::{EnergyVad, PieceConfig, Pieces};
use crate::inference::audio::{Audio, AudioError, Limits, Stream, Warnings, decode};

const FILES: [&str; 10] = [
    "tone.flac",
    "tone.mp3",
    "tone.ogg",
    "tone.opus",
    "tone.webm",
    "tone.m4a",
    "tone-fragmented.mp4",
    "tone.aac",
    "tone-ima.wav",
    "tone-ms.wav",
];

/// How files of each kind begin.
const MARKS: [&[u8]; 6] = [b"RIFF", b"OggS", b"fLaC", b"\x1a\x45\xdf\xa3", b"ID3", b"\0\0\0\x18ftypM4A "];

fn read(bytes: impl Into<Bytes>) -> Result<Audio, AudioError> {
    decode(bytes.into(), &Limits { seconds_max: 60 })
}

fn is_tone(audio: &Audio, seconds: f64) -> Result<(), String> {
    let share = share_at(&audio.samples[audio.samples.len() / 4..audio.samples.len() * 3 / 4], 1_000.0);
    if (audio.seconds() - seconds).abs() > 0.08 || share < 0.95 {
        return Err(format!("{} seconds, {share} at 1 kHz", audio.seconds()));
    }
    Ok(())
}

#[test]
fn every_kind_of_file_is_heard() {
    for name in FILES {
        let audio = read(fixture(name)).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        assert_eq!(is_tone(&audio, 0.5), Ok(()), "{name}");
        assert_eq!(audio.warnings, Warnings::default(), "{name}");
    }
}

#[test]
fn every_coding_of_wav_is_heard() {
    let tone = tone(1_000.0, 44_100, 0.5);
    let wide = |bits: u32| tone.iter().map(move |sample| (f64::from(*sample) * 2_f64.powi(bits as i32 - 1)) as i32);
    let sounds: Vec<(u16, u16, Vec<u8>)> = vec![
        (1, 8, wide(8).map(|sample| (sample + 128) as u8).collect()),
        (1, 16, wide(16).flat_map(|sample| (sample as i16).to_le_bytes()).collect()),
        (1, 24, wide(24).flat_map(|sample| sample.to_le_bytes().into_iter().take(3)).collect()),
        (1, 32, wide(32).flat_map(i32::to_le_bytes).collect()),
        (3, 32, tone.iter().flat_map(|sample| sample.to_le_bytes()).collect()),
        (3, 64, tone.iter().flat_map(|sample| f64::from(*sample).to_le_bytes()).collect()),
    ];
    for (tag, bits, sound) in &sounds {
        for channels in [1, 2, 6] {
            let width = usize::from(bits / 8);
            let sound: Vec<u8> =
                sound.chunks_exact(width).flat_map(|sample| sample.repeat(usize::from(channels))).collect();
            let file = WavFile { tag: *tag, channels, rate_hz: 44_100, bits: *bits, block_bytes: 0, sound: &sound };
            let audio = read(file.bytes()).expect("a recording");
            assert_eq!(is_tone(&audio, 0.5), Ok(()), "{tag} {bits} {channels}");
        }
    }
}

#[test]
fn the_extensible_format_names_its_coding_in_a_guid() {
    let tone = tone(1_000.0, 16_000, 0.5);
    let sound: Vec<u8> = tone.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let mut format = Vec::new();
    for number in [0xfffe_u16, 1, 16_000, 0, 64_000, 0, 4, 32, 22, 32, 4, 0, 3, 0] {
        format.extend(number.to_le_bytes());
    }
    format.extend([0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]);
    let audio = read(riff(&[(*b"fmt ", &format), (*b"data", &sound)])).expect("a recording");
    assert_eq!(audio.samples, tone);
}

#[test]
fn sixteen_kilohertz_pass_unchanged_at_every_length() {
    for len in [0, 1, 2, 999] {
        let audio = read(wav(&noise(len, 0.5, 1), 16_000)).expect("a recording");
        assert_eq!(audio.samples.len(), len);
    }
}

#[test]
fn lengths_that_lie_give_what_is_there() {
    let whole = wav(&tone(1_000.0, 16_000, 0.5), 16_000).to_vec();
    let data = whole.windows(4).position(|four| four == b"data").expect("a data chunk");
    for (riff_len, data_len, is_truncated) in [
        (0, u32::MAX, false),
        (u32::MAX, u32::MAX, false),
        (0x7fff_ffff, 0x7fff_ffff - 36, false),
        (0, 0, true),
        (4, 1_000_000, true),
        (36, 16_000, false),
    ] {
        let mut lying = whole.clone();
        lying[4..8].copy_from_slice(&u32::to_le_bytes(riff_len));
        lying[data + 4..data + 8].copy_from_slice(&u32::to_le_bytes(data_len));
        let audio = read(lying).expect("a recording");
        assert_eq!(audio.samples.len(), 8_000, "{riff_len} {data_len}");
        assert_eq!(audio.warnings.is_truncated, is_truncated, "{riff_len} {data_len}");
    }
    let audio = read(whole[..whole.len() - 4_001].to_vec()).expect("a recording");
    assert_eq!((audio.samples.len(), audio.warnings.is_truncated), (5_999, true));
}

#[test]
fn claims_beyond_all_bounds_are_refused() {
    let file = |channels, rate_hz| WavFile { tag: 1, channels, rate_hz, bits: 16, block_bytes: 0, sound: &[0; 64] };
    for rate_hz in [0, 1, 3_999, 768_001, u32::MAX] {
        assert!(matches!(read(file(1, rate_hz).bytes()), Err(AudioError::Rate { .. })), "{rate_hz}");
    }
    for channels in [0, 65, 255, 65_535] {
        assert!(matches!(read(file(channels, 16_000).bytes()), Err(AudioError::Channels { .. })), "{channels}");
    }
    let unknown = WavFile { tag: 0x31, channels: 1, rate_hz: 8_000, bits: 0, block_bytes: 65, sound: &[0; 65] };
    assert!(matches!(read(unknown.bytes()), Err(AudioError::UnknownCodec { .. })));
    let late = riff(&[(*b"data", &[0; 8]), (*b"fmt ", &[0; 16])]);
    assert!(matches!(read(late), Err(AudioError::Damaged { .. })));
}

#[test]
fn what_is_no_recording_is_refused() {
    let noise: Vec<u8> = noise(20_000, 1.0, 3).iter().map(|sample| (sample * 100.0) as i8 as u8).collect();
    for bytes in
        [Vec::new(), b"RIFF".to_vec(), b"hello, this is a letter".to_vec(), vec![0; 5_000], noise[..3_000].to_vec()]
    {
        let len = bytes.len();
        let problem = read(bytes).expect_err("no recording");
        assert!(matches!(problem, AudioError::UnknownFormat | AudioError::Damaged { .. }), "{len} bytes: {problem}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    for path in [folder.path(), &folder.path().join("none.wav")] {
        assert!(matches!(Stream::open(path, &Limits::default()), Err(AudioError::Open { .. })));
    }
}

#[test]
fn files_that_were_cut_off_give_what_is_there() {
    // The others are one single page or fragment, or have their table of contents at the end.
    for name in ["tone.flac", "tone.mp3", "tone.aac", "tone.webm", "tone-ima.wav", "tone-ms.wav"] {
        let whole = fixture(name);
        let audio = read(whole.slice(..whole.len() * 3 / 4)).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        assert!((0.1..0.5).contains(&audio.seconds()), "{name}: {} seconds", audio.seconds());
    }
}

#[test]
fn a_recording_that_goes_on_too_long_is_given_up() {
    let bytes = wav(&vec![0.0; 4_000 * 5], 4_000);
    let problem = decode(bytes.clone(), &Limits { seconds_max: 4 }).expect_err("too long");
    assert!(matches!(problem, AudioError::TooLong { seconds_max: 4 }));
    assert!(decode(bytes, &Limits { seconds_max: 5 }).is_ok());
}

#[test]
fn a_long_file_is_pulled_in_small_blocks_and_tells_how_far_it_is() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let head = WavFile { tag: 1, channels: 2, rate_hz: 8_000, bits: 16, block_bytes: 0, sound: &[] }.bytes();
    file.write_all(&head).expect("written");
    // A hundred seconds; the rest of the file is a hole that reads as silence.
    let total = head.len() as u64 + 100 * 8_000 * 4;
    file.as_file().set_len(total).expect("room");
    let mut stream = Stream::open(file.path(), &Limits::default()).expect("a stream");
    let (mut block, mut last, mut given) = (Vec::new(), 0, 0);
    while stream.read(&mut block).expect("a block") {
        assert!(block.len() < 64 * 1024, "{} samples", block.len());
        let progress = stream.progress();
        assert!(progress.bytes >= last && progress.bytes <= total && progress.bytes_total == total);
        last = progress.bytes;
        given += block.len();
        block.clear();
    }
    assert_eq!((given + block.len(), stream.progress().bytes), (100 * 16_000, total));
    assert!(!stream.read(&mut block).expect("the end stays the end"));
}

/// Of the longest recording, ten hours. A debug build takes six minutes of it, so that tests stay a matter of seconds.
const LONG_S: u64 = if cfg!(debug_assertions) { 360 } else { 36_000 };

#[test]
fn hours_of_silence_take_the_memory_of_seconds_and_a_word_at_their_end_is_found() {
    const RATE_HZ: u32 = 4_000;
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let head = WavFile { tag: 1, channels: 1, rate_hz: RATE_HZ, bits: 16, block_bytes: 0, sound: &[] }.bytes();
    file.write_all(&head).expect("written");
    // A hole, which reads as silence, and two seconds that warble enough to be taken for speech one minute before the end.
    let (end_s, at_s) = (LONG_S, LONG_S - 60);
    let place = |seconds: u64| head.len() as u64 + seconds * u64::from(RATE_HZ) * 2;
    file.seek(SeekFrom::Start(place(at_s))).expect("sought");
    let warble = tone(300.0, RATE_HZ, 2.0).into_iter().enumerate();
    let warble = warble.map(|(n, sample)| sample * (n as f32 * 0.004).sin());
    let sound: Vec<u8> = warble.flat_map(|sample| ((sample * 32_767.0) as i16).to_le_bytes()).collect();
    file.write_all(&sound).expect("written");
    file.as_file().set_len(place(end_s)).expect("room");
    let ((starts, progress), peak) = heap_peak(|| {
        let stream = Stream::open(file.path(), &Limits { seconds_max: 12 * 3600 }).expect("a stream");
        let mut pieces = Pieces::new(stream, Some(Box::<EnergyVad>::default()), &PieceConfig::default());
        let mut starts = Vec::new();
        while let Some(cut) = pieces.next_piece().expect("a piece") {
            starts.push(cut.start_s(0.0));
        }
        (starts, pieces.progress())
    });
    assert!((progress.seconds - end_s as f64).abs() < 0.1 && progress.bytes == place(end_s), "{progress:?}");
    assert!(starts.len() == 1 && (starts[0] - at_s as f64).abs() < 1.5, "{starts:?} instead of {at_s}");
    assert!(peak < 4 * 1024 * 1024, "{peak} bytes of heap");
}

/// Whatever came in, what comes out is fit for a model.
fn drain(mut stream: Stream) -> (Vec<f32>, Stream) {
    let mut samples = Vec::new();
    while let Ok(true) = stream.read(&mut samples) {
        assert!(samples.len() < 5 * 16_000 + 4 * 1024 * 1024, "{} samples", samples.len());
    }
    assert!(samples.iter().all(|sample| (-1.0..=1.0).contains(sample)));
    assert!(stream.progress().bytes <= stream.progress().bytes_total);
    (samples, stream)
}

fn is_sane(bytes: Vec<u8>) -> Result<(), TestCaseError> {
    let stream = Stream::of(bytes.into(), &Limits { seconds_max: 5 });
    let _ = stream.map(drain);
    Ok(())
}

/// WAV files in every coding, short ones, because a case is read to its end.
fn wavs() -> Vec<Seed> {
    let kinds =
        [(1, 8, 0), (1, 16, 0), (1, 24, 0), (3, 32, 0), (3, 64, 0), (6, 8, 0), (7, 8, 0), (0x11, 4, 36), (2, 4, 32)];
    let seed = |(number, (tag, bits, block_bytes)): (usize, (u16, u16, u16))| {
        let channels = 1 + number as u16 % 2;
        let sound: Vec<u8> = (0..288_u32).map(|byte| (byte.wrapping_mul(byte) >> 3) as u8).collect();
        let bytes = WavFile { tag, channels, rate_hz: 16_000, bits, block_bytes, sound: &sound }.bytes();
        let head = bytes.len() - sound.len();
        Seed::new(bytes, head)
    };
    kinds.into_iter().enumerate().map(seed).collect()
}

#[test]
fn a_wav_file_that_lies_is_read_within_its_size_or_refused() {
    let mut read = 0_u64;
    run(&wavs(), |_, bytes| {
        let len = bytes.len();
        let Ok(stream) = Stream::of(bytes.into(), &Limits { seconds_max: 5 }) else { return };
        // Four bits of 4,000 a second become four samples; the resampler ends with a block.
        let samples_max = 2 * 4 * len + 16_000;
        let ((samples, _), peak) = heap_peak(|| drain(stream));
        read += u64::from(!samples.is_empty());
        assert!(samples.len() <= samples_max, "{} samples of {len} bytes", samples.len());
        assert!(peak < 8 * 1024 * 1024, "{peak} bytes of heap for {len} of file");
    });
    assert!(read > 500, "{read} of the files had sound");
}

#[test]
fn a_length_that_leads_behind_the_end_counts_as_no_progress() {
    let mut bytes = fixture("tone.webm").to_vec();
    bytes[453] = 64;
    let stream = Stream::of(bytes.into(), &Limits { seconds_max: 5 }).expect("a stream");
    let (_, stream) = drain(stream);
    assert!(stream.progress().bytes < stream.progress().bytes_total, "{:?}", stream.progress());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_damage_makes_a_decoder_panic(
        which in 0..FILES.len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        in_head in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = fixture(FILES[which]).to_vec();
        let len = if in_head { bytes.len().min(256) } else { bytes.len() };
        for (at, byte) in changes {
            bytes[at.index(len)] = byte;
        }
        is_sane(bytes.clone())?;
        bytes.truncate(cut.index(bytes.len()));
        is_sane(bytes)?;
    }

    #[test]
    fn no_wav_head_makes_it_panic(
        tag in prop_oneof![Just(1_u16), Just(2), Just(3), Just(6), Just(7), Just(0x11), any::<u16>()],
        channels in prop_oneof![1_u16..4, any::<u16>()],
        rate_hz in prop_oneof![Just(8_000_u32), Just(44_101), any::<u32>()],
        bits in prop_oneof![Just(4_u16), Just(16), Just(24), any::<u16>()],
        block_bytes in any::<u16>(),
        sound in proptest::collection::vec(any::<u8>(), 0..2_000),
    ) {
        is_sane(WavFile { tag, channels, rate_hz, bits, block_bytes, sound: &sound }.bytes())?;
    }

    #[test]
    fn no_bytes_make_it_panic(which in 0..MARKS.len(), rest in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        is_sane([MARKS[which], &rest].concat())?;
    }
}
