//! The accounts of the broker that this product's image brings along. The image's `setup` makes them, on each machine its own.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::base::secret::Secret;

/// In the house's home, a line `user:password` each.
pub const ACCOUNTS_FILE: &str = "broker";
/// Where that broker listens, on all addresses of the machine.
pub const BROKER_PORT: u16 = 1883;
/// Which accounts are for others than the gateway, and for whom.
const FOR_OTHERS: [(&str, &str); 2] = [
    ("devices", "Zigbee2MQTT, Tasmota, ESPHome and other devices; what people say to the house is not theirs to read"),
    ("people", "Home Assistant, and programs that talk with the assistant over MQTT"),
];
const FILE_BYTES_MAX: u64 = 4 * 1024;

/// What somebody needs to connect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    pub user: &'static str,
    pub password: Secret<String>,
    pub purpose: &'static str,
}

/// Reads from the file `path` the accounts that the owner may hand out; none where there is no such broker.
pub fn accounts(path: &Path) -> io::Result<Vec<Account>> {
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let mut text = String::new();
    match File::options().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?.take(FILE_BYTES_MAX).read_to_string(&mut text)?,
    };
    Ok(parse(&text))
}

fn parse(text: &str) -> Vec<Account> {
    let password = |user: &str| {
        let found = text.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| *name == user);
        found.map(|(_, password)| password.trim()).filter(|password| !password.is_empty())
    };
    let account = |(user, purpose)| {
        let password = Secret::new(password(user)?.to_owned());
        Some(Account { user, password, purpose })
    };
    FOR_OTHERS.into_iter().filter_map(account).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_hands_out_every_account_but_the_houses_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(ACCOUNTS_FILE);
        assert_eq!(accounts(&file).expect("no broker here"), []);
        std::fs::write(&file, "kafclaw:own\ndevices:a:b\npeople:\n").expect("written");
        let all = accounts(&file).expect("read");
        let shown: Vec<_> = all.iter().map(|account| (account.user, account.password.reveal().as_str())).collect();
        assert_eq!(shown, [("devices", "a:b")]);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        accounts(&link).expect_err("a link is not followed");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,80}") {
            parse(&text);
        }
    }
}
