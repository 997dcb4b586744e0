"""From a training set to the files of one model, in memory.

The contract is docs/schemas/artifacts_manifest.schema.json, read by internal/artifacts.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from training import evaluation, graph, towers
from training.dataset import ITEM, USER, Dataset, Features, Side
from training.features import Encoder, Matrix

TOLERANCE = 1e-5
GOLDEN = 4
MAX_POPULARITY = 1000

_UNKNOWN = "atlantis"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Artifacts:
    """A model's files by path, the manifest not among them, and the manifest."""

    files: dict[str, bytes]
    manifest: dict[str, Any]

    @property
    def version(self) -> str:
        return str(self.manifest["model_version"])

    @property
    def manifest_bytes(self) -> bytes:
        return _json(self.manifest)


def build(
    dataset: Dataset, seed: int, origin: str, progress: Progress = lambda stage, done, total: None
) -> Artifacts:
    """Evaluates on held-out ratings, trains on all of them, embeds every customer and product.

    origin is shipped or trained. The same dataset and seed give the same bytes on one kind of
    machine.
    """
    metrics = evaluation.evaluate(dataset, seed, lambda done, total: progress("evaluating", done, total))
    model = towers.train(
        dataset, dataset.ratings, seed, lambda done, total: progress("training", done, total)
    )
    users, items = model.embed_users(dataset.users), model.embed_items(dataset.items)
    files = {
        "embeddings/item_embeddings.csv": _embeddings([str(code) for code in dataset.products], items),
        "embeddings/user_embeddings.csv": _embeddings([str(number) for number in dataset.customers], users),
        "model/item_tower.onnx": _graph(ITEM, model.item_encoder, model.item_tower),
        "model/user_tower.onnx": _graph(USER, model.user_encoder, model.user_tower),
        "scalers/item.json": _scalers(model.item_encoder),
        "scalers/user.json": _scalers(model.user_encoder),
    }
    described = {
        path: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for path, content in sorted(files.items())
    }
    run = dataset.run
    user_golden = _golden_rows(USER, model.user_encoder, dataset.users)
    item_golden = _golden_rows(ITEM, model.item_encoder, dataset.items)
    manifest = {
        "schema_version": 1,
        "model_version": version(described),
        "mode": "towers",
        "dimension": towers.DIMENSION,
        "metric": "inner_product",
        "files": described,
        "items": {"rows": len(items)},
        "users": {"rows": len(users)},
        "towers": {"user": _tower(USER), "item": _tower(ITEM)},
        "origin": origin,
        "training": {
            "run_id": run.run_id,
            "strategy": run.strategy,
            "rows": len(dataset.ratings.values),
            "seed": seed,
            "created_at": run.created_at,
        },
        "metrics": {name: round(value, 6) for name, value in metrics.items()},
        "golden": {
            "tolerance": TOLERANCE,
            "user": _golden(user_golden, model.embed_users(user_golden)),
            "item": _golden(item_golden, model.embed_items(item_golden)),
        },
        "popularity": _popularity(dataset),
    }
    return Artifacts(files, manifest)


def version(files: dict[str, dict[str, Any]]) -> str:
    """The model version of files by path.

    It is the first 12 hexadecimal digits of the sha256 over their sorted lines "<path>
    <sha256>\\n".
    """
    lines = "".join(f"{path} {files[path]['sha256']}\n" for path in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()[:12]


def _embeddings(ids: list[str], vectors: Matrix) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "embedding"])
    for each, vector in zip(ids, vectors, strict=True):
        # str gives the shortest text that reads back as the same float32.
        writer.writerow([each, "[" + ",".join(map(str, vector)) + "]"])
    return text.getvalue().encode()


def _graph(side: Side, encoder: Encoder, tower: towers.Tower) -> bytes:
    content: bytes = graph.export(side.name, encoder, tower).SerializeToString(deterministic=True)
    return content


def _scalers(encoder: Encoder) -> bytes:
    return _json(
        {
            "categories": {name: list(values) for name, values in encoder.categories.items()},
            "standardisation": {
                name: {"mean": each.mean, "deviation": each.deviation}
                for name, each in encoder.scaling.items()
            },
        }
    )


def _tower(side: Side) -> dict[str, Any]:
    inputs = [{"name": name, "type": "string"} for name in side.texts]
    inputs += [{"name": name, "type": "float"} for name in side.numbers]
    return {"path": f"model/{side.name}_tower.onnx", "inputs": inputs, "output": graph.OUTPUT}


def _golden_rows(side: Side, encoder: Encoder, snapshot: Features) -> Features:
    """Some rows of the snapshot, missing numbers as their means, and one more with unknown
    texts."""
    rows = len(next(iter(snapshot.texts.values())))
    some = snapshot.take(np.unique(np.linspace(0, rows - 1, GOLDEN).astype(np.int64)))
    return Features(
        {name: np.append(some.texts[name], _unknown(encoder.categories[name])) for name in side.texts},
        {
            name: np.append(
                np.where(np.isnan(some.numbers[name]), encoder.scaling[name].mean, some.numbers[name]),
                encoder.scaling[name].mean,
            )
            for name in side.numbers
        },
    )


def _unknown(categories: tuple[str, ...]) -> str:
    """A text that is none of the categories, whatever a shop's are."""
    text = _UNKNOWN
    while text in categories:
        text += "?"
    return text


def _golden(features: Features, vectors: Matrix) -> list[dict[str, Any]]:
    return [
        {
            "input": {
                **{name: str(values[i]) for name, values in features.texts.items()},
                **{name: float(values[i]) for name, values in features.numbers.items()},
            },
            "output": [float(str(value)) for value in vector],
        }
        for i, vector in enumerate(vectors)
    ]


def _popularity(dataset: Dataset) -> list[dict[str, Any]]:
    """Products by their popularity, brought from 1..5 to 0..1, best first, equal ones by code."""
    scores = (evaluation.popularity(dataset.products, dataset.ratings) - 1) / 4
    order = np.lexsort((dataset.products, -scores))[:MAX_POPULARITY]
    return [{"id": str(dataset.products[i]), "score": round(float(scores[i]), 6)} for i in order]


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
