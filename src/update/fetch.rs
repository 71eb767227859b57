//! Bringing a bundle here: from a file, a stick, a web server or another hub.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::base::id::to_hex;
use crate::base::secret::Secret;
use crate::link::http::Url;
use crate::models::{self, Expected, FetchError, Fetcher, Patience};
use crate::update::errors::UpdateError;
use crate::update::index::{Index, Offer, Place, place};
use crate::update::ledger::Order;
use crate::update::{keep, shape};

/// Of a bundle; a slot holds no more.
const BUNDLE_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;
const INDEX_BYTES_MAX: usize = 256 * 1024;
const MIB: u64 = 1024 * 1024;
/// What stays free on the disk beside a bundle.
const SPARE_MIB: u64 = 64;
const PIECE_BYTES: usize = 1024 * 1024;
const PART_PREFIX: &str = "part-";

/// What hears how far it is: bytes so far and, where that is known, in all.
pub type Tell<'a> = &'a mut dyn FnMut(u64, Option<u64>);

/// How and for whom.
#[derive(Debug, Default)]
pub struct Fetching {
    /// Where bundles wait on their way.
    pub folder: PathBuf,
    /// The kind of board.
    pub compatible: String,
    /// Shown to the server.
    pub token: Option<Secret<String>>,
    pub patience: Patience,
}

/// Where the bundle from `source` waits in `folder`: each source has its own, so that beginnings are not mixed up.
pub(super) fn part(folder: &Path, source: &str) -> PathBuf {
    let name = to_hex(&Sha256::digest(source.as_bytes())[..8]);
    folder.join(format!("{PART_PREFIX}{name}.raucb"))
}

/// Brings what `order` names, whole; what came of it earlier is gone on from.
pub fn bring(it: &Fetching, order: &Order, tell: Tell<'_>) -> Result<(), UpdateError> {
    keep::make_folder(&it.folder, 0o700).map_err(UpdateError::file("make the folder", &it.folder))?;
    let part = part(&it.folder, &order.source);
    forget_others(&it.folder, &part);
    if order.is_url() {
        let (url, bytes) = resolve(it, &order.source)?;
        let expected = Expected { bytes, bytes_max: BUNDLE_BYTES_MAX, is_checked: true };
        let got = fetcher(it).get(&url, &part, expected, &mut |bytes, total| {
            tell(bytes, total);
            true
        });
        got.map_err(|source| failed(it, &url, source))?;
    } else {
        copy(Path::new(&order.source), &part, tell)?;
    }
    // What turned out to be no bundle would be gone on from for ever.
    shape::check(&part).map(drop).inspect_err(|_| drop(fs::remove_file(&part)))
}

/// Which update `source` offers for this board. A file or a bundle's own address say so only when it is here.
pub fn look(it: &Fetching, source: &str) -> Result<Offer, UpdateError> {
    let Some(Place::Index(url)) = place(source) else {
        return Err(UpdateError::Index { from: source.to_owned() });
    };
    let bytes = fetcher(it).read(url.as_str(), "application/json", INDEX_BYTES_MAX);
    let bytes = bytes.map_err(|source| failed(it, url.as_str(), source))?;
    let index = Index::parse(&bytes).ok_or_else(|| UpdateError::Index { from: url.to_string() })?;
    index.offer(&url, &it.compatible).ok_or_else(|| UpdateError::NotOffered {
        from: url.to_string(),
        compatible: it.compatible.clone(),
        has: index.kinds(),
    })
}

/// The newest file that could be a bundle at the top of a mounted stick.
pub fn bundle_on_stick(sticks: &[PathBuf]) -> Result<PathBuf, UpdateError> {
    let files = sticks.iter().flat_map(|stick| fs::read_dir(stick).into_iter().flatten().flatten());
    let bundles = files.filter(|file| file.file_type().is_ok_and(|kind| kind.is_file()));
    let mut bundles: Vec<_> = bundles
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "raucb"))
        .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
        .collect();
    bundles.sort_unstable();
    bundles.pop().map(|(_, path)| path).ok_or(UpdateError::NoStick)
}

fn fetcher(it: &Fetching) -> Fetcher {
    let fetcher = Fetcher::new(it.patience.clone());
    match &it.token {
        Some(token) => fetcher.with_bearer(token.clone()),
        None => fetcher,
    }
}

/// Address and, where it is known, length of the bundle itself.
fn resolve(it: &Fetching, source: &str) -> Result<(String, Option<u64>), UpdateError> {
    match place(source) {
        Some(Place::Bundle(url)) => Ok((url.into(), None)),
        Some(Place::Index(_)) => look(it, source).map(|offer| (offer.source, offer.bytes)),
        None => Err(UpdateError::Source { source_text: source.to_owned() }),
    }
}

fn failed(it: &Fetching, url: &str, source: FetchError) -> UpdateError {
    if matches!(source, FetchError::DiskFull) {
        let free_mib = models::free_bytes(&it.folder) / MIB;
        return UpdateError::DiskFull { path: it.folder.clone(), need_mib: free_mib.saturating_add(1), free_mib };
    }
    let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    UpdateError::Fetch { from: host.unwrap_or_else(|| url.to_owned()), source }
}

fn copy(from: &Path, to: &Path, tell: Tell<'_>) -> Result<(), UpdateError> {
    let total = shape::check(from)?;
    let folder = to.parent().unwrap_or(Path::new("/"));
    // What is there of an earlier attempt is overwritten.
    let have = fs::metadata(to).map_or(0, |file| file.len());
    check_room(folder, total.saturating_sub(have))?;
    let copied = (|| -> io::Result<u64> {
        let (mut source, mut target) = (File::open(from)?, File::create(to)?);
        let (mut piece, mut bytes) = (vec![0; PIECE_BYTES], 0);
        loop {
            let count = source.read(&mut piece)?;
            if count == 0 {
                target.sync_all()?;
                return Ok(bytes);
            }
            target.write_all(&piece[..count])?;
            bytes += count as u64;
            tell(bytes, Some(total));
        }
    })();
    copied.map(drop).map_err(|source| match source.kind() {
        io::ErrorKind::StorageFull => {
            let free_mib = models::free_bytes(folder) / MIB;
            UpdateError::DiskFull { path: folder.to_owned(), need_mib: total / MIB, free_mib }
        }
        _ => UpdateError::File { attempt: "copy", path: from.to_owned(), source },
    })
}

/// Refuses before the first byte what has no room.
pub fn check_room(folder: &Path, bytes: u64) -> Result<(), UpdateError> {
    let free_mib = models::free_bytes(folder) / MIB;
    let need_mib = bytes / MIB + SPARE_MIB;
    if free_mib < need_mib {
        return Err(UpdateError::DiskFull { path: folder.to_owned(), need_mib, free_mib });
    }
    Ok(())
}

/// Beginnings of other updates, which nobody wants any more.
fn forget_others(folder: &Path, part: &Path) {
    let kept = part.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for file in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if name.starts_with(PART_PREFIX) && !name.starts_with(&kept) {
            let _ = fs::remove_file(file.path());
        }
    }
}
