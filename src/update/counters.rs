//! GRUB's environment block: which slots may be started, and how often each was since it proved itself (`image/grub/grub.cfg`).

use std::path::Path;

const HEADER: &str = "# GRUB Environment Block";
/// GRUB's blocks have this size.
const BLOCK_BYTES: u64 = 1024;
/// Starts that prove nothing, after which the boot loader leaves a slot.
const TRIES_MAX: &str = "3";

/// Whether the boot loader would start `slot`: it may, and has not failed as often as it may already. A block that cannot be read
/// says no: there is nowhere to go that is known to be better.
pub(super) fn may_start(grubenv: &Path, slot: &str) -> bool {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(grubenv).and_then(|file| file.take(BLOCK_BYTES).read_to_string(&mut text));
    read.is_ok() && judge(&text, slot)
}

fn judge(block: &str, slot: &str) -> bool {
    let value = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    block.starts_with(HEADER)
        && value(&format!("{slot}_OK")) == Some("1")
        && value(&format!("{slot}_TRY")) != Some(TRIES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_may_be_started_until_it_has_failed_three_times() {
        let block = |ok: &str, tries: &str| {
            format!("# GRUB Environment Block\nORDER=A B\nA_OK=1\nB_OK={ok}\nB_TRY={tries}\n####")
        };
        assert!(judge(&block("1", "0"), "B") && judge(&block("1", "2"), "B"));
        assert!(!judge(&block("1", "3"), "B") && !judge(&block("0", "0"), "B"));
        assert!(!judge("B_OK=1\nB_TRY=0", "B") && !judge("", "B"));
        assert!(!may_start(Path::new("/nonexistent"), "B"));
    }

    proptest::proptest! {
        #[test]
        fn any_block_is_judged(block in "\\PC{0,100}", slot in "[AB]?") {
            let _ = judge(&block, &slot);
        }
    }
}
