#!/usr/bin/env python3
"""Makes tests/golden/vad: a network with the ends of Silero VAD (versions 5 and 6) and one without, for who changes the loading.

The first takes what is loud for speech: with m the mean height of its input and s the first number of its state it answers
1 / (1 + exp(4 - 40 m - 20 s)), and its state becomes half of what it was, plus m. Needs the package `onnx`.
"""

import pathlib

import onnx
from onnx import TensorProto, helper

FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64


def constant(name, values, kind, shape=()):
    return helper.make_tensor(name, kind, shape, values)


def save(path, graph):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8, producer_name="kafclaw")
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def signature():
    node = helper.make_node
    nodes = [
        node("Abs", ["input"], ["heights"]),
        node("ReduceMean", ["heights"], ["mean"], axes=[1], keepdims=1),
        node("Slice", ["state", "zeros", "ones", "axes"], ["corner"]),
        node("Reshape", ["corner", "square"], ["first"]),
        node("Mul", ["mean", "forty"], ["loud"]),
        node("Mul", ["first", "twenty"], ["remembered"]),
        node("Add", ["loud", "remembered"], ["sum"]),
        node("Sub", ["sum", "four"], ["shifted"]),
        node("Sigmoid", ["shifted"], ["output"]),
        node("Mul", ["state", "half"], ["faded"]),
        node("Add", ["faded", "mean"], ["stateN"]),
        # The rate is taken and not needed.
        node("Identity", ["sr"], ["rate"]),
    ]
    constants = [
        constant("forty", [40.0], FLOAT),
        constant("twenty", [20.0], FLOAT),
        constant("four", [4.0], FLOAT),
        constant("half", [0.5], FLOAT),
        constant("zeros", [0, 0], INT, (2,)),
        constant("ones", [1, 1], INT, (2,)),
        constant("axes", [0, 2], INT, (2,)),
        constant("square", [-1, 1], INT, (2,)),
    ]
    value = helper.make_tensor_value_info
    inputs = [value("input", FLOAT, [None, None]), value("state", FLOAT, [2, None, 128]), value("sr", INT, [])]
    outputs = [value("output", FLOAT, [None, 1]), value("stateN", FLOAT, [None, None, None])]
    return helper.make_graph(nodes, "signature", inputs, outputs, constants)


def stranger():
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Abs", ["input"], ["output"])]
    return helper.make_graph(nodes, "stranger", [value("input", FLOAT, [1, 512])], [value("output", FLOAT, [1, 512])])


if __name__ == "__main__":
    folder = pathlib.Path(__file__).parent.parent / "tests/golden/vad"
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / "signature.onnx", signature())
    save(folder / "stranger.onnx", stranger())
