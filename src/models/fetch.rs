//! Downloads into a file, going on from where an earlier attempt ended: models, and whatever else a module of a higher floor gets.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;

use crate::base::secret::Secret;
use crate::link::http::{Client, Config, HttpError, Request, Response, Url};
use crate::models::error::FetchError;

const REDIRECTS_MAX: usize = 5;
/// A download may take as long as it moves.
const TOTAL_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Written between two looks at the room on the disk.
const LOOK_BYTES: u64 = 1024 * 1024;
/// Attempts in a row that bring nothing new.
const ATTEMPTS_MAX: u32 = 3;

/// Times of a download.
#[derive(Clone, Debug)]
pub struct Patience {
    /// Name resolution, TCP and TLS together.
    pub connect: Duration,
    /// Without a single byte.
    pub silence: Duration,
    /// Before the next attempt.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), silence: Duration::from_secs(30), pause: Duration::from_secs(2) }
    }
}

/// What hears of every piece: bytes so far and, where the server says so, bytes in all. False stops.
pub type Tell<'a> = &'a mut dyn FnMut(u64, Option<u64>) -> bool;

/// What is known of a file before it comes.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    pub bytes: Option<u64>,
    pub bytes_max: u64,
    /// Stays free on the disk beside it, whether its length is known or not.
    pub spare_bytes: u64,
    /// Its contents can be checked afterwards, so that a beginning from another day does no harm.
    pub is_checked: bool,
}

/// Gets files over HTTP. It runs its own small runtime: it is for threads that may wait, not for asynchronous code.
pub struct Fetcher {
    client: Client,
    patience: Patience,
    bearer: Option<Secret<String>>,
}

impl Fetcher {
    pub fn new(patience: Patience) -> Self {
        let config = Config {
            connect_timeout: patience.connect,
            total_timeout: TOTAL_MAX,
            body_bytes_max: usize::MAX,
            ..Config::default()
        };
        Self { client: Client::new(config), patience, bearer: None }
    }

    /// Shows this token to the server that is named, and to no other that it leads to.
    pub fn with_bearer(self, token: Secret<String>) -> Self {
        Self { bearer: Some(token), ..self }
    }

    /// A small answer, whole.
    pub fn read(&self, url: &str, accept: &str, bytes_max: usize) -> Result<Vec<u8>, FetchError> {
        block_on(async {
            let headers = vec![("accept", Secret::new(accept.to_owned()))];
            let response = self.ask(url, headers).await?;
            if !response.is_success() {
                return Err(FetchError::Status { status: response.status() });
            }
            let reading = tokio::time::timeout(self.patience.silence, response.read(bytes_max));
            let (body, cut) = reading.await.map_err(|_| self.silent())??;
            match cut {
                crate::link::http::Cut::Whole => Ok(body.to_vec()),
                crate::link::http::Cut::Short => Err(FetchError::TooLarge { bytes_max: bytes_max as u64 }),
            }
        })
    }

    /// Gets `url` into `part`, which may hold the beginning already. Interrupted downloads are taken up again.
    pub fn get(&self, url: &str, part: &Path, expected: Expected, tell: Tell<'_>) -> Result<(), FetchError> {
        block_on(async {
            let mut attempts = 0;
            loop {
                let before = length(part);
                let Err(error) = self.attempt(url, part, expected, tell).await else { return Ok(()) };
                let has_moved = length(part) > before;
                attempts = if has_moved { 1 } else { attempts + 1 };
                if !is_passing(&error) || attempts >= ATTEMPTS_MAX {
                    return Err(error);
                }
                tokio::time::sleep(self.patience.pause).await;
            }
        })
    }

    async fn attempt(&self, url: &str, part: &Path, expected: Expected, tell: Tell<'_>) -> Result<(), FetchError> {
        let tag = TagFile::beside(part);
        let mut have = length(part);
        if have > 0 && !expected.is_checked && tag.read().is_none() {
            have = 0;
        }
        if expected.bytes == Some(have) {
            return Ok(());
        }
        if have > expected.bytes_max {
            have = 0;
        }
        let mut headers = Vec::new();
        if have > 0 {
            headers.push(("range", Secret::new(format!("bytes={have}-"))));
            if let Some(tag) = tag.read() {
                headers.push(("if-range", Secret::new(tag)));
            }
        }
        let mut response = self.ask(url, headers).await?;
        let start = match response.status() {
            206 if range_start(&response) == Some(have) => have,
            // A server that sends another part than asked for.
            206 => return Err(FetchError::Status { status: 206 }),
            200 => 0,
            416 => {
                // What is there is not a beginning of what the server has now.
                forget(part)?;
                return Err(FetchError::Status { status: 416 });
            }
            status => return Err(FetchError::Status { status }),
        };
        if start == 0 {
            // Before the tag of what comes now: a beginning of something else must never stand beside it.
            empty(part)?;
        }
        tag.write(response.header("etag"));
        let rest = response.header("content-length").and_then(|text| text.parse::<u64>().ok());
        let total = rest.map(|rest| start.saturating_add(rest)).or_else(|| range_total(&response));
        self.check_length(start, total, expected, part)?;
        let file = plain().write(true).create(true).truncate(false).open(part);
        let mut file = file.map_err(FetchError::file("write", part))?;
        file.set_len(start)
            .and_then(|()| file.seek(SeekFrom::Start(start)))
            .map_err(FetchError::file("write", part))?;
        let copied = self.copy(&mut response, (&mut file, part), start, (expected, total), tell).await;
        let bytes = copied.map_err(|error| match error {
            FetchError::DiskFull { rest: None } => {
                let all = expected.bytes.or(total);
                FetchError::DiskFull { rest: all.map(|all| all.saturating_sub(length(part))) }
            }
            error => error,
        })?;
        file.sync_data().map_err(FetchError::file("write", part))?;
        match expected.bytes.or(total) {
            Some(all) if all != bytes => Err(FetchError::Length { found: bytes, expected: all }),
            _ => Ok(()),
        }
    }

    /// Refuses before the first byte what cannot be right or has no room.
    fn check_length(&self, start: u64, total: Option<u64>, expected: Expected, part: &Path) -> Result<(), FetchError> {
        let Some(total) = total else { return Ok(()) };
        if let Some(bytes) = expected.bytes.filter(|bytes| *bytes != total) {
            return Err(FetchError::Length { found: total, expected: bytes });
        }
        if total > expected.bytes_max {
            return Err(FetchError::TooLarge { bytes_max: expected.bytes_max });
        }
        let rest = total - start;
        let need = rest.saturating_add(expected.spare_bytes);
        if need > free_beside(part) { Err(FetchError::DiskFull { rest: Some(rest) }) } else { Ok(()) }
    }

    async fn copy(
        &self,
        response: &mut Response,
        (file, part): (&mut File, &Path),
        start: u64,
        (expected, total): (Expected, Option<u64>),
        tell: Tell<'_>,
    ) -> Result<u64, FetchError> {
        let (mut bytes, mut looked_at) = (start, None);
        loop {
            let waiting = tokio::time::timeout(self.patience.silence, response.chunk());
            let Some(chunk) = waiting.await.map_err(|_| self.silent())?? else { return Ok(bytes) };
            bytes = bytes.saturating_add(chunk.len() as u64);
            if bytes > expected.bytes_max {
                return Err(FetchError::TooLarge { bytes_max: expected.bytes_max });
            }
            // A server that never ends must not take the house's last room.
            if looked_at.is_none_or(|at| bytes - at >= LOOK_BYTES) {
                looked_at = Some(bytes);
                if free_beside(part) < expected.spare_bytes {
                    return Err(FetchError::DiskFull { rest: None });
                }
            }
            file.write_all(&chunk).map_err(FetchError::file("write", part))?;
            if !tell(bytes, expected.bytes.or(total)) {
                return Err(FetchError::Stopped);
            }
        }
    }

    /// Asks and follows redirects; never from https to http.
    async fn ask(&self, url: &str, headers: Vec<(&'static str, Secret<String>)>) -> Result<Response, FetchError> {
        let mut url = Url::parse(url).map_err(|_| FetchError::Url { url: url.to_owned() })?;
        let named = url.origin();
        for _ in 0..=REDIRECTS_MAX {
            let mut headers = headers.clone();
            if let Some(token) = self.bearer.as_ref().filter(|_| url.origin() == named) {
                headers.push(("authorization", Secret::new(format!("Bearer {}", token.reveal()))));
            }
            let request = Request { headers, ..Request::get(url.clone()) };
            let waiting = tokio::time::timeout(self.patience.silence, self.client.send(request));
            let response = waiting.await.map_err(|_| self.silent())??;
            if !matches!(response.status(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let next = response.header("location").and_then(|to| url.join(to).ok()).ok_or(FetchError::Redirect)?;
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(FetchError::Redirect);
            }
            url = next;
        }
        Err(FetchError::Redirect)
    }

    fn silent(&self) -> FetchError {
        FetchError::Silent { seconds: self.patience.silence.as_secs() }
    }
}

fn block_on<T>(work: impl Future<Output = Result<T, FetchError>>) -> Result<T, FetchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(FetchError::file("start", Path::new("a runtime")))?.block_on(work)
}

/// Worth another attempt.
fn is_passing(error: &FetchError) -> bool {
    match error {
        FetchError::Silent { .. } => true,
        FetchError::Http(error) => {
            matches!(error, HttpError::Broken { .. } | HttpError::TimedOut { .. } | HttpError::Protocol { .. })
        }
        FetchError::Status { status } => matches!(status, 206 | 408 | 416 | 429 | 500..=599),
        // Fewer bytes than announced: the connection was cut.
        FetchError::Length { found, expected } => found < expected,
        _ => false,
    }
}

/// `bytes 100-199/200`
fn range_start(response: &Response) -> Option<u64> {
    response.header("content-range")?.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

/// `bytes 100-199/200`, also where the body comes in pieces.
fn range_total(response: &Response) -> Option<u64> {
    response.header("content-range")?.split_once('/')?.1.trim().parse().ok()
}

fn free_beside(part: &Path) -> u64 {
    part.parent().map_or(u64::MAX, super::free_bytes)
}

fn length(part: &Path) -> u64 {
    super::record::plain_len(part).unwrap_or(0)
}

/// Opens files that are no links: whoever may write into the folder must not have others write elsewhere.
fn plain() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

/// Throws away what was there, and keeps the file.
fn empty(part: &Path) -> Result<(), FetchError> {
    match plain().write(true).open(part).and_then(|file| file.set_len(0)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FetchError::file("write", part)(error)),
        _ => Ok(()),
    }
}

/// Throws a beginning away.
pub(super) fn forget(part: &Path) -> Result<(), FetchError> {
    TagFile::beside(part).write(None);
    match fs::remove_file(part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(FetchError::file("remove", part)(error)),
        _ => Ok(()),
    }
}

/// The server's own mark of what a beginning is the beginning of.
struct TagFile(PathBuf);

impl TagFile {
    const CHARS_MAX: usize = 200;

    fn beside(part: &Path) -> Self {
        let mut name = part.as_os_str().to_owned();
        name.push(".etag");
        Self(name.into())
    }

    fn read(&self) -> Option<String> {
        let mut tag = String::new();
        let file = plain().read(true).open(&self.0).ok()?;
        file.take(Self::CHARS_MAX as u64 + 1).read_to_string(&mut tag).ok()?;
        Some(tag).filter(|tag| !tag.is_empty() && tag.len() <= Self::CHARS_MAX)
    }

    /// Weak tags do not hold for single bytes.
    fn write(&self, tag: Option<&str>) {
        let _ = match tag.filter(|tag| !tag.starts_with("W/") && tag.len() <= Self::CHARS_MAX) {
            Some(tag) => plain()
                .write(true)
                .create(true)
                .truncate(true)
                .open(&self.0)
                .and_then(|mut file| file.write_all(tag.as_bytes())),
            None => fs::remove_file(&self.0),
        };
    }
}
