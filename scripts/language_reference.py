#!/usr/bin/env python3
"""Makes the small models that the tests of src/inference/language read, and says what llama.cpp makes of them.

For people who change those tests. Needs: pip install gguf numpy llama-cpp-python.
Usage: scripts/language_reference.py [tests/golden/language]

Every model has the real architecture and the real layout of its file, random weights, and a vocabulary learned from the few
sentences below. What is written down: the tokens of some texts, the likelihoods of all next tokens, and the greedy continuation.
"""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import gguf
from gguf import GGMLQuantizationType as Q

TEXTS = [
    "Turn on the lamp in the kitchen, please.",
    "It's 21:45 o'clock and we'll  have   12345 steps\n\n  left;\tisn't that NICE?\r\n",
    "Mach bitte das Licht im Wohnzimmer an. Grüße aus München! 🙂 日本語 ÀÉ",
    "<|im_start|>user\nwhat's the time?<|im_end|>\n<|im_start|>assistant\n",
    "{\"name\": \"lamp\", \"arguments\": {\"on\": true, \"level\": 10}}",
    "    indented\n        code()  # comment\n\n\nend",
]
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
USER_DEFINED = ["<tool_call>", "</tool_call>"]
CHATML = (
    "{%- if tools %}{{- '<|im_start|>system\\n# Tools\\n' }}{%- for tool in tools %}{{- tool | tojson }}{{- '\\n' }}{%- endfor %}"
    "{{- 'Answer with <tool_call>\\n{\"name\": ..., \"arguments\": ...}\\n</tool_call><|im_end|>\\n' }}{%- endif %}"
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}{{- message.content }}"
    "{%- for call in message.tool_calls or [] %}{{- '<tool_call>\\n' + (call.function | tojson) + '\\n</tool_call>' }}{%- endfor %}"
    "{{- '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
GREEDY = 16


def letters_of_bytes():
    plain = list(range(0x21, 0x7F)) + list(range(0xA1, 0xAD)) + list(range(0xAE, 0x100))
    table, extra = {}, 0
    for byte in range(256):
        if byte in plain:
            table[byte] = chr(byte)
        else:
            table[byte] = chr(256 + extra)
            extra += 1
    return table


def learn(words, count):
    """The `count` most frequent pairs, one after another."""
    merges = []
    words = Counter(words)
    for _ in range(count):
        pairs = Counter()
        for word, times in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += times
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        joined = Counter()
        for word, times in words.items():
            out, at = [], 0
            while at < len(word):
                if word[at:at + 2] == best:
                    out.append(word[at] + word[at + 1])
                    at += 2
                else:
                    out.append(word[at])
                    at += 1
            joined[tuple(out)] += times
        words = joined
    return merges


def bpe(writer, pre):
    table = letters_of_bytes()
    mapped = ["".join(table[byte] for byte in (" " * (number > 0) + word).encode())
              for text in TEXTS if "<|" not in text for number, word in enumerate(text.split())]
    merges = learn([tuple(word) for word in mapped], 60)
    tokens = [table[byte] for byte in range(256)]
    for left, right in merges:
        if left + right not in tokens:
            tokens.append(left + right)
    types = [1] * len(tokens)
    tokens += SPECIALS + USER_DEFINED
    types += [3] * len(SPECIALS) + [4] * len(USER_DEFINED)
    while len(tokens) % 32:
        tokens.append(f"[PAD{len(tokens)}]")
        types.append(5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([f"{left} {right}" for left, right in merges])
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(pre == "llama-bpe")
    writer.add_chat_template(CHATML)
    return len(tokens)


def scored(writer):
    words = [tuple("\u2581" + word) for text in TEXTS[:3] for word in text.split()]
    letters = sorted({letter for word in words for letter in word if ord(letter) < 0x3000})
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    types = [2, 3, 3] + [6] * 256
    scores = [0.0] * len(tokens)
    for rank, (left, right) in enumerate(learn(words, 50)):
        tokens.append(left + right)
        types.append(1)
        scores.append(-float(rank))
    for rank, letter in enumerate(letters):
        tokens.append(letter)
        types.append(1)
        scores.append(-1000.0 - rank)
    tokens += ["<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"]
    types += [3, 3, 4, 4]
    scores += [0.0] * 4
    while len(tokens) % 32:
        tokens.append(f"[PAD{len(tokens)}]")
        types.append(5)
        scores.append(-1e6)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_scores(scores)
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_bos_token_id(1)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(True)
    writer.add_chat_template(CHATML)
    return len(tokens)


def k_blocks(random, kind, rows, columns, spread):
    """Valid random blocks of a kind that the package cannot quantise to."""
    size, count = gguf.GGML_QUANT_SIZES[kind][1], columns // 256
    blocks = random.integers(0, 256, (rows, count, size), dtype=np.uint8)
    step = {Q.Q4_K: spread / 15 / 20, Q.Q5_K: spread / 31 / 20, Q.Q6_K: spread / 32 / 64}[kind]
    scale = (random.uniform(0.8, 1.2, (rows, count, 1)) * step).astype(np.float16).view(np.uint8)
    if kind == Q.Q6_K:
        blocks[:, :, 208:210] = scale
    else:
        blocks[:, :, 0:2] = scale
        middle = 7.5 if kind == Q.Q4_K else 15.5
        blocks[:, :, 2:4] = (random.uniform(0.8, 1.2, (rows, count, 1)) * step * middle).astype(np.float16).view(np.uint8)
    return blocks.reshape(rows, count * size)


class Maker:
    def __init__(self, path, arch, seed, kinds):
        self.writer = gguf.GGUFWriter(path, arch)
        self.random = np.random.default_rng(seed)
        self.kinds = kinds
        self.turn = 0

    def matrix(self, name, rows, columns, spread=1.0):
        kind = self.kinds[self.turn % len(self.kinds)]
        self.turn += 1
        if kind in (Q.Q4_K, Q.Q5_K, Q.Q6_K):
            if columns % 256:
                kind = Q.Q8_0
            else:
                data = k_blocks(self.random, kind, rows, columns, 3.0 * spread / np.sqrt(columns))
                self.writer.add_tensor(name, data, raw_dtype=kind)
                return
        weights = (self.random.standard_normal((rows, columns)) * spread / np.sqrt(columns)).astype(np.float32)
        if kind == Q.F32:
            self.writer.add_tensor(name, weights)
        elif kind == Q.F16:
            self.writer.add_tensor(name, weights.astype(np.float16))
        else:
            self.writer.add_tensor(name, gguf.quants.quantize(weights, kind), raw_dtype=kind)

    def vector(self, name, size, middle, spread):
        values = middle + self.random.standard_normal(size) * spread
        self.writer.add_tensor(name, values.astype(np.float32))


def make(path, arch, seed, kinds, size, pre):
    width, hidden, layers, heads, kv_heads, head = size
    maker = Maker(path, arch, seed, kinds)
    writer = maker.writer
    writer.add_name("golden")
    writer.add_context_length(2048 if width > 512 else 512)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0 if arch == "llama" else 1000000.0)
    if arch in ("llama", "phi3"):
        writer.add_rope_dimension_count(head)
    if arch == "gemma3":
        writer.add_sliding_window(8)
    if arch == "phi3":
        writer.add_sliding_window(0)
        writer.add_rope_scaling_orig_ctx_len(512)
    count = scored(writer) if pre is None else bpe(writer, pre)
    maker.matrix("token_embd.weight", count, width, 1.0 if arch == "gemma3" else 4.0)
    if arch not in ("qwen2", "qwen3", "gemma3"):
        maker.matrix("output.weight", count, width, 6.0)
    maker.vector("output_norm.weight", width, 1.0 if arch != "gemma3" else 2.0, 0.2)
    if arch == "llama" and kinds[0] == Q.F16:
        maker.writer.add_tensor("rope_freqs.weight", np.linspace(1.0, 8.0, head // 2).astype(np.float32))
    for layer in range(layers):
        at = f"blk.{layer}."
        maker.vector(at + "attn_norm.weight", width, 1.0, 0.1)
        maker.vector(at + "ffn_norm.weight", width, 1.0, 0.1)
        if arch == "phi3":
            maker.matrix(at + "attn_qkv.weight", (heads + 2 * kv_heads) * head, width, 2.0)
            maker.matrix(at + "ffn_up.weight", 2 * hidden, width)
        else:
            maker.matrix(at + "attn_q.weight", heads * head, width, 2.0)
            maker.matrix(at + "attn_k.weight", kv_heads * head, width, 2.0)
            maker.matrix(at + "attn_v.weight", kv_heads * head, width)
            maker.matrix(at + "ffn_gate.weight", hidden, width)
            maker.matrix(at + "ffn_up.weight", hidden, width)
        if arch == "qwen2":
            for name, rows in (("q", heads * head), ("k", kv_heads * head), ("v", kv_heads * head)):
                maker.vector(f"{at}attn_{name}.bias", rows, 0.0, 0.5)
        if arch in ("qwen3", "gemma3"):
            maker.vector(at + "attn_q_norm.weight", head, 1.0, 0.2)
            maker.vector(at + "attn_k_norm.weight", head, 1.0, 0.2)
        if arch == "gemma3":
            maker.vector(at + "post_attention_norm.weight", width, 1.0, 0.1)
            maker.vector(at + "post_ffw_norm.weight", width, 1.0, 0.1)
        maker.matrix(at + "attn_output.weight", width, heads * head)
        maker.matrix(at + "ffn_down.weight", width, hidden)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


MODELS = {
    "llama_f16": ("llama", 1, [Q.F16], (64, 64, 2, 4, 2, 16), "llama-bpe"),
    "llama_spm_q5": ("llama", 2, [Q.Q5_0, Q.Q4_0, Q.Q4_1, Q.Q5_1], (64, 128, 2, 4, 2, 16), None),
    "qwen2_k": ("qwen2", 3, [Q.Q6_K, Q.Q4_K, Q.Q5_K], (256, 256, 1, 8, 2, 32), "qwen2"),
    "qwen3_q8": ("qwen3", 4, [Q.Q8_0], (64, 128, 2, 4, 2, 32), "qwen2"),
    "gemma3_f32": ("gemma3", 5, [Q.F16, Q.F16, Q.F16, Q.F16, Q.F16, Q.F16, Q.F16, Q.F16, Q.F16, Q.F16, Q.F32], (32, 64, 7, 2, 1, 16), None),
    "phi3_q8": ("phi3", 6, [Q.Q8_0], (64, 64, 2, 4, 2, 16), None),
}


def reference(path):
    """What llama.cpp says of a model, with one thread and one token at a time."""
    import llama_cpp

    model = llama_cpp.Llama(str(path), n_ctx=512, n_batch=512, n_threads=1, logits_all=True, verbose=False,
                            flash_attn=False)
    texts = [{"text": text, "tokens": model.tokenize(text.encode(), add_bos=False, special=True)} for text in TEXTS]
    continued = []
    for text in texts[:4]:
        tokens = text["tokens"]
        model.reset()
        model.eval(tokens)
        logits = model.scores[len(tokens) - 1]
        greedy, margins = [], []
        for _ in range(GREEDY):
            now = model.scores[model.n_tokens - 1]
            order = np.argsort(-now)
            greedy.append(int(order[0]))
            margins.append(round(float(now[order[0]] - now[order[1]]), 4))
            model.eval([int(order[0])])
        continued.append({"tokens": tokens, "logits": [round(float(value), 4) for value in logits],
                          "greedy": greedy, "margins": margins})
    return {"texts": texts, "continued": continued}


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/language")
    folder.mkdir(parents=True, exist_ok=True)
    for name, (arch, seed, kinds, size, pre) in MODELS.items():
        path = folder / f"{name}.gguf"
        make(str(path), arch, seed, kinds, size, pre)
        (folder / f"{name}.json").write_text(json.dumps(reference(path), ensure_ascii=False, separators=(",", ":")) + "\n")
        print(name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
