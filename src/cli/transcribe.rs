//! `kafclaw transcribe`: recordings to text, in this process; no gateway is needed.

mod bar;

use std::fs;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::app;
use crate::base::error::chain;
use crate::cli::models;
use crate::cli::show::printable;
use crate::cli::{Failure, Terminal};
use crate::inference::audio::{Limits, Stream, Warnings};
use crate::inference::device::Device;
use crate::inference::speech::{self, Detector, Understand, Understood};
use crate::inference::transcript::{Format, Task, verbose, write};
use crate::inference::whisper::{Config, Options, Progress, TRIAL_FILE, Whisper, WhisperError};
use crate::models::{Installed, Memory, State, Store, Task as ModelTask, usual};

/// What is read from standard input at most; files may be of any size.
const INPUT_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// As whoever reads standard input is called.
const INPUT: &str = "-";

const AFTER_HELP: &str = "\
Reads WAV, FLAC, MP3, Ogg, WebM, MP4 and AAC at any rate; silence is left out before the model hears it. Times are those of
the recording. Needs a speech model: kafclaw models install whisper-tiny

Examples:
  kafclaw transcribe memo.m4a
  kafclaw transcribe --srt --language de film.mp3 > film.srt
  kafclaw transcribe --vtt --output-dir subtitles *.mp3
  arecord -f S16_LE -r 16000 -d 5 | kafclaw transcribe -";

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Recordings; `-` is the standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print JSON with times and figures, in the form of OpenAI's `verbose_json`.
    #[arg(long, group = "format")]
    json: bool,
    /// Print SubRip subtitles.
    #[arg(long, group = "format")]
    srt: bool,
    /// Print WebVTT subtitles.
    #[arg(long, group = "format")]
    vtt: bool,
    /// Code of the language that is spoken, such as `en`; found out when left out.
    #[arg(short, long)]
    language: Option<String>,
    /// Write it down in English.
    #[arg(long)]
    translate: bool,
    /// Tell when each word was said; goes with --json.
    #[arg(long, requires = "json")]
    words: bool,
    /// Words that are likely, such as names.
    #[arg(long)]
    prompt: Option<String>,
    /// Model, as `kafclaw models list` shows it; else inference.speechModel, else the largest usual one that is here.
    #[arg(short, long)]
    model: Option<String>,
    /// Threads that compute; inference.threads when left out.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    threads: usize,
    /// Have the model hear silence, too.
    #[arg(long)]
    no_vad: bool,
    /// Write one file for each recording into this folder instead of printing.
    #[arg(short, long)]
    output_dir: Option<PathBuf>,
}

/// The keys of `inference` that count here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keys {
    device: Device,
    threads: usize,
    speech_model: String,
    runtime: PathBuf,
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        if self.files.len() > 1 && (self.srt || self.vtt) && self.output_dir.is_none() {
            return Err(Failure::usage("subtitles of several recordings need --output-dir"));
        }
        let loaded = terminal.load_config()?;
        let keys: Keys = loaded.config.section("/inference").map_err(unread)?;
        let store = models::open(&loaded);
        let installed = choose(&store, self.model.as_deref(), &keys.speech_model)?;
        let threads = if self.threads > 0 { self.threads } else { keys.threads };
        let folder = installed.folder.clone();
        let trial = Some(folder.join(TRIAL_FILE));
        let config = Config { folder, device: keys.device, threads, trial, ..Config::default() };
        let model = load(&config, terminal)
            .map_err(|problem| Failure::Outcome(format!("could not load {}: {}", installed.id, chain(&problem))))?;
        let runtime = Some(keys.runtime).filter(|path| !path.as_os_str().is_empty());
        let detector = if self.no_vad { Detector::Off } else { app::detector(&store, runtime) };
        self.write_down(&model, &detector, terminal)
    }

    /// Every recording, one after the other; those that fail do not keep the others from it.
    fn write_down(
        &self,
        model: &dyn Understand,
        detector: &Detector,
        terminal: &mut Terminal<'_>,
    ) -> Result<(), Failure> {
        let (mut values, mut failed) = (Vec::new(), 0_usize);
        for file in &self.files {
            let name = printable(&file.display().to_string());
            match self.understand(file, model, detector, terminal) {
                Ok(understood) => {
                    warn(&name, understood.warnings, terminal);
                    self.give(file, &name, &understood, &mut values, terminal)?;
                }
                Err(problem) => {
                    failed += 1;
                    terminal.note(&format!("kafclaw: {name}: {problem}"));
                }
            }
        }
        match values.len() {
            0 => {}
            1 if self.files.len() == 1 => terminal.print_json(&values[0])?,
            _ => terminal.print_json(&Value::Array(values))?,
        }
        match failed {
            0 => Ok(()),
            failed => {
                Err(Failure::Outcome(format!("{failed} of {} could not be written down", count(self.files.len()))))
            }
        }
    }

    fn understand(
        &self,
        file: &Path,
        model: &dyn Understand,
        detector: &Detector,
        terminal: &mut Terminal<'_>,
    ) -> Result<Understood, String> {
        let stream = open(file, terminal)?;
        let bar = bar::Bar::new(file, terminal.output_is_person || self.output_dir.is_some());
        let mut hear = |progress: Progress| {
            bar.tell(&progress);
            ControlFlow::Continue(())
        };
        let understood = speech::transcribe(model, stream, detector, &self.options(), &mut hear);
        bar.end();
        understood.map_err(|problem| chain(&problem))
    }

    fn options(&self) -> Options {
        Options {
            language: self.language.as_ref().map(|code| code.to_ascii_lowercase()),
            task: self.task(),
            prompt: self.prompt.clone(),
            word_times: self.words,
            ..Options::default()
        }
    }

    fn task(&self) -> Task {
        if self.translate { Task::Translate } else { Task::Transcribe }
    }

    fn format(&self) -> (Format, &'static str) {
        match self {
            Self { json: true, .. } => (Format::VerboseJson, "json"),
            Self { srt: true, .. } => (Format::Srt, "srt"),
            Self { vtt: true, .. } => (Format::Vtt, "vtt"),
            _ => (Format::Text, "txt"),
        }
    }

    /// Prints what was said or writes it into its file; JSON is kept until all of it is there.
    fn give(
        &self,
        file: &Path,
        name: &str,
        understood: &Understood,
        values: &mut Vec<Value>,
        terminal: &mut Terminal<'_>,
    ) -> Result<(), Failure> {
        let (format, ending) = self.format();
        let text = write(&understood.transcript, self.task(), format);
        if let Some(folder) = &self.output_dir {
            let path = folder.join(file.file_stem().unwrap_or(file.as_os_str())).with_extension(ending);
            let attempt = || format!("write {}", path.display());
            fs::create_dir_all(folder).map_err(|source| Failure::File { attempt: attempt(), source })?;
            fs::write(&path, text).map_err(|source| Failure::File { attempt: attempt(), source })?;
            return terminal.print(&path.display().to_string());
        }
        if format == Format::VerboseJson {
            let mut value = verbose(&understood.transcript, self.task());
            value["file"] = Value::String(file.display().to_string());
            values.push(value);
            return Ok(());
        }
        let heading = if self.files.len() > 1 { format!("== {name} ==\n") } else { String::new() };
        match format!("{heading}{}", printable(&text)) {
            nothing if nothing.is_empty() => Ok(()),
            said => terminal.print(&said),
        }
    }
}

fn count(files: usize) -> String {
    if files == 1 { "1 recording".to_owned() } else { format!("{files} recordings") }
}

fn open(file: &Path, terminal: &mut Terminal<'_>) -> Result<Stream, String> {
    let limits = Limits::default();
    let opened = if file == Path::new(INPUT) {
        let mut bytes = Vec::new();
        let read = Read::take(&mut *terminal.input, INPUT_BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|problem| format!("could not read the input: {problem}"))?;
        if bytes.len() as u64 > INPUT_BYTES_MAX {
            return Err("the input is too long; write it into a file first".to_owned());
        }
        Stream::of(bytes.into(), &limits)
    } else {
        Stream::open(file, &limits)
    };
    opened.map_err(|problem| chain(&problem))
}

fn warn(name: &str, warnings: Warnings, terminal: &mut Terminal<'_>) {
    if warnings.is_truncated {
        terminal.note(&format!("warning: {name} ends before it says; what is there is written down"));
    }
    if warnings.packets_damaged > 0 {
        terminal.note(&format!("warning: {} pieces of {name} are damaged and left out", warnings.packets_damaged));
    }
}

fn unread(problem: serde_json::Error) -> Failure {
    Failure::Outcome(format!("the keys of inference cannot be read: {problem}"))
}

/// A GPU that does not compute leaves it to the processor, as it does in the gateway.
fn load(config: &Config, terminal: &mut Terminal<'_>) -> Result<Whisper, WhisperError> {
    match Whisper::load(config) {
        Err(WhisperError::Device { source }) => {
            terminal.note(&format!("warning: {}; the processor computes", chain(&source)));
            Whisper::load(&Config { device: Device::Cpu, ..config.clone() })
        }
        loaded => loaded,
    }
}

/// The model that was asked for; else the configured one, the usual one of this machine, or whichever is here.
fn choose(store: &Store, wanted: Option<&str>, configured: &str) -> Result<Installed, Failure> {
    if let Some(name) = wanted {
        let installed = store.locate(name).map_err(Failure::Models)?;
        if installed.entry.task != ModelTask::Speech {
            return Err(Failure::Outcome(format!(
                "{} is no speech model; it is for {}",
                installed.id, installed.entry.task
            )));
        }
        return Ok(installed);
    }
    let is_speech = |installed: &Installed| installed.entry.task == ModelTask::Speech;
    if let Some(installed) = store.locate(configured).ok().filter(is_speech) {
        return Ok(installed);
    }
    let memory = Memory::of_machine();
    let lines = store.list(memory);
    let here = lines
        .iter()
        .filter(|line| line.entry.task == ModelTask::Speech && matches!(line.state, State::Installed | State::Bundled));
    if let Some(line) = here.max_by_key(|line| (line.is_usual, line.fits, line.entry.memory_mib)) {
        return store.locate(&line.entry.id).map_err(Failure::Models);
    }
    let advised = usual(store.manifest(), ModelTask::Speech, memory).map_or("whisper-tiny", |entry| entry.id.as_str());
    Err(Failure::Outcome(format!("no speech model is installed; run: kafclaw models install {advised}")))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::base::clock::Clock;
    use crate::inference::audio::testing::{fixture, noise, wav};
    use crate::inference::speech::Hearer;
    use crate::inference::transcript::{Segment, Transcript};
    use crate::inference::whisper::WhisperError;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    /// Hears "Hello" in everything.
    struct Parrot;

    impl Understand for Parrot {
        fn understand(&self, samples: &[f32], options: &Options, _: Hearer<'_>) -> Result<Transcript, WhisperError> {
            let end_s = samples.len() as f64 / 16_000.0;
            let text = if options.task == Task::Translate { "Hello" } else { "Hallo" }.to_owned();
            let segments = vec![Segment { start_s: 0.0, end_s, text, ..Segment::default() }];
            Ok(Transcript {
                language: options.language.clone().unwrap_or("de".to_owned()),
                duration_s: end_s,
                segments,
            })
        }
    }

    /// Exit of the command, what it printed and what it said beside it.
    fn run(folder: &Path, args: &[&str], input: &[u8]) -> (Result<(), String>, String, String) {
        let (mut out, mut err, mut input) = (Vec::new(), Vec::new(), input);
        let mut terminal = Terminal {
            variables: [("KAFCLAW_HOME".to_owned(), folder.display().to_string())].into_iter().collect(),
            clock: Clock::System,
            input: &mut input,
            out: &mut out,
            err: &mut err,
            input_is_person: false,
            output_is_person: false,
        };
        let args = std::iter::once("transcribe").chain(args.iter().copied());
        let line = Line::try_parse_from(args).expect("arguments");
        let result =
            line.args.write_down(&Parrot, &Detector::Energy, &mut terminal).map_err(|failure| failure.to_string());
        (result, String::from_utf8(out).expect("text"), String::from_utf8(err).expect("text"))
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("speech.opus"), fixture("speech.opus")).expect("written");
        fs::write(folder.path().join("quiet.wav"), wav(&noise(16_000, 0.0005, 1), 16_000)).expect("written");
        fs::write(folder.path().join("letter.txt"), "Dear Anna,").expect("written");
        folder
    }

    #[test]
    fn a_recording_is_printed_as_text_subtitles_or_json() {
        let folder = folder();
        let file = folder.path().join("speech.opus").display().to_string();
        assert_eq!(run(folder.path(), &[&file], b""), (Ok(()), "Hallo\n".to_owned(), String::new()));
        let (_, srt, _) = run(folder.path(), &["--srt", "--translate", &file], b"");
        assert!(srt.starts_with("1\n00:00:00,7") || srt.starts_with("1\n00:00:00,8"), "{srt}");
        assert!(srt.ends_with("\nHello\n\n"), "{srt}");
        let (_, json, _) = run(folder.path(), &["--json", "--language", "FR", &file], b"");
        let value: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!((value["language"].as_str(), value["text"].as_str()), (Some("fr"), Some("Hallo")));
        assert_eq!(value["file"].as_str(), Some(file.as_str()));
    }

    #[test]
    fn silence_prints_nothing_and_standard_input_is_read() {
        let folder = folder();
        let quiet = folder.path().join("quiet.wav").display().to_string();
        assert_eq!(run(folder.path(), &[&quiet], b""), (Ok(()), String::new(), String::new()));
        let (result, said, _) = run(folder.path(), &["-"], &fixture("speech.opus"));
        assert_eq!((result, said.as_str()), (Ok(()), "Hallo\n"));
    }

    #[test]
    fn one_that_fails_does_not_keep_the_others_from_it() {
        let folder = folder();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (letter, speech, quiet) = (path("letter.txt"), path("speech.opus"), path("quiet.wav"));
        let (result, said, beside) = run(folder.path(), &[&letter, &speech, &quiet, &path("none.wav")], b"");
        assert_eq!(result, Err("2 of 4 recordings could not be written down".to_owned()));
        assert_eq!(said, format!("== {speech} ==\nHallo\n== {quiet} ==\n"));
        assert!(beside.contains("letter.txt: this is no recording") && beside.contains("could not open"), "{beside}");
    }

    #[test]
    fn files_are_written_beside_each_other() {
        let folder = folder();
        let speech = folder.path().join("speech.opus").display().to_string();
        let target = folder.path().join("texts");
        let (result, said, _) = run(folder.path(), &["--vtt", "-o", &target.display().to_string(), &speech], b"");
        assert_eq!((result, said.trim()), (Ok(()), target.join("speech.vtt").to_str().expect("text")));
        assert!(fs::read_to_string(target.join("speech.vtt")).expect("a file").starts_with("WEBVTT\n\n00:00:00."));
    }

    #[test]
    fn arguments_that_contradict_each_other_are_refused() {
        for args in [&["a", "--srt", "--json"][..], &["a", "--words"], &[]] {
            assert!(
                Line::try_parse_from(std::iter::once("transcribe").chain(args.iter().copied())).is_err(),
                "{args:?}"
            );
        }
    }
}
