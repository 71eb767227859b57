//! Apache Kafka on loopback: one broker that all tests share, and brokers of one test that are stopped, killed and held.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::cable::Cable;
use super::process::{Process, free_port};
use super::wait_for;

/// A broker needs some seconds to start, and more where other tests run.
const START_MAX: Duration = Duration::from_secs(120);
const STOP_MAX: Duration = Duration::from_secs(60);

/// Ports of a broker, by what they ask of a client. Without `secure`, only `plaintext` is served.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub plaintext: u16,
    /// SASL_PLAINTEXT: PLAIN or SCRAM, user `hub` with `hub-secret`; `guest` with `guest-secret` may nothing.
    pub sasl: u16,
    /// SASL_SSL, the same users.
    pub sasl_tls: u16,
    /// SSL with a client certificate.
    pub tls: u16,
    /// SSL whose certificate is over.
    pub expired: u16,
    controller: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Doors {
    Plain,
    All,
}

pub struct Kafka {
    folder: TempDir,
    ports: Ports,
    doors: Doors,
    /// What leads to it; none for one on this machine.
    cable: Option<Cable>,
    process: Option<Running>,
}

struct Running {
    broker: Process,
    /// Kills the broker when the tests end without a word.
    guard: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.guard.kill();
        let _ = self.guard.wait();
    }
}

impl Kafka {
    /// Starts a broker of one's own; unknown topics are refused.
    pub fn start() -> Self {
        Self::start_with(Doors::Plain, None)
    }

    /// Starts one on another machine; see [`Kafka::cable`].
    pub fn start_apart() -> Self {
        Self::start_with(Doors::Plain, Some(Cable::lay()))
    }

    fn start_with(doors: Doors, cable: Option<Cable>) -> Self {
        let ports = Ports {
            plaintext: free_port(),
            sasl: free_port(),
            sasl_tls: free_port(),
            tls: free_port(),
            expired: free_port(),
            controller: free_port(),
        };
        let mut kafka = Self { folder: TempDir::new().expect("a folder"), ports, doors, cable, process: None };
        kafka.resume();
        kafka
    }

    /// The broker of the whole run, with every door; it is never stopped, and ends with the tests.
    pub fn shared() -> Ports {
        static SHARED: OnceLock<Mutex<Option<Kafka>>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| Mutex::new(None));
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.get_or_insert_with(|| Self::start_with(Doors::All, None)).ports
    }

    /// Certificates of the shared broker and of those with all doors: `ca.pem`, `client.pem`, `client.key`, `stranger.pem`.
    pub fn certificates() -> PathBuf {
        static FOLDER: OnceLock<PathBuf> = OnceLock::new();
        let make = || {
            let folder = std::env::temp_dir().join(format!("kafclaw-it-certificates-{}", std::process::id()));
            let output = Command::new(script("kafka_certificates.sh")).arg(&folder).output().expect("openssl");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            folder
        };
        FOLDER.get_or_init(make).clone()
    }

    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// What leads to a broker that was started apart.
    pub fn cable(&self) -> &Cable {
        self.cable.as_ref().expect("a broker on another machine")
    }

    pub fn host(&self) -> Ipv4Addr {
        self.cable.as_ref().map_or(Ipv4Addr::LOCALHOST, Cable::far)
    }

    /// Its door without passwords, as the configuration names it.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host(), self.ports.plaintext)
    }

    /// Starts it again, with all that it had.
    pub fn resume(&mut self) {
        let (ports, host, program) = (self.ports, self.host(), script("kafka.sh"));
        let mut command = match &self.cable {
            Some(cable) => cable.command(&program),
            None => Command::new(program),
        };
        command.arg(self.folder.path()).arg(format!("host={host}"));
        command.arg(format!("plaintext={}", ports.plaintext)).arg(format!("controller={}", ports.controller));
        let mut last = ports.plaintext;
        if self.doors == Doors::All {
            let certificates = self.folder.path().join("certificates");
            if !certificates.exists() {
                std::os::unix::fs::symlink(Self::certificates(), certificates).expect("a link");
            }
            command.arg(format!("sasl={}", ports.sasl)).arg(format!("sasl_tls={}", ports.sasl_tls));
            command.arg(format!("tls={}", ports.tls)).arg(format!("expired={}", ports.expired));
            last = ports.expired;
        }
        let mut broker = Process::start("kafka", command, &self.folder.path().join("kafka.log"));
        let removal = self.cable.as_ref().map(Cable::removal).unwrap_or_default();
        let guard = Command::new("sh")
            .args(["-c", &format!("cat >/dev/null; kill -KILL {}; {removal}", broker.id())])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let is_open = wait_for(START_MAX, || {
            assert!(broker.exited().is_none(), "kafka ended:\n{}", broker.log());
            [ports.plaintext, last].iter().all(|port| is_open(host, *port)).then_some(())
        });
        assert!(is_open.is_some(), "kafka never listens:\n{}", broker.log());
        self.process = Some(Running { broker, guard });
    }

    /// Ends it in order.
    pub fn stop(&mut self) {
        if let Some(mut running) = self.process.take() {
            running.broker.signal(Signal::TERM);
            running.broker.wait(STOP_MAX);
        }
    }

    /// As a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.process.take() {
            running.broker.signal(Signal::KILL);
            running.broker.wait(STOP_MAX);
        }
    }

    /// Keeps its connections and answers nothing, as behind a cable that was pulled.
    pub fn hold(&self) {
        self.running().signal(Signal::STOP);
    }

    pub fn release(&self) {
        self.running().signal(Signal::CONT);
    }

    fn running(&self) -> &Process {
        &self.process.as_ref().expect("a running broker").broker
    }
}

fn is_open(host: Ipv4Addr, port: u16) -> bool {
    TcpStream::connect((host, port)).is_ok()
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name)
}
