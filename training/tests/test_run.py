"""The manifest's contract, on the golden examples that the Go reader is held to, and the files
behind it."""

from __future__ import annotations

import base64
import hashlib
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from training import run as runs
from training.run import RefusedError
from training.tests.shop import Shop

CONTRACTS = Path(__file__).parents[2] / "test/contracts"
SUITE = json.loads((CONTRACTS / "training_set_manifest.json").read_text(encoding="utf-8"))
POINTERS = json.loads((CONTRACTS / "training_set_published.json").read_text(encoding="utf-8"))
REQUIRED = {"ratings", "products", "customers"}


def document(case: dict[str, Any], suite: dict[str, Any] = SUITE) -> bytes:
    """A case's document; test/contracts says how cases are written."""
    if "text" in case:
        return str(case["text"]).encode()
    if "base64" in case:
        return base64.b64decode(case["base64"])
    value = deepcopy(suite["examples"][case["example"]])
    for pointer, length in case.get("repeat", {}).items():
        parent, key = resolve(value, pointer)
        parent[key] = (parent[key] * length)[:length]
    for pointer, new in case.get("set", {}).items():
        parent, key = resolve(value, pointer)
        if isinstance(parent, list) and key == len(parent):
            parent.append(new)
        else:
            parent[key] = new
    for pointer in case.get("remove", []):
        parent, key = resolve(value, pointer)
        del parent[key]
    return json.dumps(value).encode()


def resolve(value: Any, pointer: str) -> tuple[Any, Any]:
    *parts, last = pointer[1:].split("/")
    for part in parts:
        value = value[int(part) if isinstance(value, list) else part]
    return value, int(last) if isinstance(value, list) else last


@pytest.mark.parametrize("case", SUITE["cases"], ids=lambda case: case["name"])
def test_golden_manifests_are_judged_as_the_contract_says(case: dict[str, Any]) -> None:
    if case["accept"]:
        decoded = runs.decode_bytes(document(case), "manifest.json")
        assert REQUIRED <= set(decoded.tables) <= REQUIRED | {"sales", "dates", "observations", "etl_quality"}
        return
    with pytest.raises(RefusedError) as refused:
        runs.decode_bytes(document(case), "manifest.json")
    assert str(refused.value).startswith("manifest.json")
    assert case["field"] in str(refused.value)


@pytest.mark.parametrize("case", POINTERS["cases"], ids=lambda case: case["name"])
def test_golden_pointers_are_judged_as_the_contract_says(case: dict[str, Any]) -> None:
    if case["accept"]:
        assert (
            runs.decode_published(document(case, POINTERS), "published.json")[0]
            == "20260301T090000Z-0a1b2c3d"
        )
        return
    with pytest.raises(RefusedError) as refused:
        runs.decode_published(document(case, POINTERS), "published.json")
    assert case["field"] in str(refused.value)


def test_every_violation_is_told_at_once() -> None:
    case = {"example": "csv_latest", "set": {"/strategy": "append", "/format": "json"}, "remove": ["/run_id"]}
    with pytest.raises(RefusedError) as refused:
        runs.decode_bytes(document(case), "manifest.json")
    assert 'strategy: got "append", want replace or latest or average' in str(refused.value)
    assert "run_id: got nothing" in str(refused.value)


def test_files_that_differ_from_the_manifest_are_refused_together(shop: Shop, tmp_path: Path) -> None:
    folder = shop.write(tmp_path)
    decoded = runs.decode(folder / "manifest.json")
    runs.verify(folder, decoded)
    (folder / "_SUCCESS").touch()
    (folder / "ratings/.part-00000.csv.crc").write_text("marker")
    runs.verify(folder, decoded)

    (folder / "products/part-00000.csv").unlink()
    content = bytearray((folder / "ratings/part-00000.csv").read_bytes())
    content[-2] ^= 1
    (folder / "ratings/part-00000.csv").write_bytes(content)
    with (folder / "customers/part-00000.csv").open("a") as file:
        file.write("\n")
    (folder / "ratings/part-00001.csv").write_text("left behind")
    with pytest.raises(RefusedError) as refused:
        runs.verify(folder, decoded)
    message = str(refused.value)
    assert len(message.splitlines()) == 4
    assert "products/part-00000.csv: listed in the manifest, not readable: No such file" in message
    assert "ratings/part-00000.csv: has sha256 " in message
    assert "customers/part-00000.csv: has " in message
    assert "ratings/part-00001.csv: not listed in the manifest" in message


def test_the_newest_run_is_found(shop: Shop, tmp_path: Path) -> None:
    for run_id, created in (("b", "2026-03-01T09:00:00+02:00"), ("a", "2026-03-01T08:00:00Z")):
        folder = shop.write(tmp_path / runs.PREFIX / run_id)
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest.update(run_id=run_id, created_at=created)
        (folder / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / runs.PREFIX / "c-being-written").mkdir()
    assert runs.find_run(tmp_path).name == "a"
    assert runs.find_run(tmp_path / runs.PREFIX / "b").name == "b"
    with pytest.raises(RefusedError, match="holds neither"):
        runs.find_run(tmp_path / runs.PREFIX / "c-being-written")


def test_the_published_run_is_found_rather_than_the_newest(shop: Shop, tmp_path: Path) -> None:
    prefix = tmp_path / runs.PREFIX
    for run_id, created in (("older", "2026-03-01T08:00:00Z"), ("newer", "2026-03-02T08:00:00Z")):
        folder = shop.write(prefix / run_id)
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest.update(run_id=run_id, created_at=created)
        (folder / "manifest.json").write_text(json.dumps(manifest))
    digest = hashlib.sha256((prefix / "older" / "manifest.json").read_bytes()).hexdigest()
    pointer = {
        "schema_version": 1,
        "run_id": "older",
        "published_at": "2026-03-01T08:01:00Z",
        "manifest_sha256": digest,
    }
    (prefix / "published.json").write_text(json.dumps(pointer))
    assert runs.find_run(tmp_path) == prefix / "older"
    (prefix / "published.json").write_text(json.dumps({**pointer, "run_id": "newer"}))
    with pytest.raises(RefusedError, match=r"newer/manifest\.json: has sha256"):
        runs.find_run(tmp_path)
    (prefix / "published.json").write_text(json.dumps({**pointer, "run_id": "gone"}))
    with pytest.raises(RefusedError, match=r"names run gone: .*not readable: No such file"):
        runs.find_run(tmp_path)
