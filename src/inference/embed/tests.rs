//! The embedder as its callers see it, on the small model, with both engines.

use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use proptest::prelude::{ProptestConfig, any, prop, prop_assert, proptest};
use serde::Deserialize;

use super::testing::{block, config, copy, tiny};
use super::{Config, EmbedError, Embedder, Engines, State, TextUse};
use crate::base::error::chain;

const ENGINES: [Engines; 2] = [Engines::Candle, Engines::Onnx];

#[derive(Deserialize)]
struct Golden {
    text: String,
    vector: Vec<f32>,
}

fn golden() -> Vec<Golden> {
    serde_json::from_slice(&std::fs::read(tiny().join("golden.json")).unwrap()).unwrap()
}

fn cosine(left: &[f32], right: &[f32]) -> f32 {
    left.iter().zip(right).map(|(a, b)| a * b).sum()
}

fn embed(embedder: &Embedder, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
    let texts = texts.iter().map(|text| (*text).to_owned()).collect();
    block(embedder.embed(texts, TextUse::Passage))
}

fn in_folder(folder: &Path, engines: Engines) -> Embedder {
    Embedder::new(Config { folder: folder.to_path_buf(), ..config(engines) })
}

#[test]
fn both_engines_give_the_vectors_of_the_reference() {
    for engines in ENGINES {
        let embedder = Embedder::new(Config { windows_max: 1, ..config(engines) });
        let golden = golden();
        let texts: Vec<&str> = golden.iter().map(|entry| entry.text.as_str()).collect();
        let vectors = embed(&embedder, &texts).unwrap();
        for (entry, vector) in golden.iter().zip(&vectors) {
            let similarity = cosine(&entry.vector, vector);
            assert!(similarity > 0.999_99, "{engines:?} {:?}: {similarity}", entry.text);
        }
    }
}

#[test]
fn the_bundled_model_is_close_to_the_published_one() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let embedder = in_folder(&models.join("all-minilm-l6-v2-int8"), Engines::Onnx);
    let golden = std::fs::read(models.join("golden/all-minilm-l6-v2.json")).unwrap();
    let golden: Vec<Golden> = serde_json::from_slice(&golden).unwrap();
    let texts: Vec<&str> = golden.iter().map(|entry| entry.text.as_str()).collect();
    let vectors = embed(&embedder, &texts).unwrap();
    let similar: Vec<f32> = golden.iter().zip(&vectors).map(|(entry, vector)| cosine(&entry.vector, vector)).collect();
    let mean = similar.iter().sum::<f32>() / similar.len() as f32;
    // Processors without VNNI lose a little in int8.
    assert!(mean > 0.98 && similar.iter().all(|cosine| *cosine > 0.95), "{similar:?}");
    assert!(embedder.fingerprint().unwrap().starts_with("all-minilm-l6-v2/384/"));
}

#[test]
fn a_long_text_is_the_mean_of_its_windows() {
    let embedder = Embedder::new(config(Engines::Candle));
    let words = |word: &str, count: usize| [word, " "].concat().repeat(count);
    let (first, second) = (words("lamp", 62), words("door", 31));
    let vectors = embed(&embedder, &[&[first.as_str(), &second].concat(), &first, &second]).unwrap();
    let mut mean: Vec<f32> = vectors[1].iter().zip(&vectors[2]).map(|(a, b)| a * 64.0 + b * 33.0).collect();
    assert!(super::pool::normalize(&mut mean));
    assert!(cosine(&vectors[0], &mean) > 0.999_99);
    let cut = Embedder::new(Config { windows_max: 1, ..config(Engines::Candle) });
    let alone = embed(&cut, &[&[first.as_str(), &second].concat()]).unwrap();
    assert!(cosine(&alone[0], &vectors[1]) > 0.999_99);
}

#[test]
fn odd_texts_have_vectors_too() {
    for engines in ENGINES {
        let embedder = Embedder::new(config(engines));
        let megabyte = "the lamp ".repeat(120_000);
        let odd = ["", " \n", "\0", "a\0b", "\u{202e}\u{fffd}\u{10ffff}", &megabyte];
        for vector in embed(&embedder, &odd).unwrap() {
            assert!((cosine(&vector, &vector) - 1.0).abs() < 1e-5);
        }
        assert!(embed(&embedder, &[]).unwrap().is_empty());
    }
}

#[test]
fn tokens_are_counted_as_they_are_computed() {
    let embedder = Embedder::new(config(Engines::Candle));
    let texts = vec!["the lamp".to_owned(), String::new()];
    let embedded = block(embedder.embed_counted(texts, TextUse::Passage)).unwrap();
    assert_eq!((embedded.vectors.len(), embedded.tokens), (2, 4 + 2));
    let status = embedder.status();
    assert_eq!((status.texts, status.tokens), (2, 6));
}

#[test]
fn too_many_texts_are_refused() {
    let embedder = Embedder::new(config(Engines::Candle));
    let texts = vec![String::new(); super::TEXTS_MAX + 1];
    assert!(matches!(block(embedder.embed(texts, TextUse::Query)), Err(EmbedError::TooMany { .. })));
    assert_eq!(embedder.status().state, State::Resting);
}

#[test]
fn callers_at_the_same_time_get_their_own_vectors() {
    for engines in ENGINES {
        let embedder = Embedder::new(config(engines));
        let texts = ["the lamp", "what is my name?", "turn the kitchen light off, please.", "on", "doors opening"];
        let alone: Vec<_> = texts.iter().map(|text| embed(&embedder, &[text]).unwrap().remove(0)).collect();
        let calls = (0..50).map(|number| {
            let text = texts[number % texts.len()].to_owned();
            let use_ = if number % 3 == 0 { TextUse::Query } else { TextUse::Passage };
            embedder.embed(vec![text.clone(), text], use_)
        });
        for (number, answer) in block(join_all(calls)).into_iter().enumerate() {
            for vector in answer.unwrap() {
                assert!(cosine(&vector, &alone[number % texts.len()]) > 0.999_99);
            }
        }
    }
}

#[test]
fn who_leaves_does_not_disturb_the_others() {
    let embedder = Embedder::new(config(Engines::Candle));
    let (started, has_started) = std::sync::mpsc::channel();
    let (release, wait) = std::sync::mpsc::channel::<()>();
    block(async {
        // Nothing is computed before both have asked.
        let mut blocker = Box::pin(embedder.on_lane(move |_| {
            started.send(()).unwrap();
            wait.recv().unwrap();
        }));
        assert!(blocker.as_mut().now_or_never().is_none());
        has_started.recv().unwrap();
        let mut leaving = Box::pin(embedder.embed(vec!["the lamp".to_owned()], TextUse::Query));
        assert!(leaving.as_mut().now_or_never().is_none());
        let staying = embedder.embed(vec!["on".to_owned()], TextUse::Query);
        let mut staying = Box::pin(staying);
        assert!(staying.as_mut().now_or_never().is_none());
        drop(leaving);
        release.send(()).unwrap();
        blocker.await.unwrap();
        assert_eq!(staying.await.unwrap().len(), 1);
    });
}

#[test]
fn an_idle_model_is_unloaded_and_comes_back() {
    for engines in ENGINES {
        let config = Config { idle: Duration::from_secs(60), ..config(engines) };
        let clock = config.clock.clone();
        let embedder = Embedder::new(config);
        let before = embed(&embedder, &["the lamp"]).unwrap();
        clock.advance(Duration::from_secs(59));
        block(embedder.rest()).unwrap();
        assert_eq!(embedder.status().state, State::Ready);
        clock.advance(Duration::from_secs(1));
        block(embedder.rest()).unwrap();
        let status = embedder.status();
        assert_eq!((status.state, status.loads), (State::Resting, 1));
        assert_eq!(embed(&embedder, &["the lamp"]).unwrap(), before);
        assert_eq!(embedder.status().loads, 2);
    }
}

#[test]
fn a_quiet_model_stays_and_gives_back_what_runs_needed() {
    let config = Config { idle: Duration::ZERO, ..config(Engines::Candle) };
    let clock = config.clock.clone();
    let embedder = Embedder::new(config);
    embed(&embedder, &["the lamp"]).unwrap();
    assert_eq!(embedder.shared.next_look(), Some(super::QUIET));
    clock.advance(Duration::from_secs(3_600));
    block(embedder.rest()).unwrap();
    assert_eq!((embedder.status().state, embedder.shared.next_look()), (State::Ready, None));
}

#[test]
fn many_sizes_of_batches_make_the_session_anew_and_change_no_vector() {
    let embedder = Embedder::new(config(Engines::Onnx));
    let before = embed(&embedder, &["the lamp"]).unwrap();
    for rows in 1..=12 {
        for words in 1..=19 {
            embed(&embedder, &vec![vec!["lamp"; words].join(" ").as_str(); rows]).unwrap();
        }
    }
    assert_eq!(embedder.status().loads, 1, "228 sizes are few");
    for words in 20..=60 {
        embed(&embedder, &[vec!["lamp"; words].join(" ").as_str()]).unwrap();
    }
    assert_eq!(embed(&embedder, &["the lamp"]).unwrap(), before);
    let status = embedder.status();
    assert_eq!((status.state, status.loads), (State::Ready, 2));
}

#[test]
fn an_idle_model_is_unloaded_by_itself() {
    let config = Config { idle: Duration::from_millis(1), ..config(Engines::Candle) };
    let clock = config.clock.clone();
    let embedder = Embedder::new(config);
    block(async {
        embedder.embed(vec!["the lamp".to_owned()], TextUse::Query).await.unwrap();
        clock.advance(Duration::from_secs(1));
        let unloaded = async {
            while embedder.status().state != State::Resting {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), unloaded).await.expect("the model is unloaded");
    });
}

#[test]
fn a_missing_model_is_unavailable_until_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let embedder = in_folder(folder.path(), Engines::Any);
    for error in [
        embed(&embedder, &["a"]).unwrap_err(),
        embedder.check().unwrap_err(),
        embedder.dims().unwrap_err(),
        embedder.fingerprint().unwrap_err(),
    ] {
        assert!(error.is_unavailable());
        assert!(error.to_string().contains("kafclaw models install tiny-bert"), "{error}");
    }
    let status = embedder.status();
    assert_eq!(status.state, State::Unavailable);
    assert!(status.reason.unwrap().contains("tiny-bert"));
    for entry in tiny().read_dir().unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    assert_eq!(embed(&embedder, &["a"]).unwrap()[0].len(), 32);
    assert_eq!(embedder.dims().unwrap(), 32);
    assert!(embedder.fingerprint().unwrap().starts_with("unnamed/32/"));
}

#[test]
fn without_the_library_candle_computes_if_its_weights_are_there() {
    let no_library = |engines| Config { libraries: Vec::new(), ..config(engines) };
    let embedder = Embedder::new(no_library(Engines::Any));
    assert!(embed(&embedder, &["a"]).is_ok());
    assert_eq!(embedder.status().loaded.unwrap().engine, "candle");
    let error = embed(&Embedder::new(no_library(Engines::Onnx)), &["a"]).unwrap_err();
    assert!(error.is_unavailable());
    assert!(error.to_string().contains("ORT_DYLIB_PATH"), "{error}");
}

#[test]
fn a_model_that_is_removed_while_in_use_keeps_working() {
    for engines in ENGINES {
        let folder = copy();
        let embedder = in_folder(folder.path(), engines);
        let before = embed(&embedder, &["the lamp"]).unwrap();
        drop(folder);
        assert_eq!(embed(&embedder, &["the lamp"]).unwrap(), before);
        block(embedder.unload()).unwrap();
        assert!(embed(&embedder, &["the lamp"]).unwrap_err().is_unavailable());
    }
}

/// Loads the small model with `name` replaced by `content`; it must fail, and say so again without loading again.
fn refused(engines: Engines, name: &str, content: &[u8]) -> String {
    let folder = copy();
    std::fs::write(folder.path().join(name), content).unwrap();
    let embedder = in_folder(folder.path(), engines);
    let error = embed(&embedder, &["the lamp"]).unwrap_err();
    assert!(matches!(error, EmbedError::Load { .. }), "{name}: {error:?}");
    assert_eq!(embedder.status().state, State::Broken);
    std::fs::copy(tiny().join(name), folder.path().join(name)).unwrap();
    assert!(embed(&embedder, &["the lamp"]).is_err(), "what just failed is not tried again at once");
    chain(&error)
}

#[test]
fn spoiled_files_are_refused() {
    for (engines, name) in
        [(Engines::Onnx, "model.onnx"), (Engines::Candle, "model.safetensors"), (Engines::Candle, "tokenizer.json")]
    {
        let good = std::fs::read(tiny().join(name)).unwrap();
        refused(engines, name, b"");
        refused(engines, name, b"not a model");
        refused(engines, name, &good[..good.len() / 2]);
    }
}

#[test]
fn a_network_of_another_shape_is_refused() {
    let config = std::fs::read_to_string(tiny().join("config.json")).unwrap();
    let wider = config.replace("\"hidden_size\": 32", "\"hidden_size\": 64");
    assert!(refused(Engines::Onnx, "config.json", wider.as_bytes()).contains("64 wide"));
    assert!(refused(Engines::Candle, "config.json", wider.as_bytes()).contains("shape"));
    let deeper = config.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    assert!(refused(Engines::Candle, "config.json", deeper.as_bytes()).contains("encoder.layer.2"));
    let endless = config.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1000000000");
    assert!(refused(Engines::Candle, "config.json", endless.as_bytes()).contains("1000000000 layers"));
}

#[test]
fn words_that_the_network_does_not_know_are_an_error() {
    let path = tiny().join("tokenizer.json");
    let mut tokenizer: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    tokenizer["model"]["vocab"]["lamp"] = 100_000.into();
    for engines in ENGINES {
        let folder = copy();
        std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
        let embedder = in_folder(folder.path(), engines);
        assert!(matches!(embed(&embedder, &["lamp"]), Err(EmbedError::Run { .. })));
        assert!(embed(&embedder, &["door"]).is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_changed_network_is_refused_or_computes(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let folder = copy();
        let path = folder.path().join("model.onnx");
        let mut content = std::fs::read(&path).unwrap();
        for (at, value) in changes {
            let at = at.index(content.len());
            content[at] = value;
        }
        std::fs::write(&path, content).unwrap();
        let _ = embed(&in_folder(folder.path(), Engines::Onnx), &["the lamp"]);
    }

    #[test]
    fn a_batch_gives_what_each_text_alone_gives(texts in prop::collection::vec("[a-z ]{0,90}", 1..12)) {
        let embedder = Embedder::new(config(Engines::Candle));
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let together = embed(&embedder, &texts).unwrap();
        prop_assert!(together.len() == texts.len());
        for (text, vector) in texts.iter().zip(&together) {
            let alone = embed(&embedder, &[text]).unwrap();
            prop_assert!(cosine(&alone[0], vector) > 0.999_99, "{text:?}");
        }
    }
}
