#!/usr/bin/env python3
"""Makes the small Whisper of the tests, and what the reference implementation says to it.

    whisper_reference.py train  FOLDER   # trains from nothing: half an hour on one core
    whisper_reference.py polish FOLDER TO  # trains it on, in windows of thirty seconds alone, for tests/bench/trimmed.rs
    whisper_reference.py golden FOLDER   # runs Hugging Face transformers on it and writes golden.json and tensors.safetensors

Needs torch (CPU), transformers, tokenizers, safetensors and numpy. FOLDER is tests/golden/whisper. The model has Whisper's
architecture with small numbers (width 64, two layers on each side) and its own language: a "word" is a chord of 0.3 s, a
"language" is a third tone. So the tests can make speech by a formula and expect words, times and languages.
"""

import copy
import json
import math
import random
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

RATE = 16_000
WORD_S = 0.3
ENGLISH = "one two three four five six seven eight".split()
GERMAN = "eins zwei drei vier fünf sechs sieben acht".split()
WORDS = {"en": ENGLISH, "de": GERMAN}
LOW_HZ = [400, 600, 900, 1300]
HIGH_HZ = [1700, 2300]
GERMAN_HZ = 3300
LANGUAGES = ["en", "de", "fr"]
SPECIALS = (
    ["<|endoftext|>", "<|startoftranscript|>"]
    + [f"<|{code}|>" for code in LANGUAGES]
    + ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
)


# --- tokenizer -------------------------------------------------------------------------------------------------------


def byte_letters():
    """GPT-2's printable letter of every byte."""
    kept = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    letters, extra = {byte: chr(byte) for byte in kept}, 0
    for byte in range(256):
        if byte not in letters:
            letters[byte] = chr(256 + extra)
            extra += 1
    return letters


def make_tokenizer(folder):
    letters = byte_letters()
    vocabulary = {letters[byte]: byte for byte in range(256)}
    merges = []
    for word in ENGLISH + GERMAN:
        spelled = [letters[byte] for byte in (" " + word).encode()]
        if word == "fünf":  # its umlaut stays two tokens, so that a character is cut in the middle
            spelled = spelled[:2]
        left = spelled[0]
        for right in spelled[1:]:
            if left + right not in vocabulary:
                vocabulary[left + right] = len(vocabulary)
                merges.append(f"{left} {right}")
            left += right
    first = len(vocabulary)
    added = SPECIALS + [f"<|{index * 0.02:.2f}|>" for index in range(1501)]
    tokens = [
        {"id": first + index, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": index < len(SPECIALS)}
        for index, text in enumerate(added)
    ]  # fmt: skip
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    model = {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
        "fuse_unk": False, "byte_fallback": False, "vocab": vocabulary, "merges": merges,
    }  # fmt: skip
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens, "normalizer": None,
        "pre_tokenizer": level, "post_processor": None, "decoder": level, "model": model,
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    return {text: first + index for index, text in enumerate(added)} | vocabulary


def spell(ids, code, word):
    if word == 4 and code == "de":
        letters = byte_letters()
        return [ids["Ġf"]] + [ids[letters[byte]] for byte in "ünf".encode()]
    return [ids["Ġ" + WORDS[code][word]]]


# --- speech ----------------------------------------------------------------------------------------------------------


def say(words, code, duration_s, noise):
    """words: (index, start in steps of 0.02 s). The tests have the same formula."""
    samples = np.zeros(int(round(duration_s * RATE)), np.float64)
    for word, start in words:
        t = np.arange(int(WORD_S * RATE)) / RATE
        envelope = 0.5 - 0.5 * np.cos(2 * np.pi * t / WORD_S)
        tones = np.sin(2 * np.pi * LOW_HZ[word % 4] * t) + np.sin(2 * np.pi * HIGH_HZ[word // 4] * t)
        if code == "de":
            tones += np.sin(2 * np.pi * GERMAN_HZ * t)
        at = start * RATE // 50
        count = max(0, min(len(t), len(samples) - at))
        samples[at : at + count] += (0.2 * envelope * tones)[:count]
    return (samples + noise[: len(samples)]).astype(np.float32)


def hiss(count):
    """Quiet noise from a linear congruential generator, the same in the tests."""
    state, values = 12345, np.zeros(count)
    for index in range(count):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        values[index] = (state / 2**32 - 0.5) * 0.002
    return values


def compose(rng, ids, window_s, speech_s):
    """A window of speech, `speech_s` of it or as chance has it: samples and what to say about them."""
    code = rng.choice(["en", "de"])
    begin = ids["<|0.00|>"]
    if speech_s is None:
        speech_s = window_s if rng.random() < 0.4 else rng.uniform(0.5, window_s)
    if rng.random() < 0.1:
        return [], code, None, []
    words, text, stamps = [], [], []
    at, end = rng.randrange(0, 45), int(speech_s * 50)
    while at + 15 <= end or (speech_s == window_s and at < end):
        phrase = [(at, rng.randrange(8))]
        for _ in range(rng.randrange(0, 4)):
            phrase.append((phrase[-1][0] + 15 + rng.randrange(2, 8), rng.randrange(8)))
        finish = phrase[-1][0] + 15
        words += [(word, start) for start, word in phrase]
        spelled = [token for start, word in phrase for token in spell(ids, code, word)]
        if finish > window_s * 50:
            stamps += [begin + at]  # cut: only its beginning is told
            break
        stamps += [begin + at] + spelled + [begin + finish]
        text += spelled
        at = finish + rng.randrange(20, 90)
    return words, code, stamps, text


def example(rng, ids, window_s, speech_s=None):
    words, code, stamps, text = compose(rng, ids, window_s, speech_s)
    noise = np.random.default_rng(rng.randrange(2**31)).uniform(-1, 1, int(window_s * RATE)) * rng.choice([0, 0.001, 0.003])
    samples = say(words, code, window_s, noise)
    end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    previous = []
    if rng.random() < 0.25:
        previous = [ids["<|startofprev|>"]]
        for _ in range(rng.randrange(1, 8)):
            previous += spell(ids, code, rng.randrange(8))
    if stamps is None:
        tail = [start, ids["<|nospeech|>"], end]
    elif rng.random() < 0.6:
        tail = [start, ids[f"<|{code}|>"], ids["<|transcribe|>"]] + stamps + [end]
    else:
        tail = [start, ids[f"<|{code}|>"], ids["<|transcribe|>"], ids["<|notimestamps|>"]] + text + [end]
    return samples, previous, tail


# --- model -----------------------------------------------------------------------------------------------------------


def config_of(ids):
    return WhisperConfig(
        vocab_size=len(ids), num_mel_bins=80, d_model=64, encoder_layers=2, decoder_layers=2,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=256, decoder_ffn_dim=256,
        max_source_positions=1500, max_target_positions=448, dropout=0.0, attn_implementation="eager",
        decoder_start_token_id=ids["<|startoftranscript|>"], eos_token_id=ids["<|endoftext|>"],
        bos_token_id=ids["<|endoftext|>"], pad_token_id=ids["<|endoftext|>"], suppress_tokens=[], begin_suppress_tokens=[],
    )  # fmt: skip


def generation_of(ids):
    space = ids["Ġ"]
    return GenerationConfig(
        eos_token_id=ids["<|endoftext|>"], bos_token_id=ids["<|endoftext|>"], pad_token_id=ids["<|endoftext|>"],
        decoder_start_token_id=ids["<|startoftranscript|>"], no_timestamps_token_id=ids["<|notimestamps|>"],
        prev_sot_token_id=ids["<|startofprev|>"], is_multilingual=True, max_initial_timestamp_index=50, max_length=448,
        lang_to_id={f"<|{code}|>": ids[f"<|{code}|>"] for code in LANGUAGES},
        task_to_id={"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
        begin_suppress_tokens=[space, ids["<|endoftext|>"]],
        suppress_tokens=[ids["!"], ids["#"]] + [ids[text] for text in SPECIALS[1:]],
        alignment_heads=[[0, 0], [1, 0], [1, 1], [1, 2], [1, 3]],
    )  # fmt: skip


def encode(model, mel):
    """As the encoder does, for any length."""
    encoder = model.model.encoder
    hidden = nn.functional.gelu(encoder.conv1(mel))
    hidden = nn.functional.gelu(encoder.conv2(hidden)).permute(0, 2, 1)
    hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
    for layer in encoder.layers:
        hidden = layer(hidden, None)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
    return encoder.layer_norm(hidden)


def train(folder, begun=None):
    torch.manual_seed(7)
    torch.set_num_threads(1)
    rng = random.Random(7)
    ids = make_tokenizer(folder)
    config = config_of(ids)
    config._attn_implementation = "sdpa"
    model = WhisperForConditionalGeneration(config)
    if begun is not None:
        model.load_state_dict(torch.load(begun), strict=False)
    model.model.encoder.embed_positions.requires_grad_(False)
    extractor = WhisperFeatureExtractor(feature_size=80)
    stages = [(3.0, 16, 1500, 3e-3), (6.0, 16, 1500, 2e-3), (12.0, 12, 600, 1e-3), (30.0, 6, 350, 7e-4)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01, betas=(0.9, 0.98))
    for window_s, batch, steps, rate in stages:
        started = time.time()
        for step in range(steps):
            warm = min(1.0, (step + 1) / 100) if window_s == 3.0 else 1.0
            for group in optimizer.param_groups:
                group["lr"] = rate * warm * (0.5 + 0.5 * math.cos(math.pi * step / steps) if window_s >= 12 else 1.0) + 1e-5
            loss = learn(model, extractor, ids, [example(rng, ids, window_s) for _ in range(batch)], window_s)
            descend(model, optimizer, loss)
            if step % 50 == 0 or step == steps - 1:
                print(f"{window_s} s, step {step}: loss {loss.item():.4f}, {time.time() - started:.0f} s", flush=True)
        torch.save(model.state_dict(), "/tmp/whisper-train.pt")
    save(model, ids, folder)


def polish(folder, to):
    """Goes on with windows of thirty seconds and nothing else, each with a short recording in it, as OpenAI's models have learned:
    for tests/bench/trimmed.rs, which asks what such a model loses in shorter ones."""
    from safetensors.torch import load_file

    torch.manual_seed(8)
    torch.set_num_threads(1)
    rng = random.Random(8)
    to.mkdir(parents=True, exist_ok=True)
    ids = make_tokenizer(to)
    config = config_of(ids)
    config._attn_implementation = "sdpa"
    model = WhisperForConditionalGeneration(config)
    model.load_state_dict({name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}, strict=False)
    model.model.encoder.embed_positions.requires_grad_(False)
    extractor = WhisperFeatureExtractor(feature_size=80)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, betas=(0.9, 0.98))
    started, steps = time.time(), 1500
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1.0, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * step / steps)) + 1e-5
        batch = [example(rng, ids, 30.0, speech_s=rng.uniform(0.5, 10)) for _ in range(8)]
        loss = learn(model, extractor, ids, batch, 30.0)
        descend(model, optimizer, loss)
        if step % 50 == 0 or step == steps - 1:
            print(f"step {step} of {steps}: loss {loss.item():.4f}, {time.time() - started:.0f} s", flush=True)
            save(copy.deepcopy(model), ids, to)


def descend(model, optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def learn(model, extractor, ids, batch, window_s):
    mel = extractor([samples for samples, _, _ in batch], sampling_rate=RATE, return_tensors="pt",
                    padding="max_length", max_length=int(window_s * RATE)).input_features  # fmt: skip
    hidden = encode(model, mel)
    width = max(len(previous) + len(tail) for _, previous, tail in batch)
    tokens = torch.full((len(batch), width), ids["<|endoftext|>"])
    labels = torch.full((len(batch), width), -100)
    for row, (_, previous, tail) in enumerate(batch):
        whole = previous + tail
        tokens[row, : len(whole)] = torch.tensor(whole)
        # What was said before is given, not learned; neither is the start.
        labels[row, len(previous) : len(whole) - 1] = torch.tensor(tail[1:])
    decoded = model.model.decoder(input_ids=tokens, encoder_hidden_states=hidden).last_hidden_state
    logits = decoded @ model.model.decoder.embed_tokens.weight.T
    return nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)


def save(model, ids, folder):
    from safetensors.torch import save_file

    model.half()
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items() if name != "proj_out.weight"}
    # It is a formula, and three quarters as much as everything else together.
    del state["model.encoder.embed_positions.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    generation_of(ids).save_pretrained(folder)
    model.config.torch_dtype = "float16"
    model.config.save_pretrained(folder)


# --- what the reference says -----------------------------------------------------------------------------------------

# Name, language, words as (index, start in steps of 0.02 s), seconds.
SCENES = {
    "english": ("en", [(2, 20), (5, 40), (0, 60), (7, 120), (7, 142)], 4.0),
    "german": ("de", [(4, 10), (1, 30), (6, 100), (3, 122)], 3.2),
    "silence": ("en", [], 2.0),
}
LONG = ("en", [((index * 5 + index // 7) % 8, 15 + index * 22 + index // 3 * 45) for index in range(54)], 41.0)


def scene(code, words, seconds):
    return say(words, code, seconds, hiss(int(seconds * RATE)))


def golden(folder):
    from safetensors.torch import save_file

    torch.set_num_threads(2)
    # Not `from_pretrained` with the file's half floats: the tests compute with 32 bits too.
    model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    ids = make_tokenizer(folder)
    extractor = WhisperFeatureExtractor(feature_size=80)
    tensors, said = {}, {"scenes": {}}
    with torch.no_grad():
        for name, (code, words, seconds) in SCENES.items():
            samples = scene(code, words, seconds)
            mel = extractor(samples, sampling_rate=RATE, return_tensors="pt").input_features
            said["scenes"][name] = told(model, ids, code, mel) | {"words": words, "seconds": seconds, "code": code}
            if name == "english":
                tensors |= layers(model, ids, mel)
                wide = WhisperFeatureExtractor(feature_size=128)(samples, sampling_rate=RATE, return_tensors="pt")
                tensors["mel_128"] = wide.input_features[0].T[:220:5].contiguous()
        said["long"] = told_long(model, extractor)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "tensors.safetensors")
    (folder / "golden.json").write_text(json.dumps(said, indent=1) + "\n")


def layers(model, ids, mel):
    """Mel, encoder's output and scores; some rows of each are enough."""
    encoded = model.model.encoder(mel).last_hidden_state
    tokens = torch.tensor([[ids["<|startoftranscript|>"], ids["<|en|>"], ids["<|transcribe|>"], ids["<|0.40|>"], ids["Ġthree"], ids["Ġsix"]]])
    logits = model(encoder_outputs=(encoded,), decoder_input_ids=tokens).logits[0]
    return {"mel": mel[0].T[:220:5], "encoded": encoded[0, ::30], "tokens": tokens[0].float(), "logits": logits[[0, 2, 5]]}


def strip(ids, tokens):
    tokens = [int(token) for token in tokens]
    first = ids["<|notimestamps|>"]
    return [token for token in tokens if token < ids["<|endoftext|>"] or token > first]


def told(model, ids, code, mel):
    plain = model.generate(mel, language=code, task="transcribe", return_timestamps=False, num_beams=1, do_sample=False)
    timed = model.generate(mel, language=code, task="transcribe", return_timestamps=True, num_beams=1, do_sample=False)
    beams = model.generate(mel, language=code, task="transcribe", return_timestamps=False, num_beams=5, do_sample=False)
    start = torch.tensor([[ids["<|startoftranscript|>"]]])
    scores = model(mel, decoder_input_ids=start).logits[0, 0]
    languages = torch.softmax(scores[[ids[f"<|{code}|>"] for code in LANGUAGES]], 0).tolist()
    return {
        "plain": strip(ids, plain[0]), "timed": strip(ids, timed[0]), "beams": strip(ids, beams[0]),
        "languages": dict(zip(LANGUAGES, languages)), "no_speech": torch.softmax(scores, 0)[ids["<|nospeech|>"]].item(),
    }  # fmt: skip


def told_long(model, extractor):
    code, words, seconds = LONG
    inputs = extractor(scene(*LONG), sampling_rate=RATE, return_tensors="pt", truncation=False, padding="longest",
                       return_attention_mask=True)  # fmt: skip
    result = model.generate(**inputs, language=code, task="transcribe", return_timestamps=True, return_segments=True,
                            num_beams=1, do_sample=False, condition_on_prev_tokens=False)  # fmt: skip
    segments = [
        {"start": float(segment["start"]), "end": float(segment["end"]), "tokens": [int(t) for t in segment["tokens"]]}
        for segment in result["segments"][0]
    ]
    return {"code": code, "words": words, "seconds": seconds, "segments": segments}


if __name__ == "__main__":
    {"train": train, "polish": polish, "golden": golden}[sys.argv[1]](*map(Path, sys.argv[2:]))
