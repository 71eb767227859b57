//! What the machine says about itself: versions, memory, disks, and the programs that know the rest.

use std::fs;

use serde_json::{Value, json};

use crate::diagnostics::program::REVERSE;

/// Short files of the kernel, none of them secret.
const FILES: &[&str] = &[
    "/proc/cmdline",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/mounts",
    "/proc/partitions",
    "/proc/pressure/memory",
];
const FILE_BYTES_MAX: usize = 64 * 1024;

/// Units of the product, as images and `kafclaw onboard --systemd` call them.
const UNITS: &[&str] = &[
    "kafclaw*",
    "mosquitto*",
    "rauc*",
    "avahi-daemon*",
    "chrony*",
    "systemd-networkd*",
    "systemd-repart*",
    "nftables*",
];

pub(super) fn versions() -> Value {
    let uname = rustix::system::uname();
    let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let os: Value = os_release
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), Value::from(value.trim_matches('"'))))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let board = ["/proc/device-tree/model", "/sys/devices/virtual/dmi/id/product_name"];
    let board = board.iter().find_map(|path| fs::read_to_string(path).ok());
    json!({
        "kafclaw": env!("CARGO_PKG_VERSION"),
        "architecture": std::env::consts::ARCH,
        "kernel": uname.release().to_string_lossy(),
        "board": board.map(|board| board.trim_matches(['\0', '\n', ' ']).to_owned()),
        "os": os,
    })
}

pub(super) fn about() -> String {
    let mut text = String::new();
    for path in FILES {
        let Ok(found) = fs::read_to_string(path) else { continue };
        let end = found.floor_char_boundary(FILE_BYTES_MAX);
        text.push_str(&format!("== {path}\n{}\n", found[..end].trim_end()));
    }
    text
}

/// A part's name, what is looked at, and the command that tells it.
pub(super) fn programs() -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
    let units = || UNITS.iter().flat_map(|unit| ["-u", unit]);
    // The newest first, so that what does not fit is the oldest; `printed` turns it round again.
    let journal = ["journalctl", "--no-pager", "--quiet", REVERSE, "-o", "json", "-n", "10000"];
    let mut own = ["journalctl", "--no-pager", "--quiet", REVERSE, "--user", "-o", "json", "-n", "10000"].to_vec();
    own.extend(["-u", "kafclaw*"]);
    let mut list = ["systemctl", "--no-pager", "--plain", "--all", "--full", "list-units"].to_vec();
    list.extend(UNITS);
    vec![
        ("journal.jsonl", "journal of the services", journal.into_iter().chain(units()).collect()),
        ("journal-user.jsonl", "journal of this user's services", own),
        (
            "kernel.txt",
            "warnings of the kernel",
            ["journalctl", "--no-pager", "--quiet", REVERSE, "-k", "-p", "warning", "-n", "500"].to_vec(),
        ),
        ("units.txt", "services", list),
        ("failed.txt", "failed services", ["systemctl", "--no-pager", "--plain", "--failed"].to_vec()),
        ("slots.json", "update slots", ["rauc", "status", "--output-format=json"].to_vec()),
        ("disks.txt", "disks", ["df", "-hT"].to_vec()),
        ("network.txt", "network", ["ip", "-brief", "address"].to_vec()),
        ("clock.txt", "clock", ["chronyc", "-n", "tracking"].to_vec()),
    ]
}
