"""Hold the JSON Schemas in docs/schemas to the golden examples, read from Python."""

import base64
import copy
import json
import math
import re
from collections.abc import Callable
from datetime import datetime
from functools import partial
from itertools import cycle, islice, permutations
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parent
SCHEMAS = FOLDER.parents[1] / "docs" / "schemas"
SUITES = sorted(path.stem for path in FOLDER.glob("*.json"))

Json = Any


def parse(data: bytes) -> Json:
    """Read JSON as I-JSON has it, after a mark: no NaN, no infinity, no number beyond a float64."""

    def refuse(constant: str) -> float:
        raise ValueError(f"{constant} is not JSON")

    def finite(text: str) -> float:
        number = float(text)
        return number if math.isfinite(number) else refuse(text)

    return json.loads(data.decode("utf-8-sig"), parse_constant=refuse, parse_float=finite)


def change(document: Json, pointer: str, edit: Callable[[Json], Json]) -> Json:
    """Apply an edit to the value at a JSON Pointer (RFC 6901) and return the document."""
    if pointer == "":
        return edit(document)
    *path, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/")]
    container: Json = document
    for part in path:
        container = container[int(part) if isinstance(container, list) else part]
    if isinstance(container, list) and int(last) == len(container):
        container.append(None)
    key: Json = int(last) if isinstance(container, list) else last
    container[key] = edit(container[key] if isinstance(container, list) else container.get(key))
    return document


def remove(document: Json, pointer: str) -> None:
    """Remove the value at a JSON Pointer."""
    parent, _, last = pointer.rpartition("/")
    name = last.replace("~1", "/").replace("~0", "~")

    def without(container: Json) -> Json:
        del container[int(name) if isinstance(container, list) else name]
        return container

    change(document, parent, without)


def repeated(value: Json, length: int) -> Json:
    """Repeat what a string or a list holds until it is as long as stated."""
    parts = islice(cycle(value), length)
    return "".join(parts) if isinstance(value, str) else list(parts)


def replacement(_: Json, value: Json) -> Json:
    """Put a copy of a value in another's place."""
    return copy.deepcopy(value)


def document_of(suite: Json, case: Json) -> bytes:
    """Build the document of a case; README.md describes the form."""
    if "text" in case:
        return str(case["text"]).encode("utf-8")
    if "base64" in case:
        return base64.b64decode(case["base64"])
    document = copy.deepcopy(suite["examples"][case["example"]])
    for pointer, length in case.get("repeat", {}).items():
        document = change(document, pointer, partial(repeated, length=length))
    for pointer, value in case.get("set", {}).items():
        document = change(document, pointer, partial(replacement, value=value))
    for pointer in case.get("remove", []):
        remove(document, pointer)
    return json.dumps(document).encode("utf-8")


def all_cases() -> list[Any]:
    """Every case of every suite, with its schema's validator."""
    parameters = []
    for name in SUITES:
        suite = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
        for case in suite["cases"]:
            identity = f"{name}: {case['name']}"
            parameters.append(pytest.param(suite, Draft202012Validator(schema), case, id=identity))
    return parameters


def test_every_schema_has_its_cases() -> None:
    assert sorted(path.name.removesuffix(".schema.json") for path in SCHEMAS.glob("*.schema.json")) == SUITES


@pytest.mark.parametrize("name", SUITES)
def test_schema_is_valid(name: str) -> None:
    Draft202012Validator.check_schema(
        json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    )


@pytest.mark.parametrize("name", SUITES)
def test_names_are_unique(name: str) -> None:
    names = [
        case["name"] for case in json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["cases"]
    ]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(("suite", "validator", "case"), all_cases())
def test_schema_gives_the_verdict(suite: Json, validator: Draft202012Validator, case: Json) -> None:
    expected = case["accept"] or "beyond_schema" in case
    try:
        document = parse(document_of(suite, case))
    except ValueError:
        assert not expected, "not readable"
        return
    errors = [error.message for error in validator.iter_errors(document)]
    assert (not errors) == expected, errors


def place(ids: Json, record: Json) -> tuple[datetime, int, str, bool]:
    """Tell where a record stands in the order of answers: time, id, answered over degraded."""
    whole, fraction, zone = re.fullmatch(r"([^.Z+]+)(\.\d+)?(Z|[+-].*)", record["time"]).groups()
    nanoseconds = int((fraction or ".")[1:].ljust(9, "0"))
    instant = datetime.fromisoformat(whole + zone.replace("Z", "+00:00"))
    return instant, nanoseconds, ids[record["id"]], not record["degraded"]


def order_cases() -> list[Any]:
    """Every case of the rule of which record counts."""
    order = json.loads((FOLDER / "rules" / "record_order.json").read_text(encoding="utf-8"))
    return [pytest.param(order["ids"], case, id=case["name"]) for case in order["cases"]]


@pytest.mark.parametrize(("ids", "case"), order_cases())
def test_row_is_the_greatest_in_every_order(ids: Json, case: Json) -> None:
    for arrivals in permutations(case["records"]):
        row = arrivals[0]
        for record in arrivals[1:]:
            if place(ids, record) > place(ids, row):
                row = record
        assert row["name"] == case["row"]


@pytest.mark.parametrize(("ids", "case"), order_cases())
def test_archive_counts_each_id_once(ids: Json, case: Json) -> None:
    counted: dict[str, Json] = {}
    for record in case["records"]:
        kept = counted.setdefault(ids[record["id"]], record)
        if kept["degraded"] and not record["degraded"]:
            counted[ids[record["id"]]] = record
    assert [record["name"] for record in counted.values()] == case["archive"]
