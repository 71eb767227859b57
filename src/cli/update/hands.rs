//! The hands of a driver: root does nothing with what strangers send, it starts this program again as the house's own user.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::base::error::chain;
use crate::cli::update::{backup_file, fetching, health, test_root};
use crate::config::Loaded;
use crate::update::{Fetching, Hands, Order, Places, UpdateError, bring, part};

/// The part that looks at the health.
const HEALTH: [&str; 1] = ["health"];
/// Of one line that a part of the work says; more ends it.
const LINE_BYTES_MAX: u64 = 16 * 1024;

/// A look at the health that takes longer finds something that is not well: a runtime that hangs, a disk that dies.
const LOOK_MAX: Duration = Duration::from_secs(180);

/// Who does the house's part of the work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Doer {
    /// This process, which has no more rights than the house.
    Itself,
    /// User and group of the house.
    User(u32, u32),
    /// The house is root's, or nobody knows whose.
    Nobody,
}

pub(super) struct HouseHands<'a> {
    loaded: &'a Loaded,
    places: &'a Places,
    doer: Doer,
    /// Root named the file itself, so it may be one that only root can read.
    trusts_files: bool,
    /// How long a server that cannot be reached is waited for.
    network_wait: Duration,
    /// The embedder was seen to work; once is enough.
    has_embedded: bool,
}

impl<'a> HouseHands<'a> {
    pub fn new(loaded: &'a Loaded, places: &'a Places) -> Self {
        let doer = doer(&loaded.config.paths.home, may_be_itself(loaded));
        Self { loaded, places, doer, trusts_files: false, network_wait: Duration::ZERO, has_embedded: false }
    }

    pub fn trusting_files(self) -> Self {
        Self { trusts_files: true, ..self }
    }

    pub fn waiting_for_network(self, network_wait: Duration) -> Self {
        Self { network_wait, ..self }
    }

    /// Runs a part of the work as the house's user: `input` goes in, objects come out, one a line; the last one is the result.
    fn part(
        &self,
        (user, group): (u32, u32),
        arguments: &[&str],
        input: &Value,
        each: &mut dyn FnMut(&Value),
    ) -> Result<Value, UpdateError> {
        let broken = |source| UpdateError::Program { program: format!("kafclaw update part {}", arguments[0]), source };
        let program = std::env::current_exe().map_err(broken)?;
        let home = &self.loaded.config.paths.home;
        let mut command = Command::new(program);
        command.args(["update", "part"]).args(arguments).env("KAFCLAW_HOME", home).env("HOME", home);
        command.uid(user).gid(group).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(broken)?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not read it says so itself.
            let _ = stdin.write_all(input.to_string().as_bytes());
        }
        let limit = (arguments == HEALTH).then(|| end_after(LOOK_MAX, &child));
        let mut last = Value::Null;
        if let Some(out) = child.stdout.take() {
            let mut out = BufReader::new(out);
            let mut line = Vec::new();
            while matches!((&mut out).take(LINE_BYTES_MAX).read_until(b'\n', &mut line), Ok(1..)) {
                last = serde_json::from_slice(&line).unwrap_or_default();
                each(&last);
                line.clear();
            }
        }
        drop(limit);
        let status = child.wait().map_err(broken)?;
        match last["error"].as_str() {
            Some(error) => Err(UpdateError::Told(error.to_owned())),
            None if status.success() => Ok(last),
            None => Err(UpdateError::Failed {
                program: format!("kafclaw update part {}", arguments[0]),
                said: status.to_string(),
            }),
        }
    }

    fn nobody(&self) -> UpdateError {
        UpdateError::NoUser { home: self.loaded.config.paths.home.clone() }
    }

    fn fetching(&self, folder: &Path, source: &str) -> Result<Fetching, UpdateError> {
        let fetching = fetching(self.loaded, self.places, source);
        let fetching = fetching.map_err(|failure| UpdateError::Told(chain(&failure)))?;
        Ok(Fetching { folder: folder.to_owned(), network_wait: self.network_wait, ..fetching })
    }
}

impl Hands for HouseHands<'_> {
    fn fetch(&mut self, order: &Order, tell: &mut dyn FnMut(u64, Option<u64>)) -> Result<PathBuf, UpdateError> {
        match self.doer {
            Doer::User(user, group) if order.is_url() || !self.trusts_files => {
                let mut each = |said: &Value| {
                    if let Some(bytes) = said["bytes"].as_u64() {
                        tell(bytes, said["total"].as_u64());
                    }
                };
                let wait_s = self.network_wait.as_secs().to_string();
                self.part((user, group), &["fetch", "--network-wait-s", &wait_s], &json!(order), &mut each)?;
                // Not what they say, who may be anybody's by now.
                Ok(part(&self.places.incoming, &order.source))
            }
            Doer::User(..) => bring(&self.fetching(&self.places.store, &order.source)?, order, tell),
            Doer::Itself => bring(&self.fetching(&self.places.incoming, &order.source)?, order, tell),
            Doer::Nobody => Err(self.nobody()),
        }
    }

    fn back_up(&mut self) -> Result<Option<PathBuf>, UpdateError> {
        match self.doer {
            Doer::Itself => super::part::back_up(&self.loaded.config.paths.database, &backup_file(self.loaded)),
            Doer::User(user, group) => {
                let said = self.part((user, group), &["back-up"], &Value::Null, &mut |_| {})?;
                Ok(said["copy"].as_str().map(PathBuf::from))
            }
            Doer::Nobody => Err(self.nobody()),
        }
    }

    fn troubles(&mut self) -> Vec<String> {
        let embeds = if self.has_embedded { health::Embedding::Leave } else { health::Embedding::Try };
        let troubles = match self.doer {
            Doer::Itself => health::troubles(self.loaded, embeds),
            Doer::Nobody => vec![chain(&self.nobody())],
            Doer::User(user, group) => {
                let input = json!({"embed": embeds == health::Embedding::Try});
                match self.part((user, group), &HEALTH, &input, &mut |_| {}) {
                    Ok(said) => {
                        let troubles = said["troubles"].as_array().into_iter().flatten();
                        troubles.filter_map(Value::as_str).map(str::to_owned).collect()
                    }
                    Err(error) => vec![format!("the health could not be looked at: {}", chain(&error))],
                }
            }
        };
        self.has_embedded |= troubles.is_empty();
        troubles
    }
}

/// Kills `child` when what is returned still lives after `limit`.
fn end_after(limit: Duration, child: &Child) -> mpsc::SyncSender<()> {
    let (alive, over) = mpsc::sync_channel(0);
    let pid = Pid::from_child(child);
    std::thread::spawn(move || {
        if over.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            let _ = kill_process(pid, Signal::KILL);
        }
    });
    alive
}

/// Root itself does the house's part in a test's own machine only.
fn may_be_itself(loaded: &Loaded) -> bool {
    !rustix::process::geteuid().is_root() || test_root(loaded).is_some()
}

/// Whose the house is says `home` itself and nothing inside of it: the house's user may put a link to root's folders there.
fn doer(home: &Path, may_be_itself: bool) -> Doer {
    let owner = fs::symlink_metadata(home).ok().filter(fs::Metadata::is_dir).map(|folder| (folder.uid(), folder.gid()));
    match owner {
        Some((user, group)) if rustix::process::geteuid().is_root() && user != 0 => Doer::User(user, group),
        _ if may_be_itself => Doer::Itself,
        _ => Doer::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    #[test]
    fn a_look_that_does_not_end_is_ended() {
        let mut child = Command::new("sleep").arg("3600").spawn().expect("a program");
        let _limit = end_after(Duration::from_millis(50), &child);
        assert!(!child.wait().expect("ended").success());
    }

    /// The house's user may move `.kafclaw` away and put a link to a folder of root's in its place.
    #[test]
    fn root_is_never_the_houses_user_whatever_the_house_holds() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().join("home");
        fs::create_dir(&home).expect("made");
        symlink("/dev/shm", home.join(".kafclaw")).expect("a link");
        // Only root can give a folder away.
        if !rustix::process::geteuid().is_root() {
            assert_eq!(doer(&home, true), Doer::Itself);
            return;
        }
        assert_eq!(doer(&home, false), Doer::Nobody);
        assert_eq!(doer(&home, true), Doer::Itself);
        chown(&home, Some(65534), Some(65533)).expect("given away");
        for may_be_itself in [false, true] {
            assert_eq!(doer(&home, may_be_itself), Doer::User(65534, 65533));
        }
        let link = folder.path().join("link");
        symlink(&home, &link).expect("a link");
        for home in [link, folder.path().join("absent")] {
            assert_eq!(doer(&home, false), Doer::Nobody);
        }
    }
}
