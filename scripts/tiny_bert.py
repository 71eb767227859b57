#!/usr/bin/env python3
"""Makes tests/golden/tiny-bert, a BERT of the real architecture with random weights, for who changes the embedder.

Written: config.json, tokenizer.json, model.safetensors, model.onnx (plain operators, opset 17) and golden.json with the vectors that
transformers computes in f32 for a few texts. Needs: torch, transformers, onnx, tokenizers, numpy.
"""

import json
import pathlib

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "tiny-bert"
WORDS = "the a lamp light kitchen is on off warm cold door open what my name please turn in of and ##s ##ing ##er , . ?".split()
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
TEXTS = ["", "the lamp", "turn the kitchen light off, please.", "what is my name?", "doors opening", "zzz \u00fc\u4e2d 7",
         "the warm lamp is on and the door of the kitchen is open " * 4]


def tokenizer() -> Tokenizer:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = special + WORDS + [letter for letter in LETTERS if letter not in WORDS] + [f"##{letter}" for letter in LETTERS]
    found = Tokenizer(models.WordPiece({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    found.normalizer = normalizers.BertNormalizer(lowercase=True)
    found.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    found.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return found


class Graph:
    def __init__(self, tensors, config):
        self.tensors, self.config, self.nodes, self.constants = tensors, config, [], []

    def weight(self, name, transpose=False):
        value = self.tensors[name].numpy()
        return self.constant(name, value.T if transpose else value)

    def constant(self, name, value):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def linear(self, left, name, output):
        product = self.op("MatMul", [left, self.weight(f"{name}.weight", transpose=True)], f"{output}_product")
        return self.op("Add", [product, self.weight(f"{name}.bias")], output)

    def norm(self, left, right, name, output):
        total = self.op("Add", [left, right], f"{output}_sum")
        inputs = [total, self.weight(f"{name}.weight"), self.weight(f"{name}.bias")]
        return self.op("LayerNormalization", inputs, output, axis=-1, epsilon=self.config.layer_norm_eps)


def build(tensors, config) -> onnx.ModelProto:
    graph = Graph(tensors, config)
    words = graph.op("Gather", [graph.weight("embeddings.word_embeddings.weight"), "input_ids"], "words")
    types = graph.op("Gather", [graph.weight("embeddings.token_type_embeddings.weight"), "token_type_ids"], "types")
    first = graph.constant("first", np.array([0], np.int64))
    columns = graph.op("Shape", ["input_ids"], "columns", start=1, end=2)
    places = graph.op("Slice", [graph.weight("embeddings.position_embeddings.weight"), first, columns], "places")
    placed = graph.op("Add", [words, places], "placed")
    hidden = graph.norm(placed, types, "embeddings.LayerNorm", "embedded")
    mask = graph.op("Cast", ["attention_mask"], "mask_f32", to=TensorProto.FLOAT)
    mask = graph.op("Unsqueeze", [mask, graph.constant("axes", np.array([1, 2], np.int64))], "mask_wide")
    mask = graph.op("Sub", [graph.constant("one", np.float32(1)), mask], "mask_off")
    mask = graph.op("Mul", [mask, graph.constant("far", np.float32(-1e9))], "mask_far")
    heads = config.num_attention_heads
    split = graph.constant("split", np.array([0, 0, heads, config.hidden_size // heads], np.int64))
    joined = graph.constant("joined", np.array([0, 0, config.hidden_size], np.int64))
    scale = graph.constant("scale", np.float32((config.hidden_size // heads) ** -0.5))
    for index in range(config.num_hidden_layers):
        name, at = f"encoder.layer.{index}", f"l{index}"
        parts = {}
        for part, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
            rows = graph.linear(hidden, f"{name}.attention.self.{part}", f"{at}_{part}_rows")
            rows = graph.op("Reshape", [rows, split], f"{at}_{part}_split")
            parts[part] = graph.op("Transpose", [rows], f"{at}_{part}", perm=order)
        scores = graph.op("MatMul", [parts["query"], parts["key"]], f"{at}_scores")
        scores = graph.op("Add", [graph.op("Mul", [scores, scale], f"{at}_scaled"), mask], f"{at}_masked")
        shares = graph.op("Softmax", [scores], f"{at}_shares", axis=-1)
        context = graph.op("MatMul", [shares, parts["value"]], f"{at}_context")
        context = graph.op("Transpose", [context], f"{at}_turned", perm=[0, 2, 1, 3])
        context = graph.op("Reshape", [context, joined], f"{at}_joined")
        attended = graph.linear(context, f"{name}.attention.output.dense", f"{at}_attended")
        hidden = graph.norm(attended, hidden, f"{name}.attention.output.LayerNorm", f"{at}_middle")
        wide = graph.linear(hidden, f"{name}.intermediate.dense", f"{at}_wide")
        part = graph.op("Erf", [graph.op("Div", [wide, graph.constant(f"{at}_root", np.float32(2 ** 0.5))], f"{at}_div")], f"{at}_erf")
        part = graph.op("Add", [part, graph.constant(f"{at}_one", np.float32(1))], f"{at}_plus")
        part = graph.op("Mul", [graph.op("Mul", [wide, part], f"{at}_times"), graph.constant(f"{at}_half", np.float32(0.5))], f"{at}_gelu")
        last = index == config.num_hidden_layers - 1
        narrow = graph.linear(part, f"{name}.output.dense", f"{at}_narrow")
        hidden = graph.norm(narrow, hidden, f"{name}.output.LayerNorm", "last_hidden_state" if last else f"{at}_out")
    sizes = ["batch", "tokens"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, sizes)
              for name in ("input_ids", "attention_mask", "token_type_ids")]
    output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*sizes, config.hidden_size])
    body = helper.make_graph(graph.nodes, "tiny-bert", inputs, [output], graph.constants)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="kafclaw")


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    splitter = tokenizer()
    torch.manual_seed(7)
    # Weights ten times as large as fresh ones have: attention is sharp and the texts differ, as in a trained network.
    config = BertConfig(vocab_size=splitter.get_vocab_size(), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=64, max_position_embeddings=64, initializer_range=0.2)
    model = BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "bias" in name or "LayerNorm" in name:
                value.add_(torch.randn_like(value) * 0.1)
    tensors = {name: value.contiguous() for name, value in model.state_dict().items() if "position_ids" not in name}
    save_file(tensors, FOLDER / "model.safetensors")
    onnx.save(build(tensors, config), FOLDER / "model.onnx")
    splitter.save(str(FOLDER / "tokenizer.json"), pretty=False)
    keep = ("model_type hidden_size num_hidden_layers num_attention_heads intermediate_size max_position_embeddings "
            "hidden_act layer_norm_eps pad_token_id vocab_size type_vocab_size").split()
    (FOLDER / "config.json").write_text(json.dumps({key: config.to_dict()[key] for key in keep}, indent=1) + "\n")
    splitter.enable_truncation(config.max_position_embeddings)
    golden = []
    for text in TEXTS:
        ids = splitter.encode(text).ids
        with torch.no_grad():
            states = model(torch.tensor([ids])).last_hidden_state[0]
        vector = torch.nn.functional.normalize(states.mean(0), dim=0)
        golden.append({"text": text, "ids": ids, "vector": [round(value, 7) for value in vector.tolist()]})
    (FOLDER / "golden.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
