#!/usr/bin/env python3
"""Makes a model of half a billion random weights, and measures llama.cpp on it, for tests/bench (which runs this).

For people who measure. Needs: pip install gguf numpy llama-cpp-python.
Usage: scripts/bench_language.py make FORMAT FILE    (FORMAT: q4_k_m, q4_0, q8_0)
       scripts/bench_language.py measure FILE THREADS
Prints one line of JSON: tokens per second of reading 256 tokens and of writing 64.
"""

import json
import os
import sys
import time

import numpy as np

WIDTH, HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD = 1024, 3072, 28, 16, 8, 64
PROMPT, ANSWER = 256, 64


def make(form, path):
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import language_reference as reference
    from gguf import GGMLQuantizationType as Q

    kinds = {"q4_k_m": [Q.Q4_K], "q4_0": [Q.Q4_0], "q8_0": [Q.Q8_0]}[form]
    size = (WIDTH, HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD)
    maker = reference.Maker
    plain = maker.matrix

    def matrix(self, name, rows, columns, spread=1.0):
        # As llama.cpp's Q4_K_M: what matters most has six bits.
        fine = form == "q4_k_m" and ("token_embd" in name or "attn_v" in name or "ffn_down" in name)
        self.kinds = [Q.Q6_K] if fine else kinds
        plain(self, name, rows, columns, spread)

    maker.matrix = matrix
    reference.make(path, "qwen3", 7, kinds, size, "qwen2")


def measure(path, threads):
    import llama_cpp

    model = llama_cpp.Llama(path, n_ctx=512, n_batch=512, n_ubatch=512, n_threads=threads, n_threads_batch=threads,
                            verbose=False)
    tokens = [7 + number % 200 for number in range(PROMPT)]
    best = {"prompt": 0.0, "answer": 0.0}
    for _ in range(3):
        model.reset()
        started = time.perf_counter()
        model.eval(tokens)
        best["prompt"] = max(best["prompt"], PROMPT / (time.perf_counter() - started))
        started = time.perf_counter()
        for number in range(ANSWER):
            model.eval([7 + number])
        best["answer"] = max(best["answer"], ANSWER / (time.perf_counter() - started))
    print(json.dumps({"prompt_tokens_per_s": round(best["prompt"], 1), "answer_tokens_per_s": round(best["answer"], 1)}))


def main():
    if sys.argv[1] == "make":
        make(sys.argv[2], sys.argv[3])
    else:
        measure(sys.argv[2], int(sys.argv[3]))


if __name__ == "__main__":
    main()
