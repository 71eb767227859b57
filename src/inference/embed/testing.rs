//! What the embedder's tests share: the small model and the library, if this machine has it.

use std::path::PathBuf;

use super::{Config, Engines};
use crate::base::clock::{Clock, Timestamp};
use crate::inference::device::Device;
use crate::inference::onnx;

/// A BERT of 2 layers with random weights, made by `scripts/tiny_bert.py`.
pub(super) fn tiny() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny-bert")
}

/// A copy of the small model that a test may spoil.
pub(super) fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in tiny().read_dir().unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    folder
}

pub(super) fn config(engines: Engines) -> Config {
    Config {
        id: "tiny-bert".to_owned(),
        folder: tiny(),
        libraries: onnx::testing::libraries(),
        engines,
        device: Device::Cpu,
        threads: Some(1),
        clock: Clock::manual(Timestamp::from_millis(1_000_000)),
        ..Config::default()
    }
}

pub(super) fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}
