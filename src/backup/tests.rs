//! Backups written, read, cut and changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::base::clock::{Clock, Timestamp};
use crate::db::{self, Db};

const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_123);
const ALL: Options = Options { workspace: true, token: true };

fn places(home: &Path) -> Places {
    let state_dir = home.join(".kafclaw");
    Places {
        database: state_dir.join("timeline.db"),
        config_file: state_dir.join("config.json"),
        token_file: state_dir.join("gateway.token"),
        workspace: home.join("KafClaw-Workspace"),
        state_dir,
    }
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, text).expect("written");
}

/// A home with `value` in its database and its files.
fn home(value: &str) -> (tempfile::TempDir, Places) {
    let home = tempfile::tempdir().expect("a folder");
    let places = places(home.path());
    put(&places.config_file, &format!("{{ /* {value} */ }}"));
    put(&places.token_file, value);
    put(&places.state_dir.join("sessions/a.jsonl"), value);
    put(&places.state_dir.join("run/gateway.json"), "{}");
    put(&places.workspace.join("SOUL.md"), value);
    put(&places.workspace.join(format!("{}/deep.txt", "long-".repeat(30))), value);
    put(&places.workspace.join("bin/tool"), value);
    fs::set_permissions(places.workspace.join("bin/tool"), fs::Permissions::from_mode(0o755)).expect("set");
    std::os::unix::fs::symlink("/etc/passwd", places.workspace.join("link")).expect("linked");
    let db = Db::open(&db::Config::at(&places.database), &[], &Clock::System).expect("a database");
    let text = value.to_owned();
    db.write_blocking(move |tx| {
        tx.execute_batch("CREATE TABLE t (a)")?;
        (0..1_000).try_for_each(|_| tx.execute("INSERT INTO t VALUES (?1)", [&text]).map(|_| ()))
    })
    .expect("filled");
    db.close();
    drop(db);
    // Its threads let go of the file a moment later; then the log is gone and the file stays as it is.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while db::is_in_use(&places.database).expect("asked") {
        assert!(std::time::Instant::now() < deadline, "nobody lets go of the database");
        std::thread::yield_now();
    }
    (home, places)
}

fn value_of(places: &Places) -> String {
    let conn = rusqlite::Connection::open(&places.database).expect("a database");
    let (value, count): (String, i64) =
        conn.query_row("SELECT max(a), count(*) FROM t", [], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    assert_eq!(count, 1_000);
    value
}

fn pack(places: &Places, options: Options) -> (Vec<u8>, Packed) {
    let mut bytes = Vec::new();
    let packed = write(places, options, NOW, &mut bytes, &mut |_| {}).expect("packed");
    (bytes, packed)
}

/// Restores `bytes` over a home, given a name that no error depends on.
fn bring_back(bytes: &[u8], places: &Places) -> Result<Replaced, BackupError> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("backup.tar");
    fs::write(&file, bytes).expect("written");
    restore(&file, places, NOW, &mut |_| {})
}

/// Every file below a folder with its content.
fn picture(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut waiting = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
        } else if !path.is_symlink() {
            files.push((path.clone(), fs::read(&path).expect("a file")));
        }
    }
    files.sort();
    files
}

#[test]
fn everything_comes_back_and_what_was_there_is_kept_aside() {
    let (_old_home, old) = home("old");
    let (bytes, packed) = pack(&old, ALL);
    assert_eq!(packed.files, 7, "database, configuration, token, session, three of the workspace");
    assert_eq!(packed.left_out, [old.workspace.join("link")]);

    let (new_home, new) = home("new");
    let replaced = bring_back(&bytes, &new).expect("restored");
    assert_eq!((replaced.files, replaced.created_at.as_str()), (7, "2026-08-18T14:30:12.123Z"));
    assert_eq!(value_of(&new), "old");
    for file in [new.token_file.clone(), new.state_dir.join("sessions/a.jsonl"), new.workspace.join("SOUL.md")] {
        assert_eq!(fs::read_to_string(&file).expect("a file"), "old", "{}", file.display());
    }
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&new.workspace.join("bin/tool")), 0o755);
    assert_eq!(mode(&new.config_file), 0o600);
    assert_eq!(mode(&new.workspace), 0o700, "no folder is opened for others");
    assert!(new.state_dir.join("run/gateway.json").exists(), "what no backup holds stays");

    let [aside, workspace] = replaced.aside.as_slice() else { panic!("{:?}", replaced.aside) };
    assert_eq!(value_of(&Places { database: aside.join("timeline.db"), ..new.clone() }), "new");
    assert_eq!(fs::read_to_string(workspace.join("SOUL.md")).expect("a file"), "new");
    let left: Vec<_> =
        picture(new_home.path()).into_iter().filter(|(path, _)| path.to_string_lossy().contains(".backup-")).collect();
    assert!(left.is_empty(), "nothing is left lying around: {left:?}");
}

#[test]
fn a_backup_is_made_beside_a_running_gateway_and_not_restored_over_it() {
    let (_home, places) = home("one");
    let (bytes, _) = pack(&places, ALL);
    let db = Db::open(&db::Config::at(&places.database), &[], &Clock::System).expect("a database");
    db.write_blocking(|tx| tx.execute("UPDATE t SET a = 'two'", [])).expect("changed");
    let (running, _) = pack(&places, ALL);
    let refused = bring_back(&bytes, &places).expect_err("in use");
    assert!(matches!(refused, BackupError::InUse { .. }), "{refused}");
    db.close();
    drop(db);
    let (_fresh_home, fresh) = home("three");
    bring_back(&running, &fresh).expect("restored");
    assert_eq!(value_of(&fresh), "two", "a commit still in the log is in the backup");
}

#[test]
fn a_fresh_home_takes_a_backup_and_parts_that_were_left_out_stay() {
    let (_old_home, old) = home("old");
    let (bytes, _) = pack(&old, Options { workspace: false, token: false });
    let fresh_home = tempfile::tempdir().expect("a folder");
    let fresh = super::tests::places(fresh_home.path());
    put(&fresh.token_file, "kept");
    put(&fresh.workspace.join("SOUL.md"), "kept");
    let replaced = bring_back(&bytes, &fresh).expect("restored");
    assert!(replaced.aside.is_empty());
    assert_eq!(value_of(&fresh), "old");
    assert_eq!(fs::read_to_string(&fresh.token_file).expect("a token"), "kept");
    assert_eq!(fs::read_to_string(fresh.workspace.join("SOUL.md")).expect("a soul"), "kept");
}

#[test]
fn what_is_cut_or_changed_or_something_else_changes_nothing() {
    let (_old_home, old) = home("old");
    let (bytes, _) = pack(&old, ALL);
    let (new_home, new) = home("new");
    let before = picture(new_home.path());
    let refused = |bytes: &[u8], reason: &str| {
        let error = bring_back(bytes, &new).expect_err(reason).to_string();
        assert!(error.contains(reason) && error.contains("nothing was changed"), "{reason}: {error}");
        assert!(picture(new_home.path()) == before, "{reason}: something was changed");
    };
    refused(b"", "is no backup");
    refused(b"hello, I am a letter", "is no backup");
    refused(&[7; 4096], "is no backup");
    refused(&fs::read(&old.database).expect("a database"), "a bare database");
    for length in [512, 700, 1024, 1536, 5_000, bytes.len() / 2, bytes.len() - 4_000] {
        refused(&bytes[..length], "ends too early");
    }
    let mut changed = bytes.clone();
    changed[8_000] ^= 1;
    refused(&changed, "timeline.db is not what was packed");
    let newer = String::from_utf8_lossy(&bytes[..512]).into_owned();
    assert!(newer.starts_with("kafclaw-backup"));
    let mut newer = bytes.clone();
    newer[512] = b'9';
    refused(&newer, "newer version (format 9)");
}

#[test]
fn a_database_that_was_damaged_before_it_was_packed_is_refused() {
    let (_old_home, old) = home("old");
    let (_new_home, new) = home("new");
    let mut builder = tar::Builder::new(Vec::new());
    let garbage = "no database ".repeat(500);
    let mut files = Vec::new();
    for (name, content) in [("kafclaw-backup", "1\n"), ("timeline.db", garbage.as_str())] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content.as_bytes()).expect("packed");
        use sha2::Digest;
        let sha256 = crate::base::id::to_hex(&sha2::Sha256::digest(content.as_bytes()));
        files.push(entry::FileFact { name: name.to_owned(), bytes: content.len() as u64, sha256 });
    }
    let manifest = entry::Manifest { format: 1, version: String::new(), created_at: String::new(), files };
    let text = serde_json::to_vec(&manifest).expect("JSON");
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    builder.append_data(&mut header, "manifest.json", text.as_slice()).expect("packed");
    let error = bring_back(&builder.into_inner().expect("bytes"), &new).expect_err("refused").to_string();
    assert!(error.contains("its database"), "{error}");
    assert_eq!((value_of(&old), value_of(&new)), ("old".to_owned(), "new".to_owned()));
}

#[test]
fn what_cannot_be_put_in_its_place_is_undone() {
    let (_old_home, old) = home("old");
    let (bytes, _) = pack(&old, ALL);
    let (new_home, mut new) = home("new");
    // The configuration would have to go below a file.
    put(&new_home.path().join("file"), "x");
    new.config_file = new_home.path().join("file/config.json");
    let before = picture(new_home.path());
    let error = bring_back(&bytes, &new).expect_err("refused");
    assert!(matches!(error, BackupError::Replace { .. }), "{error}");
    assert!(picture(new_home.path()) == before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_bytes_are_refused_without_a_panic(noise in proptest::collection::vec(any::<u8>(), 0..3_000), begin in any::<bool>()) {
        let home = tempfile::tempdir().expect("a folder");
        let mut bytes = Vec::new();
        if begin {
            let mut builder = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_gnu();
            header.set_size(2);
            builder.append_data(&mut header, "kafclaw-backup", &b"1\n"[..]).expect("packed");
            bytes = builder.into_inner().expect("bytes");
            bytes.truncate(1_024);
        }
        bytes.extend(noise);
        prop_assert!(bring_back(&bytes, &places(home.path())).is_err());
    }
}
