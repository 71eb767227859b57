//! Compressed recordings: FLAC, MP3, AAC, Vorbis and Opus, bare or in Ogg, WebM and MP4, by symphonia and libopus.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use symphonia::core::audio::{Channels, layouts};
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::codecs::registry::CodecRegistry;
use symphonia::core::common::Limit;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::{Hint, Probe};
use symphonia::core::formats::well_known::FORMAT_ID_MKV;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::units::Duration;
use symphonia::default::formats::{AdtsReader, FlacReader, IsoMp4Reader, MkvReader, MpaReader, OggReader};
use symphonia_adapter_libopus::OpusDecoder;

use crate::inference::audio::source::Source;
use crate::inference::audio::stream::{Frames, Shape};
use crate::inference::audio::{AudioError, RATE_HZ, Warnings, checked};

/// Titles and comments are read past; longer ones are not even that.
const TAG_BYTES_MAX: usize = 64 * 1024;
/// Songs that follow each other in one file.
const CHAIN_LEN_MAX: usize = 1_000;
/// Samples of one packet, all channels together; FLAC's largest block with eight channels, and more than any other has.
const PACKET_SAMPLES_MAX: usize = 8 * 65_536;

static PROBE: LazyLock<Probe> = LazyLock::new(|| {
    let mut probe = Probe::new();
    probe.register_format::<OggReader<'_>>();
    probe.register_format::<MkvReader<'_>>();
    probe.register_format::<IsoMp4Reader<'_>>();
    probe.register_format::<FlacReader<'_>>();
    probe.register_format::<MpaReader<'_>>();
    probe.register_format::<AdtsReader<'_>>();
    probe
});

static CODECS: LazyLock<CodecRegistry> = LazyLock::new(|| {
    let mut codecs = CodecRegistry::new();
    symphonia::default::register_enabled_codecs(&mut codecs);
    codecs.register_audio_decoder::<OpusDecoder>();
    codecs
});

/// The samples of a compressed recording.
pub(super) struct Coded {
    format: Box<dyn FormatReader>,
    track: Track,
    chain_len: usize,
    warnings: Warnings,
    is_over: bool,
}

struct Track {
    id: u32,
    is_opus: bool,
    decoder: Box<dyn AudioDecoder>,
}

impl Coded {
    pub(super) fn open(source: Source) -> Result<Self, AudioError> {
        let stream = MediaSourceStream::new(Box::new(source), MediaSourceStreamOptions::default());
        let limit = Limit::Maximum(TAG_BYTES_MAX);
        let tags = MetadataOptions::default().limit_tag_bytes(limit).limit_visual_bytes(limit);
        let probed = shielded(|| PROBE.probe(&Hint::new(), stream, FormatOptions::default(), tags))?;
        let format = probed.map_err(|problem| match problem {
            Error::IoError(source) if source.kind() != std::io::ErrorKind::UnexpectedEof => AudioError::Read { source },
            Error::Unsupported(_) | Error::IoError(_) => AudioError::UnknownFormat,
            other => AudioError::Damaged { what: other.to_string() },
        })?;
        let track = track_of(&*format)?;
        Ok(Self { format, track, chain_len: 0, warnings: Warnings::default(), is_over: false })
    }

    /// The next packet of the track; none at the end, whether it is a good one or not.
    fn packet(&mut self) -> Result<Option<symphonia::core::packet::Packet>, AudioError> {
        loop {
            match shielded(|| self.format.next_packet())? {
                Ok(Some(packet)) if packet.track_id == self.track.id => return Ok(Some(packet)),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                Err(Error::ResetRequired) if self.chain_len < CHAIN_LEN_MAX => {
                    self.chain_len += 1;
                    self.track = track_of(&*self.format)?;
                }
                // Browsers record WebM without lengths, so that its end looks like this.
                Err(Error::IoError(source)) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
                    self.warnings.is_truncated = self.format.format_info().format != FORMAT_ID_MKV;
                    return Ok(None);
                }
                Err(Error::IoError(source)) if source.kind() != std::io::ErrorKind::InvalidData => {
                    return Err(AudioError::Read { source });
                }
                // What came before is good; nothing behind a damage of this kind can be found.
                Err(_) => {
                    self.warnings.is_truncated = true;
                    return Ok(None);
                }
            }
        }
    }
}

impl Frames for Coded {
    fn next(&mut self, samples: &mut Vec<f32>) -> Result<Option<Shape>, AudioError> {
        while !self.is_over {
            let Some(mut packet) = self.packet().inspect_err(|_| self.is_over = true)? else {
                self.is_over = true;
                break;
            };
            if self.track.is_opus {
                // These count at 48 kHz, and the decoder runs at another rate; it cuts the beginning itself.
                (packet.trim_start, packet.trim_end) = (Duration::ZERO, Duration::ZERO);
            }
            let decoded = shielded(|| match self.track.decoder.decode(&packet) {
                Ok(buffer) => {
                    let shape = Shape { rate_hz: buffer.spec().rate(), channels: buffer.spec().channels().count() };
                    if buffer.samples_interleaved() > PACKET_SAMPLES_MAX {
                        return Err(Error::LimitError("samples in a packet"));
                    }
                    buffer.copy_to_vec_interleaved(samples);
                    Ok(shape)
                }
                Err(problem) => Err(problem),
            });
            match decoded.inspect_err(|_| self.is_over = true)? {
                Ok(_) if samples.is_empty() => {}
                Ok(shape) => {
                    checked(shape.rate_hz, shape.channels).inspect_err(|_| self.is_over = true)?;
                    return Ok(Some(shape));
                }
                Err(Error::ResetRequired) => self.track.decoder.reset(),
                Err(_) => {
                    samples.clear();
                    self.warnings.packets_damaged = self.warnings.packets_damaged.saturating_add(1);
                }
            }
        }
        Ok(None)
    }

    fn warnings(&self) -> Warnings {
        self.warnings
    }
}

/// The track with sound, and what decodes it.
fn track_of(format: &dyn FormatReader) -> Result<Track, AudioError> {
    let track = format.default_track(TrackType::Audio).ok_or(AudioError::NoTrack)?;
    let Some(CodecParameters::Audio(parameters)) = &track.codec_params else { return Err(AudioError::NoTrack) };
    let mut parameters = parameters.clone();
    let is_opus = parameters.codec == CODEC_ID_OPUS;
    if is_opus {
        prepare_opus(&mut parameters)?;
    }
    let channels = parameters.channels.as_ref().map_or(1, Channels::count);
    checked(parameters.sample_rate.unwrap_or(RATE_HZ), channels)?;
    let decoder = shielded(|| CODECS.make_audio_decoder(&parameters, &AudioDecoderOptions::default()))?;
    let decoder = decoder.map_err(|problem| AudioError::UnknownCodec { what: problem.to_string() })?;
    Ok(Track { id: track.id, is_opus, decoder })
}

/// libopus decodes to one channel at 16 kHz by itself, faster and as well as mixing and resampling afterward.
fn prepare_opus(parameters: &mut AudioCodecParameters) -> Result<(), AudioError> {
    const STEREO: usize = 2;
    if parameters.channels.as_ref().is_some_and(|channels| channels.count() > STEREO) {
        return Err(AudioError::UnknownCodec { what: "Opus with more than two channels".to_owned() });
    }
    parameters.sample_rate = Some(RATE_HZ);
    parameters.channels = Some(layouts::CHANNEL_LAYOUT_MONO);
    Ok(())
}

/// Runs somebody else's code on a stranger's bytes; a panic in it is a damaged recording.
fn shielded<T>(run: impl FnOnce() -> T) -> Result<T, AudioError> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| AudioError::Damaged { what: "its decoder broke off".to_owned() })
}
