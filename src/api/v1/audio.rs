//! `POST /v1/audio/transcriptions` and `/translations`: recordings to text.
//!
//! A streamed answer has OpenAI's events, `transcript.text.delta` for each phrase and `transcript.text.done`, and one of ours:
//! `transcript.text.guess`, whose `text` is what comes after the deltas so far, as it sounds now. The next event takes its place.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc;

use crate::api::Api;
use crate::api::port::{Heard, Hearing, Refusal};
use crate::api::v1::error::{self, Wrong};
use crate::api::v1::stream::{EVENTS_LEN, Sink};
use crate::http::multipart::{Upload, read_upload};
use crate::http::{Request, Response};
use crate::inference::transcript::{self, Format, Segment, Task, Transcript};

/// Guesses and phrases on their way.
const HEARD_LEN: usize = 64;

/// What was asked, checked.
struct Asked {
    model: String,
    recording: Bytes,
    hearing: Hearing,
    format: Format,
    streams: bool,
}

pub(super) async fn create(api: Arc<Api>, request: Request, task: Task) -> Response {
    let content_type = request.header("content-type").unwrap_or_default().to_owned();
    let upload = match read_upload(&content_type, request.body.clone()).await {
        Ok(upload) => upload,
        Err(problem) => return Wrong::new("file", problem.to_string()).response(),
    };
    let asked = match read(upload, task) {
        Ok(asked) => asked,
        Err(wrong) => return wrong.response(),
    };
    if asked.streams {
        return stream(api, &request, asked).await;
    }
    let (format, work) = (asked.format, api.speech.transcribe(&asked.model, asked.recording, asked.hearing, None));
    let understood = tokio::select! {
        understood = work => understood,
        () = request.left.triggered() => return error::failed(503, "nobody waits for the answer"),
    };
    match understood {
        Ok(found) => Response::new(200, format.content_type(), transcript::write(&found, task, format)),
        Err(refusal) => error::refused(&refusal),
    }
}

fn read(upload: Upload, task: Task) -> Result<Asked, Wrong> {
    let format = match upload.field("response_format").unwrap_or("json").parse() {
        Ok(format) => format,
        Err(unknown) => return Err(Wrong::new("response_format", format!("{unknown}"))),
    };
    let mut hearing = Hearing { task, ..Hearing::default() };
    if let Some(language) = given(&upload, "language").filter(|_| task == Task::Transcribe) {
        hearing.language = Some(language.to_ascii_lowercase());
    }
    hearing.prompt = given(&upload, "prompt").map(str::to_owned);
    if let Some(text) = given(&upload, "temperature") {
        let number = text.parse::<f32>().ok().filter(|number| (0.0..=1.0).contains(number));
        let number = number.ok_or_else(|| Wrong::new("temperature", "`temperature` is a number from 0 to 1"))?;
        // 0 is OpenAI's way of saying: as warm as it has to be.
        hearing.temperature = (number > 0.0).then_some(number);
    }
    for granularity in upload.all("timestamp_granularities") {
        match granularity {
            "word" if format == Format::VerboseJson => hearing.word_times = true,
            "segment" if format == Format::VerboseJson => {}
            "word" | "segment" => {
                let sentence = "`timestamp_granularities` needs `response_format` verbose_json";
                return Err(Wrong::new("timestamp_granularities", sentence));
            }
            _ => return Err(Wrong::new("timestamp_granularities", "a granularity is word or segment")),
        }
    }
    let streams = matches!(given(&upload, "stream"), Some("true" | "True" | "1"));
    if streams && !matches!(format, Format::Json | Format::Text) {
        return Err(Wrong::new("stream", "`stream` goes with `response_format` json or text"));
    }
    let model = given(&upload, "model").unwrap_or_default().to_owned();
    let file = upload.file.filter(|file| file.field == "file" && !file.bytes.is_empty());
    let file = file.ok_or_else(|| Wrong::new("file", "the form has no file called `file`, or it is empty"))?;
    Ok(Asked { model, recording: file.bytes, hearing, format, streams })
}

fn given<'a>(upload: &'a Upload, name: &str) -> Option<&'a str> {
    upload.field(name).map(str::trim).filter(|text| !text.is_empty())
}

/// Guesses and phrases as they come. A recording that cannot be read at all still has its status.
async fn stream(api: Arc<Api>, request: &Request, asked: Asked) -> Response {
    let (listener, mut news) = mpsc::channel(HEARD_LEN);
    let (sender, events) = mpsc::channel(EVENTS_LEN);
    let (ready, begun) = tokio::sync::oneshot::channel::<Result<(), Refusal>>();
    tokio::spawn(async move {
        let sink = Sink(sender);
        let mut ready = Some(ready);
        let work = api.speech.transcribe(&asked.model, asked.recording, asked.hearing, Some(listener));
        let mut work = std::pin::pin!(work);
        let mut told = String::new();
        let understood = loop {
            tokio::select! {
                biased;
                Some(heard) = news.recv() => {
                    ready.take().into_iter().for_each(|ready| { let _ = ready.send(Ok(())); });
                    if !tell(&sink, &mut told, &heard).await { return; }
                }
                understood = &mut work => break understood,
                () = sink.left() => return,
            }
        };
        while let Ok(heard) = news.try_recv() {
            tell(&sink, &mut told, &heard).await;
        }
        finish(&sink, understood, ready).await;
    });
    tokio::select! {
        begun = begun => match begun {
            Ok(Err(refusal)) => error::refused(&refusal),
            _ => Response::events(events),
        },
        // The receiver goes with this future, and the work with the receiver.
        () = request.left.triggered() => error::failed(503, "nobody waits for the answer"),
    }
}

/// False when nobody listens any more. `told` are the deltas so far.
async fn tell(sink: &Sink, told: &mut String, heard: &Heard) -> bool {
    let (Heard::Guess(text) | Heard::Said(Segment { text, .. })) = heard;
    let text = text.trim();
    if text.is_empty() {
        return true;
    }
    if matches!(heard, Heard::Guess(_)) {
        sink.offer(&json!({"type": "transcript.text.guess", "text": text}));
        return true;
    }
    let delta = if told.is_empty() { text.to_owned() } else { format!(" {text}") };
    told.push_str(&delta);
    sink.send(&json!({"type": "transcript.text.delta", "delta": delta})).await
}

async fn finish(
    sink: &Sink,
    understood: Result<Transcript, Refusal>,
    ready: Option<tokio::sync::oneshot::Sender<Result<(), Refusal>>>,
) {
    match (understood, ready) {
        (Ok(found), ready) => {
            ready.into_iter().for_each(|ready| {
                let _ = ready.send(Ok(()));
            });
            sink.send(&json!({"type": "transcript.text.done", "text": found.text()})).await;
            sink.end().await;
        }
        (Err(refusal), Some(ready)) => {
            let _ = ready.send(Err(refusal));
        }
        (Err(refusal), None) => sink.refuse(&refusal).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::multipart::UploadedFile;

    fn form(fields: &[(&str, &str)]) -> Upload {
        let file = UploadedFile {
            field: "file".to_owned(),
            name: "a.wav".to_owned(),
            content_type: None,
            bytes: Bytes::from_static(b"RIFF"),
        };
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Upload { file: Some(file), fields }
    }

    #[tokio::test]
    async fn guesses_stand_between_phrases_and_none_waits_for_a_slow_listener() {
        let (sender, mut events) = mpsc::channel(2);
        let (sink, mut told) = (Sink(sender), String::new());
        let said = |text: &str| Heard::Said(Segment { text: text.to_owned(), ..Segment::default() });
        let guess = |text: &str| Heard::Guess(text.to_owned());
        let mut lines = Vec::new();
        for heard in [guess("Lamp of"), guess(" "), said("Lamp on."), said(""), guess("Pleas")] {
            assert!(tell(&sink, &mut told, &heard).await);
            lines.extend(events.try_recv());
        }
        assert!(tell(&sink, &mut told, &said("Please.")).await);
        assert!(tell(&sink, &mut told, &guess("And")).await && tell(&sink, &mut told, &guess("And n")).await);
        events.close();
        while let Some(line) = events.recv().await {
            lines.push(line);
        }
        let expected = [
            r#"{"type":"transcript.text.guess","text":"Lamp of"}"#,
            r#"{"type":"transcript.text.delta","delta":"Lamp on."}"#,
            r#"{"type":"transcript.text.guess","text":"Pleas"}"#,
            r#"{"type":"transcript.text.delta","delta":" Please."}"#,
            r#"{"type":"transcript.text.guess","text":"And"}"#,
        ];
        assert_eq!(lines, expected.map(|event| Bytes::from(format!("data: {event}\n\n"))));
        assert_eq!(told, "Lamp on. Please.");
        assert!(!tell(&sink, &mut told, &said("more")).await, "nobody listens any more");
    }

    #[test]
    fn openais_fields_are_understood() {
        let fields = [
            ("model", "whisper-1"),
            ("language", "DE"),
            ("prompt", "KafClaw"),
            ("temperature", "0.4"),
            ("response_format", "verbose_json"),
            ("timestamp_granularities[]", "word"),
            ("timestamp_granularities[]", "segment"),
        ];
        let asked = read(form(&fields), Task::Transcribe).expect("fine");
        assert_eq!((asked.model.as_str(), asked.format, asked.streams), ("whisper-1", Format::VerboseJson, false));
        assert_eq!(asked.hearing.language.as_deref(), Some("de"));
        assert_eq!((asked.hearing.temperature, asked.hearing.word_times), (Some(0.4), true));
        let plain = read(form(&[("temperature", "0"), ("language", "de")]), Task::Translate).expect("fine");
        assert_eq!(plain.hearing, Hearing { task: Task::Translate, ..Hearing::default() });
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_field() {
        for (fields, param) in [
            (&[("response_format", "docx")][..], "response_format"),
            (&[("temperature", "warm")], "temperature"),
            (&[("temperature", "2")], "temperature"),
            (&[("timestamp_granularities[]", "word")], "timestamp_granularities"),
            (&[("response_format", "srt"), ("stream", "true")], "stream"),
        ] {
            let wrong = read(form(fields), Task::Transcribe).err().expect("refused");
            assert_eq!(wrong.param, param);
        }
        let empty = Upload { file: None, ..form(&[]) };
        assert_eq!(read(empty, Task::Transcribe).err().expect("refused").param, "file");
    }
}
