"""One published run of training data: its manifest, and that its files are what the manifest says.

The contract is that of docs/schemas/training_set_manifest.schema.json; its golden examples, which
the Go reader (internal/trainingset) and this one share, are in
test/contracts/training_set_manifest.json. So it is for published.json beside the runs, which names
the one that is read (training_set_published).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from training import plaintext

PREFIX = "ratings_ml_training"
MANIFEST = "manifest.json"
PUBLISHED = "published.json"

MAX_MANIFEST_BYTES = 4 << 20
MAX_PUBLISHED_BYTES = 64 << 10
MAX_DEPTH = 8
MAX_FILES = 10_000
MAX_ROWS = 1 << 40
MAX_FILE_BYTES = 1 << 43
MAX_DETAIL = 500

_SMALL = ("smallint", "int")  # Spark's JDBC reader widens MySQL's smallint
_MONEY = ("decimal(10,2)",)
_CUSTOMER: dict[str, tuple[str, ...]] = {
    "customerNumber": ("int",),
    "city": ("string",),
    "state": ("string",),
    "postalCode": ("string",),
    "country": ("string",),
    "creditLimit": _MONEY,
}
_PRICED: dict[str, tuple[str, ...]] = {"quantityInStock": _SMALL, "buyPrice": _MONEY, "MSRP": _MONEY}
_COLUMNS: dict[str, dict[str, tuple[str, ...]]] = {
    "ratings": {
        **_CUSTOMER,
        "productCode": ("string",),
        "productLine": ("string",),
        "productScale": ("string",),
        **_PRICED,
        "productRating": ("int",),
        "ratedAt": ("timestamp",),
        "ratingCount": ("int", "bigint"),
    },
    "products": {
        "productCode": ("string",),
        "productName": ("string",),
        "productLine": ("string",),
        "productScale": ("string",),
        "productVendor": ("string",),
        **_PRICED,
    },
    "customers": _CUSTOMER,
    "sales": {
        "orderNumber": ("int",),
        "orderLineNumber": _SMALL,
        "orderDate": ("date",),
        "status": ("string",),
        "customerNumber": ("int",),
        "productCode": ("string",),
        "quantityOrdered": ("int",),
        "priceEach": _MONEY,
        "revenue": ("decimal(20,2)",),
    },
    "dates": {
        "calendarDate": ("date",),
        **dict.fromkeys(("year", "quarter", "month", "dayOfMonth", "dayOfWeek"), ("int",)),
        "revenue": ("decimal(20,2)",),
        "threshold": ("decimal(24,4)",),
        "isSpike": ("boolean",),
    },
    "observations": {
        "customerNumber": ("int",),
        "productCode": ("string",),
        "ratedAt": ("timestamp",),
        "productRating": ("int",),
    },
    "etl_quality": {
        "runId": ("string",),
        "createdAt": ("timestamp",),
        **dict.fromkeys(("strategy", "tableName", "columnName", "measure"), ("string",)),
        "value": ("double",),
    },
}
_OPTIONAL = ("sales", "dates", "observations", "etl_quality")
_MEASURES = ("rows", "quarantined", "nulls", "mean", "new", "vanished")
_MAX_MEASURES = 1000
_MAX_VALUE = 10**15
_MAX_SOURCE_TABLES = 100
_MAX_COLUMNS = 4096
_MAX_IDENTIFIER = 64
_MAX_TYPE = 100

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_RUN_ID_MEANING = "a run id: 1 to 128 letters, digits, dots, dashes"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RFC3339 = re.compile(
    r"20\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_MAX_PROBLEMS = 20


class RefusedError(Exception):
    """Input that nothing can be trained on. The message has a line for each problem: file, place,
    reason."""


@dataclass
class Problems:
    """Collects what is wrong with one input, so that all of it can be told at once (at most 20
    lines)."""

    lines: list[str] = field(default_factory=list)
    more: int = 0

    def add(self, where: str, reason: str) -> None:
        if len(self.lines) < _MAX_PROBLEMS:
            self.lines.append(f"{where}: {reason}")
        else:
            self.more += 1

    def raise_any(self) -> None:
        if self.lines:
            raise RefusedError("\n".join(self.lines) + (f"\nand {self.more} more" if self.more else ""))


@dataclass(frozen=True)
class File:
    """A file of a table; path is relative to the run's folder."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Table:
    """A table of a run: its columns by name in their order, with their Hive types."""

    rows: int
    columns: dict[str, str]
    files: tuple[File, ...]


@dataclass(frozen=True)
class Run:
    """A run's manifest. created_at is kept as it is written, in RFC 3339."""

    run_id: str
    created_at: str
    strategy: str
    format: str
    tables: dict[str, Table]


def find_run(folder: Path) -> Path:
    """The run's folder: the given one, or, where it holds ratings_ml_training/, the published run
    below that.

    Where nothing is published (the generator publishes nothing) it is the newest one: that whose
    manifest has the latest created_at (then the greatest run id). Raises RefusedError where there
    is no manifest.
    """
    if (folder / MANIFEST).is_file():
        return folder
    pointer = folder / PREFIX / PUBLISHED
    if pointer.is_file():
        return _published(pointer)
    runs = sorted(path.parent for path in (folder / PREFIX).glob(f"*/{MANIFEST}"))
    if not runs:
        raise RefusedError(f"{folder}: holds neither {MANIFEST} nor {PREFIX}/<run_id>/{MANIFEST}")
    if len(runs) == 1:
        return runs[0]
    decoded = [(decode(path / MANIFEST), path) for path in runs]
    return max(decoded, key=lambda each: (_moment(each[0].created_at), each[0].run_id))[1]


def _published(pointer: Path) -> Path:
    """The run that is published: its manifest has the hash that the pointer says."""
    run_id, digest = decode_published(pointer.read_bytes(), str(pointer))
    manifest = pointer.parent / run_id / MANIFEST
    try:
        found = hashlib.sha256(manifest.read_bytes()).hexdigest()
    except OSError as error:
        raise RefusedError(
            f"{pointer}: names run {run_id}: {manifest}: not readable: {error.strerror}"
        ) from error
    if found != digest:
        raise RefusedError(f"{manifest}: has sha256 {found}, {pointer} says {digest}")
    return manifest.parent


def decode_published(data: bytes, name: str) -> tuple[str, str]:
    """Reads published.json: the run's id and its manifest's sha256; name is for the messages."""
    problems = Problems()
    reader = _Reader(name, problems)
    root = reader.object(_parse(data, name, MAX_PUBLISHED_BYTES), "")
    reader.integer(root, "schema_version", 1, 1)
    run_id = reader.text(root, "run_id", _is(_RUN_ID), _RUN_ID_MEANING)
    reader.text(root, "published_at", _is_time, "a time in RFC 3339")
    digest = reader.text(root, "manifest_sha256", _is(_SHA256), "64 lower-case hexadecimal digits")
    problems.raise_any()
    return run_id, digest


def decode(path: Path) -> Run:
    """Reads a manifest; raises RefusedError with every violation of the contract."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise RefusedError(f"{path}: not readable: {error.strerror}") from error
    return decode_bytes(data, str(path))


def decode_bytes(data: bytes, name: str) -> Run:
    """Reads a manifest of this content; name is for the messages."""
    problems = Problems()
    reader = _Reader(name, problems)
    root = reader.object(_parse(data, name, MAX_MANIFEST_BYTES), "")
    reader.integer(root, "schema_version", 1, 1)
    run = Run(
        run_id=reader.text(root, "run_id", _is(_RUN_ID), _RUN_ID_MEANING),
        created_at=reader.text(root, "created_at", _is_time, "a time in RFC 3339"),
        strategy=reader.choice(root, "strategy", ("replace", "latest", "average")),
        format=reader.choice(root, "format", ("parquet", "csv")),
        tables={},
    )
    tables = reader.object(root.get("tables"), "tables")
    for unknown in sorted(tables.keys() - _COLUMNS.keys()):
        reader.refuse(f"tables.{unknown}", None, "one of " + ", ".join(_COLUMNS))
    for table in _COLUMNS:
        if table not in _OPTIONAL or tables.get(table) is not None:
            run.tables[table] = _table(reader, tables, table, run)
    source = reader.object(root.get("source"), "source")
    reader.choice(source, "kind", ("generated", "mysql", "dump"), "source.")
    reader.text(source, "detail", lambda text: len(text) <= MAX_DETAIL, "a string of at most 500", "source.")
    _check_source_schema(reader, root)
    _check_origin(reader, root)
    problems.raise_any()
    return run


def _parse(data: bytes, name: str, most: int) -> Any:
    """One JSON value of at most this many bytes."""
    if len(data) > most:
        raise RefusedError(f"{name}: has {len(data)} bytes or more, want at most {most}")
    try:
        text = plaintext.trim(data).decode()
    except plaintext.ContainerError as error:
        raise RefusedError(f"{name}: {error}") from error
    except UnicodeDecodeError as error:
        raise RefusedError(f"{name}: want one JSON value in UTF-8: {error}") from error
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"{name}: want one JSON value in UTF-8 without doubled names: {error}") from error
    if _depth(value) > MAX_DEPTH:
        raise RefusedError(f"{name}: want at most {MAX_DEPTH} levels of nesting")
    return value


def verify(folder: Path, run: Run, step: Callable[[], None] = lambda: None) -> None:
    """Compares the folder with its manifest, calling step after each file.

    Raises RefusedError with every file that is listed and absent, has another size or hash, or is
    there and not listed. Names that begin with a dot or an underscore (Spark's markers) need not be
    listed.
    """
    problems = Problems()
    listed = {file.path: file for table in run.tables.values() for file in table.files}
    for path, file in listed.items():
        try:
            with (folder / path).open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
                size = content.tell()
        except OSError as error:
            problems.add(str(folder / path), f"listed in the manifest, not readable: {error.strerror}")
            continue
        if size != file.bytes:
            problems.add(str(folder / path), f"has {size} bytes, the manifest says {file.bytes}")
        elif digest != file.sha256:
            problems.add(str(folder / path), f"has sha256 {digest}, the manifest says {file.sha256}")
        step()
    for found in sorted(folder.rglob("*")):
        path = found.relative_to(folder).as_posix()
        marker = any(part.startswith((".", "_")) for part in path.split("/"))
        if found.is_file() and path not in listed and path != MANIFEST and not marker:
            problems.add(str(found), "not listed in the manifest")
    problems.raise_any()


def _check_source_schema(reader: _Reader, root: dict[str, Any]) -> None:
    """What is told of the source is for people; here it only has to be well formed."""

    def names(parent: dict[str, Any], at: str, *keys: str) -> None:
        for key in keys:
            most = _MAX_TYPE if key == "type" else _MAX_IDENTIFIER
            reader.text(parent, key, _has(most), f"a string of 1 to {most}", at)

    if root.get("source_schema") is not None:
        for i, entry in enumerate(reader.array(root, "source_schema", 0, _MAX_SOURCE_TABLES, "")):
            table = reader.object(entry, f"source_schema[{i}]")
            names(table, f"source_schema[{i}].", "table")
            for j, column in enumerate(
                reader.array(table, "columns", 1, _MAX_COLUMNS, f"source_schema[{i}].")
            ):
                place = f"source_schema[{i}].columns[{j}]"
                names(reader.object(column, place), place + ".", "name", "type")
    if root.get("additions") is not None:
        for i, entry in enumerate(reader.array(root, "additions", 0, _MAX_COLUMNS, "")):
            names(reader.object(entry, f"additions[{i}]"), f"additions[{i}].", "table", "column", "type")


def _check_origin(reader: _Reader, root: dict[str, Any]) -> None:
    """What the run read, took over and measured is for people and for the next run; here it only
    has to be well formed."""

    def moment(parent: dict[str, Any], key: str, at: str = "") -> None:
        if parent.get(key) is not None:
            reader.text(parent, key, _is_time, "a time in RFC 3339", at)

    if root.get("window") is not None:
        window = reader.object(root["window"], "window")
        moment(window, "since", "window.")
        moment(window, "until", "window.")
    moment(root, "watermark")
    if root.get("previous_run") is not None:
        reader.text(root, "previous_run", _is(_RUN_ID), _RUN_ID_MEANING)
    if root.get("quality") is None:
        return
    quality = reader.object(root["quality"], "quality")
    for kind, numbers in (("measures", ("value",)), ("drift", ("before", "now", "change", "limit"))):
        for i, entry in enumerate(reader.array(quality, kind, 0, _MAX_MEASURES, "quality.")):
            place = f"quality.{kind}[{i}]"
            given = reader.object(entry, place)
            for key in ("table", "column"):
                reader.text(
                    given, key, _has(_MAX_IDENTIFIER), f"a string of 1 to {_MAX_IDENTIFIER}", place + "."
                )
            reader.choice(given, "measure", _MEASURES, place + ".")
            for key in numbers:
                reader.number(given, key, 0, _MAX_VALUE, place + ".")
            if kind == "drift" and not isinstance(given.get("passed"), bool):
                reader.refuse(place + ".passed", given.get("passed"), "true or false")


def _table(reader: _Reader, tables: dict[str, Any], name: str, run: Run) -> Table:
    where = f"tables.{name}"
    value = reader.object(tables.get(name), where)
    rows = reader.integer(value, "rows", 0, MAX_ROWS, where + ".")
    wanted = dict(_COLUMNS[name])
    if name == "ratings" and run.strategy == "average":
        wanted["productRating"] = ("double",)
    columns: dict[str, str] = {}
    entries = reader.array(value, "columns", len(wanted), len(wanted), where + ".")
    for i, (entry, (column, types)) in enumerate(zip(entries, wanted.items(), strict=False)):
        place = f"{where}.columns[{i}]"
        given = reader.object(entry, place)
        reader.choice(given, "name", (column,), place + ".")
        columns[column] = reader.choice(given, "type", types, place + ".")
    pattern = re.compile(rf"{name}/part-[A-Za-z0-9._-]{{1,200}}\.(parquet|csv)")
    files: dict[str, File] = {}
    for i, entry in enumerate(reader.array(value, "files", 1, MAX_FILES, where + ".")):
        place = f"{where}.files[{i}]"
        given = reader.object(entry, place)
        path = reader.text(given, "path", _is(pattern), f"a path such as {name}/part-00000.csv", place + ".")
        if path and not path.endswith("." + run.format):
            reader.refuse(place + ".path", path, f"a file of format {run.format}")
        if path in files:
            reader.refuse(place + ".path", path, "each file once")
        digest = reader.text(given, "sha256", _is(_SHA256), "64 lower-case hexadecimal digits", place + ".")
        files[path] = File(path, digest, reader.integer(given, "bytes", 0, MAX_FILE_BYTES, place + "."))
    return Table(rows, columns, tuple(files.values()))


@dataclass(frozen=True)
class _Reader:
    """Reads JSON values by rule; a broken rule becomes a problem and an empty value."""

    name: str
    problems: Problems

    def refuse(self, where: str, value: object, allowed: str) -> None:
        shown = "nothing" if value is None else json.dumps(value)[:60]
        self.problems.add(f"{self.name}: {where}" if where else self.name, f"got {shown}, want {allowed}")

    def object(self, value: object, where: str) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        self.refuse(where, value, "an object")
        return {}

    def array(self, parent: dict[str, Any], key: str, least: int, most: int, at: str) -> list[Any]:
        value = parent.get(key)
        if isinstance(value, list) and least <= len(value) <= most:
            return value
        self.refuse(at + key, value, f"an array of {least} to {most} elements")
        return []

    def text(
        self, parent: dict[str, Any], key: str, valid: Callable[[str], bool], allowed: str, at: str = ""
    ) -> str:
        value = parent.get(key)
        if isinstance(value, str) and valid(value):
            return value
        self.refuse(at + key, value, allowed)
        return ""

    def choice(self, parent: dict[str, Any], key: str, allowed: tuple[str, ...], at: str = "") -> str:
        return self.text(parent, key, lambda text: text in allowed, " or ".join(allowed), at)

    def integer(self, parent: dict[str, Any], key: str, least: int, most: int, at: str = "") -> int:
        value = parent.get(key)
        # To JSON Schema 1.0 is a whole number too, and true is none; infinity modulo 1 is not a
        # number.
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else least - 1
        if number % 1 == 0 and least <= number <= most:
            return int(number)
        self.refuse(at + key, value, f"a whole number from {least} to {most}")
        return 0

    def number(self, parent: dict[str, Any], key: str, least: int, most: int, at: str) -> None:
        value = parent.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            self.refuse(at + key, value, f"a number from {least} to {most}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a doubled name")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def _is(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


def _has(most: int) -> Callable[[str], bool]:
    return lambda text: 1 <= len(text) <= most


def _is_time(text: str) -> bool:
    if _RFC3339.fullmatch(text) is None:
        return False
    try:
        _moment(text)
    except ValueError:
        return False
    return True


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
