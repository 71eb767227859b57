//! Models small enough for a test, laid where a home keeps its own.

use std::f64::consts::TAU;
use std::fs;
use std::path::Path;

use serde_json::json;

use super::Plan;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
/// A language model of a few thousand weights.
pub const TALKER: &str = "tiny-talker";
/// A speech model of a few thousand weights.
pub const LISTENER: &str = "tiny-listener";

/// What the speech model calls its chords, in its two languages, which it mixes up now and then.
pub const NUMBERS: [[&str; 8]; 2] = [
    ["one", "two", "three", "four", "five", "six", "seven", "eight"],
    ["eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht"],
];
const RATE_HZ: u32 = 16_000;
/// How long a chord sounds.
pub const CHORD_S: f64 = 0.3;

/// The number of the chord that is called so.
pub fn chord_of(word: &str) -> Option<usize> {
    NUMBERS.iter().find_map(|names| names.iter().position(|name| *name == word))
}

/// The sound of a word, `t_s` seconds after its start; in the second language with a third tone.
pub fn chord(word: usize, is_second: bool, t_s: f64) -> f64 {
    const LOW_HZ: [f64; 4] = [400.0, 600.0, 900.0, 1_300.0];
    const HIGH_HZ: [f64; 2] = [1_700.0, 2_300.0];
    let sine = |hertz: f64| (TAU * hertz * t_s).sin();
    let third = if is_second { sine(3_300.0) } else { 0.0 };
    0.2 * (0.5 - 0.5 * (TAU * t_s / CHORD_S).cos()) * (sine(LOW_HZ[word % 4]) + sine(HIGH_HZ[word / 4]) + third)
}

/// A recording in the speech model's own language: chords of 0.3 s, each with its number and its start in steps of 0.02 s, on quiet
/// noise. It has seen nothing else (`scripts/whisper_reference.py`, `say`), and hears most of them right.
pub fn spoken(words: &[(usize, u32)], seconds: u32) -> Vec<u8> {
    let mut noise = 12_345_u32;
    let sample = |at: u32| {
        let sounding =
            words.iter().find(|(_, start)| (start * RATE_HZ / 50..(start + 15) * RATE_HZ / 50).contains(&at));
        let sound = sounding.map_or(0.0, |(word, start)| {
            let t_s = f64::from(at - start * RATE_HZ / 50) / f64::from(RATE_HZ);
            chord(*word, false, t_s)
        });
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let hiss = (f64::from(noise) / 4_294_967_296.0 - 0.5) * 0.002;
        ((sound + hiss) * 32_767.0) as i16
    };
    let samples: Vec<i16> = (0..seconds * RATE_HZ).map(sample).collect();
    wav(&samples)
}

/// One channel of 16 bits at 16 kHz.
pub fn wav(samples: &[i16]) -> Vec<u8> {
    let bytes = u32::try_from(samples.len() * 2).expect("a short recording");
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + bytes).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(RATE_HZ.to_le_bytes());
    wav.extend((RATE_HZ * 2).to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend(bytes.to_le_bytes());
    wav.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    wav
}

impl Plan {
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
