//! Models small enough for a test, laid where a home keeps its own.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::Plan;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
/// A language model of a few thousand weights.
pub const TALKER: &str = "tiny-talker";
/// A speech model of a few thousand weights.
const LISTENER: &str = "tiny-listener";

impl Plan {
    /// A home that finds the models of the checkout, as a flashed image finds those it ships with.
    pub fn with_bundled_models(self) -> Self {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        self.with("KAFCLAW_MODELS_BUNDLED", &models.to_string_lossy())
    }

    /// A home with two very small models, as `kafclaw models install` would leave it.
    pub fn with_small_models(self) -> Self {
        let models = self.state().join("models");
        let mut list = install(&models, TALKER, "language", &[("language/qwen2_k.gguf", "model.gguf")]);
        let whisper = ["config.json", "tokenizer.json", "generation_config.json", "model.safetensors"];
        let files: Vec<(String, &str)> = whisper.iter().map(|name| (format!("whisper/{name}"), *name)).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(from, to)| (from.as_str(), *to)).collect();
        list += &install(&models, LISTENER, "speech", &files);
        fs::write(models.join("manifest.toml"), list).expect("a list");
        self.with("KAFCLAW_INFERENCE_SPEECH_MODEL", LISTENER).with("KAFCLAW_MODEL_NAME", &format!("local/{TALKER}"))
    }
}

/// Lays the files of a model down and returns its entry for the manifest.
fn install(models: &Path, id: &str, task: &str, files: &[(&str, &str)]) -> String {
    let folder = models.join(id);
    fs::create_dir_all(&folder).expect("a folder");
    let mut recorded = Vec::new();
    let mut list =
        format!("[[model]]\nid = \"{id}\"\ntask = \"{task}\"\ntitle = \"x\"\nlicense = \"x\"\nmemory_mib = 8\n");
    for (from, name) in files {
        let bytes = fs::copy(Path::new(GOLDEN).join(from), folder.join(name)).expect("a golden file");
        recorded.push(json!({"name": name, "bytes": bytes, "sha256": "0".repeat(64), "source": "a test"}));
        list += &format!(
            "[[model.files]]\nname = \"{name}\"\nbytes = {bytes}\nsha256 = \"{}\"\nsources = [{{ url = \"https://localhost/{name}\" }}]\n",
            "0".repeat(64)
        );
    }
    let record = json!({"version": 1, "id": id, "files": recorded});
    fs::write(folder.join("installed.json"), record.to_string()).expect("a record");
    list
}
