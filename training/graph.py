"""Towers as ONNX graphs, node by node: one-hot, scaling, the layers and the normalisation, all
inside.

Strings and floats in, each of shape [N, 1]; unit vectors out, of shape [N, 32]. Written with
onnx.helper and not by tracing, so that the file is the same bytes for the same weights and uses
only the operators that internal/onnx evaluates. Operators: https://onnx.ai/onnx/operators/ .
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from training.features import Encoder
from training.towers import DIMENSION, Tower

OPSET = 17
ML_OPSET = 3
# The file format of ONNX 1.12, the release of opset 17.
IR_VERSION = 8
OUTPUT = "embedding"


def export(name: str, encoder: Encoder, tower: Tower) -> ModelProto:
    """The graph of one tower; its inputs are the encoder's, texts first."""
    nodes: list[NodeProto] = []
    constants: list[TensorProto] = []
    parts: list[str] = []
    for text, categories in encoder.categories.items():
        nodes.append(
            helper.make_node(
                "OneHotEncoder",
                [text],
                [f"{text}_one_hot"],
                name=f"{text}_one_hot",
                domain="ai.onnx.ml",
                cats_strings=list(categories),
                zeros=1,
            )
        )
        # The encoder adds an axis: [N, 1] becomes [N, 1, categories].
        shape = numpy_helper.from_array(np.array([-1, len(categories)], np.int64), f"{text}_shape")
        constants.append(shape)
        nodes.append(
            helper.make_node("Reshape", [f"{text}_one_hot", shape.name], [f"{text}_row"], name=f"{text}_row")
        )
        parts.append(f"{text}_row")
    scaling = encoder.scaling
    nodes.append(helper.make_node("Concat", list(scaling), ["numbers"], name="numbers", axis=1))
    nodes.append(
        helper.make_node(
            "Scaler",
            ["numbers"],
            ["standardised"],
            name="standardised",
            domain="ai.onnx.ml",
            offset=[float(np.float32(each.mean)) for each in scaling.values()],
            scale=[float(np.float32(1 / each.deviation)) for each in scaling.values()],
        )
    )
    nodes.append(helper.make_node("Concat", [*parts, "standardised"], ["features"], name="features", axis=1))
    source = "features"
    for layer, linear in (("hidden", tower.hidden), ("output", tower.output)):
        for kind, values in (("weight", linear.weight), ("bias", linear.bias)):
            constants.append(numpy_helper.from_array(values.detach().numpy(), f"{layer}_{kind}"))
        nodes.append(
            helper.make_node(
                "Gemm", [source, f"{layer}_weight", f"{layer}_bias"], [layer], name=layer, transB=1
            )
        )
        source = layer
        if layer == "hidden":
            nodes.append(helper.make_node("Relu", ["hidden"], ["active"], name="active"))
            source = "active"
    nodes.append(helper.make_node("LpNormalization", ["output"], [OUTPUT], name=OUTPUT, p=2, axis=-1))
    inputs = [(text, TensorProto.STRING) for text in encoder.categories]
    inputs += [(number, TensorProto.FLOAT) for number in scaling]
    graph = helper.make_graph(
        nodes,
        f"{name}_tower",
        [helper.make_tensor_value_info(each, kind, ["N", 1]) for each, kind in inputs],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", DIMENSION])],
        constants,
    )
    model = helper.make_model(
        graph,
        producer_name="diecast",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
    )
    checker.check_model(model, full_check=True)
    return model
