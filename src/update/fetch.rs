//! Bringing a bundle here: from a file, a stick, a web server or another hub.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use crate::base::id::to_hex;
use crate::base::secret::Secret;
use crate::link::http::Url;
use crate::models::{self, Expected, FetchError, Fetcher, Patience};
use crate::update::errors::UpdateError;
use crate::update::index::{Index, Offer, Place, place};
use crate::update::ledger::Order;
use crate::update::places::Places;
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
#[derive(Debug)]
pub struct Fetching {
    /// Where bundles wait on their way.
    pub folder: PathBuf,
    /// The kind of board.
    pub compatible: String,
    /// Shown to the server.
    pub token: Option<Secret<String>>,
    pub patience: Patience,
    /// How long a server that cannot be reached is waited for.
    pub network_wait: Duration,
    /// What stays free on the disk beside the bundle.
    pub spare_mib: u64,
    /// Where it can be called off meanwhile.
    pub places: Option<Places>,
}

impl Fetching {
    fn is_called_off(&self) -> bool {
        self.places.as_ref().is_some_and(Places::is_called_off)
    }
}

impl Default for Fetching {
    fn default() -> Self {
        Self {
            folder: PathBuf::new(),
            compatible: String::new(),
            token: None,
            patience: Patience::default(),
            network_wait: Duration::ZERO,
            spare_mib: SPARE_MIB,
            places: None,
        }
    }
}

/// Where the bundle from `source` waits in `folder`: each source has its own, so that beginnings are not mixed up.
pub fn part(folder: &Path, source: &str) -> PathBuf {
    let name = to_hex(&Sha256::digest(source.as_bytes())[..8]);
    folder.join(format!("{PART_PREFIX}{name}.raucb"))
}

/// Brings what `order` names to its place in the folder, whole, and says where that is; what came of it earlier is gone on from.
pub fn bring(it: &Fetching, order: &Order, tell: Tell<'_>) -> Result<PathBuf, UpdateError> {
    keep::make_folder(&it.folder, 0o700).map_err(UpdateError::file("make the folder", &it.folder))?;
    let part = part(&it.folder, &order.source);
    forget_others(&it.folder, &part);
    if order.is_url() {
        let until = Instant::now() + it.network_wait;
        while let Err(error) = download(it, &order.source, &part, tell) {
            if !error.is_unreachable() || Instant::now() >= until || it.is_called_off() {
                return Err(error);
            }
            tell(have(&part), None);
            thread::sleep(it.patience.pause);
        }
    } else {
        copy(Path::new(&order.source), &part, tell)?;
    }
    // What turned out to be no bundle would be gone on from for ever.
    shape::check(&part).inspect_err(|_| drop(fs::remove_file(&part)))?;
    Ok(part)
}

fn download(it: &Fetching, source: &str, part: &Path, tell: Tell<'_>) -> Result<(), UpdateError> {
    let (url, bytes) = resolve(it, source)?;
    bytes.map_or(Ok(()), |bytes| check_room(&it.folder, bytes.saturating_sub(have(part))))?;
    let spare_bytes = it.spare_mib.saturating_mul(MIB);
    let expected = Expected { bytes, bytes_max: BUNDLE_BYTES_MAX, spare_bytes, is_checked: true };
    let mut looked_at = 0;
    let got = fetcher(it).get(&url, part, expected, &mut |bytes, total| {
        tell(bytes, total);
        let looks = bytes / MIB != looked_at / MIB;
        looked_at = bytes;
        !(looks && it.is_called_off())
    });
    got.map_err(|source| {
        // One that is as long as the disk allows would be gone on from for ever, and the disk stay full.
        if matches!(source, FetchError::DiskFull { rest: None }) {
            let _ = fs::remove_file(part);
        }
        failed(it, &url, source)
    })
}

fn have(part: &Path) -> u64 {
    fs::symlink_metadata(part).map_or(0, |file| file.len())
}

/// Which update `source` offers for this board. A file or a bundle's own address say so only when it is here.
pub fn look(it: &Fetching, source: &str) -> Result<Offer, UpdateError> {
    let url = match place(source) {
        Some(Place::Index(url)) => url,
        Some(Place::Bundle(_)) => return Err(UpdateError::NoIndex { source_text: source.to_owned() }),
        None if source.contains("://") => return Err(UpdateError::Source),
        None => return Err(UpdateError::NoIndex { source_text: source.to_owned() }),
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
        None => Err(UpdateError::Source),
    }
}

fn failed(it: &Fetching, url: &str, source: FetchError) -> UpdateError {
    if let FetchError::DiskFull { rest } = source {
        let (path, free_mib) = (it.folder.clone(), models::free_bytes(&it.folder) / MIB);
        return match rest {
            Some(rest) => UpdateError::DiskFull { path, need_mib: rest / MIB + SPARE_MIB, free_mib },
            None => UpdateError::NoRoom { path, free_mib },
        };
    }
    let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    UpdateError::Fetch { from: host.unwrap_or_else(|| url.to_owned()), source }
}

fn copy(from: &Path, to: &Path, tell: Tell<'_>) -> Result<(), UpdateError> {
    let total = shape::check(from)?;
    let folder = to.parent().unwrap_or(Path::new("/"));
    // What is there of an earlier attempt is overwritten.
    check_room(folder, total.saturating_sub(have(to)))?;
    let copied = (|| -> io::Result<u64> {
        let (mut source, mut target) = (File::open(from)?, create(to)?);
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

/// A file that is no link, empty.
fn create(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(path)
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn fetching(folder: &Path) -> Fetching {
        let compatible = "kafclaw-x".to_owned();
        Fetching { folder: folder.to_owned(), compatible, ..Fetching::default() }
    }

    /// Answers one request with `body`.
    fn web_server(body: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        answer_once(listener, body);
        format!("http://{address}/index.json")
    }

    fn answer_once(listener: TcpListener, body: String) {
        thread::spawn(move || {
            let (mut door, _) = listener.accept().expect("somebody");
            let _ = door.read(&mut [0; 4096]);
            let _ = write!(door, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        });
    }

    #[test]
    fn a_bundle_is_never_written_through_a_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, precious) = (folder.path().join("new.raucb"), folder.path().join("precious"));
        let mut bundle = b"hsqs".to_vec();
        bundle.extend([0x30, 1]);
        bundle.extend(2_u64.to_be_bytes());
        fs::write(&source, bundle).expect("written");
        fs::write(&precious, "keys").expect("written");
        let order = Order { source: source.display().to_string(), ..Order::default() };
        let it = fetching(&folder.path().join("incoming"));
        fs::create_dir(&it.folder).expect("made");
        std::os::unix::fs::symlink(&precious, part(&it.folder, &order.source)).expect("a link");
        let said = bring(&it, &order, &mut |_, _| {}).expect_err("a link").to_string();
        assert!(said.contains("could not copy"), "{said}");
        assert_eq!(fs::read_to_string(&precious).expect("a file"), "keys");
    }

    #[test]
    fn a_full_disk_is_told_with_what_is_needed_where_that_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let it = fetching(folder.path());
        let said = |rest: Option<u64>| failed(&it, "http://x.org/a.raucb", FetchError::DiskFull { rest }).to_string();
        let known = said(Some(300 * MIB));
        assert!(known.contains("364 MiB are needed") && known.contains("make room"), "{known}");
        let unknown = said(None);
        assert!(unknown.contains("does not say how long it is") && unknown.contains("make room"), "{unknown}");
    }

    /// As far as the disk goes; and it does not stay full of it.
    #[test]
    fn a_server_that_never_ends_fills_no_disk() {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let source = format!("http://{}/new.raucb", listener.local_addr().expect("an address"));
        thread::spawn(move || {
            let (mut door, _) = listener.accept().expect("somebody");
            let _ = door.read(&mut [0; 4096]);
            let _ = door.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
            while door.write_all(&[7; 65_536]).is_ok() {}
        });
        // Other programs take and give room meanwhile: how much is written before it is noticed is not looked at.
        let spare_mib = models::free_bytes(folder.path()) / MIB - 4;
        let it = Fetching { spare_mib, ..fetching(folder.path()) };
        let order = Order { source, ..Order::default() };
        let said = bring(&it, &order, &mut |_, _| {}).expect_err("no room").to_string();
        assert!(said.contains("does not say how long it is"), "{said}");
        assert_eq!(have(&part(folder.path(), &order.source)), 0);
    }

    #[test]
    fn what_the_index_calls_too_long_for_the_disk_is_not_begun() {
        let folder = tempfile::tempdir().expect("a folder");
        let bytes = 8_u64 << 40;
        let index = serde_json::json!({"version": "0.3.0", "bundles": [{"compatible": "kafclaw-x", "url": "x.raucb", "bytes": bytes}]});
        let order = Order { source: web_server(index.to_string()), ..Order::default() };
        let said = bring(&fetching(folder.path()), &order, &mut |_, _| {}).expect_err("no room").to_string();
        assert!(said.contains(&format!("{} MiB are needed", bytes / MIB + SPARE_MIB)), "{said}");
    }

    #[test]
    fn a_server_that_is_not_there_yet_is_waited_for_when_there_is_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let free = TcpListener::bind("127.0.0.77:0").and_then(|listener| listener.local_addr()).expect("a port");
        let order = Order { source: format!("http://{free}/index.json"), ..Order::default() };
        let said = bring(&fetching(folder.path()), &order, &mut |_, _| {}).expect_err("nobody there");
        assert!(said.is_unreachable(), "{said}");

        let network_wait = Duration::from_secs(30);
        let patience = Patience { pause: Duration::from_millis(1), ..Patience::default() };
        let it = Fetching { network_wait, patience, ..fetching(folder.path()) };
        let mut waits = 0;
        let said = bring(&it, &order, &mut |_, _| {
            waits += 1;
            if waits == 3 {
                answer_once(TcpListener::bind(free).expect("the same port"), "{}".to_owned());
            }
        });
        let said = said.expect_err("an index of nothing").to_string();
        assert!(waits >= 3 && !said.contains("could not reach"), "{said}");
    }

    #[test]
    fn whoever_looks_at_a_bundle_is_told_how_to_take_it() {
        let it = fetching(Path::new("/nonexistent"));
        for source in ["/media/stick/new.raucb", "http://x.org/new.raucb"] {
            let said = look(&it, source).expect_err("no index").to_string();
            assert!(said.contains(&format!("kafclaw update install --only-newer {source}")), "{said}");
        }
        let said = look(&it, "ftp://x.org/index.json").expect_err("no web address").to_string();
        assert!(said.contains("neither a file nor a web address"), "{said}");
    }
}
