"""The oracle that the Go tests question: ONNX's node tests, and ONNX Runtime on models drawn at
random.

Every line of the answer is a case as tensors.py writes it.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from pipelines import draw_inputs, make_pipelines
from tensors import Array, encode_case, evaluate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.random import Generator

# MinOpset to MaxOpset of limits.go.
OPSETS = range(7, 29)
# The version of the file format that the newest of them came with.
IR_VERSION = 14

# The newest opset that ONNX Runtime evaluates.
RUNTIME_OPSET = 26

# Relative and absolute: the expected values are numpy's, in the tensor's own type.
NODE_TOLERANCE = 1e-5

# Inputs that decide a shape or whether a request can fail: node tests feed them, we want constants.
SETTLED = {
    "ConstantOfShape": (0,),
    "Div": (1,),
    "Dropout": (1, 2),
    "Expand": (1,),
    "ReduceL1": (1,),
    "ReduceL2": (1,),
    "ReduceMax": (1,),
    "ReduceMean": (1,),
    "ReduceMin": (1,),
    "ReduceSum": (1,),
    "ReduceSumSquare": (1,),
    "Reshape": (1,),
    "Slice": (1, 2, 3, 4),
    "Squeeze": (1,),
    "Unsqueeze": (1,),
}


def settle(model: onnx.ModelProto, inputs: dict[str, Array]) -> None:
    """Turns the inputs that must be known at load into initializers, with the test's values."""
    names = {
        node.input[i]
        for node in model.graph.node
        for i in SETTLED.get(node.op_type, ())
        if i < len(node.input) and node.input[i] in inputs
    }
    for name in sorted(names):
        model.graph.initializer.append(numpy_helper.from_array(inputs.pop(name), name))
    kept = [value for value in model.graph.input if value.name not in names]
    del model.graph.input[:]
    model.graph.input.extend(kept)


def valid(model: onnx.ModelProto) -> bool:
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return False
    return True


def unknown_types(model: onnx.ModelProto, inputs: dict[str, Array], outputs: dict[str, Array]) -> bool:
    """Whether a value has a type that is not exchanged, or none at all (an omitted optional, a
    sequence)."""
    for value in [*inputs.values(), *outputs.values()]:
        if not isinstance(value, np.ndarray):
            return True
        if value.dtype.kind not in "OUST" and value.dtype.name not in (
            "float32",
            "float64",
            "int32",
            "int64",
            "bool",
        ):
            return True
    return False


def named(values: Iterable[onnx.ValueInfoProto], data: Iterable[Any]) -> dict[str, Any]:
    """The test's data by name, its numpy scalars and tensor messages as arrays."""

    def array(item: Any) -> Any:
        if isinstance(item, onnx.TensorProto):
            return numpy_helper.to_array(item)
        return np.asarray(item) if isinstance(item, np.generic) else item

    return {value.name: array(item) for value, item in zip(values, data, strict=False)}


def node_cases(operators: set[str]) -> Iterator[str]:
    """The ONNX project's node tests of the listed operators, in every supported opset that allows
    them."""
    from onnx.backend.test.case.node import collect_testcases

    for case in collect_testcases():
        model = case.model
        if model is None or not case.data_sets:
            continue
        used = {f"{node.domain}.{node.op_type}".lstrip(".") for node in model.graph.node}
        if not used <= operators:
            continue
        versions = {imported.domain: imported for imported in model.opset_import}
        found = False
        for opset in OPSETS if "" in versions else (0,):
            copy = onnx.ModelProto()
            copy.CopyFrom(model)
            copy.ir_version = IR_VERSION
            for imported in copy.opset_import:
                if imported.domain == "":
                    imported.version = opset
            if not valid(copy):
                continue
            found = True
            for given, expected in case.data_sets:
                inputs = named(model.graph.input, given)
                outputs = named(model.graph.output, expected)
                name = f"{case.name}/opset {opset}"
                if unknown_types(copy, inputs, outputs):
                    yield encode_case(name, {}, {}, copy.SerializeToString(), unknown_type=True)
                    continue
                settle(copy, inputs)
                yield encode_case(name, inputs, outputs, copy.SerializeToString(), tolerance=NODE_TOLERANCE)
        if not found:
            yield encode_case(case.name, {}, {}, model.SerializeToString(), invalid=True)


def value(name: str, array: Array, batch: bool = False) -> onnx.ValueInfoProto:
    kind = TensorProto.STRING if array.dtype == object else helper.np_dtype_to_tensor_dtype(array.dtype)
    shape: list[Any] = list(array.shape)
    if batch:
        shape[0] = "batch"
    return helper.make_tensor_value_info(name, kind, shape)


def build(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[tuple[str, int]],
    initializers: list[onnx.TensorProto],
    opset: int,
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "drawn",
        inputs,
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs],
        initializers,
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString())


def draw_tower(rng: Generator) -> tuple[bytes, dict[str, Array]]:
    """A tower: one-hot texts, standardised numbers, two layers, unit length in one of three
    spellings."""
    opset = int(rng.integers(7, RUNTIME_OPSET + 1))
    batch = int(rng.integers(1, 9))
    nodes, inputs, parts, initializers = [], [], [], []
    given: dict[str, Array] = {}
    width = 0

    def weights(name: str, array: Array) -> str:
        initializers.append(numpy_helper.from_array(array.astype(np.float32), name))
        return name

    for i in range(rng.integers(1, 4)):
        known = [f"word {j}" for j in range(rng.integers(1, 30))]
        name = f"text{i}"
        given[name] = rng.choice([*known, "unknown", ""], size=(batch, 1)).astype(object)
        nodes.append(
            helper.make_node("OneHotEncoder", [name], [f"{name}_3"], domain="ai.onnx.ml", cats_strings=known)
        )
        initializers.append(numpy_helper.from_array(np.array([-1, len(known)]), f"{name}_shape"))
        nodes.append(helper.make_node("Reshape", [f"{name}_3", f"{name}_shape"], [f"{name}_hot"]))
        parts.append(f"{name}_hot")
        width += len(known)
    for i in range(rng.integers(0, 3)):
        name = f"number{i}"
        given[name] = rng.normal(100, 50, size=(batch, 1)).astype(np.float32)
        if rng.random() < 0.5:
            nodes.append(
                helper.make_node(
                    "Scaler", [name], [f"{name}_scaled"], domain="ai.onnx.ml", offset=[99.5], scale=[0.02]
                )
            )
        else:
            mean, deviation = (
                weights(f"{name}_mean", np.array([98.0])),
                weights(f"{name}_std", np.array([47.0])),
            )
            nodes.append(helper.make_node("Sub", [name, mean], [f"{name}_centred"]))
            nodes.append(helper.make_node("Div", [f"{name}_centred", deviation], [f"{name}_scaled"]))
        parts.append(f"{name}_scaled")
        width += 1
    inputs = [value(name, array, batch=True) for name, array in given.items()]
    nodes.append(helper.make_node("Concat", parts, ["x"], axis=1))
    hidden, size = int(rng.integers(1, 70)), int(rng.integers(1, 40))
    transposed = int(rng.integers(0, 2))
    first = rng.normal(size=(hidden, width) if transposed else (width, hidden))
    nodes.append(
        helper.make_node(
            "Gemm",
            ["x", weights("w1", first), weights("b1", rng.normal(size=hidden))],
            ["h"],
            transB=transposed,
        )
    )
    activation = str(rng.choice(["Relu", "Tanh", "Sigmoid", "LeakyRelu", "Elu"]))
    nodes.append(helper.make_node(activation, ["h"], ["a"]))
    nodes.append(helper.make_node("MatMul", ["a", weights("w2", rng.normal(size=(hidden, size)))], ["m"]))
    nodes.append(helper.make_node("Add", ["m", weights("b2", rng.normal(size=size))], ["y"]))
    match int(rng.integers(0, 3)):
        case 0:
            nodes.append(helper.make_node("LpNormalization", ["y"], ["embedding"], p=2, axis=-1))
        case 1:
            nodes.append(helper.make_node("Normalizer", ["y"], ["embedding"], domain="ai.onnx.ml", norm="L2"))
        case _:
            if opset < 18:
                nodes.append(helper.make_node("ReduceL2", ["y"], ["n"], axes=[-1], keepdims=1))
            else:
                initializers.append(numpy_helper.from_array(np.array([-1]), "axes"))
                nodes.append(helper.make_node("ReduceL2", ["y", "axes"], ["n"], keepdims=1))
            if opset < 8 or (opset < 11 and rng.random() < 0.5):
                nodes.append(helper.make_node("Clip", ["n"], ["f"], min=1e-12))
            else:
                floor = weights("floor", np.array(1e-12))
                bound = "Max" if opset < 11 or rng.random() < 0.5 else "Clip"
                nodes.append(helper.make_node(bound, ["n", floor], ["f"]))
            nodes.append(helper.make_node("Div", ["y", "f"], ["embedding"]))
    return build(nodes, inputs, [("embedding", TensorProto.FLOAT)], initializers, opset), given


def draw_shape(rng: Generator, least: int = 0, most: int = 4) -> list[int]:
    return [int(n) for n in rng.integers(1, 5, size=rng.integers(least, most + 1))]


def narrowed(shape: list[int], rng: Generator) -> list[int]:
    """A shape that broadcasts to the given one."""
    kept = [1 if rng.random() < 0.3 else n for n in shape]
    return kept[int(rng.integers(0, len(kept) + 1)) :]


def draw_array(shape: list[int], dtype: Any, rng: Generator) -> Array:
    if dtype is bool:
        return rng.random(size=shape) < 0.5
    if np.issubdtype(dtype, np.integer):
        return rng.integers(-6, 7, size=shape).astype(dtype)
    array = rng.normal(0, 3, size=shape).astype(dtype)
    if array.size and rng.random() < 0.1:
        array.reshape(-1)[rng.integers(0, array.size)] = rng.choice([0.0, 1e30, -1e30, 1e-30])
    return array


def draw_node(rng: Generator) -> tuple[bytes, dict[str, Array]]:
    """One node of a kind that exporters use, with random attributes, shapes and broadcasting."""
    opset = int(rng.integers(18, RUNTIME_OPSET + 1))
    given: dict[str, Array] = {}
    constants: list[onnx.TensorProto] = []
    attributes: dict[str, Any] = {}
    inputs: list[str] = []
    kind: int = TensorProto.FLOAT
    shape = draw_shape(rng)

    def give(array: Array) -> None:
        name = f"x{len(inputs)}"
        given[name] = np.asarray(array)
        inputs.append(name)

    def settle_integers(values: list[int]) -> None:
        name = f"x{len(inputs)}"
        constants.append(numpy_helper.from_array(np.array(values, dtype=np.int64), name))
        inputs.append(name)

    dtype: Any = rng.choice([np.float32, np.float64, np.int32, np.int64])
    operator = str(
        rng.choice(
            [
                "Add",
                "Sub",
                "Mul",
                "Div",
                "Max",
                "Min",
                "Pow",
                "Where",
                "Equal",
                "Greater",
                "LessOrEqual",
                "And",
                "Gemm",
                "MatMul",
                "ReduceSum",
                "ReduceMean",
                "ReduceL1",
                "ReduceL2",
                "ReduceMax",
                "ReduceMin",
                "ReduceSumSquare",
                "ArgMax",
                "Softmax",
                "LogSoftmax",
                "LpNormalization",
                "LayerNormalization",
                "BatchNormalization",
                "Transpose",
                "Slice",
                "Concat",
                "Gather",
                "Expand",
                "Cast",
                "Clip",
                "Flatten",
                "Squeeze",
                "Unsqueeze",
                "Reshape",
                "Gelu",
                "Erf",
                "Shape",
                "Abs",
                "Neg",
                "Sqrt",
                "Exp",
                "Log",
                "Reciprocal",
                "Tanh",
                "Sigmoid",
                "Relu",
            ]
        )
    )
    match operator:
        case "Add" | "Sub" | "Mul" | "Equal" | "Greater" | "LessOrEqual":
            give(draw_array(narrowed(shape, rng), dtype, rng))
            give(draw_array(shape, dtype, rng))
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
            if operator in ("Equal", "Greater", "LessOrEqual"):
                kind = TensorProto.BOOL
        case "Div":
            give(draw_array(shape, np.float32, rng))
            give(draw_array(narrowed(shape, rng), np.float32, rng))
        case "Pow":
            give(np.abs(draw_array(shape, np.float32, rng)) % 20)
            give(draw_array(narrowed(shape, rng), rng.choice([np.float32, np.int64]), rng) % 4)
        case "Max" | "Min":
            for _ in range(rng.integers(1, 4)):
                give(draw_array(narrowed(shape, rng), np.float32, rng))
        case "And":
            give(draw_array(shape, bool, rng))
            give(draw_array(narrowed(shape, rng), bool, rng))
            kind = TensorProto.BOOL
        case "Where":
            give(draw_array(narrowed(shape, rng), bool, rng))
            give(draw_array(narrowed(shape, rng), np.float32, rng))
            give(draw_array(shape, np.float32, rng))
        case "Gemm":
            m, k, n = (int(v) for v in rng.integers(1, 7, size=3))
            attributes = {
                "transA": int(rng.integers(0, 2)),
                "transB": int(rng.integers(0, 2)),
                "alpha": float(rng.normal()),
                "beta": float(rng.normal()),
            }
            give(draw_array([k, m] if attributes["transA"] else [m, k], np.float32, rng))
            give(draw_array([n, k] if attributes["transB"] else [k, n], np.float32, rng))
            if rng.random() < 0.7:
                give(draw_array(narrowed([m, n], rng), np.float32, rng))
        case "MatMul":
            m, k, n = (int(v) for v in rng.integers(1, 6, size=3))
            stack = draw_shape(rng, 0, 2)
            left, right = narrowed(stack, rng), stack
            if rng.random() < 0.5:
                left, right = right, left
            give(draw_array([k] if rng.random() < 0.15 else [*left, m, k], np.float32, rng))
            give(draw_array([k] if rng.random() < 0.15 else [*right, k, n], np.float32, rng))
        case (
            "ReduceSum"
            | "ReduceMean"
            | "ReduceL1"
            | "ReduceL2"
            | "ReduceMax"
            | "ReduceMin"
            | "ReduceSumSquare"
        ):
            shape = draw_shape(rng, 1)
            give(draw_array(shape, np.float32, rng))
            axes = [int(a) for a in rng.permutation(len(shape))[: rng.integers(0, len(shape) + 1)]]
            settle_integers([a - len(shape) if rng.random() < 0.5 else a for a in axes])
            attributes = {"keepdims": int(rng.integers(0, 2))}
        case "ArgMax":
            shape = draw_shape(rng, 1)
            give(draw_array(shape, np.float32, rng))
            attributes = {
                "axis": int(rng.integers(-len(shape), len(shape))),
                "keepdims": int(rng.integers(0, 2)),
                "select_last_index": int(rng.integers(0, 2)),
            }
            kind = TensorProto.INT64
        case "Softmax" | "LogSoftmax" | "LpNormalization":
            shape = draw_shape(rng, 1)
            give(rng.normal(0, 3, size=shape).astype(np.float32))
            attributes = {"axis": int(rng.integers(-len(shape), len(shape)))}
            if operator == "LpNormalization":
                attributes["p"] = int(rng.integers(1, 3))
        case "LayerNormalization":
            shape = draw_shape(rng, 1)
            axis = int(rng.integers(0, len(shape)))
            give(rng.normal(0, 3, size=shape).astype(np.float32))
            give(rng.normal(size=shape[axis:]).astype(np.float32))
            if rng.random() < 0.5:
                give(rng.normal(size=shape[axis:]).astype(np.float32))
            attributes = {"axis": axis - (len(shape) if rng.random() < 0.5 else 0), "epsilon": 0.01}
        case "BatchNormalization":
            shape = draw_shape(rng, 2)
            give(rng.normal(0, 3, size=shape).astype(np.float32))
            for _ in range(3):
                give(rng.normal(size=shape[1]).astype(np.float32))
            give(rng.random(size=shape[1]).astype(np.float32))
            attributes = {"epsilon": 0.01}
        case "Transpose":
            shape = draw_shape(rng, 1)
            give(draw_array(shape, np.float32, rng))
            attributes = {"perm": [int(a) for a in rng.permutation(len(shape))]}
        case "Slice":
            shape = draw_shape(rng, 1)
            give(draw_array(shape, np.float32, rng))
            axes = [int(a) for a in rng.permutation(len(shape))[: rng.integers(1, len(shape) + 1)]]
            settle_integers([int(v) for v in rng.integers(-6, 7, size=len(axes))])
            steps = [int(v) for v in rng.choice([-3, -2, -1, 1, 2, 3], size=len(axes))]
            # The specification's "to the end" is the greatest integer forwards and the least one
            # backwards.
            ends = [-(2**63) if step < 0 else 2**63 - 1 for step in steps]
            settle_integers([end if rng.random() < 0.3 else int(rng.integers(-6, 7)) for end in ends])
            settle_integers(axes)
            settle_integers(steps)
        case "Concat":
            shape = draw_shape(rng, 1)
            axis = int(rng.integers(0, len(shape)))
            for _ in range(rng.integers(1, 4)):
                give(
                    draw_array(
                        [int(rng.integers(1, 4)) if a == axis else n for a, n in enumerate(shape)],
                        np.float32,
                        rng,
                    )
                )
            attributes = {"axis": axis - (len(shape) if rng.random() < 0.5 else 0)}
        case "Gather":
            shape = draw_shape(rng, 1)
            axis = int(rng.integers(0, len(shape)))
            give(draw_array(shape, np.float32, rng))
            give(rng.integers(-shape[axis], shape[axis], size=draw_shape(rng, 0, 2)))
            attributes = {"axis": axis}
        case "Expand":
            give(draw_array(narrowed(shape, rng), np.float32, rng))
            settle_integers(shape)
        case "Reshape":
            give(draw_array(shape, np.float32, rng))
            target = [int(n) for n in rng.permutation(shape)]
            if target and rng.random() < 0.5:
                target[int(rng.integers(0, len(target)))] = -1
            settle_integers(target)
        case "Cast":
            give(
                np.trunc(rng.normal(0, 3, size=shape) * 10).astype(dtype)
                if dtype not in (np.int32, np.int64)
                else draw_array(shape, dtype, rng)
            )
            kind = int(
                rng.choice(
                    [
                        TensorProto.FLOAT,
                        TensorProto.DOUBLE,
                        TensorProto.INT32,
                        TensorProto.INT64,
                        TensorProto.BOOL,
                    ]
                )
            )
            attributes = {"to": kind}
        case "Clip":
            give(draw_array(shape, np.float32, rng))
            give(np.array(-1.5, dtype=np.float32))
            if rng.random() < 0.5:
                give(np.array(2.0, dtype=np.float32))
        case "Flatten":
            give(draw_array(shape, np.float32, rng))
            attributes = {"axis": int(rng.integers(-len(shape), len(shape) + 1))}
        case "Squeeze":
            give(draw_array(shape, np.float32, rng))
            settle_integers([a for a, n in enumerate(shape) if n == 1])
        case "Unsqueeze":
            give(draw_array(shape, np.float32, rng))
            settle_integers([int(a) for a in rng.permutation(len(shape) + 2)[:2]])
        case "Shape":
            give(draw_array(shape, np.float32, rng))
            attributes = {"start": int(rng.integers(-5, 5)), "end": int(rng.integers(-5, 5))}
            kind = TensorProto.INT64
        case "Gelu":
            opset = int(rng.integers(20, RUNTIME_OPSET + 1))
            give(draw_array(shape, np.float32, rng))
            attributes = {"approximate": str(rng.choice(["none", "tanh"]))}
        case "Sqrt" | "Log":
            give(np.abs(draw_array(shape, np.float32, rng)))
        case _:
            give(draw_array(shape, np.float32, rng))
    node = helper.make_node(operator, inputs, ["y"], **attributes)
    return build(
        [node], [value(name, array) for name, array in given.items()], [("y", kind)], constants, opset
    ), given


def draw_old_node(rng: Generator) -> tuple[bytes, dict[str, Array]]:
    """One node in a form that later opsets changed: what is an input there is an attribute here."""
    operator, opset = rng.choice(
        np.array(
            [
                ("Clip", 10),
                ("Squeeze", 12),
                ("Unsqueeze", 12),
                ("Slice", 9),
                ("Dropout", 11),
                ("BatchNormalization", 8),
                ("BatchNormalization", 13),
                ("ReduceSum", 12),
                ("ReduceMean", 17),
                ("ReduceL2", 17),
                ("ReduceMax", 17),
                ("ArgMax", 11),
                ("Max", 11),
                ("Gemm", 8),
                ("Pow", 11),
                ("Reshape", 12),
                ("Concat", 10),
                ("Gather", 10),
                ("Flatten", 8),
            ],
            dtype=object,
        )
    )
    opset = int(rng.integers(7, opset + 1))
    shape = draw_shape(rng, 1)
    x = draw_array(shape, np.float32, rng)
    given: dict[str, Array] = {"x0": x}
    constants: list[onnx.TensorProto] = []
    attributes: dict[str, Any] = {}
    kind: int = TensorProto.FLOAT
    axes = sorted(int(a) for a in rng.permutation(len(shape))[: rng.integers(1, len(shape) + 1)])
    match operator:
        case "Clip":
            attributes = {"min": -1.5, "max": 2.0}
            attributes = dict(list(attributes.items())[int(rng.integers(0, 2)) :])
        case "Squeeze":
            given["x0"] = x.reshape([1, *shape, 1])
            attributes = {"axes": [0, len(shape) + 1]} if rng.random() < 0.7 else {"axes": [0]}
        case "Unsqueeze":
            attributes = {"axes": sorted(int(a) for a in rng.permutation(len(shape) + 2)[:2])}
        case "Slice":
            attributes = {
                "starts": [int(v) for v in rng.integers(-3, 2, size=len(axes))],
                "ends": [int(rng.choice([2**31 - 1, 2**63 - 1, -1, 3])) for _ in axes],
                "axes": axes,
            }
        case "Dropout":
            attributes = {"ratio": 0.3}
        case "BatchNormalization":
            given["x0"] = draw_array([2, 3, 2], np.float32, rng)
            given |= {f"x{i}": rng.normal(size=3).astype(np.float32) for i in (1, 2, 3)}
            given["x4"] = rng.random(size=3).astype(np.float32)
            attributes = {"epsilon": 0.01} | ({"spatial": 1} if opset < 9 and rng.random() < 0.5 else {})
        case "ReduceSum" | "ReduceMean" | "ReduceL2" | "ReduceMax":
            attributes = {"keepdims": int(rng.integers(0, 2))} | (
                {"axes": axes} if rng.random() < 0.8 else {}
            )
        case "ArgMax":
            attributes, kind = {"axis": int(rng.integers(0, len(shape)))}, TensorProto.INT64
        case "Max":
            given["x1"] = draw_array(shape if opset < 8 else narrowed(shape, rng), np.float32, rng)
        case "Gemm":
            given = {
                "x0": draw_array([2, 3], np.float32, rng),
                "x1": draw_array([3, 4], np.float32, rng),
                "x2": draw_array([4], np.float32, rng),
            }
        case "Pow":
            given = {"x0": np.abs(x) % 20, "x1": draw_array(narrowed(shape, rng), np.float32, rng) % 4}
        case "Reshape":
            constants.append(numpy_helper.from_array(np.array([0, -1]), "x1"))
        case "Concat":
            given["x1"] = draw_array(shape, np.float32, rng)
            attributes = {"axis": int(rng.integers(0, len(shape)))}
        case "Gather":
            given["x1"] = rng.integers(0, shape[0], size=3)
        case "Flatten":
            attributes = {"axis": int(rng.integers(0, len(shape) + 1))}
    given = {name: np.asarray(array) for name, array in given.items()}
    names = [*given, *(constant.name for constant in constants)]
    node = helper.make_node(operator, names, ["y"], **attributes)
    inputs = [value(name, array) for name, array in given.items()]
    return build([node], inputs, [("y", kind)], constants, opset), given


def draw_scaler(rng: Generator) -> tuple[bytes, dict[str, Array]]:
    """Scaler of each type of number, with offsets that hide the values' differences in float32."""
    dtype: Any = rng.choice([np.float32, np.float64, np.int32, np.int64])
    columns = int(rng.integers(1, 4))
    offset = rng.choice([0.5, 1234.5, 1.7e9, 2.0**24], size=columns).astype(np.float32)
    x = (offset.astype(np.float64) + rng.normal(0, 40, size=(5, columns))).astype(dtype)
    node = helper.make_node(
        "Scaler",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        offset=offset.tolist(),
        scale=rng.normal(0, 0.1, size=columns).astype(np.float32).tolist(),
    )
    return build([node], [value("x", x, batch=True)], [("y", TensorProto.FLOAT)], [], 17), {"x": x}


def random_cases(seed: int, count: int) -> Iterator[str]:
    """Towers and nodes drawn from the seed, then one set of fitted pipelines, with ONNX Runtime's
    answers."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        draw = (
            draw_tower,
            draw_node,
            draw_old_node,
            draw_node,
            draw_tower,
            draw_node,
            draw_old_node,
            draw_scaler,
        )[i % 8]
        model, inputs = draw(rng)
        yield encode_case(f"seed {seed}, model {i}", inputs, evaluate(model, inputs), model, tolerance=2e-5)
    for pipeline in make_pipelines(seed):
        model = pipeline.convert(int(rng.integers(11, 23)))
        inputs = draw_inputs(pipeline.columns, int(rng.integers(1, 20)), rng)
        yield encode_case(
            f"seed {seed}, {pipeline.name}", inputs, evaluate(model, inputs), model, tolerance=1e-4
        )


def changes() -> dict[str, Any]:
    """Each operator's versions, and the newest opset of each domain, as the ONNX project defines
    them."""
    versions: dict[str, set[int]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain in ("", "ai.onnx.ml"):
            versions.setdefault(f"{schema.domain}.{schema.name}".lstrip("."), set()).add(schema.since_version)
    newest = helper.VERSION_TABLE[-1]
    return {
        "ir_version": newest[1],
        "opset": newest[2],
        "ml_opset": newest[3],
        "operators": {name: sorted(found) for name, found in versions.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("changes", help="the versions in which the specification changed each operator")
    commands.add_parser("node", help="node tests of the operators that a JSON list on standard input names")
    drawn = commands.add_parser("random", help="models drawn at random")
    drawn.add_argument("--seed", type=int, required=True)
    drawn.add_argument("--count", type=int, required=True)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.ERROR)
    np.seterr(all="ignore")
    if arguments.command == "changes":
        print(json.dumps(changes()))
        return
    if arguments.command == "node":
        cases = node_cases(set(json.load(sys.stdin)))
    else:
        cases = random_cases(arguments.seed, arguments.count)
    for case in cases:
        print(case)


if __name__ == "__main__":
    main()
