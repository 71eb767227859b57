//! Files that somebody carried here: on a stick, in a folder, as one file.

use std::fs;
use std::path::{Path, PathBuf};

use crate::models::archive::Kind;
use crate::models::manifest::{ModelFile, Source};
use crate::models::package;
use crate::models::record::plain_len;

/// Where systems show sticks.
const MOUNTS: [&str; 3] = ["/media", "/run/media", "/mnt"];
const FOLDERS_MAX: usize = 64;

/// How a file was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Carried {
    /// As it is.
    Plain(PathBuf),
    /// In a package.
    Inside { archive: PathBuf, kind: Kind, file: String },
}

/// The sticks that are there, and the folders in which their systems show them.
pub fn sticks() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for mount in MOUNTS.map(Path::new) {
        found.push(mount.to_owned());
        for below in folders(mount) {
            found.extend(folders(&below));
            found.push(below);
        }
    }
    found
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten().take(FOLDERS_MAX);
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// Where `file` of model `id` may be below `place`, which is a folder, a stick or the file itself; the likeliest first.
pub(super) fn candidates(place: &Path, id: &str, file: &ModelFile) -> Vec<Carried> {
    let mut found = Vec::new();
    if plain_len(place).is_some() {
        let name = place.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match archives(file).find(|(kind, package)| kind.matches(name, package)) {
            Some((kind, package)) => {
                found.push(Carried::Inside { archive: place.to_owned(), kind, file: package.file.clone() });
            }
            None if is_called(name, file) => found.push(Carried::Plain(place.to_owned())),
            None => {}
        }
        return found;
    }
    let own = [place.join(id), place.join("models").join(id)];
    let shared = [place.to_owned(), place.join("models")];
    // A folder that is named after the model is trusted to hold that model; elsewhere a `config.json` may be anybody's.
    let is_own = place.file_name().is_some_and(|name| name == id);
    for folder in own.iter().chain(shared.iter().filter(|_| is_own || file.sha256.is_some())) {
        for name in names(file) {
            let path = folder.join(name);
            if plain_len(&path).is_some_and(|bytes| file.bytes.is_none_or(|right| right == bytes)) {
                found.push(Carried::Plain(path));
            }
        }
    }
    for folder in shared.iter().chain(&own) {
        for (kind, package) in archives(file) {
            if let Some(archive) = package::find(folder, kind, package) {
                found.push(Carried::Inside { archive, kind, file: package.file.clone() });
            }
        }
    }
    found
}

fn archives(file: &ModelFile) -> impl Iterator<Item = (Kind, &crate::models::manifest::Package)> {
    file.sources.iter().filter_map(|source| match source {
        Source::Url(_) => None,
        Source::Wheel(package) => Some((Kind::Zip, package)),
        Source::Npm(package) => Some((Kind::TarGz, package)),
    })
}

/// Its own name, and what a browser calls the download.
fn names(file: &ModelFile) -> Vec<&str> {
    let mut names = vec![file.name.as_str()];
    for source in &file.sources {
        if let Source::Url(url) = source
            && let Some(last) = url.rsplit('/').next()
            && !last.is_empty()
            && !names.contains(&last)
        {
            names.push(last);
        }
    }
    names
}

fn is_called(name: &str, file: &ModelFile) -> bool {
    names(file).contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::manifest::Manifest;

    fn file(id: &str, name: &str) -> ModelFile {
        let manifest = Manifest::built_in();
        let entry = manifest.find(id).expect("known");
        entry.files_here().find(|file| file.name == name).expect("listed").clone()
    }

    #[test]
    fn a_stick_may_hold_files_folders_or_packages() {
        let stick = tempfile::tempdir().expect("a folder");
        let at = |path: &str| stick.path().join(path);
        let vad = file("silero-vad", "LICENSE");
        assert_eq!(candidates(stick.path(), "silero-vad", &vad), []);
        fs::create_dir(at("silero-vad")).expect("a folder");
        fs::write(at("silero-vad/LICENSE"), "x".repeat(1075)).expect("written");
        fs::write(at("LICENSE"), "of something else").expect("written");
        let wheel = at("silero_vad-6.2.0-py3-none-any.whl");
        fs::write(&wheel, "").expect("written");
        let inside = Carried::Inside {
            archive: wheel.clone(),
            kind: Kind::Zip,
            file: "silero_vad-6.2.0.dist-info/licenses/LICENSE".to_owned(),
        };
        let plain = Carried::Plain(at("silero-vad/LICENSE"));
        assert_eq!(candidates(stick.path(), "silero-vad", &vad), [plain, inside.clone()]);
        assert_eq!(candidates(&wheel, "silero-vad", &vad), [inside]);
        assert_eq!(candidates(&at("LICENSE"), "silero-vad", &vad), [Carried::Plain(at("LICENSE"))]);
    }

    #[test]
    fn a_file_without_a_checksum_is_only_taken_from_the_models_own_folder() {
        let stick = tempfile::tempdir().expect("a folder");
        let config = ModelFile { bytes: None, sha256: None, ..file("whisper-tiny-q8", "config.json") };
        fs::write(stick.path().join("config.json"), "{}").expect("written");
        assert_eq!(candidates(stick.path(), "whisper-tiny-q8", &config), []);
        let own = stick.path().join("whisper-tiny-q8");
        fs::create_dir(&own).expect("a folder");
        fs::write(own.join("config.json"), "{}").expect("written");
        let expected = [Carried::Plain(own.join("config.json"))];
        assert_eq!(candidates(stick.path(), "whisper-tiny-q8", &config), expected);
        assert_eq!(candidates(&own, "whisper-tiny-q8", &config), expected);
    }

    #[test]
    fn links_on_a_stick_are_not_followed() {
        let stick = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink("/etc/hostname", stick.path().join("model.gguf")).expect("a link");
        let model = ModelFile { bytes: None, ..file("qwen3-1.7b", "model.gguf") };
        assert_eq!(candidates(stick.path(), "qwen3-1.7b", &model), []);
    }
}
