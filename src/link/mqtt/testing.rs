//! A real broker for tests: mosquitto on a free port of loopback, with its store in a directory of its own.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::time::Instant;

use super::{Address, Config, LinkState, MqttHandle, Route, RouteConfig};
use crate::base::shutdown::Shutdown;

/// More than any test needs on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Broker {
    pub port: u16,
    pub directory: tempfile::TempDir,
    process: Option<Child>,
}

impl Broker {
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// With further lines for its configuration.
    pub async fn start_with(lines: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let port = free_port();
        let config = format!(
            "user root\nallow_anonymous true\npersistence true\npersistence_location {}/\nmax_queued_messages 0\n{lines}\nlistener {port} 127.0.0.1\n",
            directory.path().display()
        );
        std::fs::write(directory.path().join("mosquitto.conf"), config).expect("a configuration");
        let mut broker = Self { port, directory, process: None };
        broker.go_on().await;
        broker
    }

    /// Starts it again where it stopped.
    pub async fn go_on(&mut self) {
        let program =
            if std::path::Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
        let process = Command::new(program)
            .arg("-c")
            .arg(self.directory.path().join("mosquitto.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto is installed");
        self.process = Some(process);
        let port = self.port;
        until("the broker listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
    }

    /// Stops it in order: it writes its store.
    pub async fn stop(&mut self) {
        let mut process = self.process.take().expect("a running broker");
        let pid = Pid::from_raw(process.id() as i32).expect("a process");
        rustix::process::kill_process(pid, Signal::TERM).expect("a process of ours");
        until("the broker ends", || process.try_wait().is_ok_and(|status| status.is_some())).await;
    }

    pub fn config(&self, client_id: &str) -> Config {
        let address = Address::parse(&format!("mqtt://127.0.0.1:{}", self.port)).expect("an address");
        Config::new(address, client_id, self.directory.path())
    }

    /// A connected client that listens to `routes`.
    pub async fn client(&self, client_id: &str, routes: Vec<RouteConfig>) -> (MqttHandle, Vec<Route>, Shutdown) {
        let shutdown = Shutdown::default();
        let (handle, routes) = super::start(self.config(client_id), routes, shutdown.clone()).expect("a link");
        connected(&handle).await;
        (handle, routes, shutdown)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A port that nobody listens on, for brokers, which cannot choose one themselves. It is below those that the kernel gives to
/// whoever asks for any, so that nobody takes it before the broker does.
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 4_000;
    static ASKED: AtomicU32 = AtomicU32::new(0);
    // Other test programs run at the same time; each begins elsewhere.
    let start = std::process::id().wrapping_mul(64);
    let any = (0..COUNT).find_map(|_| {
        let number = start.wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + number % COUNT).expect("below 65536");
        std::net::TcpListener::bind(("0.0.0.0", port)).is_ok().then_some(port)
    });
    any.expect("a free port")
}

pub async fn connected(handle: &MqttHandle) {
    state(handle, "connected", |state| matches!(state, LinkState::Connected { .. })).await;
}

pub async fn stopped(handle: &MqttHandle) {
    state(handle, "stopped", |state| *state == LinkState::Stopped).await;
}

pub async fn state(handle: &MqttHandle, what: &str, is_it: impl Fn(&LinkState) -> bool) {
    let mut states = handle.link_state();
    let waited = tokio::time::timeout(PATIENCE, states.wait_for(|state| is_it(state))).await;
    assert!(waited.is_ok_and(|state| state.is_ok()), "the link is never {what}");
}

/// Polls a condition.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
