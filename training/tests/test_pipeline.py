"""The files of a model: complete, reproducible, and what the exported graphs answer."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

from training import dataset, pipeline
from training.dataset import Features
from training.pipeline import Artifacts
from training.tests.shop import Shop


def answer(artifacts: Artifacts, side: str, inputs: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
    """What ONNX Runtime computes of a tower, texts and numbers as columns of shape [N, 1]."""
    session = onnxruntime.InferenceSession(
        artifacts.files[f"model/{side}_tower.onnx"], providers=["CPUExecutionProvider"]
    )
    columns = {
        name: values.reshape(-1, 1).astype(object if values.dtype.kind in "OU" else np.float32)
        for name, values in inputs.items()
    }
    result: npt.NDArray[np.float32] = session.run(["embedding"], columns)[0]
    return result


def embeddings(artifacts: Artifacts, side: str) -> tuple[list[str], npt.NDArray[np.float32]]:
    rows = list(csv.reader(io.StringIO(artifacts.files[f"embeddings/{side}_embeddings.csv"].decode())))
    assert rows[0] == ["id", "embedding"]
    vectors = [json.loads(row[1]) for row in rows[1:]]
    return [row[0] for row in rows[1:]], np.array(vectors, dtype=np.float32)


def filled(features: Features) -> dict[str, npt.NDArray[Any]]:
    numbers = {
        name: np.where(np.isnan(values), np.nanmean(values), values)
        for name, values in features.numbers.items()
    }
    return {**features.texts, **numbers}


def test_the_graphs_answer_what_the_embeddings_say(artifacts: Artifacts, data: dataset.Dataset) -> None:
    for side, ids, features in (
        ("user", data.customers, data.users),
        ("item", data.products, data.items),
    ):
        found, vectors = embeddings(artifacts, side)
        assert found == [str(each) for each in ids]
        assert vectors.shape == (len(ids), 32)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
        np.testing.assert_allclose(answer(artifacts, side, filled(features)), vectors, atol=1e-5)


def test_golden_vectors_are_the_graphs_and_include_unknown_texts(artifacts: Artifacts) -> None:
    golden = artifacts.manifest["golden"]
    for side, unknown in (("user", "city"), ("item", "product_line")):
        cases = golden[side]
        names = [each["name"] for each in artifacts.manifest["towers"][side]["inputs"]]
        inputs = {name: np.array([case["input"][name] for case in cases]) for name in names}
        answered = answer(artifacts, side, inputs)
        np.testing.assert_allclose(
            answered, np.array([case["output"] for case in cases]), atol=golden["tolerance"]
        )
        assert cases[-1]["input"][unknown] == "atlantis"
        np.testing.assert_allclose(np.linalg.norm(answered, axis=1), 1, atol=1e-6)


def test_the_unknown_text_is_unknown_to_every_shop(shop: Shop, tmp_path: Path) -> None:
    legendary = deepcopy(shop)
    for row in (*legendary.tables["customers"], *legendary.tables["ratings"]):
        row["city"] = {"City 0": "Atlantis", "City 1": "Atlantis?"}.get(row["city"], row["city"])
    built = pipeline.build(dataset.load(legendary.write(tmp_path)), seed=3, origin="trained")
    known = json.loads(built.files["scalers/user.json"])["categories"]["city"]
    assert {"atlantis", "atlantis?"} <= set(known)
    assert built.manifest["golden"]["user"][-1]["input"]["city"] not in known


def test_the_same_input_and_seed_give_the_same_bytes(
    shop: Shop, artifacts: Artifacts, tmp_path: Path
) -> None:
    again = pipeline.build(dataset.load(shop.write(tmp_path)), seed=3, origin="trained")
    assert again.files == artifacts.files
    assert again.manifest_bytes == artifacts.manifest_bytes


def test_parquet_gives_the_model_that_csv_gives(shop: Shop, artifacts: Artifacts, tmp_path: Path) -> None:
    parquet = pipeline.build(dataset.load(shop.write(tmp_path, "parquet", 2)), seed=3, origin="trained")
    assert parquet.manifest_bytes == artifacts.manifest_bytes


def test_another_seed_gives_another_model(data: dataset.Dataset, artifacts: Artifacts) -> None:
    assert pipeline.build(data, seed=4, origin="trained").version != artifacts.version


def test_the_manifest_describes_every_file(artifacts: Artifacts, data: dataset.Dataset) -> None:
    manifest = artifacts.manifest
    assert set(manifest["files"]) == set(artifacts.files)
    for path, content in artifacts.files.items():
        assert manifest["files"][path] == {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
        }
    lines = sorted(f"{path} {each['sha256']}\n" for path, each in manifest["files"].items())
    assert artifacts.version == hashlib.sha256("".join(lines).encode()).hexdigest()[:12]
    assert manifest["training"] == {
        "run_id": "test-run",
        "strategy": "replace",
        "rows": len(data.ratings.values),
        "seed": 3,
        "created_at": "2026-03-01T09:00:00Z",
    }


def test_the_whole_catalogue_is_embedded_and_ranked(artifacts: Artifacts, shop: Shop) -> None:
    codes = {row["productCode"] for row in shop.tables["products"]}
    rated = {row["productCode"] for row in shop.tables["ratings"]}
    assert len(codes - rated) == 1
    assert set(embeddings(artifacts, "item")[0]) == codes
    ranking = artifacts.manifest["popularity"]
    assert {each["id"] for each in ranking} == codes
    scores = [each["score"] for each in ranking]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert len(embeddings(artifacts, "user")[0]) == len(shop.tables["customers"])


@pytest.mark.parametrize("side", ["user", "item"])
def test_graphs_use_only_operators_that_the_platform_evaluates(artifacts: Artifacts, side: str) -> None:
    model = onnx.load_from_string(artifacts.files[f"model/{side}_tower.onnx"])
    allowed = {"OneHotEncoder", "Scaler", "Concat", "Gemm", "Relu", "Reshape", "LpNormalization"}
    assert {node.op_type for node in model.graph.node} <= allowed
    assert {(each.domain, each.version) for each in model.opset_import} == {("", 17), ("ai.onnx.ml", 3)}
