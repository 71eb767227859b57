//! The fence around the file tools, tried from every side.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use serde_json::json;

use super::content::{FILE_BYTES_MAX, edit_file, list_dir, read_file, resolve_path, write_file};
use super::{Config, Roots};
use crate::base::error::chain;
use crate::tool::file::FileError;

const OUTSIDE: &str = "Error: path outside work repo and workspace.";
const OUTSIDE_REPO: &str = "Error: path outside work repo.";

/// A home with `repo`, `space` and, outside of both, `secret`.
struct Home {
    folder: tempfile::TempDir,
    roots: Roots,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["repo/sub", "repo/.git", "space", "elsewhere"] {
            fs::create_dir_all(folder.path().join(name)).expect("created");
        }
        fs::write(folder.path().join("elsewhere/secret"), "secret").expect("written");
        fs::write(folder.path().join("repo/a.txt"), "alpha alpha").expect("written");
        fs::write(folder.path().join("space/soul.md"), "kind").expect("written");
        let roots = Roots::new(Config {
            work_repo: Some(folder.path().join("repo")),
            workspace: Some(folder.path().join("space")),
            home: Some(folder.path().to_owned()),
        });
        Self { folder, roots }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn read(&self, path: &str) -> String {
        said(read_file(&self.roots, &json!({ "path": path })))
    }

    fn write(&self, path: &str, content: &str) -> String {
        said(write_file(&self.roots, &json!({ "path": path, "content": content })))
    }

    fn secret_is_untouched(&self) -> bool {
        let names = fs::read_dir(self.folder.path().join("elsewhere")).expect("listed").count();
        names == 1 && fs::read_to_string(self.path("elsewhere/secret")).expect("read") == "secret"
    }
}

fn said(result: Result<String, FileError>) -> String {
    result.unwrap_or_else(|error| chain(&error))
}

#[test]
fn what_is_inside_is_read_however_it_is_spelled() {
    let home = Home::new();
    symlink("../a.txt", home.path("repo/sub/inside")).expect("linked");
    for path in ["a.txt", "./a.txt", "sub/../a.txt", "sub/inside", &home.path("repo/a.txt"), "~/repo/a.txt"] {
        assert_eq!(home.read(path), "alpha alpha", "{path}");
    }
    assert_eq!(home.read(&home.path("space/soul.md")), "kind");
}

#[test]
fn nothing_outside_is_read_or_written_however_it_is_spelled() {
    let home = Home::new();
    symlink(home.path("elsewhere/secret"), home.path("repo/absolute-link")).expect("linked");
    symlink("../elsewhere/secret", home.path("repo/link")).expect("linked");
    symlink("../elsewhere", home.path("repo/folder-link")).expect("linked");
    symlink("../elsewhere/new", home.path("repo/dangling")).expect("linked");
    symlink("link", home.path("repo/link-to-link")).expect("linked");
    for path in [
        "absolute-link",
        "link",
        "folder-link/secret",
        "link-to-link",
        "../elsewhere/secret",
        "sub/../../elsewhere/secret",
        &home.path("elsewhere/secret"),
        &home.path("repo/../elsewhere/secret"),
        "~/elsewhere/secret",
        "/etc/passwd",
    ] {
        assert_eq!(home.read(path), OUTSIDE, "reading {path}");
        assert_eq!(home.write(path, "x"), OUTSIDE_REPO, "writing {path}");
    }
    for path in ["dangling", "folder-link/new", "folder-link/deep/new"] {
        assert_eq!(home.write(path, "x"), OUTSIDE_REPO, "writing {path}");
    }
    assert_eq!(home.write(&home.path("space/soul.md"), "x"), OUTSIDE_REPO);
    assert_eq!(home.read("a\0b"), "Error: the path contains a NUL character");
    assert!(home.secret_is_untouched());
}

#[test]
fn a_folder_swapped_for_a_link_while_we_write_leads_nowhere() {
    let home = Home::new();
    let (real, link) = (home.path("repo/real"), home.path("repo/door"));
    fs::create_dir(&real).expect("created");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for target in ["real", "../elsewhere"] {
                    let fresh = format!("{link}.new");
                    let _ = symlink(target, &fresh);
                    let _ = fs::rename(&fresh, &link);
                }
            }
        });
        for _ in 0..300 {
            let said = home.write("door/file", "x");
            assert!(said.starts_with("Successfully") || said.starts_with("Error"), "{said}");
            assert_ne!(home.read("door/secret"), "secret");
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(home.secret_is_untouched());
}

#[test]
fn pipes_devices_folders_binaries_and_giants_are_refused() {
    let home = Home::new();
    let status = std::process::Command::new("mkfifo").arg(home.path("repo/pipe")).status().expect("mkfifo runs");
    assert!(status.success());
    symlink("/dev/zero", home.path("repo/zero")).expect("linked");
    fs::write(home.path("repo/binary"), [0, 159, 146]).expect("written");
    fs::File::create(home.path("repo/giant")).expect("created").set_len(FILE_BYTES_MAX + 1).expect("grown");
    let giant =
        format!("Error: file too large: giant ({} bytes, at most {FILE_BYTES_MAX} can be handled)", FILE_BYTES_MAX + 1);
    for (path, text) in [
        ("pipe", "Error: not a regular file: pipe"),
        ("sub", "Error: not a regular file: sub"),
        ("zero", OUTSIDE),
        ("binary", "Error: not a text file: binary"),
        ("giant", giant.as_str()),
        ("none", "Error: file not found: none"),
        ("a.txt/b", "Error: not a folder: a.txt/b"),
    ] {
        assert_eq!(home.read(path), text, "{path}");
    }
    assert_eq!(home.write("pipe", "x"), "Error: not a regular file: pipe");
    assert_eq!(home.write("sub", "x"), "Error: not a regular file: sub");
    assert_eq!(home.write(".", "x"), "Error: not a regular file: .");
}

#[test]
fn writing_replaces_at_once_keeps_the_mode_and_leaves_no_scraps() {
    let home = Home::new();
    let script = home.path("repo/run.sh");
    fs::write(&script, "old").expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o750)).expect("changed");
    symlink("run.sh", home.path("repo/alias")).expect("linked");
    assert_eq!(home.write("alias", "new"), "Successfully wrote 3 bytes to alias");
    assert_eq!(fs::read_to_string(&script).expect("read"), "new");
    assert_eq!(fs::metadata(&script).expect("known").permissions().mode() & 0o777, 0o750);
    assert!(fs::symlink_metadata(home.path("repo/alias")).expect("known").is_symlink());
    assert_eq!(home.write("deep/er/file.md", "ä"), "Successfully wrote 2 bytes to deep/er/file.md");
    assert_eq!(fs::read_dir(home.path("repo/deep/er")).expect("listed").count(), 1);
    fs::set_permissions(&script, fs::Permissions::from_mode(0o444)).expect("changed");
    assert_eq!(home.write("run.sh", "x"), "Error: permission denied: run.sh");
}

#[test]
fn nothing_that_makes_git_run_programs_can_be_written() {
    let home = Home::new();
    symlink(".git", home.path("repo/g")).expect("linked");
    symlink("../.git/config", home.path("repo/sub/c")).expect("linked");
    for path in [".git/config", ".GIT/hooks/post-commit", "sub/.git/config", "g/config", "sub/c"] {
        let said = home.write(path, "x");
        let refused = said == format!("Error: nothing inside .git can be written: {path}")
            || said.starts_with("Error: file not found");
        assert!(refused, "{said}");
    }
    assert_eq!(fs::read_dir(home.path("repo/.git")).expect("listed").count(), 0);
}

#[test]
fn editing_replaces_the_first_occurrence() {
    let home = Home::new();
    let edit = |path: &str, old: &str| {
        said(edit_file(&home.roots, &json!({ "path": path, "old_text": old, "new_text": "beta" })))
    };
    assert_eq!(edit("a.txt", "alpha"), "Successfully edited a.txt");
    assert_eq!(home.read("a.txt"), "beta alpha");
    assert_eq!(edit("a.txt", "gamma"), "Error: text not found in file: a.txt");
    assert_eq!(edit("b.txt", "x"), "Error: file not found: b.txt");
}

#[test]
fn a_listing_is_sorted_and_survives_names_that_are_not_text() {
    let home = Home::new();
    let odd = Path::new(&home.path("repo")).join(std::ffi::OsStr::from_bytes(b"odd\xff"));
    fs::write(odd, "1").expect("written");
    let listing = said(list_dir(&home.roots, &json!({})));
    assert_eq!(
        listing,
        "Contents of .:\n  [DIR]  .git/\n  [FILE] a.txt (11 bytes)\n  [FILE] odd\u{fffd} (1 bytes)\n  [DIR]  sub/"
    );
    assert_eq!(said(list_dir(&home.roots, &json!({ "path": "/" }))), OUTSIDE);
    assert_eq!(said(list_dir(&home.roots, &json!({ "path": "a.txt" }))), "Error: not a folder: a.txt");
}

#[test]
fn an_artifacts_place_stays_in_the_repo() {
    let home = Home::new();
    let resolve = |arguments| said(resolve_path(&home.roots, &arguments));
    assert_eq!(resolve(json!({})), home.path("repo/docs/artifact.md"));
    assert_eq!(resolve(json!({"kind": "tasks", "filename": "t.md"})), home.path("repo/tasks/t.md"));
    assert_eq!(resolve(json!({"kind": "../elsewhere"})), OUTSIDE_REPO);
    assert_eq!(resolve(json!({"filename": "/etc/passwd"})), OUTSIDE_REPO);
    let none = Roots::new(Config::default());
    assert_eq!(said(resolve_path(&none, &json!({}))), "Error: work repo path not configured");
    assert_eq!(said(read_file(&none, &json!({"path": "x"}))), "Error: work repo path not configured");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever the path, the secret stays where it is and as it is.
    #[test]
    fn no_path_reaches_the_secret(parts in prop::collection::vec(prop_oneof![
        Just(".."), Just("."), Just("sub"), Just("elsewhere"), Just("secret"), Just("repo"), Just("out"), Just("~"), Just("")], 1..8),
        absolute: bool)
    {
        let home = Home::new();
        symlink("../elsewhere", home.path("repo/out")).expect("linked");
        let joined = parts.join("/");
        let path = if absolute { home.path(&joined) } else { joined };
        prop_assert_ne!(home.read(&path), "secret");
        home.write(&path, "x");
        prop_assert!(home.secret_is_untouched());
    }
}
