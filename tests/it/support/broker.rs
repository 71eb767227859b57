//! Mosquitto on loopback, with a memory, on a port of its own.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use super::process::{Process, free_port};
use super::{PATIENCE, wait_for};

pub struct Mosquitto {
    folder: TempDir,
    port: u16,
    process: Option<Process>,
}

impl Mosquitto {
    pub fn start() -> Self {
        Self::start_with("allow_anonymous true")
    }

    /// One that answers and lets nobody in.
    pub fn start_closed() -> Self {
        Self::start_with("allow_anonymous false")
    }

    fn start_with(access: &str) -> Self {
        let mut broker = Self { folder: TempDir::new().expect("a folder"), port: free_port(), process: None };
        let folder = broker.folder.path().display();
        let configuration = format!(
            "listener {} 127.0.0.1\n{access}\npersistence true\npersistence_location {folder}/\n\
             max_queued_messages 0\nset_tcp_nodelay true\nuser root\n",
            broker.port
        );
        fs::write(broker.folder.path().join("mosquitto.conf"), configuration).expect("a configuration");
        broker.resume();
        broker
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Ends in order: what it keeps for clients is written down.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::TERM);
            process.wait(PATIENCE);
        }
    }

    pub fn resume(&mut self) {
        // Debian keeps it where a user's PATH does not look.
        let program = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"]
            .into_iter()
            .find(|path| fs::exists(path).unwrap_or(false));
        let mut command = Command::new(program.unwrap_or("mosquitto"));
        command.arg("-c").arg(self.folder.path().join("mosquitto.conf"));
        let mut process = Process::start("mosquitto", command, &self.folder.path().join("mosquitto.log"));
        let is_open = wait_for(PATIENCE, || {
            assert!(process.exited().is_none(), "mosquitto ended:\n{}", process.log());
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()
        });
        assert!(is_open.is_some(), "mosquitto never listens");
        self.process = Some(process);
    }

    pub fn restart(&mut self) {
        self.stop();
        self.resume();
    }
}
