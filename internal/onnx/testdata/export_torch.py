"""Writes the models in testdata/torch with PyTorch's two exporters, and ONNX Runtime's answers
beside them.

Run with the trainer's environment plus onnxscript 0.7.2:  python export_torch.py
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from tensors import Array, encode_case, evaluate
from torch import Tensor, nn
from torch.nn import functional

FOLDER = Path(__file__).parent / "torch"
BATCHES = (1, 2, 5)


class Tower(nn.Module):
    """Linear layers with an activation between, then unit length."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(7, 12), activation, nn.Linear(12, 8))

    def forward(self, features: Tensor) -> Tensor:
        return functional.normalize(self.layers(features), dim=-1)


class Normalised(nn.Module):
    """Layer normalisation, batch normalisation and dropout, as inference sees them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(7, 12),
            nn.LayerNorm(12),
            nn.GELU(),
            nn.Dropout(0.5),
            nn.Linear(12, 10),
            nn.BatchNorm1d(10),
            nn.ReLU(),
            nn.Linear(10, 8),
        )
        with torch.no_grad():
            self.layers[5].running_mean.uniform_(-1, 1)
            self.layers[5].running_var.uniform_(0.5, 2)

    def forward(self, features: Tensor) -> Tensor:
        return functional.normalize(self.layers(features), p=2.0, dim=1)


class TwoTower(nn.Module):
    """Embedding tables and numbers, concatenated, per side; the score is the inner product."""

    def __init__(self) -> None:
        super().__init__()
        self.city = nn.Embedding(11, 4)
        self.line = nn.Embedding(5, 3)
        self.user = nn.Sequential(nn.Linear(5, 9), nn.LeakyReLU(0.1), nn.Linear(9, 6))
        self.item = nn.Sequential(nn.Linear(5, 9), nn.ELU(), nn.Linear(9, 6))

    def forward(
        self, city: Tensor, credit: Tensor, line: Tensor, prices: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        user = functional.normalize(self.user(torch.cat([self.city(city), credit], dim=1)))
        item = functional.normalize(self.item(torch.cat([self.line(line), prices], dim=1)))
        return user, item, torch.sigmoid((user * item).sum(dim=1, keepdim=True) * 5)


class Attention(nn.Module):
    """A weighted mean over a fixed history: softmax, matrix products of stacks, transposition,
    reshaping."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(13, 6)
        self.weight = nn.Linear(6, 1)
        self.out = nn.Linear(12, 4)

    def forward(self, history: Tensor) -> Tensor:
        vectors = self.embed(history)
        weights = torch.softmax(self.weight(vectors), dim=1)
        mean = (vectors.transpose(1, 2) @ weights).squeeze(-1)
        both = torch.cat([mean, vectors.max(dim=1).values], dim=-1)
        return self.out(both.view(both.shape[0], -1)).clamp(-2.0, 2.0)


def features(batch: int) -> tuple[Tensor, ...]:
    return (torch.randn(batch, 7),)


def pairs(batch: int) -> tuple[Tensor, ...]:
    return (
        torch.randint(0, 11, (batch,)),
        torch.randn(batch, 1),
        torch.randint(0, 5, (batch,)),
        torch.randn(batch, 2),
    )


def histories(batch: int) -> tuple[Tensor, ...]:
    return (torch.randint(0, 13, (batch, 5)),)


MODULES = {
    "relu": (lambda: Tower(nn.ReLU()), features, ["features"], ["embedding"]),
    "gelu": (lambda: Tower(nn.GELU()), features, ["features"], ["embedding"]),
    "gelu_tanh": (lambda: Tower(nn.GELU(approximate="tanh")), features, ["features"], ["embedding"]),
    "leaky_relu": (lambda: Tower(nn.LeakyReLU(0.2)), features, ["features"], ["embedding"]),
    "elu": (lambda: Tower(nn.ELU(0.7)), features, ["features"], ["embedding"]),
    "tanh": (lambda: Tower(nn.Tanh()), features, ["features"], ["embedding"]),
    "sigmoid": (lambda: Tower(nn.Sigmoid()), features, ["features"], ["embedding"]),
    "silu": (lambda: Tower(nn.SiLU()), features, ["features"], ["embedding"]),
    "normalised": (Normalised, features, ["features"], ["embedding"]),
    "two_tower": (TwoTower, pairs, ["city", "credit", "line", "prices"], ["user", "item", "score"]),
    "attention": (Attention, histories, ["history"], ["vector"]),
}

# The exporter by name: TorchScript and torch.export ("dynamo"), each over the opsets it can write.
EXPORTS = [("torchscript", 13), ("torchscript", 17), ("torchscript", 20), ("dynamo", 18), ("dynamo", 21)]


def export(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    exporter: str,
    opset: int,
    path: Path,
) -> None:
    """Exports with a free batch."""
    if exporter == "torchscript":
        torch.onnx.export(
            module,
            example,
            str(path),
            input_names=inputs,
            output_names=outputs,
            opset_version=opset,
            dynamo=False,
            dynamic_axes={name: {0: "batch"} for name in inputs + outputs},
        )
        return
    batch = torch.export.Dim("batch", min=1, max=4096)
    torch.onnx.export(
        module,
        example,
        str(path),
        input_names=inputs,
        output_names=outputs,
        opset_version=opset,
        dynamo=True,
        dynamic_shapes=tuple({0: batch} for _ in inputs),
        external_data=False,
        verbose=False,
    )


def without_traces(model: bytes) -> bytes:
    """The model without metadata: the exporter notes Python stack traces there, with the machine's
    paths."""
    loaded = onnx.load_from_string(model)
    graph = loaded.graph
    for part in [
        loaded,
        graph,
        *graph.node,
        *graph.input,
        *graph.output,
        *graph.value_info,
        *graph.initializer,
    ]:
        del part.metadata_props[:]
    return bytes(loaded.SerializeToString())


def arrays(names: list[str], tensors: tuple[Tensor, ...]) -> dict[str, Array]:
    return {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}


def main() -> None:
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    for name, (make, draw, inputs, outputs) in MODULES.items():
        for exporter, opset in EXPORTS:
            torch.manual_seed(7)
            module = make().eval()
            folder = FOLDER / f"{name}_{exporter}_{opset}"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / "model.onnx"
            export(module, draw(3), inputs, outputs, exporter, opset, path)
            path.write_bytes(without_traces(path.read_bytes()))
            lines = []
            for batch in BATCHES:
                example = draw(batch)
                given = arrays(inputs, example)
                answered = evaluate(path.read_bytes(), given)
                with torch.no_grad():
                    direct = module(*example)
                first = direct[0] if isinstance(direct, tuple) else direct
                np.testing.assert_allclose(answered[outputs[0]], first.numpy(), rtol=1e-4, atol=1e-5)
                lines.append(encode_case(f"batch of {batch}", given, answered))
            (folder / "cases.jsonl").write_text("\n".join(lines) + "\n")
            print(folder.name, path.stat().st_size, flush=True)


if __name__ == "__main__":
    main()
