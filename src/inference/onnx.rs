//! ONNX Runtime: found, opened once for the whole process, and what it can compute on.
//!
//! The library is opened with `dlopen`, so a home without it starts all the same. Whoever needs it names the places where it may
//! be; the first that is there and new enough is taken and kept until the process ends (it cannot be opened twice).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::ep::{CUDA, ExecutionProvider, TensorRT};
use ort::logging::LogLevel;

/// What the file is called, with or without a version behind it.
const FILE_NAME: &str = "libonnxruntime.so";
/// Folders where packages and the image put it.
const KNOWN_FOLDERS: [&str; 5] =
    ["/usr/lib/kafclaw", "/usr/local/lib", "/usr/lib/aarch64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/lib"];
/// A library has a few names in its folder; more entries than this are not looked at.
const FOLDER_ENTRIES_MAX: usize = 10_000;

#[derive(Debug, Clone, thiserror::Error)]
pub enum OnnxError {
    #[error("ONNX Runtime ({FILE_NAME}) is in none of {places} places")]
    Missing { places: usize },
    #[error("could not open {path} as ONNX Runtime")]
    Open { path: PathBuf, source: Arc<ort::LoadDynamicError> },
    #[error("ONNX Runtime at {path} did not start")]
    Start { path: PathBuf, source: Arc<ort::Error> },
}

/// The opened library.
#[derive(Debug)]
pub struct Runtime {
    pub environment: Environment,
    pub library: PathBuf,
    /// What the library says about its build.
    pub build: &'static str,
    pub has_cuda: bool,
    pub has_tensorrt: bool,
}

static RUNTIME: Mutex<Option<Arc<Runtime>>> = Mutex::new(None);

/// Where the library may be, best first: what is configured (files or folders), what the environment names (`ORT_DYLIB_PATH`), the
/// folder of the program and its `lib`, known folders.
pub fn places(configured: &[PathBuf], from_environment: Option<OsString>) -> Vec<PathBuf> {
    let mut places = configured.to_vec();
    places.extend(from_environment.filter(|value| !value.is_empty()).map(PathBuf::from));
    if let Some(folder) = std::env::current_exe().ok().as_deref().and_then(Path::parent) {
        places.push(folder.to_path_buf());
        places.extend(folder.parent().map(|parent| parent.join("lib")));
    }
    places.extend(KNOWN_FOLDERS.map(PathBuf::from));
    places
}

/// The runtime, opened from the first place that has it. When it was opened before, that one; but still only if one of `places`
/// has a library, so that what a caller gets does not depend on who came first.
pub fn runtime(places: &[PathBuf]) -> Result<Arc<Runtime>, OnnxError> {
    let mut known = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    let files: Vec<PathBuf> = places.iter().filter_map(|place| library_at(place)).collect();
    if files.is_empty() {
        return Err(OnnxError::Missing { places: places.len() });
    }
    if let Some(runtime) = known.as_ref() {
        return Ok(runtime.clone());
    }
    let mut first_failure = None;
    for path in files {
        match open(path) {
            Ok(runtime) => {
                let runtime = Arc::new(runtime);
                *known = Some(runtime.clone());
                return Ok(runtime);
            }
            Err(failure) => first_failure = first_failure.or(Some(failure)),
        }
    }
    Err(first_failure.unwrap_or(OnnxError::Missing { places: places.len() }))
}

/// The library that `place`, a file or a folder, stands for. An absolute path, because others are looked up elsewhere.
fn library_at(place: &Path) -> Option<PathBuf> {
    let place = place.canonicalize().ok()?;
    if place.is_file() {
        return Some(place);
    }
    let is_library = |name: &str| name == FILE_NAME || name.starts_with("libonnxruntime.so.");
    let entries = place.read_dir().ok()?.take(FOLDER_ENTRIES_MAX).filter_map(Result::ok);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| is_library(name));
    let name = names.min()?;
    place.join(name).canonicalize().ok().filter(|path| path.is_file())
}

fn open(path: PathBuf) -> Result<Runtime, OnnxError> {
    let builder =
        ort::init_from(&path).map_err(|source| OnnxError::Open { path: path.clone(), source: Arc::new(source) })?;
    let start = |source| OnnxError::Start { path: path.clone(), source: Arc::new(source) };
    let environment =
        builder.with_name("kafclaw").with_telemetry(false).with_logger(Arc::new(log)).build().map_err(start)?;
    environment.set_log_level(LogLevel::Warning);
    Ok(Runtime {
        environment,
        build: ort::info(),
        has_cuda: CUDA::is_available().unwrap_or(false),
        has_tensorrt: TensorRT::is_available().unwrap_or(false),
        library: path,
    })
}

/// The library's words in our log. It warns about what does not concern anybody, so nothing of it is louder than debug.
fn log(_level: LogLevel, _category: &str, _id: &str, _place: &str, message: &str) {
    tracing::debug!(error = message, "ONNX Runtime has something to say.");
}

/// What tests that need the library share.
#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// Where this machine has it. `scripts/test.sh` sees to it that it does, in the cache.
    pub fn libraries() -> Vec<PathBuf> {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
        let mut places = places(&[], std::env::var_os("ORT_DYLIB_PATH"));
        places.push(cache.join("kafclaw/onnxruntime-1.27.0"));
        places
    }

    /// A test that needs it fails where it is missing: one that passes without having looked says nothing.
    pub fn library() -> Arc<Runtime> {
        runtime(&libraries()).unwrap_or_else(|problem| {
            panic!("{problem}. scripts/test.sh fetches it, or let ORT_DYLIB_PATH name it");
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_in_order_of_who_named_them() {
        let found = places(&["/a".into()], Some("/b/lib.so".into()));
        assert_eq!(&found[..2], [PathBuf::from("/a"), PathBuf::from("/b/lib.so")]);
        assert!(found.ends_with(&[PathBuf::from("/usr/lib")]));
        assert_eq!(places(&[], Some("".into())).first(), places(&[], None).first());
    }

    #[test]
    fn a_library_is_found_in_a_folder_whatever_its_version() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(library_at(folder.path()), None);
        let file = folder.path().join("libonnxruntime.so.1.27.0");
        std::fs::write(&file, b"not really").unwrap();
        std::fs::write(folder.path().join("libonnxruntime_providers_shared.so"), b"").unwrap();
        assert_eq!(library_at(folder.path()), Some(file.canonicalize().unwrap()));
        assert_eq!(library_at(&file), Some(file.canonicalize().unwrap()));
        assert_eq!(library_at(&folder.path().join("nothing")), None);
    }

    #[test]
    fn without_a_library_in_any_place_it_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let places = [folder.path().to_path_buf(), folder.path().join("nothing")];
        assert!(matches!(runtime(&places), Err(OnnxError::Missing { places: 2 })));
    }
}
