//! GRUB's environment block: which slots may be started, and how often each was since it proved itself (`image/grub/grub.cfg`).

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::update::port::Standing;

const HEADER: &str = "# GRUB Environment Block\n";
/// GRUB's blocks have this size, filled up with `#`.
const BLOCK_BYTES: usize = 1024;
/// Starts that prove nothing, after which the boot loader leaves a slot.
const TRIES_MAX: &str = "3";

/// How the boot loader stands to `slot`. A block that cannot be read bars it: there is nowhere to go that is known to be better.
pub(super) fn standing(grubenv: &Path, slot: &str) -> Standing {
    read(grubenv).map_or(Standing::Barred, |block| judge(&block, slot))
}

/// Whether a power cut has left no block there that the boot loader and RAUC could work with.
pub(super) fn is_lost(grubenv: &Path) -> io::Result<bool> {
    match read(grubenv) {
        Ok(block) => Ok(!is_whole(&block)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// A new block, as GRUB leaves it when it has just started `slot`, which is the first to be started; `other` may be started too where
/// `is_other_good`.
pub(super) fn block(slot: &str, other: &str, is_other_good: bool) -> Vec<u8> {
    let ok = u8::from(is_other_good);
    let mut text =
        format!("{HEADER}ORDER={slot} {other}\n{slot}_OK=1\n{slot}_TRY=1\n{other}_OK={ok}\n{other}_TRY=0\nRESET=0\n");
    text.extend(std::iter::repeat_n('#', BLOCK_BYTES.saturating_sub(text.len())));
    text.into_bytes()
}

/// Bytes that are no text are read as such, so that a torn block is a block that says little.
fn read(grubenv: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(grubenv)?.take(BLOCK_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// As GRUB sees it, to which an empty order is a lost file; and one that is shorter has no room for what GRUB writes.
fn is_whole(block: &str) -> bool {
    block.starts_with(HEADER)
        && block.len() == BLOCK_BYTES
        && value(block, "ORDER").is_some_and(|order| !order.is_empty())
}

fn judge(block: &str, slot: &str) -> Standing {
    if !is_whole(block) || value(block, &format!("{slot}_OK")) != Some("1") {
        return Standing::Barred;
    }
    if value(block, &format!("{slot}_TRY")) == Some(TRIES_MAX) { Standing::Spent } else { Standing::Ready }
}

fn value<'a>(block: &'a str, name: &str) -> Option<&'a str> {
    block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> String {
        format!("{text:#<BLOCK_BYTES$}")
    }

    #[test]
    fn a_slot_may_be_started_until_it_has_failed_three_times() {
        let block = |ok: &str, tries: &str| filled(&format!("{HEADER}ORDER=A B\nA_OK=1\nB_OK={ok}\nB_TRY={tries}\n"));
        let check = |block: &str, expected| assert_eq!(judge(block, "B"), expected, "{block}");
        check(&block("1", "0"), Standing::Ready);
        check(&block("1", "2"), Standing::Ready);
        check(&block("1", "3"), Standing::Spent);
        check(&block("0", "0"), Standing::Barred);
        check(&block("1", "0").replace("ORDER=A B", "ORDER="), Standing::Barred);
        check(&block("1", "0")[..1000], Standing::Barred);
        check(&filled("B_OK=1\nB_TRY=0"), Standing::Barred);
        check("", Standing::Barred);
        assert_eq!(standing(Path::new("/nonexistent"), "B"), Standing::Barred);
    }

    #[test]
    fn a_new_block_starts_the_slot_that_runs() {
        for is_other_good in [false, true] {
            let text = String::from_utf8(block("B", "A", is_other_good)).expect("text");
            assert!(is_whole(&text) && text.contains("ORDER=B A\n"), "{text}");
            assert_eq!((judge(&text, "B"), judge(&text, "A") == Standing::Ready), (Standing::Ready, is_other_good));
        }
    }

    #[test]
    fn a_torn_block_is_told_from_one_that_cannot_be_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("grubenv");
        assert!(is_lost(&path).expect("looked"));
        for torn in
            [&b""[..], &[0; BLOCK_BYTES], &[0xff; BLOCK_BYTES], HEADER.as_bytes(), &block("A", "B", true)[..512]]
        {
            std::fs::write(&path, torn).expect("written");
            assert!(is_lost(&path).expect("looked"), "{torn:?}");
        }
        std::fs::write(&path, block("A", "B", true)).expect("written");
        assert!(!is_lost(&path).expect("looked"));
        assert!(is_lost(folder.path()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_block_is_judged(block in "\\PC{0,100}", slot in "[AB]?") {
            let _ = (judge(&block, &slot), judge(&filled(&format!("{HEADER}ORDER=A\n{block}")), &slot));
        }
    }
}
