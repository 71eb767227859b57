//! Programs that a test starts and that end with it, whatever happens.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wait_for;

/// A child process; killed when dropped. What it prints goes to a file, which a failing test shows.
pub struct Process {
    child: Child,
    name: &'static str,
    log: PathBuf,
}

impl Process {
    pub fn start(name: &'static str, mut command: Command, log: &Path) -> Self {
        let open = || -> io::Result<(File, File)> {
            let file = File::options().create(true).append(true).open(log)?;
            Ok((file.try_clone()?, file))
        };
        let (out, err) = open().expect("the log of a process");
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let child =
            child.unwrap_or_else(|error| panic!("could not start {name} ({error}); does scripts/test.sh help?"));
        Self { child, name, log: log.to_owned() }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Sends a signal; one that is gone already is left alone.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        let _ = kill_process(pid, signal);
    }

    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    #[track_caller]
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let status = wait_for(within, || self.exited());
        status.unwrap_or_else(|| panic!("{} did not end within {within:?}:\n{}", self.name, self.log()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- {} said last:\n{}", self.name, lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}

/// A port that nobody listens on, for programs that cannot choose one themselves. It is below those that the kernel gives to whoever
/// asks for any, so that nobody takes it in the seconds until the program does; beside those of the unit tests and of the product.
pub fn free_port() -> u16 {
    const FIRST: u32 = 14_000;
    const COUNT: u32 = 4_000;
    static ASKED: AtomicU32 = AtomicU32::new(0);
    // Other test programs run at the same time; each begins elsewhere.
    let start = std::process::id().wrapping_mul(64);
    let any = (0..COUNT).find_map(|_| {
        let number = start.wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + number % COUNT).expect("below 65536");
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok().then_some(port)
    });
    any.expect("a free port")
}
