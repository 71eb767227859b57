//! Starting a worker on a rung of the ladder, and what its end tells.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::base::error::chain;
use crate::inference::device::{Device, DeviceError};
use crate::inference::worker::port::Minds;
use crate::inference::worker::serve::serve;
use crate::inference::worker::state::Rung;
use crate::inference::worker::{Config, Place};

/// From the end of the socket to the end of the process.
const END_MAX: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("there is no GPU to compute on")]
    NoDriver { source: DeviceError },
    #[error("the device {device} is not built in: {}, a build with the feature cuda, is not installed", program.display())]
    NotBuiltIn { device: Device, program: PathBuf },
    #[error("could not start {}", program.display())]
    Program { program: PathBuf, source: std::io::Error },
    #[error("could not start a thread")]
    Thread { source: std::io::Error },
    #[error("could not make a socket")]
    Socket { source: std::io::Error },
}

/// A worker that was started, and the way to it.
pub(super) struct Started {
    pub stream: UnixStream,
    /// None for a thread.
    pub process: Option<Process>,
}

pub(super) struct Process {
    child: Child,
    /// Processes that the kernel had ended for want of memory when it started.
    oom_kills: u64,
}

/// The rungs that this configuration has, best first. A GPU that was asked for by its name is tried, so that somebody hears why
/// it does not compute.
pub(super) fn ladder(config: &Config) -> Vec<Rung> {
    match &config.place {
        Place::Here => vec![Rung::Here],
        Place::Process { gpu, .. } => {
            let gpu = match config.device {
                Device::Cpu => false,
                Device::Auto => gpu.is_file(),
                Device::Cuda(_) => true,
            };
            gpu.then_some(Rung::Gpu).into_iter().chain([Rung::Cpu, Rung::Here]).collect()
        }
    }
}

/// The device that a worker on `rung` is told to use.
pub(super) fn device_of(config: &Config, rung: Rung) -> Device {
    match (rung, config.device) {
        (Rung::Gpu, Device::Auto) => Device::Cuda(0),
        (Rung::Gpu, device) => device,
        _ => Device::Cpu,
    }
}

pub(super) fn start(rung: Rung, config: &Config, minds: &Arc<dyn Minds>) -> Result<Started, StartError> {
    let socket = |source| StartError::Socket { source };
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(socket)?;
    ours.set_nonblocking(true).map_err(socket)?;
    let process = match (&config.place, rung) {
        (Place::Process { gpu, .. }, Rung::Gpu) => {
            (config.probe)().map_err(|source| StartError::NoDriver { source })?;
            if !gpu.is_file() {
                return Err(StartError::NotBuiltIn { device: config.device, program: gpu.clone() });
            }
            Some(spawn(gpu, config, theirs)?)
        }
        (Place::Process { cpu, .. }, Rung::Cpu) => Some(spawn(cpu, config, theirs)?),
        _ => {
            let minds = minds.clone();
            let work = move || {
                if let Err(error) = serve(theirs, minds) {
                    tracing::warn!(error = chain(&error), "The worker in this process ended.");
                }
            };
            let thread = std::thread::Builder::new().name("worker".to_owned());
            thread.spawn(work).map_err(|source| StartError::Thread { source })?;
            None
        }
    };
    Ok(Started { stream: UnixStream::from_std(ours).map_err(socket)?, process })
}

/// The worker's end of the socket is its standard input: nobody else can connect, and nothing is left on the disk.
fn spawn(program: &Path, config: &Config, socket: std::os::unix::net::UnixStream) -> Result<Process, StartError> {
    let mut command = Command::new(program);
    command
        .arg0("kafclaw")
        .arg("worker")
        .args(&config.arguments)
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(socket)))
        .stdout(Stdio::null())
        // Candle's errors would tell it among their words.
        .env("RUST_LIB_BACKTRACE", "0")
        .kill_on_drop(true)
        // Ctrl-C is the gateway's to hear.
        .process_group(0);
    if config.threads > 0 {
        command.env("RAYON_NUM_THREADS", config.threads.to_string());
    }
    let child = command.spawn().map_err(|source| StartError::Program { program: program.to_owned(), source })?;
    Ok(Process { child, oom_kills: oom_kills() })
}

impl Process {
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    pub(super) fn kill(&mut self) {
        let _ = self.child.start_kill();
    }

    /// Waits for the end, makes it come if it does not, and says what it was.
    pub(super) async fn end(mut self) -> (String, Option<ExitStatus>) {
        let status = match timeout(END_MAX, self.child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                self.kill();
                self.child.wait().await
            }
        };
        match status {
            Ok(status) => (describe(status, oom_kills() > self.oom_kills), Some(status)),
            Err(error) => (format!("nobody knows how it ended ({error})"), None),
        }
    }
}

fn describe(status: ExitStatus, is_out_of_memory: bool) -> String {
    const NAMES: [(i32, &str); 7] =
        [(4, "SIGILL"), (6, "SIGABRT"), (7, "SIGBUS"), (8, "SIGFPE"), (9, "SIGKILL"), (11, "SIGSEGV"), (15, "SIGTERM")];
    match (status.signal(), status.code()) {
        (Some(9), _) if is_out_of_memory => "the kernel ended it because memory ran out (SIGKILL)".to_owned(),
        (Some(signal), _) => match NAMES.iter().find(|(number, _)| *number == signal) {
            Some((_, name)) => format!("it was ended by {name}"),
            None => format!("it was ended by signal {signal}"),
        },
        (None, Some(code)) => format!("it ended with status {code}"),
        (None, None) => "it ended".to_owned(),
    }
}

/// How often the kernel has ended a process for want of memory, since it was started.
fn oom_kills() -> u64 {
    let text = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::device::Probe;

    #[test]
    fn the_end_of_a_process_is_told_in_words() {
        for (raw, is_out_of_memory, words) in [
            (9, true, "the kernel ended it because memory ran out (SIGKILL)"),
            (9, false, "it was ended by SIGKILL"),
            (11, true, "it was ended by SIGSEGV"),
            (40, false, "it was ended by signal 40"),
            (3 << 8, false, "it ended with status 3"),
        ] {
            assert_eq!(describe(ExitStatus::from_raw(raw), is_out_of_memory), words);
        }
    }

    #[test]
    fn a_ladder_has_a_rung_for_the_gpu_where_its_worker_is_or_it_was_asked_for() {
        let place = |gpu: &str| Place::Process { cpu: "/proc/self/exe".into(), gpu: gpu.into() };
        let ladder_of = |place, device| ladder(&Config { place, device, ..Config::default() });
        assert_eq!(ladder_of(Place::Here, Device::Auto), [Rung::Here]);
        assert_eq!(ladder_of(place("/nonexistent"), Device::Auto), [Rung::Cpu, Rung::Here]);
        assert_eq!(ladder_of(place("/nonexistent"), Device::Cuda(0)), [Rung::Gpu, Rung::Cpu, Rung::Here]);
        assert_eq!(ladder_of(place("/proc/self/exe"), Device::Cpu), [Rung::Cpu, Rung::Here]);
        assert_eq!(ladder_of(place("/proc/self/exe"), Device::Auto), [Rung::Gpu, Rung::Cpu, Rung::Here]);
    }

    #[test]
    fn a_gpu_worker_is_started_only_where_its_driver_and_its_program_are() {
        let absent = || Err(DeviceError::Driver { name: "libcuda.so.1", source: libloading::Error::DlOpenUnknown });
        let place = Place::Process { cpu: "/proc/self/exe".into(), gpu: "/nonexistent".into() };
        let minds: Arc<dyn Minds> = Arc::new(crate::inference::worker::testing::Parrots::default());
        let refused = |probe: Probe| {
            let config = Config { place: place.clone(), device: Device::Cuda(1), probe, ..Config::default() };
            start(Rung::Gpu, &config, &minds).err().map(|error| chain(&error)).expect("a reason")
        };
        assert!(refused(absent).starts_with("there is no GPU to compute on: could not open libcuda.so.1"));
        assert!(refused(|| Ok(())).starts_with("the device cuda:1 is not built in: /nonexistent"));
    }
}
