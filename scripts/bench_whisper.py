#!/usr/bin/env python3
"""Makes a model of Whisper tiny's shape with random weights, and measures faster-whisper (CTranslate2) and whisper.cpp on it, for
tests/bench (which runs this).

    bench_whisper.py make FOLDER                                    # the model, in the formats of all three
    bench_whisper.py measure FOLDER ENGINE KIND SECONDS TOKENS THREADS

For people who measure. Needs: pip install numpy faster-whisper pywhispercpp; what is missing is skipped. ENGINE is `faster_whisper`
or `whisper_cpp`, KIND is `f32` (the former only), `f16` (the latter only) or `int8`. `measure` prints one line of JSON: milliseconds until the first token is said (spectrum,
encoder, prompt of four tokens), for all TOKENS, which are said whatever the model thinks of it, and for the encoder alone.

whisper.cpp has no 32-bit floats: its convolutions take 16 bits only (an assertion of ggml ends the process otherwise). Its `int8`
is q8_0 as its own tool makes it.
"""

import json
import struct
import sys
import time
from pathlib import Path

import numpy as np

RATE = 16_000
WORDS, VOCABULARY = 50_257, 51_865
WIDTH, HEADS, LAYERS, INNER, BANDS, HEARD, SAID = 384, 6, 4, 1_536, 80, 1_500, 448
PROMPT = [50_258, 50_259, 50_359, 50_363]
REPEATS = 3
# Whisper's languages, in the order of its tokens.
CODES = (
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi ml cy sk te fa "
    "lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd gu am yi lo uz fo ht ps tk nn "
    "mt sa lb my bo tl mg as tt haw ln ha ba jw su"
).split()


# --- the model -------------------------------------------------------------------------------------------------------


def weights():
    """Tensors in Hugging Face's names, spread as training spreads them, so that no number runs away."""
    random = np.random.default_rng(1)
    found = {}

    def add(name, *shape):
        spread = (1.0 if len(shape) == 1 else np.prod(shape[1:]) ** -0.5) * 0.5
        found[name] = (random.standard_normal(shape) * spread).astype(np.float32)

    def linear(name, outputs, inputs, bias=True):
        add(f"{name}.weight", outputs, inputs)
        if bias:
            found[f"{name}.bias"] = np.zeros(outputs, np.float32)

    def norm(name):
        found[f"{name}.weight"], found[f"{name}.bias"] = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    def attention(name):
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            linear(f"{name}.{part}", WIDTH, WIDTH, part != "k_proj")
        norm(f"{name}_layer_norm")

    add("encoder.conv1.weight", WIDTH, BANDS, 3)
    add("encoder.conv2.weight", WIDTH, WIDTH, 3)
    for number in (1, 2):
        found[f"encoder.conv{number}.bias"] = np.zeros(WIDTH, np.float32)
    add("encoder.embed_positions.weight", HEARD, WIDTH)
    add("decoder.embed_positions.weight", SAID, WIDTH)
    add("decoder.embed_tokens.weight", VOCABULARY, WIDTH)
    for side in ("encoder", "decoder"):
        for layer in range(LAYERS):
            name = f"{side}.layers.{layer}"
            attention(f"{name}.self_attn")
            if side == "decoder":
                attention(f"{name}.encoder_attn")
            linear(f"{name}.fc1", INNER, WIDTH)
            linear(f"{name}.fc2", WIDTH, INNER)
            norm(f"{name}.final_layer_norm")
        norm(f"{side}.layer_norm")
    return found


def words():
    """Words that stand for nothing, but for the space, which whisper.cpp looks up."""
    return [" " if index == 220 else f" w{index}" for index in range(WORDS)]


def specials():
    found = ["<|endoftext|>", "<|startoftranscript|>"] + [f"<|{code}|>" for code in CODES]
    found += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    return found + [f"<|{index * 0.02:.2f}|>" for index in range(1_501)]


def make(folder):
    folder.mkdir(parents=True, exist_ok=True)
    tensors = weights()
    write_own(folder, tensors)
    write_ggml(folder / "ggml-f16.bin", tensors, 1)
    write_ggml(folder / "ggml-int8.bin", tensors, 7)
    try:
        write_ct2(folder, tensors)
    except ImportError as error:
        print(f"no model of CTranslate2 is made: {error}", file=sys.stderr)


def write_own(folder, tensors):
    config = {
        "model_type": "whisper", "vocab_size": VOCABULARY, "num_mel_bins": BANDS, "d_model": WIDTH,
        "encoder_layers": LAYERS, "decoder_layers": LAYERS, "encoder_attention_heads": HEADS,
        "decoder_attention_heads": HEADS, "encoder_ffn_dim": INNER, "decoder_ffn_dim": INNER,
        "max_source_positions": HEARD, "max_target_positions": SAID, "suppress_tokens": [], "begin_suppress_tokens": [],
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    added = [
        {"id": WORDS + index, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": index < 107}
        for index, text in enumerate(specials())
    ]  # fmt: skip
    vocabulary = {word.replace(" ", "\u0120"): index for index, word in enumerate(words())}
    model = {"type": "BPE", "vocab": vocabulary, "merges": []}
    (folder / "tokenizer.json").write_text(json.dumps({"version": "1.0", "added_tokens": added, "model": model}))
    header, at = {}, 0
    for name, values in tensors.items():
        header[f"model.{name}"] = {"dtype": "F32", "shape": values.shape, "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    header = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for values in tensors.values():
            file.write(values.tobytes())


def ggml_name(name):
    """Names of OpenAI's checkpoints, as whisper.cpp expects them."""
    for old, new in [
        ("layers.", "blocks."), ("encoder_attn_layer_norm", "cross_attn_ln"), ("encoder_attn", "cross_attn"),
        ("self_attn_layer_norm", "attn_ln"), ("self_attn", "attn"), ("final_layer_norm", "mlp_ln"), ("fc1", "mlp.0"),
        ("fc2", "mlp.2"), ("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value"), ("out_proj", "out"),
        ("encoder.layer_norm", "encoder.ln_post"), ("decoder.layer_norm", "decoder.ln"),
        ("embed_tokens", "token_embedding"), ("encoder.embed_positions.weight", "encoder.positional_embedding"),
        ("decoder.embed_positions.weight", "decoder.positional_embedding"),
    ]:  # fmt: skip
        name = name.replace(old, new)
    return name


def q8_0(values):
    """Blocks of a scale and 32 bytes (ggml-common.h)."""
    blocks = values.reshape(-1, 32)
    scale = np.abs(blocks).max(1) / 127
    packed = np.empty(len(blocks), np.dtype([("scale", "<f2"), ("quants", "i1", 32)]))
    packed["scale"] = scale
    packed["quants"] = np.round(blocks / np.where(scale == 0, 1, scale)[:, None])
    return packed.tobytes()


def write_ggml(path, tensors, kind):
    """As whisper.cpp's convert-h5-to-ggml.py and quantize do; `kind` is 1 for 16-bit floats and 7 for q8_0."""
    with path.open("wb") as file:
        file.write(struct.pack("i", 0x67676D6C))
        sizes = (VOCABULARY, HEARD, WIDTH, HEADS, LAYERS, SAID, WIDTH, HEADS, LAYERS, BANDS, kind)
        file.write(struct.pack("11i", *sizes))
        filters = mel_filters()
        file.write(struct.pack("2i", *filters.shape) + filters.tobytes())
        # Only the words; what is special follows from the size of the vocabulary.
        file.write(struct.pack("i", WORDS))
        for word in map(str.encode, words()):
            file.write(struct.pack("i", len(word)) + word)
        for name, values in tensors.items():
            name = ggml_name(name)
            is_matrix = values.ndim == 2 and "positional" not in name
            if name in ("encoder.conv1.bias", "encoder.conv2.bias"):
                values = values.reshape(-1, 1)
            if is_matrix and kind == 7:
                code, data = 8, q8_0(values)
            elif is_matrix or values.ndim == 3:
                code, data = 1, values.astype(np.float16).tobytes()
            else:
                code, data = 0, values.tobytes()
            encoded = name.encode()
            file.write(struct.pack("3i", values.ndim, len(encoded), code))
            file.write(struct.pack(f"{values.ndim}i", *reversed(values.shape)) + encoded + data)


def mel_filters():
    """Slaney's triangles, 80 over 201 frequencies, as librosa makes them."""
    def hertz(mel):
        return np.where(mel < 15, mel * 200 / 3, 1_000 * np.exp((mel - 15) * np.log(6.4) / 27))

    top = 15 + np.log(8.0) * 27 / np.log(6.4)
    corners, bins = hertz(np.linspace(0, top, BANDS + 2)), np.linspace(0, RATE / 2, 201)
    slopes, steps = corners[:, None] - bins, np.diff(corners)
    triangles = np.maximum(0, np.minimum(-slopes[:-2] / steps[:-1, None], slopes[2:] / steps[1:, None]))
    return (triangles * (2 / (corners[2:] - corners[:-2]))[:, None]).astype(np.float32)


def write_ct2(folder, tensors):
    """As ctranslate2.converters.transformers does, which would need PyTorch."""
    from ctranslate2.specs import WhisperSpec

    def norm(spec, name):
        spec.gamma, spec.beta = tensors[f"{name}.weight"], tensors[f"{name}.bias"]

    def linear(spec, *names):
        zeros = np.zeros(WIDTH, np.float32)
        spec.weight = np.concatenate([tensors[f"{name}.weight"] for name in names])
        spec.bias = np.concatenate([tensors.get(f"{name}.bias", zeros) for name in names])

    def attention(spec, name, parts):
        for spec_part, names in zip(spec.linear, parts):
            linear(spec_part, *(f"{name}.{part}_proj" for part in names))
        norm(spec.layer_norm, f"{name}_layer_norm")

    for kind in ("float32", "int8"):
        spec = WhisperSpec(LAYERS, HEADS, LAYERS, HEADS)
        for side, part in (("encoder", spec.encoder), ("decoder", spec.decoder)):
            for number, layer in enumerate(part.layer):
                name = f"{side}.layers.{number}"
                attention(layer.self_attention, f"{name}.self_attn", ("qkv", ["out"]))
                if side == "decoder":
                    attention(layer.attention, f"{name}.encoder_attn", ("q", "kv", ["out"]))
                linear(layer.ffn.linear_0, f"{name}.fc1")
                linear(layer.ffn.linear_1, f"{name}.fc2")
                norm(layer.ffn.layer_norm, f"{name}.final_layer_norm")
            norm(part.layer_norm, f"{side}.layer_norm")
            part.position_encodings.encodings = tensors[f"{side}.embed_positions.weight"]
        for number, conv in (1, spec.encoder.conv1), (2, spec.encoder.conv2):
            conv.weight, conv.bias = tensors[f"encoder.conv{number}.weight"], tensors[f"encoder.conv{number}.bias"]
        spec.decoder.embeddings.weight = tensors["decoder.embed_tokens.weight"]
        spec.decoder.projection.weight = tensors["decoder.embed_tokens.weight"]
        spec.register_vocabulary(words() + specials())
        spec.config.suppress_ids, spec.config.suppress_ids_begin = [], []
        spec.config.lang_ids = list(range(50_259, 50_259 + len(CODES)))
        spec.config.alignment_heads = [[2, 0]]
        spec.validate()
        spec.optimize(quantization=kind)
        (folder / f"ct2-{kind}").mkdir(exist_ok=True)
        spec.save(str(folder / f"ct2-{kind}"))


# --- measuring -------------------------------------------------------------------------------------------------------


def sound(seconds):
    n = np.arange(seconds * RATE)
    return (np.sin(n * 0.05) * 0.3 + (n * 7919 % 1000 / 1000 - 0.5) * 0.02).astype(np.float32)


def best_ms(work):
    work()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    return min(times)


def faster_whisper(folder, kind, seconds, tokens, threads):
    import ctranslate2
    from faster_whisper.feature_extractor import FeatureExtractor

    extractor, samples = FeatureExtractor(feature_size=BANDS), sound(seconds)
    name = {"f32": "float32", "int8": "int8"}[kind]
    model = ctranslate2.models.Whisper(str(folder / f"ct2-{name}"), device="cpu", compute_type=name, intra_threads=threads,
                                       inter_threads=1)  # fmt: skip

    def features():
        mel = extractor(samples)[:, :2 * HEARD]
        mel = np.pad(mel, ((0, 0), (0, 2 * HEARD - mel.shape[1])))
        return ctranslate2.StorageView.from_array(np.ascontiguousarray(mel[None], dtype=np.float32))

    said = {}

    def say(count):
        # Half of the most is for the prompt.
        most = max(2 * count, len(PROMPT) + count)
        result = model.generate(model.encode(features()), [PROMPT], beam_size=1, max_length=most, suppress_blank=False,
                                suppress_tokens=[50_257])  # fmt: skip
        said[count] = len(result[0].sequences_ids[0])

    heard = features()
    found = best_ms(lambda: say(1)), best_ms(lambda: say(tokens)), best_ms(lambda: model.encode(heard))
    return *found, said[1], said[tokens]


def whisper_cpp(folder, kind, seconds, tokens, threads):
    import _pywhispercpp as low
    from pywhispercpp.model import Model

    samples = sound(seconds)
    model = Model(str(folder / f"ggml-{kind}.bin"), n_threads=threads, print_progress=False, no_context=True,
                  redirect_whispercpp_logs_to=None, single_segment=True, language="en", temperature_inc=0.0,
                  no_timestamps=True, suppress_blank=False, greedy={"best_of": 1})  # fmt: skip
    said = {}

    def say(count):
        # It says one more than the most.
        model.transcribe(samples, max_tokens=count - 1)
        context = model._ctx
        said[count] = sum(low.whisper_full_n_tokens(context, part) for part in range(low.whisper_full_n_segments(context)))

    # None at most would be any number, so that a text of two is the shortest.
    two, every = best_ms(lambda: say(2)), best_ms(lambda: say(tokens))
    low.whisper_pcm_to_mel(model._ctx, samples, len(samples), threads)
    encoder = best_ms(lambda: low.whisper_encode(model._ctx, 0, threads))
    step = (every - two) / (said[tokens] - said[2])
    return two - step * (said[2] - 1), every, encoder, 1, said[tokens]


def measure(folder, engine, kind, seconds, tokens, threads):
    first, every, encoder, least, most = {"faster_whisper": faster_whisper, "whisper_cpp": whisper_cpp}[engine](
        Path(folder), kind, int(seconds), int(tokens), int(threads)
    )
    token = (every - first) / (most - least)
    print(json.dumps({"first_ms": first, "token_ms": token, "encoder_ms": encoder, "tokens": most,
                      "all_ms": every + token * (int(tokens) - most)}), flush=True)  # fmt: skip


if __name__ == "__main__":
    try:
        if sys.argv[1] == "make":
            make(Path(sys.argv[2]))
        else:
            measure(*sys.argv[2:8])
    except ImportError as error:
        sys.exit(f"skipped: {error}")
