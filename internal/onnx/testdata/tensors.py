"""The line of JSON in which the Python oracle and the Go tests exchange models, inputs and
outputs."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

NUMERIC_TYPES = {
    "float32": "float",
    "float64": "double",
    "int32": "int32",
    "int64": "int64",
    "bool": "bool",
}


def encode_tensor(array: Array) -> dict[str, Any]:
    """A tensor as type, shape and little-endian bytes, or strings."""
    shape = list(array.shape)
    if array.dtype.kind in "OUST":
        return {"type": "string", "shape": shape, "strings": [str(s) for s in array.reshape(-1).tolist()]}
    if array.dtype.name not in NUMERIC_TYPES:
        raise TypeError(f"type {array.dtype} is not exchanged")
    data = np.ascontiguousarray(array).tobytes()
    return {"type": NUMERIC_TYPES[array.dtype.name], "shape": shape, "bytes": base64.b64encode(data).decode()}


def encode_case(
    name: str, inputs: dict[str, Array], outputs: dict[str, Array], model: bytes | None = None, **extra: Any
) -> str:
    """One evaluation: inputs, expected outputs and, unless it lies in a file beside, the model."""
    case: dict[str, Any] = {
        "name": name,
        "inputs": {key: encode_tensor(value) for key, value in inputs.items()},
        "outputs": {key: encode_tensor(value) for key, value in outputs.items()},
        **extra,
    }
    if model is not None:
        case["model"] = base64.b64encode(model).decode()
    return json.dumps(case, sort_keys=True)


def evaluate(model: bytes, inputs: dict[str, Array]) -> dict[str, Array]:
    """The outputs of ONNX Runtime, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))
