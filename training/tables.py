"""The cells of a run's tables, read from CSV or Parquet into the same columns of text.

Both formats become text before anything is parsed, each distinct text once, so that they cannot
disagree about a value. CSV is UTF-8 with a header line (RFC 4180), null is an empty field; Parquet
has the columns' own types.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow
import pyarrow.parquet

from training import plaintext
from training.run import Problems, RefusedError, Run

Integers = npt.NDArray[np.int64]

# The columns that are read; the others are for people.
USED = {
    "customerNumber",
    "city",
    "country",
    "creditLimit",
    "productCode",
    "productLine",
    "productScale",
    "quantityInStock",
    "buyPrice",
    "MSRP",
    "productRating",
}

_ARROW_TYPES: dict[str, tuple[pyarrow.DataType, ...]] = {
    "string": (pyarrow.string(), pyarrow.large_string()),
    "int": (pyarrow.int32(),),
    "smallint": (pyarrow.int16(),),
    "bigint": (pyarrow.int64(),),
    "double": (pyarrow.float64(),),
    "decimal(10,2)": (pyarrow.decimal128(10, 2),),
}

_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,8}(\.\d{1,2})?", re.ASCII)
_DOUBLE = re.compile(r"-?\d{1,18}(\.\d{1,30})?([eE][+-]?\d{1,3})?", re.ASCII)
NUMBERS = {
    "int": (_INTEGER, "a whole number"),
    "smallint": (_INTEGER, "a whole number"),
    "decimal(10,2)": (_DECIMAL, "a number with at most two decimals"),
    "double": (_DOUBLE, "a finite number"),
}


@dataclass(frozen=True)
class Column:
    """Cells of one column: texts[codes[row]] is a row's text, empty for null."""

    name: str
    type: str
    texts: list[str]
    codes: Integers


@dataclass(frozen=True)
class Cells:
    """The used columns of a table; place(row) names a row's file and line."""

    columns: dict[str, Column]
    rows: int
    place: Callable[[int], str]


def read(folder: Path, run: Run, table: str, step: Callable[[], None] = lambda: None) -> Cells:
    """Reads a table's files in their manifest's order, calling step after each.

    Raises RefusedError where a file is not what its format and the manifest's columns say, or where
    the rows are not as many as the manifest says.
    """
    described = run.tables[table]
    used = {name: kind for name, kind in described.columns.items() if name in USED}
    parts: list[tuple[dict[str, list[str]], dict[str, Integers]]] = []
    places: list[tuple[str, Integers | None, int]] = []
    for file in described.files:
        path = folder / file.path
        reader = _read_csv if run.format == "csv" else _read_parquet
        texts, codes, lines = reader(path, described.columns, used)
        rows = len(next(iter(codes.values())))
        parts.append((texts, codes))
        places.append((str(path), lines, rows))
        step()
    rows = sum(each[2] for each in places)
    if rows != described.rows:
        raise RefusedError(f"{folder / table}: has {rows} rows, the manifest says {described.rows}")
    columns = {name: _merge(name, kind, parts) for name, kind in used.items()}

    def place(row: int) -> str:
        for path, lines, count in places:
            if row < count:
                return f"{path}:{lines[row]}" if lines is not None else f"{path}, row {row + 1}"
            row -= count
        raise IndexError(row)

    return Cells(columns, rows, place)


def require(cells: Cells, column: str, valid: Callable[[str], bool], wanted: str, problems: Problems) -> None:
    """Adds a problem for the first row of each distinct text that is not valid."""
    found = cells.columns[column]
    for code, text in enumerate(found.texts):
        if not valid(text):
            row = int(np.argmax(found.codes == code))
            got = repr(text[:40]) if text else "null"
            problems.add(f"{cells.place(row)}, column {column}", f"got {got}, want {wanted}")


def require_unique(cells: Cells, column: str, problems: Problems) -> None:
    """Adds a problem for each row whose text an earlier row has."""
    found = cells.columns[column]
    _, first = np.unique(found.codes, return_index=True)
    for row in np.setdiff1d(np.arange(cells.rows), first)[:100]:
        earlier = int(np.argmax(found.codes == found.codes[row]))
        text = found.texts[found.codes[row]]
        problems.add(
            f"{cells.place(int(row))}, column {column}", f"{text!r} was already on {cells.place(earlier)}"
        )


def _read_csv(
    path: Path, columns: dict[str, str], used: dict[str, str]
) -> tuple[dict[str, list[str]], dict[str, Integers], Integers]:
    wanted = list(columns)
    known: list[dict[str, int]] = [{} for _ in used]
    codes: list[list[int]] = [[] for _ in used]
    positions = [wanted.index(name) for name in used]
    lines: list[int] = []
    line = 1
    try:
        with path.open("rb") as head:
            plaintext.trim(head.read(plaintext.LONGEST))
    except plaintext.ContainerError as error:
        raise RefusedError(f"{path}: {error}") from error
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if header != wanted:
                raise RefusedError(f"{path}:1: {_header_difference(header, wanted)}")
            for record in reader:
                line = reader.line_num
                if len(record) != len(wanted):
                    raise RefusedError(f"{path}:{line}: has {len(record)} fields, want {len(wanted)}")
                lines.append(line)
                for target, index, position in zip(codes, known, positions, strict=True):
                    target.append(index.setdefault(record[position], len(index)))
    except UnicodeDecodeError as error:
        raise RefusedError(f"{path}: after line {line}: not UTF-8: {error.reason}") from error
    except csv.Error as error:
        raise RefusedError(f"{path}: after line {line}: broken CSV (a truncated file?): {error}") from error
    return (
        {name: list(index) for name, index in zip(used, known, strict=True)},
        {name: np.array(target, dtype=np.int64) for name, target in zip(used, codes, strict=True)},
        np.array(lines, dtype=np.int64),
    )


def _read_parquet(
    path: Path, columns: dict[str, str], used: dict[str, str]
) -> tuple[dict[str, list[str]], dict[str, Integers], None]:
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            if schema.names != list(columns):
                raise RefusedError(f"{path}: {_header_difference(schema.names, list(columns))}")
            for name, kind in used.items():
                if schema.field(name).type not in _ARROW_TYPES[kind]:
                    raise RefusedError(
                        f"{path}, column {name}: has type {schema.field(name).type}, want {kind}"
                    )
            content = file.read(columns=list(used))
    except (pyarrow.ArrowException, OSError) as error:
        raise RefusedError(f"{path}: not a readable Parquet file: {str(error).splitlines()[0]}") from error
    texts: dict[str, list[str]] = {}
    codes: dict[str, Integers] = {}
    for name in used:
        encoded = content.column(name).combine_chunks().dictionary_encode(null_encoding="encode")
        if isinstance(encoded, pyarrow.ChunkedArray):
            encoded = encoded.combine_chunks()
        texts[name] = ["" if value is None else str(value) for value in encoded.dictionary.to_pylist()]
        codes[name] = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return texts, codes, None


def _header_difference(found: list[str], wanted: list[str]) -> str:
    for i, name in enumerate(wanted):
        got = found[i] if i < len(found) else None
        if got != name:
            return (
                f"column {i + 1} is {got!r}, want {name!r}" if got is not None else f"lacks column {name!r}"
            )
    return f"has column {found[len(wanted)]!r} beyond the {len(wanted)} of the contract"


def _merge(name: str, kind: str, parts: list[Any]) -> Column:
    index: dict[str, int] = {}
    codes = []
    for texts, part in parts:
        translated = np.array([index.setdefault(text, len(index)) for text in texts[name]], dtype=np.int64)
        codes.append(translated[part[name]] if len(translated) else part[name])
    return Column(name, kind, list(index), np.concatenate(codes))
