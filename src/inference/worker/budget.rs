//! How much memory models may take: figures of the kernel, and the decision whether one more model fits.

use std::fs;

use crate::inference::worker::message::Kind;

/// Kept for the home itself, whatever models want.
const RESERVE_BYTES: u64 = 192 * 1024 * 1024;
/// Time that somebody waited for memory, percent of the last ten seconds, from which idle models are let go.
const PRESSURE_PERCENT_MAX: f64 = 10.0;

/// Memory of the machine, or of the group of processes that we may not exceed, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory {
    pub total: u64,
    /// What could be taken without anything else having to go.
    pub available: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    Fits,
    /// It fits once this one is gone.
    Evict(Kind),
    /// Even alone it does not fit.
    Never {
        room: u64,
    },
}

/// Whether a model of `need` bytes may be loaded beside `other`, the model of the other kind with its bytes.
pub fn decide(need: u64, other: Option<(Kind, u64)>, memory: Memory) -> Decision {
    // On a board of 4 GB two large models never live together, even when for a moment there seems to be room.
    let share_max = memory.total / 2;
    let room = memory.available.saturating_sub(RESERVE_BYTES);
    match other {
        Some((_, other)) if need <= room && need.saturating_add(other) <= share_max => Decision::Fits,
        None if need <= room => Decision::Fits,
        Some((kind, other)) if need <= room.saturating_add(other) => Decision::Evict(kind),
        Some((_, other)) => Decision::Never { room: room.saturating_add(other) },
        None => Decision::Never { room },
    }
}

/// Figures of the kernel; a machine that does not tell has room for everything.
pub fn memory() -> Memory {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let machine = read_meminfo(&read("/proc/meminfo"));
    let group = group_path(&read("/proc/self/cgroup"));
    let in_group = |file: &str| group.as_ref().and_then(|group| read(&format!("{group}/{file}")).trim().parse().ok());
    match (in_group("memory.max"), in_group("memory.current")) {
        (Some(max), Some(current)) if max < machine.total => {
            let available: u64 = u64::saturating_sub(max, current);
            Memory { total: max, available: machine.available.min(available) }
        }
        _ => machine,
    }
}

fn read_meminfo(text: &str) -> Memory {
    let total = kilobytes(text, "MemTotal").unwrap_or(u64::MAX);
    // Kernels before 3.14 do not say; there nothing is known.
    Memory { total, available: kilobytes(text, "MemAvailable").unwrap_or(total) }
}

/// A line such as `MemTotal:  3956504 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Folder of our control group, version 2 of the interface.
fn group_path(text: &str) -> Option<String> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?.trim();
    (!path.contains("..")).then(|| format!("/sys/fs/cgroup{}", path.trim_end_matches('/')))
}

/// Whether somebody on this machine, or in our group, waits for memory (PSI, the kernel's `accounting/psi.rst`).
pub fn is_under_pressure() -> bool {
    let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| group_path(&text));
    let files = [Some("/proc/pressure/memory".to_owned()), group.map(|group| format!("{group}/memory.pressure"))];
    files.into_iter().flatten().any(|file| fs::read_to_string(file).is_ok_and(|text| is_pressing(&text)))
}

fn is_pressing(text: &str) -> bool {
    let some = text.lines().find_map(|line| line.strip_prefix("some "));
    let percent = some.and_then(|rest| rest.split(' ').find_map(|field| field.strip_prefix("avg10=")?.parse().ok()));
    percent.is_some_and(|percent: f64| percent >= PRESSURE_PERCENT_MAX)
}

/// Memory that this process holds at the moment, in bytes.
pub fn resident_bytes() -> u64 {
    kilobytes(&fs::read_to_string("/proc/self/status").unwrap_or_default(), "VmRSS").unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn two_large_models_never_share_a_small_board() {
        let board = Memory { total: 4000 * MIB, available: 3200 * MIB };
        let tiny_whisper = Some((Kind::Speech, 150 * MIB));
        assert_eq!(decide(1200 * MIB, None, board), Decision::Fits);
        assert_eq!(decide(1200 * MIB, tiny_whisper, board), Decision::Fits);
        assert_eq!(decide(1200 * MIB, Some((Kind::Speech, 1000 * MIB)), board), Decision::Evict(Kind::Speech));
        assert_eq!(decide(3100 * MIB, None, board), Decision::Never { room: 3008 * MIB });
        let large = Memory { total: 16_000 * MIB, available: 12_000 * MIB };
        assert_eq!(decide(3000 * MIB, Some((Kind::Speech, 1000 * MIB)), large), Decision::Fits);
    }

    #[test]
    fn figures_of_the_kernel_are_read() {
        let text = "MemTotal:        3956504 kB\nMemFree:  1 kB\nMemAvailable:    2100000 kB\n";
        assert_eq!(read_meminfo(text), Memory { total: 3_956_504 * 1024, available: 2_100_000 * 1024 });
        assert_eq!(read_meminfo("").total, u64::MAX);
        assert_eq!(
            group_path("0::/system.slice/kafclaw.service\n").as_deref(),
            Some("/sys/fs/cgroup/system.slice/kafclaw.service")
        );
        assert_eq!(group_path("4:memory:/a\n"), None);
        assert!(is_pressing("some avg10=12.50 avg60=1.00 avg300=0.10 total=9\nfull avg10=0.00 avg60=0.00\n"));
        assert!(!is_pressing("some avg10=3.00 avg60=99.00\nfull avg10=99.00\n"));
        assert!(!is_pressing("nonsense"));
        assert!(resident_bytes() > 0 && memory().total > 0);
    }

    proptest! {
        #[test]
        fn what_fits_never_takes_what_the_home_needs(need in 0_u64..1 << 36, other in 0_u64..1 << 36, total in 1_u64..1 << 36, available in 0_u64..1 << 36) {
            let memory = Memory { total, available: available.min(total) };
            match decide(need, Some((Kind::Speech, other)), memory) {
                Decision::Fits => prop_assert!(need + RESERVE_BYTES <= memory.available || need == 0),
                Decision::Evict(_) => prop_assert!(need <= memory.available.saturating_sub(RESERVE_BYTES) + other),
                Decision::Never { room } => prop_assert!(need > room),
            }
        }
    }
}
