//! The machine, as the kernel shows it in `/proc` and `/sys`: the same files on every board, Tegra included.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{StatVfs, StatVfsMountFlags, statvfs};

use crate::base::clock::Timestamp;
use crate::doctor::Finding;

const MIB: u64 = 1024 * 1024;
/// Below this the database cannot be copied before an update.
const FREE_MIB_MIN: u64 = 200;
const INODES_FREE_MIN: u64 = 1_000;
const AVAILABLE_MIB_MIN: u64 = 64;
/// A part so close to the temperature at which it turns itself off is too hot, in thousandths of a degree.
const MARGIN_MILLIDEGREES: i64 = 5_000;
/// JEDEC eMMC 5.1, `DEVICE_LIFE_TIME_EST`: from here on less than a tenth of the wear that was guaranteed is left.
const LIFE_TIME_NEARLY_OVER: u8 = 0x0a;
/// `PRE_EOL_INFO`: nine tenths of the reserved blocks are used.
const RESERVE_URGENT: u8 = 0x03;
/// Bits of the Raspberry Pi's `get_throttled` that hold now: under-voltage, capped, throttled, too hot.
const PI_NOW: [(u32, &str); 4] =
    [(0, "the supply's voltage is too low"), (1, "slowed down"), (2, "throttled"), (3, "close to too hot")];

/// The first moment of 2100: no system of today runs so long.
const TOO_LATE: Timestamp = Timestamp::from_millis(4_102_444_800_000);

/// Where the kernel's files are; tests have their own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Machine {
    pub root: PathBuf,
}

impl Default for Machine {
    fn default() -> Self {
        Self { root: PathBuf::from("/") }
    }
}

impl Machine {
    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A short file without the ends that the kernel and device trees put there.
    fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        let text = fs::read_to_string(self.root.join(path.as_ref())).ok()?;
        Some(text.trim_matches(|end: char| end == '\0' || end.is_whitespace()).to_owned())
    }

    /// Entries of a folder of the kernel, in order.
    fn entries(&self, folder: &str, prefix: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.path(folder)) else { return Vec::new() };
        let is_wanted =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
        let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_wanted).collect();
        found.sort();
        found
    }

    pub(super) fn board(&self) -> Finding {
        let model = self.text("proc/device-tree/model").or_else(|| self.text("sys/class/dmi/id/product_name"));
        let kernel = self.text("proc/sys/kernel/osrelease").unwrap_or_default();
        match model {
            Some(model) => Finding::pass("board", format!("{model}, kernel {kernel}")),
            None => Finding::skip("board", format!("the machine does not say what it is; kernel {kernel}")),
        }
    }

    /// Time goes forward only: a clock behind the system's own day, or behind what was written to the database, was reset, as boards without
    /// a battery are. The database is written all the time, so a clock that was once ahead is not held against a right one for long.
    pub(super) fn clock(&self, built_at: Option<Timestamp>, database: &Path, now: Timestamp) -> Finding {
        const ADVICE: &str = "connect the network for a moment, or set it with `timedatectl set-time`";
        const DAY: Duration = Duration::from_secs(24 * 3_600);
        if let Some(why) = clock_trouble(built_at, now) {
            return Finding::fail("clock", why, ADVICE);
        }
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        let written_at = |path| fs::metadata(path).ok()?.modified().ok().map(Timestamp::from);
        let newest = [database, Path::new(&log)].into_iter().filter_map(written_at).max().unwrap_or_default();
        if now.plus(DAY) < newest {
            let detail = format!("{}, though the database was written on {}", now.to_rfc3339(), newest.to_rfc3339());
            return Finding::fail("clock", detail, ADVICE);
        }
        Finding::pass("clock", now.to_rfc3339())
    }

    pub(super) fn disk(&self, folder: &Path) -> Finding {
        let stat = match statvfs(folder) {
            Ok(stat) => stat,
            Err(error) => {
                let detail = format!("{}: {error}", folder.display());
                return Finding::fail(
                    "disk",
                    detail,
                    "run `kafclaw onboard`, or mount the disk that holds the home's data",
                );
            }
        };
        if stat.f_flag.contains(StatVfsMountFlags::RDONLY) {
            let advice =
                "the kernel turns damaged disks read-only: look at `journalctl -k`, make a backup, check the disk";
            return Finding::fail("disk", format!("{} can only be read", folder.display()), advice);
        }
        if let Err(error) = written(folder) {
            let detail = format!("could not write in {}: {error}", folder.display());
            return Finding::fail("disk", detail, "run this as the user that runs the gateway, or free some space");
        }
        room(&stat)
    }

    /// Errors that the file system or the flash has noted.
    pub(super) fn disk_errors(&self) -> Finding {
        let mut looked = 0;
        for disk in self.entries("sys/fs/ext4", "") {
            let Some(count) = self.text(disk.join("errors_count")).and_then(|text| text.parse::<u64>().ok()) else {
                continue;
            };
            looked += 1;
            if count > 0 {
                let name = disk.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let advice = "make a backup now; the file system is checked at the next start";
                return Finding::fail("disk_errors", format!("{name} has noted {count} errors"), advice);
            }
        }
        for disk in self.entries("sys/block", "mmcblk") {
            let hex = |text: &str| u8::from_str_radix(text.trim_start_matches("0x"), 16).ok();
            let worn = self.text(disk.join("device/life_time")).unwrap_or_default();
            let worn = worn.split_whitespace().filter_map(hex).max().unwrap_or_default();
            let reserve = self.text(disk.join("device/pre_eol_info")).and_then(|text| hex(&text)).unwrap_or_default();
            looked += usize::from(worn > 0);
            if worn >= LIFE_TIME_NEARLY_OVER || reserve >= RESERVE_URGENT {
                let name = disk.file_name().unwrap_or_default().to_string_lossy().into_owned();
                return Finding::fail(
                    "disk_errors",
                    format!("the flash {name} is nearly worn out"),
                    "make a backup and replace it soon",
                );
            }
        }
        match looked {
            0 => Finding::skip("disk_errors", "no disk here counts its errors"),
            _ => Finding::pass("disk_errors", "none noted"),
        }
    }

    pub(super) fn memory(&self) -> Finding {
        let text = self.text("proc/meminfo").unwrap_or_default();
        let kib = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().trim_end_matches(" kB").parse::<u64>().ok()
        };
        let (Some(all), Some(available)) = (kib("MemTotal"), kib("MemAvailable")) else {
            return Finding::skip("memory", "the kernel does not say");
        };
        let detail = format!("{} of {} MiB available", available / 1024, all / 1024);
        if available / 1024 < AVAILABLE_MIB_MIN {
            let advice = "choose smaller models (`kafclaw models list` says what fits), or let them unload sooner";
            return Finding::fail("memory", detail, advice);
        }
        Finding::pass("memory", detail)
    }

    /// Every thermal zone against the temperature at which the machine turns itself off.
    pub(super) fn temperature(&self) -> Finding {
        let mut hottest: Option<(i64, String)> = None;
        for zone in self.entries("sys/class/thermal", "thermal_zone") {
            let number = |name: &str| self.text(zone.join(name)).and_then(|text| text.parse::<i64>().ok());
            // Zones whose sensor sleeps cannot be read.
            let Some(now) = number("temp") else { continue };
            let name = self.text(zone.join("type")).unwrap_or_default();
            let limits = (0..12).filter_map(|trip| {
                let kind = self.text(zone.join(format!("trip_point_{trip}_type")))?;
                matches!(kind.as_str(), "critical" | "hot").then(|| number(&format!("trip_point_{trip}_temp")))?
            });
            if limits.filter(|limit| *limit > 0).min().is_some_and(|limit| now + MARGIN_MILLIDEGREES >= limit) {
                let advice = "give it air, clean the fan, or choose a lower power mode";
                return Finding::fail("temperature", format!("{name} has {} °C", now / 1_000), advice);
            }
            if hottest.as_ref().is_none_or(|(before, _)| now > *before) {
                hottest = Some((now, name));
            }
        }
        match hottest {
            Some((now, name)) => Finding::pass("temperature", format!("{} °C at most ({name})", now / 1_000)),
            None => Finding::skip("temperature", "no sensor"),
        }
    }

    /// Whether the machine runs slower than it could, and why.
    pub(super) fn throttling(&self) -> Finding {
        const ADVICE: &str = "cool the machine, and use the power supply that its maker names";
        // `soc/soc:firmware` up to the Pi 4, `soc@107c000000/soc@107c000000:firmware` on the Pi 5.
        let systems = self.entries("sys/devices/platform", "soc");
        let mut firmwares = systems.iter().map(|soc| {
            let name = soc.file_name().unwrap_or_default().to_string_lossy().into_owned();
            soc.join(format!("{name}:firmware/get_throttled"))
        });
        let pi = firmwares.find_map(|path| self.text(path));
        if let Some(bits) = pi.and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok()) {
            let now: Vec<&str> =
                PI_NOW.iter().filter(|(bit, _)| bits & (1 << bit) != 0).map(|(_, word)| *word).collect();
            return if now.is_empty() {
                Finding::pass("throttling", "none")
            } else {
                Finding::fail("throttling", now.join(", "), ADVICE)
            };
        }
        let mut looked = false;
        // The Pi's supply, where its kernel shows it like other sensors (driver raspberrypi-hwmon).
        for sensor in self.entries("sys/class/hwmon", "hwmon") {
            if self.text(sensor.join("name")).as_deref() == Some("rpi_volt") {
                looked = true;
                if self.text(sensor.join("in0_lcrit_alarm")).as_deref() == Some("1") {
                    return Finding::fail("throttling", PI_NOW[0].1, ADVICE);
                }
            }
        }
        for device in self.entries("sys/class/thermal", "cooling_device") {
            let kind = self.text(device.join("type")).unwrap_or_default().to_lowercase();
            // Fans turn because that is what they are for.
            if !["cpu", "gpu", "processor", "devfreq", "emc"].iter().any(|part| kind.contains(part)) {
                continue;
            }
            looked = true;
            let state =
                self.text(device.join("cur_state")).and_then(|text| text.parse::<u32>().ok()).unwrap_or_default();
            if state > 0 {
                return Finding::fail("throttling", format!("{kind} is slowed down (step {state})"), ADVICE);
            }
        }
        if looked {
            Finding::pass("throttling", "none")
        } else {
            Finding::skip("throttling", "the machine does not say")
        }
    }

    /// A home needs no way to anywhere; so none is no failure.
    pub(super) fn network(&self) -> Finding {
        let v4 = self.text("proc/net/route").unwrap_or_default();
        let v6 = self.text("proc/net/ipv6_route").unwrap_or_default();
        let gateway = v4.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            (fields.get(1) == Some(&"00000000")).then(|| fields[0].to_owned())
        });
        let gateway = gateway.or_else(|| {
            v6.lines().find_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let is_default = fields.first().is_some_and(|to| to.bytes().all(|digit| digit == b'0'))
                    && fields.get(1) == Some(&"00");
                fields.last().filter(|device| is_default && **device != "lo").map(|device| (*device).to_owned())
            })
        });
        match gateway {
            Some(device) => Finding::pass("network", format!("a way out by {device}")),
            None => Finding::skip("network", "no way out of the house; everything local works without"),
        }
    }
}

/// Writes a page to the disk and takes it away.
fn written(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(format!(".doctor-{}", std::process::id()));
    // Never through a link that somebody has put there for root to follow.
    let page = fs::OpenOptions::new().write(true).create_new(true).open(&path);
    let result = page.and_then(|mut page| page.write_all(&[0x5a; 4096]).and_then(|()| page.sync_all()));
    let removed = fs::remove_file(&path);
    result.and(removed)
}

/// Why the time cannot be right, by what the system that runs alone knows.
pub fn clock_trouble(built_at: Option<Timestamp>, now: Timestamp) -> Option<String> {
    let now_text = now.to_rfc3339();
    match built_at {
        Some(built) if now < built => {
            Some(format!("{now_text}, before this system was built ({})", built.to_rfc3339()))
        }
        _ if now >= TOO_LATE => Some(format!("{now_text}, which is later than any system of today runs")),
        _ => None,
    }
}

fn room(stat: &StatVfs) -> Finding {
    let free_mib = stat.f_bavail.saturating_mul(stat.f_frsize) / MIB;
    let all_mib = stat.f_blocks.saturating_mul(stat.f_frsize) / MIB;
    let detail = format!("{free_mib} of {all_mib} MiB free");
    let advice = "take models away (`kafclaw models list`), carry backups to another disk, or use a larger one";
    if free_mib < FREE_MIB_MIN {
        return Finding::fail("disk", detail, advice);
    }
    // File systems without a fixed number of files say zero.
    if stat.f_files > 0 && stat.f_favail < INODES_FREE_MIN {
        return Finding::fail("disk", format!("room for only {} more files", stat.f_favail), advice);
    }
    Finding::pass("disk", detail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::doctor::Verdict;

    /// A machine with these files.
    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let machine = Machine { root: folder.path().to_owned() };
        (folder, machine)
    }

    fn verdict(files: &[(&str, &str)], check: fn(&Machine) -> Finding) -> (Verdict, String) {
        let (_folder, machine) = machine(files);
        let found = check(&machine);
        assert_eq!(found.advice.is_some(), found.verdict == Verdict::Fail, "{found:?}");
        (found.verdict, found.detail)
    }

    #[test]
    fn a_machine_that_says_nothing_is_skipped_and_not_blamed() {
        for check in [
            Machine::board,
            Machine::disk_errors,
            Machine::memory,
            Machine::temperature,
            Machine::throttling,
            Machine::network,
        ] {
            assert_eq!(verdict(&[], check).0, Verdict::Skip);
        }
    }

    #[test]
    fn a_jetson_tells_its_name_and_its_heat() {
        let zone = "sys/class/thermal/thermal_zone0";
        let files = |now: &'static str| {
            vec![
                ("proc/device-tree/model".to_owned(), "NVIDIA Jetson Orin Nano Developer Kit\0".to_owned()),
                (format!("{zone}/type"), "cpu-thermal\n".to_owned()),
                (format!("{zone}/temp"), now.to_owned()),
                (format!("{zone}/trip_point_0_type"), "critical\n".to_owned()),
                (format!("{zone}/trip_point_0_temp"), "104500\n".to_owned()),
                (format!("{zone}/trip_point_1_type"), "active\n".to_owned()),
                (format!("{zone}/trip_point_1_temp"), "50000\n".to_owned()),
            ]
        };
        let of = |now| {
            let files = files(now);
            let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
            (verdict(&files, Machine::board), verdict(&files, Machine::temperature))
        };
        let (board, warm) = of("51250\n");
        assert!(board.1.starts_with("NVIDIA Jetson Orin Nano Developer Kit,"), "{board:?}");
        assert_eq!(warm, (Verdict::Pass, "51 °C at most (cpu-thermal)".to_owned()));
        assert_eq!(of("100000\n").1.0, Verdict::Fail);
    }

    #[test]
    fn slow_and_worn_parts_are_named() {
        let cooling = "sys/class/thermal/cooling_device0";
        let of = |kind: &str, state: &str| {
            let (kind_path, state_path) = (format!("{cooling}/type"), format!("{cooling}/cur_state"));
            verdict(&[(&kind_path, kind), (&state_path, state)], Machine::throttling).0
        };
        assert_eq!(of("cpufreq-cpu0\n", "0\n"), Verdict::Pass);
        assert_eq!(of("cpufreq-cpu0\n", "3\n"), Verdict::Fail);
        assert_eq!(of("pwm-fan\n", "3\n"), Verdict::Skip);
        let pi = |bits| verdict(&[("sys/devices/platform/soc/soc:firmware/get_throttled", bits)], Machine::throttling);
        let five = "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled";
        assert_eq!(verdict(&[(five, "50001\n")], Machine::throttling).0, Verdict::Fail);
        let volt = |alarm| {
            let sensor = "sys/class/hwmon/hwmon1";
            let (name, path) = (format!("{sensor}/name"), format!("{sensor}/in0_lcrit_alarm"));
            verdict(&[(&name, "rpi_volt\n"), (&path, alarm)], Machine::throttling).0
        };
        assert_eq!((volt("0\n"), volt("1\n")), (Verdict::Pass, Verdict::Fail));
        assert_eq!(pi("50000\n").0, Verdict::Pass, "it was, and is not any more");
        assert_eq!(pi("50005\n"), (Verdict::Fail, "the supply's voltage is too low, throttled".to_owned()));
        assert_eq!(verdict(&[("sys/fs/ext4/sda1/errors_count", "0\n")], Machine::disk_errors).0, Verdict::Pass);
        assert_eq!(verdict(&[("sys/fs/ext4/sda1/errors_count", "2\n")], Machine::disk_errors).0, Verdict::Fail);
        let flash = |life| verdict(&[("sys/block/mmcblk0/device/life_time", life)], Machine::disk_errors).0;
        assert_eq!((flash("0x01 0x02\n"), flash("0x01 0x0b\n")), (Verdict::Pass, Verdict::Fail));
    }

    #[test]
    fn memory_and_the_way_out_are_read() {
        let memory = |available: &str| {
            let text = format!("MemTotal:        4059204 kB\nMemFree:    100 kB\nMemAvailable:   {available} kB\n");
            verdict(&[("proc/meminfo", &text)], Machine::memory).0
        };
        assert_eq!((memory("2000000"), memory("30000")), (Verdict::Pass, Verdict::Fail));
        let route = "Iface\tDestination\tGateway\neth0\t0000A8C0\t00000000\neth0\t00000000\t0100A8C0\n";
        assert_eq!(
            verdict(&[("proc/net/route", route)], Machine::network),
            (Verdict::Pass, "a way out by eth0".to_owned())
        );
        let unreachable =
            "00000000000000000000000000000000 00 00000000000000000000000000000000 00 00 ffffffff 1 0 200200 lo\n";
        assert_eq!(verdict(&[("proc/net/ipv6_route", unreachable)], Machine::network).0, Verdict::Skip);
    }

    #[test]
    fn the_disk_is_written_and_a_reset_clock_is_noticed() {
        let (folder, machine) = machine(&[("state/timeline.db", "x")]);
        let state = folder.path().join("state");
        assert_eq!(machine.disk(&folder.path().join("absent")).verdict, Verdict::Fail);
        let _ = machine.disk(&state);
        assert_eq!(fs::read_dir(&state).expect("read").count(), 1, "nothing is left behind");
        let (database, now) = (state.join("timeline.db"), crate::base::clock::Clock::System.now());
        let verdict = |built_at, now| machine.clock(built_at, &database, now).verdict;
        assert_eq!(verdict(None, Timestamp::from_millis(1_000)), Verdict::Fail, "behind the database");
        assert_eq!(verdict(None, now), Verdict::Pass);
        assert_eq!(verdict(Some(now.plus(Duration::from_secs(1))), now), Verdict::Fail, "behind its own system");
        // The first file of a house, from a start with a clock that was ahead, stays as it is; the database does not.
        let first = fs::File::create(state.join("owner.json")).expect("a file");
        first.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(4_000_000_000)).expect("a time");
        assert_eq!(verdict(None, now), Verdict::Pass);
    }

    #[test]
    fn a_clock_is_sane_between_the_systems_own_day_and_the_end_of_the_century() {
        let at = |text: &str| Timestamp::parse(text).expect("a time");
        let built = Some(at("2026-11-20T00:00:00Z"));
        let check = |built: Option<Timestamp>, now: &str, part: &str| {
            let said = clock_trouble(built, at(now)).unwrap_or_default();
            assert_eq!((said.contains(part), said.is_empty()), (true, part.is_empty()), "{now}: {said}");
        };
        check(built, "1970-01-01T00:00:00Z", "before this system was built (2026-11-20T00:00:00.000Z)");
        check(built, "2026-11-19T23:59:59Z", "before this system was built");
        check(built, "2026-11-20T00:00:00Z", "");
        check(built, "2099-12-31T23:59:59Z", "");
        check(built, "2100-01-01T00:00:00Z", "later than any system");
        check(None, "1970-01-01T00:00:00Z", "");
        check(None, "2106-02-07T06:28:15Z", "later than any system");
    }

    proptest! {
        #[test]
        fn whatever_the_kernel_writes_is_no_reason_to_stop(text in "\\PC{0,200}") {
            let (_folder, machine) = machine(&[
                ("proc/meminfo", &text), ("proc/net/route", &text), ("proc/net/ipv6_route", &text),
                ("sys/class/thermal/thermal_zone0/temp", &text), ("sys/class/thermal/cooling_device0/type", &text),
                ("sys/fs/ext4/a/errors_count", &text), ("sys/block/mmcblk0/device/life_time", &text),
                ("sys/devices/platform/soc/soc:firmware/get_throttled", &text),
            ]);
            for check in [Machine::memory, Machine::temperature, Machine::throttling, Machine::network, Machine::disk_errors] {
                let _ = check(&machine);
            }
        }
    }
}
