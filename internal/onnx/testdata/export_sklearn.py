"""Writes the models in testdata/sklearn with skl2onnx, and ONNX Runtime's answers beside them.

Run with the environment that `make setup` installs:  python export_sklearn.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pipelines import Pipeline, draw_inputs, make_pipelines
from tensors import encode_case, evaluate

FOLDER = Path(__file__).parent / "sklearn"
OPSETS = (13, 17, 21)
SEED = 7


def write(pipeline: Pipeline, opset: int) -> None:
    folder = FOLDER / f"{pipeline.name}_{opset}"
    folder.mkdir(parents=True, exist_ok=True)
    model = pipeline.convert(opset)
    (folder / "model.onnx").write_bytes(model)
    rng = np.random.default_rng(SEED + opset)
    lines = []
    for batch in (1, 2, 5):
        inputs = draw_inputs(pipeline.columns, batch, rng)
        lines.append(encode_case(f"batch of {batch}", inputs, evaluate(model, inputs)))
    (folder / "cases.jsonl").write_text("\n".join(lines) + "\n")
    print(folder.name, len(model))


def main() -> None:
    for opset in OPSETS:
        for pipeline in make_pipelines(SEED):
            write(pipeline, opset)


if __name__ == "__main__":
    main()
