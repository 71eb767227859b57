//! What was said and when: the words of a recording with their times, and how they are written down for people and programs.
//!
//! Times are seconds from the beginning of the recording, silence included.

use std::fmt::Write as _;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

/// Everything that was said in one recording.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Transcript {
    /// ISO 639-1 code of the language that is spoken (not of a translation), such as `en`.
    pub language: String,
    /// Length of the recording.
    pub duration_s: f64,
    /// In order of their start.
    pub segments: Vec<Segment>,
}

/// A phrase, as the model cut it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Segment {
    pub start_s: f64,
    pub end_s: f64,
    /// Without white space around it.
    pub text: String,
    /// None when word times were not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<Vec<Word>>,
    /// The model's own numbers, end-of-text and timestamps included.
    pub tokens: Vec<u32>,
    /// Temperature that the text was drawn at; 0 is greedy.
    #[serde(serialize_with = "finite")]
    pub temperature: f32,
    /// Natural logarithm, mean over the tokens.
    #[serde(serialize_with = "finite")]
    pub avg_logprob: f32,
    /// Bytes of the text divided by its bytes after zlib; high where it repeats itself.
    #[serde(serialize_with = "finite")]
    pub compression_ratio: f32,
    /// Probability that nobody speaks, 0 to 1.
    #[serde(serialize_with = "finite")]
    pub no_speech_prob: f32,
}

/// A word within a phrase.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Word {
    pub start_s: f64,
    pub end_s: f64,
    /// With the punctuation that belongs to it.
    pub text: String,
    /// 0 to 1.
    #[serde(serialize_with = "finite")]
    pub probability: f32,
}

/// JSON has no infinities; the log of an impossible token is one.
fn finite<S: Serializer>(number: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    let number = if number.is_nan() { 0.0 } else { number.clamp(f32::MIN, f32::MAX) };
    serializer.serialize_f32(number)
}

impl Transcript {
    /// All phrases in one line.
    pub fn text(&self) -> String {
        self.segments
            .iter()
            .map(|segment| segment.text.trim())
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// How a transcript is written. The names are those of OpenAI's `response_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `text`: one line per phrase.
    Text,
    /// `json`: `{"text": ...}`.
    Json,
    /// `verbose_json`: language, duration, phrases with times and figures.
    VerboseJson,
    /// `srt`: SubRip subtitles.
    Srt,
    /// `vtt`: WebVTT subtitles.
    Vtt,
}

/// A name that is no format.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` is no format of transcripts; there are text, json, verbose_json, srt and vtt")]
pub struct UnknownFormat {
    pub name: String,
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "verbose_json" => Ok(Self::VerboseJson),
            "srt" => Ok(Self::Srt),
            "vtt" => Ok(Self::Vtt),
            _ => Err(UnknownFormat { name: name.chars().take(40).collect() }),
        }
    }
}

impl Format {
    /// Value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=utf-8",
            Self::Json | Self::VerboseJson => "application/json",
            Self::Srt => "application/x-subrip; charset=utf-8",
            Self::Vtt => "text/vtt; charset=utf-8",
        }
    }
}

/// Whether the words are those that were spoken, or English ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    #[default]
    Transcribe,
    Translate,
}

/// The transcript in `format`, with a line break at the end except in `json`, which is a value and not a file.
pub fn write(transcript: &Transcript, task: Task, format: Format) -> String {
    match format {
        Format::Text => plain(transcript),
        Format::Json => json!({ "text": transcript.text() }).to_string(),
        Format::VerboseJson => verbose(transcript, task).to_string(),
        Format::Srt => subrip(transcript),
        Format::Vtt => webvtt(transcript),
    }
}

fn plain(transcript: &Transcript) -> String {
    let lines = transcript.segments.iter().map(|segment| in_one_line(&segment.text)).filter(|line| !line.is_empty());
    lines.fold(String::new(), |text, line| text + &line + "\n")
}

/// The shape of OpenAI's `verbose_json`, whose client requires every field here.
pub fn verbose(transcript: &Transcript, task: Task) -> Value {
    let segments = transcript.segments.iter().enumerate().map(|(id, segment)| {
        json!({
            "id": id,
            "seek": (segment.start_s.max(0.0) * 100.0) as u64,
            "start": in_millis(segment.start_s),
            "end": in_millis(segment.end_s),
            "text": segment.text,
            "tokens": segment.tokens,
            "temperature": known(segment.temperature),
            "avg_logprob": known(segment.avg_logprob),
            "compression_ratio": known(segment.compression_ratio),
            "no_speech_prob": known(segment.no_speech_prob),
        })
    });
    let mut value = json!({
        "task": task,
        "language": transcript.language,
        "duration": in_millis(transcript.duration_s),
        "text": transcript.text(),
        "segments": segments.collect::<Vec<_>>(),
    });
    let words: Vec<_> = transcript.segments.iter().flat_map(|segment| segment.words.iter().flatten()).collect();
    if transcript.segments.iter().any(|segment| segment.words.is_some()) {
        let words = words.iter().map(|word| {
            json!({ "word": word.text.trim(), "start": in_millis(word.start_s), "end": in_millis(word.end_s), "probability": known(word.probability) })
        });
        value["words"] = words.collect();
    }
    value
}

/// SubRip: a number, `HH:MM:SS,mmm --> HH:MM:SS,mmm`, the words, an empty line.
fn subrip(transcript: &Transcript) -> String {
    let mut text = String::new();
    for (number, cue) in cues(transcript).enumerate() {
        let (from, to) = (stamp(cue.start_ms, ','), stamp(cue.end_ms, ','));
        let _ = write!(text, "{}\n{from} --> {to}\n{}\n\n", number + 1, cue.text.replace("-->", "->"));
    }
    text
}

/// WebVTT (W3C): as SubRip with a head and a point, and with its three marks escaped.
fn webvtt(transcript: &Transcript) -> String {
    let mut text = "WEBVTT\n\n".to_owned();
    for cue in cues(transcript) {
        let (from, to) = (stamp(cue.start_ms, '.'), stamp(cue.end_ms, '.'));
        let words = cue.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = write!(text, "{from} --> {to}\n{words}\n\n");
    }
    text
}

/// The last time that two digits of hours can say.
const MILLIS_MAX: f64 = 359_999_999.0;

struct Cue {
    start_ms: u64,
    end_ms: u64,
    text: String,
}

/// Phrases with words; none ends before it starts, and none is too short to be shown.
fn cues(transcript: &Transcript) -> impl Iterator<Item = Cue> {
    transcript.segments.iter().filter_map(|segment| {
        let text = in_one_line(&segment.text);
        let start_ms = millis(segment.start_s).min(MILLIS_MAX as u64 - 1);
        (!text.is_empty()).then(|| Cue { start_ms, end_ms: millis(segment.end_s).max(start_ms + 1), text })
    })
}

/// An empty line would end a subtitle early.
fn in_one_line(text: &str) -> String {
    text.split(|character: char| character.is_whitespace() || character.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// NaN, negative and endless times read as the nearest that exists.
fn millis(seconds: f64) -> u64 {
    (seconds * 1000.0).round().clamp(0.0, MILLIS_MAX) as u64
}

fn in_millis(seconds: f64) -> f64 {
    millis(seconds) as f64 / 1000.0
}

fn known(number: f32) -> f64 {
    let number = if number.is_nan() { 0.0 } else { number.clamp(-1e6, 1e6) };
    (f64::from(number) * 1e6).round() / 1e6
}

fn stamp(millis: u64, point: char) -> String {
    let (seconds, rest) = (millis / 1000, millis % 1000);
    format!("{:02}:{:02}:{:02}{point}{rest:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segment(start_s: f64, end_s: f64, text: &str) -> Segment {
        Segment { start_s, end_s, text: text.to_owned(), avg_logprob: -0.25, ..Segment::default() }
    }

    fn example() -> Transcript {
        let second = Segment {
            words: Some(vec![Word { start_s: 3661.5, end_s: 3662.0, text: " off.".into(), probability: 0.5 }]),
            ..segment(3661.5, 3662.25, "and\n\noff <b>&")
        };
        Transcript {
            language: "en".into(),
            duration_s: 3700.0,
            segments: vec![segment(0.0, 1.2345, "Lamp on,"), second],
        }
    }

    #[test]
    fn subtitles_have_numbers_times_and_words() {
        let expected =
            "1\n00:00:00,000 --> 00:00:01,235\nLamp on,\n\n2\n01:01:01,500 --> 01:01:02,250\nand off <b>&\n\n";
        assert_eq!(write(&example(), Task::Transcribe, Format::Srt), expected);
        let expected = "WEBVTT\n\n00:00:00.000 --> 00:00:01.235\nLamp on,\n\n01:01:01.500 --> 01:01:02.250\nand off &lt;b&gt;&amp;\n\n";
        assert_eq!(write(&example(), Task::Transcribe, Format::Vtt), expected);
    }

    #[test]
    fn plain_text_has_a_line_per_phrase_and_json_one_line() {
        assert_eq!(write(&example(), Task::Transcribe, Format::Text), "Lamp on,\nand off <b>&\n");
        assert_eq!(write(&example(), Task::Transcribe, Format::Json), r#"{"text":"Lamp on, and\n\noff <b>&"}"#);
    }

    #[test]
    fn verbose_json_has_openais_fields() {
        let value = verbose(&example(), Task::Translate);
        assert_eq!((value["task"].as_str(), value["language"].as_str()), (Some("translate"), Some("en")));
        assert_eq!(value["segments"][1]["start"], 3661.5);
        assert_eq!(value["segments"][0]["avg_logprob"], -0.25);
        for field in [
            "id",
            "seek",
            "start",
            "end",
            "text",
            "tokens",
            "temperature",
            "avg_logprob",
            "compression_ratio",
            "no_speech_prob",
        ] {
            assert!(!value["segments"][0][field].is_null(), "{field}");
        }
        assert_eq!(value["words"][0]["word"], "off.");
        let without = Transcript { segments: vec![segment(0.0, 1.0, "a")], ..example() };
        assert!(verbose(&without, Task::Transcribe).get("words").is_none());
    }

    #[test]
    fn nothing_said_is_still_a_file() {
        let silence = Transcript::default();
        assert_eq!(write(&silence, Task::Transcribe, Format::Vtt), "WEBVTT\n\n");
        assert_eq!(write(&silence, Task::Transcribe, Format::Srt), "");
        assert_eq!(write(&silence, Task::Transcribe, Format::Text), "");
    }

    #[test]
    fn figures_that_json_lacks_survive_the_way_to_a_worker_and_back() {
        let mut odd = segment(0.0, 1.0, "a");
        odd.avg_logprob = f32::NEG_INFINITY;
        odd.no_speech_prob = f32::NAN;
        let text = serde_json::to_string(&Transcript { segments: vec![odd], ..Transcript::default() }).expect("JSON");
        let back: Transcript = serde_json::from_str(&text).expect("what was written");
        assert_eq!((back.segments[0].avg_logprob, back.segments[0].no_speech_prob), (f32::MIN, 0.0));
    }

    #[test]
    fn every_format_has_its_name() {
        for name in ["text", "json", "verbose_json", "srt", "vtt"] {
            assert!(name.parse::<Format>().is_ok(), "{name}");
        }
        assert!("docx".parse::<Format>().is_err());
    }

    proptest! {
        #[test]
        fn subtitles_can_be_taken_apart_whatever_was_said(
            said in proptest::collection::vec((any::<f64>(), any::<f64>(), ".{0,40}"), 0..6)
        ) {
            let segments: Vec<_> = said.iter().map(|(from, to, text)| segment(*from, *to, text)).collect();
            let transcript = Transcript { segments, ..Transcript::default() };
            let blocks = |text: &str| text.split("\n\n").filter(|block| !block.is_empty()).map(str::to_owned).collect::<Vec<_>>();
            let srt = blocks(&write(&transcript, Task::Transcribe, Format::Srt));
            for (number, block) in srt.iter().enumerate() {
                let lines: Vec<_> = block.split('\n').collect();
                prop_assert_eq!(lines.len(), 3);
                prop_assert_eq!(lines[0], (number + 1).to_string());
                let (from, to) = lines[1].split_once(" --> ").expect("two times");
                prop_assert!(from < to, "{}", lines[1]);
            }
            prop_assert_eq!(blocks(&write(&transcript, Task::Transcribe, Format::Vtt)).len(), srt.len() + 1);
        }
    }
}
