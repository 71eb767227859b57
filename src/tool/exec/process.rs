//! One child process: started in its own group, read up to a limit, and never outliving its call.

use std::fmt::Write as _;
use std::os::fd::{AsFd, AsRawFd};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use cap_std::fs::Dir;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::domain::call::Outcome;
use crate::tool::exec::Config;

/// How long pipes may stay open after the whole group was killed; something that left the group holds them.
const PIPE_GRACE: Duration = Duration::from_millis(500);
/// A program that prints this many times what is kept is stopped.
const OVERFLOW_FACTOR: usize = 16;

/// What to run: the program and its arguments, and the open folder it works in.
pub(super) struct Job {
    pub words: Vec<String>,
    pub folder: Dir,
}

pub(super) async fn run(config: &Config, job: Job) -> Outcome {
    let deadline = Instant::now() + config.timeout;
    let mut child = match spawn(config, &job) {
        Ok(child) => child,
        Err(error) => return Outcome::failed(format!("Error executing command: {error}")),
    };
    let group = Group::of(&child);
    let (mut stdout, mut stderr) = (Captured::default(), Captured::default());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let kept_max = config.output_bytes_max;
    let end = {
        let read_all = async { tokio::try_join!(stdout.fill(out, kept_max), stderr.fill(err, kept_max)) };
        tokio::pin!(read_all);
        let mut is_read = false;
        let end = tokio::select! {
            status = child.wait() => End::of(status),
            filled = &mut read_all => {
                is_read = true;
                match filled {
                    Err(Overflow) => End::Overflow,
                    // Both pipes are closed, so it is ending; the clock still runs.
                    Ok(_) => timeout_at(deadline, child.wait()).await.map_or(End::TimedOut, End::of),
                }
            }
            () = sleep_until(deadline) => End::TimedOut,
        };
        // Also after a normal end: nothing that it left in the background stays.
        drop(group);
        if !is_read {
            // Whoever left the group keeps a pipe open; what it prints is not ours any more.
            let _ = timeout(PIPE_GRACE, &mut read_all).await;
        }
        end
    };
    if !matches!(end, End::Exited(_)) {
        // Reaps it; the group was killed above.
        let _ = child.wait().await;
    }
    report(config, &end, &stdout, &stderr)
}

fn spawn(config: &Config, job: &Job) -> std::io::Result<Child> {
    let (program, arguments) = job.words.split_first().expect("invariant: the rules let no empty command through");
    Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", &config.path)
        .env("HOME", &config.home)
        .env("LANG", &config.lang)
        .envs([
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_PAGER", "cat"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_EDITOR", "true"),
        ])
        // By descriptor: the folder that was checked, even if another one has its name by now.
        .current_dir(format!("/proc/self/fd/{}", job.folder.as_fd().as_raw_fd()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

enum End {
    Exited(ExitStatus),
    TimedOut,
    Overflow,
    Lost,
}

impl End {
    fn of(status: std::io::Result<ExitStatus>) -> Self {
        status.map_or(Self::Lost, Self::Exited)
    }
}

/// Kills the child's whole group when dropped: at the end, at a timeout, and when the call is cancelled.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // The usual error is that nothing of the group is left.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

#[derive(Default)]
struct Captured {
    bytes: Vec<u8>,
    read: usize,
}

/// More was printed than anybody will read.
struct Overflow;

impl Captured {
    /// Reads until the pipe is closed or too much has come.
    async fn fill(&mut self, pipe: Option<impl AsyncRead + Unpin>, kept_max: usize) -> Result<(), Overflow> {
        let Some(mut pipe) = pipe else { return Ok(()) };
        let mut buffer = [0_u8; 8 * 1024];
        loop {
            let Ok(count @ 1..) = pipe.read(&mut buffer).await else { return Ok(()) };
            self.read += count;
            let room = kept_max.saturating_sub(self.bytes.len()).min(count);
            self.bytes.extend_from_slice(&buffer[..room]);
            if self.read > kept_max.saturating_mul(OVERFLOW_FACTOR) {
                return Err(Overflow);
            }
        }
    }

    fn text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.bytes).into_owned();
        if self.read > self.bytes.len() {
            let _ = write!(text, "\n[output truncated: {} of {} bytes shown]", self.bytes.len(), self.read);
        }
        text
    }
}

/// KafClaw's form: what it printed, then `STDERR:`, then the exit code if it was not zero (specification §7.2).
fn report(config: &Config, end: &End, stdout: &Captured, stderr: &Captured) -> Outcome {
    let mut text = stdout.text();
    if stderr.read > 0 {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str("STDERR:\n");
        text.push_str(&stderr.text());
    }
    match end {
        End::Exited(status) if status.success() => {
            Outcome::done(if text.is_empty() { "(no output)".to_owned() } else { text })
        }
        End::Exited(status) => {
            // A signal has no code; Go's -1 stands for it.
            let _ = write!(text, "\nExit code: {}", status.code().unwrap_or(-1));
            Outcome::failed(text)
        }
        End::TimedOut => {
            Outcome::failed(format!("Error: command timed out after {}\n{text}", go_duration(config.timeout)))
        }
        End::Overflow => Outcome::failed(format!("Error: the command printed too much and was stopped\n{text}")),
        End::Lost => Outcome::failed(format!("Error executing command: its end was not seen\n{text}")),
    }
}

/// A duration as Go prints it, for the texts that clients know: `1m0s`, `1.5s`, `200ms`.
fn go_duration(duration: Duration) -> String {
    let (minutes, seconds, millis) = (duration.as_secs() / 60, duration.as_secs() % 60, duration.subsec_millis());
    if duration < Duration::from_secs(1) {
        return format!("{millis}ms");
    }
    let mut text = String::new();
    if minutes >= 60 {
        let _ = write!(text, "{}h", minutes / 60);
    }
    if minutes > 0 {
        let _ = write!(text, "{}m", minutes % 60);
    }
    let fraction = format!("{millis:03}");
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    let _ = write!(text, "{seconds}{dot}{fraction}s");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_go_prints_them() {
        for (millis, text) in [
            (60_000, "1m0s"),
            (1_500, "1.5s"),
            (200, "200ms"),
            (3_661_000, "1h1m1s"),
            (5_000, "5s"),
            (90_050, "1m30.05s"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(millis)), text);
        }
    }
}
