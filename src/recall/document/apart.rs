//! Reads a document in a process of its own: this program, started again with [`COMMAND`], bounded in processor time and
//! memory by the kernel. Whatever the file does to its parser, all that is lost is that process.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::{Document, DocumentError, FILE_BYTES_MAX, Kind, TEXT_BYTES_MAX};

/// The hidden command that [`serve`]s.
pub const COMMAND: &str = "read-document";
/// Processor time, in seconds.
const CPU_SECONDS_MAX: u64 = 30;
/// Address space, in bytes: a parsed PDF is a multiple of its file.
const MEMORY_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Stack of the parsing thread, in bytes; PDF objects nest.
const STACK_BYTES: usize = 64 * 1024 * 1024;
/// Longest answer, in bytes: JSON escapes may double a text.
const ANSWER_BYTES_MAX: u64 = 4 * TEXT_BYTES_MAX as u64;

/// What the child answers.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Document(Document),
    Refused(DocumentError),
}

/// Reads `bytes` with the program at `program` (this one). Blocks for as long as it takes, at most about half a minute.
pub fn read_apart(program: &Path, kind: Kind, bytes: &[u8]) -> Result<Document, DocumentError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(DocumentError::TooLarge { bytes: bytes.len() as u64, bytes_max: FILE_BYTES_MAX as u64 });
    }
    let name = serde_json::to_value(kind).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
    let mut child = Command::new(program)
        .args([COMMAND, &name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .env_clear()
        .spawn()
        .map_err(|_| DocumentError::NoReader)?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let answer = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A child that has seen enough closes its end.
            let _ = stdin.map(|mut stdin| stdin.write_all(bytes));
        });
        let mut answer = Vec::new();
        if let Some(stdout) = stdout {
            let _ = stdout.take(ANSWER_BYTES_MAX).read_to_end(&mut answer);
        }
        answer
    });
    // Nothing it could still have to say is wanted.
    let _ = child.kill();
    let status = child.wait().map_err(|_| DocumentError::NoReader)?;
    match serde_json::from_slice(&answer) {
        Ok(Answer::Document(document)) => Ok(document),
        Ok(Answer::Refused(error)) => Err(error),
        // Killed by the kernel: too much time, too much memory, or a stack that ran over.
        Err(_) if status.signal().is_some() => Err(DocumentError::TooHard),
        Err(_) => Err(DocumentError::NoReader),
    }
}

/// The child's side: bounds itself, reads the file from `input` and answers on `out`.
pub fn serve(kind: Kind, input: &mut dyn Read, out: &mut dyn Write) -> io::Result<()> {
    bound_self()?;
    let mut bytes = Vec::new();
    input.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    // Panics are answers here, not news.
    std::panic::set_hook(Box::new(|_| {}));
    let work = std::thread::Builder::new().name("document".to_owned()).stack_size(STACK_BYTES);
    let thread = work.spawn(move || super::read(kind, &bytes))?;
    let answer = match thread.join() {
        Ok(Ok(document)) => Answer::Document(document),
        Ok(Err(error)) => Answer::Refused(error),
        Err(_panic) => Answer::Refused(DocumentError::Broken { kind: format!("{kind:?}") }),
    };
    serde_json::to_writer(&mut *out, &answer)?;
    out.flush()
}

fn bound_self() -> io::Result<()> {
    let both = |value: u64| Rlimit { current: Some(value), maximum: Some(value) };
    setrlimit(Resource::Cpu, both(CPU_SECONDS_MAX))?;
    setrlimit(Resource::As, both(MEMORY_BYTES_MAX))?;
    setrlimit(Resource::Core, both(0))?;
    setrlimit(Resource::Fsize, both(0))?;
    Ok(())
}
