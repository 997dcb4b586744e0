"""Writes cases.jsonl beside the models in brought/ that have none: what ONNX Runtime answers on
drawn inputs.

The models are as other people's tools wrote them, or their users changed them. Run it with the
engines' Python.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from tensors import Array, encode_case, evaluate

if TYPE_CHECKING:
    from numpy.random import Generator

ROWS = (1, 2, 7)
REFUSED = ("lightgbm", "torch_external")


def draw(value: onnx.ValueInfoProto, rows: int, rng: Generator) -> Array:
    """Numbers around 0 with some far away, texts of which some are known to the encoders."""
    tensor = value.type.tensor_type
    shape = [dim.dim_value if dim.dim_value > 0 else rows for dim in tensor.shape.dim]
    if tensor.elem_type == onnx.TensorProto.STRING:
        return rng.choice(np.array(["a", "b", "c", "unseen", ""], dtype=object), size=shape)
    dtype: Any = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if np.issubdtype(dtype, np.integer):
        return rng.integers(0, 3, size=shape).astype(dtype)
    return (rng.normal(0, 1, size=shape) * rng.choice([1, 1, 100], size=shape)).astype(dtype)


def main() -> None:
    for path in sorted(Path(__file__).parent.glob("brought/*/model.onnx")):
        cases = path.with_name("cases.jsonl")
        if cases.exists() or path.parent.name in REFUSED:
            continue
        model = path.read_bytes()
        graph = onnx.load(path).graph
        rng = np.random.default_rng(1)
        lines = []
        for rows in ROWS:
            inputs = {value.name: draw(value, rows, rng) for value in graph.input}
            name = f"{path.parent.name}, {rows} rows"
            lines.append(encode_case(name, inputs, evaluate(model, inputs), tolerance=1e-5))
        cases.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
