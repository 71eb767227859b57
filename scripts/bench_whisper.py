#!/usr/bin/env python3
"""What faster-whisper (CTranslate2) needs for the same work, for whoever compares speeds.

    bench_whisper.py make FOLDER   # a model of Whisper tiny's shape with random weights, in both formats
    bench_whisper.py run FOLDER SECONDS TOKENS THREADS

`make` needs torch, transformers, safetensors, numpy and ctranslate2; `run` needs ctranslate2 and faster-whisper, and says so in a
sentence when they are not there. One JSON line per measurement: the first token (mel, encoder, prompt) and all of them.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

RATE = 16_000
TEXT = 50_257


def make(folder):
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    config = WhisperConfig(
        vocab_size=51865, num_mel_bins=80, d_model=384, encoder_layers=4, decoder_layers=4, encoder_attention_heads=6,
        decoder_attention_heads=6, encoder_ffn_dim=1536, decoder_ffn_dim=1536, begin_suppress_tokens=[220, 50257],
        suppress_tokens=[],
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config).eval()
    codes = list(LANGUAGES)[:99]
    special = ["<|endoftext|>", "<|startoftranscript|>"] + [f"<|{code}|>" for code in codes]
    special += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    special += [f"<|{index * 0.02:.2f}|>" for index in range(1501)]
    added = [
        {"id": TEXT + index, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": index < 107}
        for index, text in enumerate(special)
    ]  # fmt: skip
    vocabulary = {f"w{index}": index for index in range(TEXT)}
    tokenizer = {"version": "1.0", "added_tokens": added, "model": {"type": "BPE", "vocab": vocabulary, "merges": []}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    model.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    write_ct2(folder)


def write_ct2(folder):
    from ctranslate2.converters import TransformersConverter

    for kind in ("float32", "int8"):
        TransformersConverter(str(folder)).convert(str(folder / f"ct2-{kind}"), quantization=kind, force=True)


def sound(seconds):
    n = np.arange(seconds * RATE)
    return (np.sin(n * 0.05) * 0.3 + (n * 7919 % 1000 / 1000 - 0.5) * 0.02).astype(np.float32)


def best(work, repeats=7):
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    return min(times)


def tell(engine, kind, seconds, tokens, first, rest):
    per_token = (rest - first) / max(tokens - 1, 1)
    print(json.dumps({"engine": engine, "type": kind, "seconds": seconds, "tokens": tokens, "first_ms": round(first, 1),
                      "all_ms": round(rest, 1), "per_token_ms": round(per_token, 3)}), flush=True)  # fmt: skip


def run_ctranslate2(folder, seconds, tokens, threads):
    import ctranslate2
    from faster_whisper.feature_extractor import FeatureExtractor

    extractor, samples = FeatureExtractor(feature_size=80), sound(seconds)
    prompt = [50258, 50259, 50359, 50363]
    for kind in ("float32", "int8"):
        model = ctranslate2.models.Whisper(str(folder / f"ct2-{kind}"), device="cpu", compute_type=kind,
                                           intra_threads=threads, inter_threads=1)  # fmt: skip
        counts = []

        def work(count):
            mel = extractor(samples)[:, :3000]
            mel = np.pad(mel, ((0, 0), (0, 3000 - mel.shape[1])))
            features = ctranslate2.StorageView.from_array(np.ascontiguousarray(mel[None], dtype=np.float32))
            result = model.generate(model.encode(features), [prompt], beam_size=1, max_length=len(prompt) + count,
                                    suppress_blank=False, suppress_tokens=[50257])  # fmt: skip
            counts.append(len(result[0].sequences_ids[0]))

        first, rest = best(lambda: work(1)), best(lambda: work(tokens))
        # It ends a text earlier than it is told to; the time per token is of those that it said.
        tell("faster-whisper", {"float32": "f32", "int8": "int8"}[kind], seconds, counts[-1], first, rest)


def run(folder, seconds, tokens, threads):
    try:
        run_ctranslate2(folder, seconds, tokens, threads)
    except ImportError as error:
        print(f"faster-whisper is skipped: {error}", file=sys.stderr)


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]))
    else:
        run(Path(sys.argv[2]), *map(int, sys.argv[3:6]))
