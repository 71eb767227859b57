//! Whether a model fits into this machine's memory, and which one suits it.

use std::fs;
use std::path::Path;

use crate::models::manifest::{Entry, Manifest, Task};

/// What the system and the gateway itself need, at least, in MiB.
const RESERVED_MIB_MIN: u64 = 384;
/// And at least this part of everything.
const RESERVED_PART: u64 = 8;
/// What is assumed of a machine that does not tell.
const UNKNOWN_MIB: u64 = 2048;

/// Memory of this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory {
    /// All of it, or what the control group of this process may use, in MiB.
    pub total_mib: u64,
}

impl Memory {
    pub fn of_machine() -> Self {
        Self::read(Path::new("/proc"), Path::new("/sys/fs/cgroup"))
    }

    fn read(proc: &Path, cgroups: &Path) -> Self {
        let of_board = fs::read_to_string(proc.join("meminfo")).ok().and_then(|text| mem_total_mib(&text));
        let of_group = fs::read_to_string(proc.join("self/cgroup")).ok().and_then(|text| limit_mib(&text, cgroups));
        let total_mib = match (of_board, of_group) {
            (Some(board), Some(group)) => board.min(group),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => UNKNOWN_MIB,
        };
        Self { total_mib }
    }

    /// What a model may take.
    pub fn usable_mib(self) -> u64 {
        self.total_mib.saturating_sub(RESERVED_MIB_MIN.max(self.total_mib / RESERVED_PART))
    }

    pub fn fits(self, entry: &Entry) -> bool {
        entry.memory_mib <= self.usable_mib()
    }
}

/// `MemTotal:        3964940 kB`
fn mem_total_mib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
}

/// The tightest `memory.max` from this process's group (`0::/a/b`) up to the root.
fn limit_mib(own: &str, cgroups: &Path) -> Option<u64> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    if path.split('/').any(|part| part == "..") {
        return None;
    }
    let read = |folder: &Path| fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse::<u64>().ok();
    let start = cgroups.join(path);
    start
        .ancestors()
        .take_while(|folder| folder.starts_with(cgroups))
        .filter_map(read)
        .min()
        .map(|bytes| bytes / (1024 * 1024))
}

/// The usual model for a task on a machine with this memory; none when even the smallest does not fit.
pub fn usual(manifest: &Manifest, task: Task, memory: Memory) -> Option<&Entry> {
    let suits = |entry: &&Entry| {
        entry.task == task && entry.default_from_mib.is_some_and(|from| from <= memory.total_mib) && memory.fits(entry)
    };
    manifest.entries().iter().filter(suits).max_by_key(|entry| entry.default_from_mib)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tighter_of_board_and_control_group_counts() {
        let root = tempfile::tempdir().expect("a folder");
        let (proc, groups) = (root.path().join("proc"), root.path().join("groups"));
        fs::create_dir_all(proc.join("self")).expect("a folder");
        fs::create_dir_all(groups.join("a/b")).expect("a folder");
        let read = || Memory::read(&proc, &groups).total_mib;
        assert_eq!(read(), UNKNOWN_MIB);
        fs::write(proc.join("meminfo"), "MemTotal:        4059136 kB\nMemFree: 1 kB\n").expect("written");
        assert_eq!(read(), 3964);
        fs::write(proc.join("self/cgroup"), "0::/a/b\n").expect("written");
        fs::write(groups.join("a/b/memory.max"), "max\n").expect("written");
        assert_eq!(read(), 3964);
        fs::write(groups.join("a/memory.max"), format!("{}\n", 1024_u64 * 1024 * 1024)).expect("written");
        assert_eq!(read(), 1024);
        for odd in ["0::/../..\n", "", "0::/x\n", "1:name:/\n"] {
            fs::write(proc.join("self/cgroup"), odd).expect("written");
            assert_eq!(read(), 3964, "{odd:?}");
        }
        fs::write(proc.join("meminfo"), "MemTotal: many kB\n").expect("written");
        assert_eq!(read(), UNKNOWN_MIB);
    }

    #[test]
    fn boards_get_what_suits_them() {
        let manifest = Manifest::built_in();
        let usual = |task, total_mib| usual(&manifest, task, Memory { total_mib }).map(|entry| entry.id.as_str());
        assert_eq!(usual(Task::Embedding, 900), Some("all-minilm-l6-v2-int8"));
        for (total_mib, speech, language) in [
            (1_900, "whisper-tiny", "qwen2.5-0.5b-instruct"),
            (3_950, "whisper-base", "qwen3-1.7b"),
            (7_600, "whisper-small", "qwen3-4b-instruct-2507"),
        ] {
            assert_eq!(usual(Task::Speech, total_mib), Some(speech), "{total_mib}");
            assert_eq!(usual(Task::Language, total_mib), Some(language), "{total_mib}");
        }
        assert_eq!(usual(Task::Language, 500), None);
    }
}
