//! The models: whole on the disk, their runtime there, the right numbers out of them, and a GPU if there is one.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::base::error::chain;
use crate::doctor::Finding;
use crate::inference::embed::{self, Embedder, TextUse};
use crate::inference::worker::GPU_WORKER;
use crate::inference::{device, onnx};
use crate::models::{Check, Installed, Memory, State, Store, StoreConfig};

/// Of the bundled model's vectors to those of the model it was made from, as everywhere else in the house.
const COSINE_MIN: f32 = 0.98;
/// The bundled model, and sentences with the vectors of the model it was made from.
const BUNDLED: &str = "all-minilm-l6-v2-int8";
const GOLDEN: &str = "golden/all-minilm-l6-v2.json";

/// Where models and their runtime are.
#[derive(Clone, Debug, Default)]
pub struct Place {
    pub folder: PathBuf,
    /// Models that came with the program.
    pub bundled: Vec<PathBuf>,
    /// ONNX Runtime as it is configured.
    pub runtime: Option<PathBuf>,
    /// The system that runs is an image, which brings the bundled model and its runtime along: that they are not here is a fault and
    /// nobody's choice.
    pub is_of_system: bool,
}

#[derive(Deserialize)]
struct Golden {
    text: String,
    vector: Vec<f32>,
}

/// Where ONNX Runtime may be.
fn libraries(place: &Place, store: &Store) -> Vec<PathBuf> {
    onnx::places(&store.runtimes(place.runtime.clone()), std::env::var_os("ORT_DYLIB_PATH"))
}

/// One sentence through the bundled model, whose numbers nobody looks at but for being some.
pub(super) async fn embeds(place: &Place) -> Finding {
    let store = Store::open(StoreConfig::new(place.folder.clone(), place.bundled.clone()));
    let libraries = libraries(place, &store);
    let installed = match store.locate(BUNDLED) {
        Ok(installed) => installed,
        Err(error) => return absent(place, &error),
    };
    if let Err(error) = onnx::runtime(&libraries) {
        return absent(place, &error);
    }
    let embedder = embedder(&installed, libraries);
    match embedder.embed(vec!["The lamp in the kitchen is on.".to_owned()], TextUse::Passage).await {
        Ok(vectors) if is_something(&vectors) => Finding::pass("embedding", "it computes"),
        Ok(_) => Finding::fail(
            "embedding",
            "it computes zeros, or what is no number",
            "`kafclaw models verify` checks its files",
        ),
        Err(error) => Finding::fail("embedding", chain(&error), "`kafclaw models verify` checks its files"),
    }
}

fn is_something(vectors: &[Vec<f32>]) -> bool {
    let mut numbers = vectors.iter().flatten();
    numbers.clone().all(|number| number.is_finite()) && numbers.any(|number| *number != 0.0)
}

fn absent(place: &Place, why: &dyn std::error::Error) -> Finding {
    if place.is_of_system {
        let advice = "this system is not whole: `kafclaw update rollback` goes back to the other one";
        return Finding::fail("embedding", chain(why), advice);
    }
    Finding::skip("embedding", chain(why))
}

fn embedder(installed: &Installed, libraries: Vec<PathBuf>) -> Embedder {
    Embedder::new(embed::Config {
        id: installed.id.clone(),
        folder: installed.folder.clone(),
        libraries,
        ..embed::Config::default()
    })
}

pub(super) async fn examine(place: &Place) -> Vec<Finding> {
    let store = Store::open(StoreConfig::new(place.folder.clone(), place.bundled.clone()));
    let libraries = libraries(place, &store);
    let runtime = match onnx::runtime(&libraries) {
        Ok(runtime) => Finding::pass("onnx_runtime", format!("{}", runtime.library.display())),
        Err(error) => {
            let advice = "`kafclaw models install onnxruntime`; until then the memory is searched by words only";
            Finding::fail("onnx_runtime", chain(&error), advice)
        }
    };
    let has_runtime = runtime.advice.is_none();
    let mut found = vec![whole(&store), runtime];
    found.push(if has_runtime {
        golden(place, &store, libraries).await
    } else {
        Finding::skip("embedding", "no runtime")
    });
    found.push(gpu(device::probe().is_ok(), Path::new(GPU_WORKER).exists()));
    found
}

/// Every file of every installed model, read and compared.
fn whole(store: &Store) -> Finding {
    let mut count = 0;
    for listed in store.list(Memory::of_machine()) {
        let id = &listed.entry.id;
        let advice = format!("`kafclaw models install {id}` mends it");
        match listed.state {
            State::Broken { what } => return Finding::fail("models", format!("{id}: {what}"), advice),
            State::Bundled | State::Installed => {}
            State::Partial { .. } | State::Absent => continue,
        }
        count += 1;
        match store.verify(id, &mut |_, _| true) {
            Ok(checks) => {
                if let Some((file, _)) =
                    checks.iter().find(|(_, check)| matches!(check, Check::Missing | Check::Changed { .. }))
                {
                    return Finding::fail("models", format!("{id}: {file} is not what was installed"), advice);
                }
            }
            Err(error) => return Finding::fail("models", chain(&error), advice),
        }
    }
    Finding::pass("models", format!("{count} installed, each file as it should be"))
}

/// Whether the bundled model still says what it said when it was made.
async fn golden(place: &Place, store: &Store, libraries: Vec<PathBuf>) -> Finding {
    let golden = place.bundled.iter().find_map(|folder| std::fs::read(folder.join(GOLDEN)).ok());
    let golden: Option<Vec<Golden>> = golden.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let installed = match store.locate(BUNDLED) {
        Ok(installed) => installed,
        Err(error) => return absent(place, &error),
    };
    let Some(golden) = golden else {
        return Finding::skip("embedding", "what the bundled model should say is not here to compare with");
    };
    let embedder = embedder(&installed, libraries);
    let advice =
        "`kafclaw models verify` checks its files; if they are whole, this processor or runtime computes wrongly";
    let texts = golden.iter().map(|golden| golden.text.clone()).collect();
    match embedder.embed(texts, TextUse::Passage).await {
        Ok(vectors) => {
            let pairs = vectors.iter().zip(&golden);
            let worst = pairs.map(|(ours, golden)| cosine(ours, &golden.vector)).fold(1.0, f32::min);
            let detail = format!("{} sentences, cosine {worst:.3} at least", golden.len());
            if worst >= COSINE_MIN {
                Finding::pass("embedding", detail)
            } else {
                Finding::fail("embedding", detail, advice)
            }
        }
        Err(error) => Finding::fail("embedding", chain(&error), advice),
    }
}

/// Zero for vectors that cannot be compared.
fn cosine(one: &[f32], other: &[f32]) -> f32 {
    let product = |one: &[f32], other: &[f32]| one.iter().zip(other).map(|(one, other)| one * other).sum::<f32>();
    let length = (product(one, one) * product(other, other)).sqrt();
    if one.len() == other.len() && length > 0.0 { product(one, other) / length } else { 0.0 }
}

/// A worker is there where the image, or its owner, means the GPU to compute.
fn gpu(has_driver: bool, has_worker: bool) -> Finding {
    match (has_driver, has_worker) {
        (true, true) => Finding::pass("gpu", "NVIDIA's driver and the worker for it are there"),
        (true, false) => {
            Finding::pass("gpu", format!("NVIDIA's driver is there; models run on the processor, without {GPU_WORKER}"))
        }
        (false, true) => {
            let advice = "`journalctl -k -b` says what became of the driver; models run on the processor meanwhile";
            Finding::fail("gpu", format!("{GPU_WORKER} is there, and NVIDIA's driver (libcuda.so.1) is not"), advice)
        }
        (false, false) => Finding::skip("gpu", "no NVIDIA driver; models run on the processor"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_gpu_that_is_meant_to_compute_needs_its_driver() {
        let verdicts = [(true, true), (true, false), (false, true), (false, false)];
        let verdicts = verdicts.map(|(driver, worker)| gpu(driver, worker).verdict);
        assert_eq!(verdicts, [Verdict::Pass, Verdict::Pass, Verdict::Fail, Verdict::Skip]);
    }

    #[test]
    fn numbers_are_some_when_they_are_finite_and_not_all_zero() {
        let check = |numbers: &[f32]| is_something(&[numbers.to_vec()]);
        assert!(check(&[0.0, 0.5]) && !check(&[0.0, 0.0]) && !check(&[f32::NAN, 0.5]) && !check(&[]));
    }

    #[tokio::test]
    async fn an_image_without_its_model_is_not_whole_and_another_home_may_do_without() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |is_of_system| Place { folder: folder.path().to_owned(), is_of_system, ..Place::default() };
        assert_eq!(embeds(&place(false)).await.verdict, Verdict::Skip);
        let found = embeds(&place(true)).await;
        assert_eq!(found.verdict, Verdict::Fail);
        assert!(found.detail.contains(BUNDLED) && found.detail.contains("not installed"), "{}", found.detail);
    }
}
