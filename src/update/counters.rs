//! GRUB's environment block: which slots may be started, and how often each was since it proved itself (`image/grub/grub.cfg`).

use std::path::Path;

use crate::update::port::Standing;

const HEADER: &str = "# GRUB Environment Block";
/// GRUB's blocks have this size.
const BLOCK_BYTES: u64 = 1024;
/// Starts that prove nothing, after which the boot loader leaves a slot.
const TRIES_MAX: &str = "3";

/// How the boot loader stands to `slot`. A block that cannot be read bars it: there is nowhere to go that is known to be better.
pub(super) fn standing(grubenv: &Path, slot: &str) -> Standing {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(grubenv).and_then(|file| file.take(BLOCK_BYTES).read_to_string(&mut text));
    if read.is_ok() { judge(&text, slot) } else { Standing::Barred }
}

fn judge(block: &str, slot: &str) -> Standing {
    let value = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    if !block.starts_with(HEADER) || value(&format!("{slot}_OK")) != Some("1") {
        return Standing::Barred;
    }
    if value(&format!("{slot}_TRY")) == Some(TRIES_MAX) { Standing::Spent } else { Standing::Ready }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_may_be_started_until_it_has_failed_three_times() {
        let block = |ok: &str, tries: &str| {
            format!("# GRUB Environment Block\nORDER=A B\nA_OK=1\nB_OK={ok}\nB_TRY={tries}\n####")
        };
        let check = |block: &str, expected| assert_eq!(judge(block, "B"), expected, "{block}");
        check(&block("1", "0"), Standing::Ready);
        check(&block("1", "2"), Standing::Ready);
        check(&block("1", "3"), Standing::Spent);
        check(&block("0", "0"), Standing::Barred);
        check("B_OK=1\nB_TRY=0", Standing::Barred);
        check("", Standing::Barred);
        assert_eq!(standing(Path::new("/nonexistent"), "B"), Standing::Barred);
    }

    proptest::proptest! {
        #[test]
        fn any_block_is_judged(block in "\\PC{0,100}", slot in "[AB]?") {
            let _ = judge(&block, &slot);
        }
    }
}
