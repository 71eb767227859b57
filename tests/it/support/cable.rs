//! A cable to another machine, which can be pulled: a network namespace and a pair of virtual links. Needs root.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Addresses for measuring devices (RFC 2544), four for each cable.
const NETWORK: u32 = u32::from_be_bytes([198, 18, 0, 0]);
const CABLES_MAX: u32 = 1 << 15;
/// The other machine's name for its end.
const FAR_END: &str = "lan";

pub struct Cable {
    machine: String,
    near_end: String,
    near: std::net::Ipv4Addr,
    far: std::net::Ipv4Addr,
}

impl Cable {
    /// A machine at the other end of a cable that is plugged in.
    pub fn lay() -> Self {
        static LAID: AtomicU32 = AtomicU32::new(0);
        let (run, number) = (std::process::id(), LAID.fetch_add(1, Ordering::Relaxed));
        let first = NETWORK + (run.wrapping_mul(8).wrapping_add(number) % CABLES_MAX) * 4;
        let cable = Self {
            machine: format!("kafclaw-it-{run}-{number}"),
            near_end: format!("kc{run}n{number}"),
            near: (first + 1).into(),
            far: (first + 2).into(),
        };
        let Self { machine, near_end, near, far } = &cable;
        ip(&format!("netns add {machine}"));
        ip(&format!("link add {near_end} type veth peer name {FAR_END} netns {machine}"));
        ip(&format!("addr add {near}/30 dev {near_end}"));
        ip(&format!("-n {machine} addr add {far}/30 dev {FAR_END}"));
        ip(&format!("-n {machine} link set {FAR_END} up"));
        ip(&format!("-n {machine} link set lo up"));
        cable.plug();
        cable
    }

    pub fn pull(&self) {
        ip(&format!("link set {} down", self.near_end));
    }

    pub fn plug(&self) {
        ip(&format!("link set {} up", self.near_end));
    }

    /// The link stays up and nothing comes back, as behind a switch that lost its power.
    pub fn swallow(&self) {
        ip(&format!("-n {} route add blackhole {}/32", self.machine, self.near));
    }

    pub fn pass(&self) {
        ip(&format!("-n {} route del blackhole {}/32", self.machine, self.near));
    }

    /// The other machine, as seen from here.
    pub fn far(&self) -> std::net::Ipv4Addr {
        self.far
    }

    /// A program on the other machine; the process is the program's own.
    pub fn command(&self, program: &std::path::Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.machine]).arg(program);
        command
    }

    /// What a shell does to take the machine away; its links go with it.
    pub fn removal(&self) -> String {
        format!("ip netns del {}", self.machine)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        let _ = Command::new("sh").args(["-c", &self.removal()]).status();
    }
}

#[track_caller]
fn ip(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output();
    let output = output.unwrap_or_else(|error| panic!("could not run ip ({error}); does scripts/test.sh help?"));
    assert!(output.status.success(), "ip {words}: {} Is this root?", String::from_utf8_lossy(&output.stderr));
}
