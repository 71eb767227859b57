//! Whether a file is a whole bundle, by its two ends: a squashfs, and behind it a signature with its length (RAUC's manual, "Bundle
//! Formats"). RAUC would refuse the same files with words that help nobody.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::update::errors::UpdateError;

const SQUASHFS_MAGIC: &[u8] = b"hsqs";
/// The length of the signature, big-endian, is the last thing in a bundle.
const LENGTH_BYTES: u64 = 8;
/// RAUC takes no longer signature.
const SIGNATURE_BYTES_MAX: u64 = 64 * 1024;
/// A signature is a DER sequence.
const DER_SEQUENCE: u8 = 0x30;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shape {
    Whole,
    Other,
    Cut,
}

/// Refuses what is no bundle, or only the beginning of one; returns its length.
pub(super) fn check(path: &Path) -> Result<u64, UpdateError> {
    let looked = File::open(path).and_then(|mut file| {
        let bytes = file.metadata()?.len();
        Ok((look(&mut file, bytes)?, bytes))
    });
    let (shape, bytes) = looked.map_err(UpdateError::file("read", path))?;
    match shape {
        Shape::Whole => Ok(bytes),
        Shape::Other => Err(UpdateError::NotABundle { path: path.to_owned() }),
        Shape::Cut => Err(UpdateError::Cut { path: path.to_owned() }),
    }
}

fn look(file: &mut (impl Read + Seek), bytes: u64) -> io::Result<Shape> {
    let mut magic = [0; SQUASHFS_MAGIC.len()];
    if bytes < LENGTH_BYTES + magic.len() as u64 {
        return Ok(Shape::Other);
    }
    file.read_exact(&mut magic)?;
    if magic != SQUASHFS_MAGIC {
        return Ok(Shape::Other);
    }
    let mut length = [0; LENGTH_BYTES as usize];
    file.seek(SeekFrom::Start(bytes - LENGTH_BYTES))?;
    file.read_exact(&mut length)?;
    let length = u64::from_be_bytes(length);
    if length == 0 || length > SIGNATURE_BYTES_MAX || length > bytes - LENGTH_BYTES {
        return Ok(Shape::Cut);
    }
    let mut first = [0];
    file.seek(SeekFrom::Start(bytes - LENGTH_BYTES - length))?;
    file.read_exact(&mut first)?;
    Ok(if first[0] == DER_SEQUENCE { Shape::Whole } else { Shape::Cut })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn shape(bytes: &[u8]) -> Shape {
        look(&mut Cursor::new(bytes), bytes.len() as u64).expect("memory can be read")
    }

    fn bundle() -> Vec<u8> {
        let mut bytes = b"hsqs and a file system".to_vec();
        bytes.extend([DER_SEQUENCE, 1, 2, 3]);
        bytes.extend(4_u64.to_be_bytes());
        bytes
    }

    #[test]
    fn a_bundle_has_two_ends() {
        assert_eq!(shape(&bundle()), Shape::Whole);
        assert_eq!(shape(b"PK, something else entirely"), Shape::Other);
        assert_eq!(shape(b""), Shape::Other);
    }

    proptest! {
        #[test]
        fn no_beginning_of_a_bundle_passes_for_one(cut in 0..34_usize, bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_ne!(shape(&bundle()[..cut]), Shape::Whole);
            let _ = shape(&bytes);
        }
    }
}
