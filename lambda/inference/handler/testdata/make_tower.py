"""Write user_tower.onnx and golden.json: a tiny tower of the contract's form, for tests.

Run it with the engines' Python: it needs onnx, onnxruntime and numpy.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

DIMENSION = 32
USERS: list[tuple[str, str, float]] = [
    ("nantes", "france", 21000.0),
    ("las vegas", "usa", 71800.0),
    ("unknown", "nowhere", 0.0),
]


def encoder(name: str, values: list[str]) -> list[onnx.NodeProto]:
    """Encode a category as one-hot columns, and an unknown one as zeros."""
    return [
        helper.make_node(
            "OneHotEncoder",
            [name],
            [f"{name}_hot"],
            domain="ai.onnx.ml",
            cats_strings=values,
            zeros=1,
        ),
        helper.make_node("Reshape", [f"{name}_hot", "columns"], [f"{name}_columns"]),
    ]


def tower() -> onnx.ModelProto:
    """Build a linear layer over two categories and the scaled credit limit, of unit length."""
    random = np.random.default_rng(7)
    weights = {
        "scale": np.array([1e-5], dtype=np.float32),
        "weight": random.normal(size=(5, DIMENSION)).astype(np.float32),
        "columns": np.array([-1, 2], dtype=np.int64),
        "bias": random.normal(size=DIMENSION).astype(np.float32),
    }
    nodes = [
        *encoder("city", ["nantes", "las vegas"]),
        *encoder("country", ["france", "usa"]),
        helper.make_node("Mul", ["credit_limit", "scale"], ["credit"]),
        helper.make_node("Concat", ["city_columns", "country_columns", "credit"], ["features"], axis=1),
        helper.make_node("MatMul", ["features", "weight"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["sum"]),
        helper.make_node("LpNormalization", ["sum"], ["embedding"], axis=1, p=2),
    ]
    text, number = TensorProto.STRING, TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "user_tower",
        [
            helper.make_tensor_value_info(name, kind, ["batch", 1])
            for name, kind in (("city", text), ("country", text), ("credit_limit", number))
        ],
        [helper.make_tensor_value_info("embedding", number, ["batch", DIMENSION])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    return model


def main() -> None:
    """Write both files beside this one."""
    folder = Path(__file__).parent
    model = tower()
    (folder / "user_tower.onnx").write_bytes(model.SerializeToString())
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = session.run(
        ["embedding"],
        {
            "city": np.array([[user[0]] for user in USERS], dtype=object),
            "country": np.array([[user[1]] for user in USERS], dtype=object),
            "credit_limit": np.array([[user[2]] for user in USERS], dtype=np.float32),
        },
    )[0]
    golden = [
        {
            "input": {"city": city, "country": country, "credit_limit": limit},
            "output": [float(value) for value in output],
        }
        for (city, country, limit), output in zip(USERS, outputs, strict=True)
    ]
    (folder / "golden.json").write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
