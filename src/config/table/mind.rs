//! Keys about models that run in this house.

use crate::config::key::{Key, Kind, key, text};

const DEVICES: Kind = Kind::OneOf(&["auto", "cpu", "cuda", "cuda:0", "cuda:1", "cuda:2", "cuda:3"]);

pub const KEYS: &[Key] = &[
    text(
        "inference.worker",
        "auto",
        "Where speech and language models run: auto (a process of their own), off (the gateway itself, on the CPU), or the path of another build of kafclaw.",
    ),
    key("inference.device", DEVICES, "auto", "What computes: auto, cpu, or a GPU such as cuda:0."),
    key(
        "inference.tensorRt",
        Kind::Flag,
        "false",
        "Whether embeddings on a GPU use TensorRT: faster, but the first start takes minutes. Needs a library with it.",
    ),
    key("inference.threads", Kind::Whole(0, 1_024), "0", "Threads that compute; 0 takes one per core."),
    key("inference.idleUnload", Kind::Duration, "5m", "How long a model that nobody asks is kept in memory."),
    text("inference.speechModel", "", "Model that transcribes; blank means whisper- and providers.localWhisper.model."),
    text(
        "inference.languageModel",
        "",
        "Language model of this house; when set, local/<model> answers last, or where model.order has it.",
    ),
    key("inference.runtime", Kind::Path, "", "ONNX Runtime's library, or its folder; blank looks in the usual places."),
];
