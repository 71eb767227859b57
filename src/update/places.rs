//! Where things are. What the two systems of a machine share lies on partitions that neither of them is.

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::clock::Timestamp;
use crate::update::counters;
use crate::update::keep::{self, Request};
use crate::update::port::{Here, Standing};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Places {
    /// The ledger; root's, read by everybody. Survives updates and the way back.
    pub ledger: PathBuf,
    /// The bundle that is or was installed; root's, read by everybody.
    pub store: PathBuf,
    /// Lock and progress; forgotten at a restart.
    pub run: PathBuf,
    /// The house's own: requests of the gateway, and bundles on their way here.
    pub incoming: PathBuf,
    /// RAUC's configuration; without it a machine has one system only.
    pub rauc_config: PathBuf,
    /// Who this system is (`os-release(5)`).
    pub os_release: PathBuf,
    pub cmdline: PathBuf,
    /// Dated to the day the system was built.
    pub clock_epoch: PathBuf,
    /// GRUB's counters.
    pub grubenv: PathBuf,
}

impl Places {
    /// Those of a machine. `root` stands before everything that is not the house's, for tests.
    pub fn new(state_dir: &Path, root: &Path) -> Self {
        let at = |path: &str| root.join(path);
        Self {
            ledger: at("persist/update/state.json"),
            store: at("var/lib/kafclaw-update"),
            run: at("run/kafclaw-update"),
            incoming: state_dir.join("update"),
            rauc_config: at("etc/rauc/system.conf"),
            os_release: at("etc/os-release"),
            cmdline: at("proc/cmdline"),
            clock_epoch: at("usr/lib/clock-epoch"),
            grubenv: at("efi/EFI/BOOT/grubenv"),
        }
    }

    pub fn request(&self) -> PathBuf {
        self.incoming.join("request.json")
    }

    /// Whether somebody asks that nothing becomes of what is under way.
    pub(super) fn is_called_off(&self) -> bool {
        keep::read_json(&self.request()) == Some(Request::Rollback)
    }

    pub fn bundle(&self) -> PathBuf {
        self.store.join("bundle.raucb")
    }

    /// What the bundle in the store is, once it was checked.
    pub fn bundle_facts(&self) -> PathBuf {
        self.store.join("bundle.json")
    }

    pub fn progress(&self) -> PathBuf {
        self.run.join("progress.json")
    }

    pub fn lock(&self) -> PathBuf {
        self.run.join("lock")
    }

    /// There in this run of the machine when the ledger knows that it came up.
    pub(super) fn started(&self) -> PathBuf {
        self.run.join("started")
    }

    /// There in this run of the machine when the system that runs has proved itself.
    pub fn proved(&self) -> PathBuf {
        self.run.join("proved")
    }

    /// Where the machine stands. How the boot loader stands to the other slot only root can tell; to others it is barred.
    pub fn here(&self) -> Here {
        let slot = self.slot();
        let config = fs::read_to_string(&self.rauc_config).unwrap_or_default();
        let is_slot = boot_names(&config).any(|name| name == slot);
        let other_slot = boot_names(&config).find(|name| is_slot && *name != slot).unwrap_or_default().to_owned();
        let other =
            if other_slot.is_empty() { Standing::Barred } else { counters::standing(&self.grubenv, &other_slot) };
        Here { compatible: self.compatible(), version: self.version(), slot, other_slot, other }
    }

    pub fn has_slots(&self) -> bool {
        self.rauc_config.is_file()
    }

    /// The kind of board, as RAUC's configuration names it; blank where there is none.
    pub fn compatible(&self) -> String {
        let text = fs::read_to_string(&self.rauc_config).unwrap_or_default();
        value(&text, "compatible").unwrap_or_default()
    }

    /// Version of the system that runs, else of this program.
    pub fn version(&self) -> String {
        let text = fs::read_to_string(&self.os_release).unwrap_or_default();
        value(&text, "IMAGE_VERSION").unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned())
    }

    /// When the system that runs was built; none where it does not say.
    pub fn built_at(&self) -> Option<Timestamp> {
        fs::metadata(&self.clock_epoch).ok()?.modified().ok().map(Timestamp::from)
    }

    /// Boot name of the slot that runs, as the boot loader told the kernel.
    pub fn slot(&self) -> String {
        let text = fs::read_to_string(&self.cmdline).unwrap_or_default();
        let found = text.split_whitespace().find_map(|word| word.strip_prefix("rauc.slot="));
        found.unwrap_or_default().to_owned()
    }
}

/// Boot names of the slots in RAUC's configuration.
fn boot_names(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.trim().strip_prefix("bootname=")).map(str::trim)
}

/// The value of `KEY=value`, with or without quotes.
fn value(text: &str, key: &str) -> Option<String> {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let found = lines.into_iter().find(|(name, _)| name.trim() == key).map(|(_, value)| value);
    found.map(|value| value.trim().trim_matches('"').to_owned()).filter(|value| !value.is_empty())
}
