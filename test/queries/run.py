"""Runs Athena's saved queries over the files of a bucket: sqlglot transpiles, DuckDB executes.

Standard input has a request of queries.go as JSON, standard output gets the rows by query. Files
are opened as Athena opens them: compressed where their name ends in .gz, and no other.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp


def lowered(value: Any) -> Any:  # noqa: ANN401
    """Write all names in lower case, as a table that finds fields in any case reads them."""
    if isinstance(value, dict):
        return {name.lower(): lowered(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [lowered(entry) for entry in value]
    return value


def read(file: Path) -> str:
    """Read the text of a file."""
    content = file.read_bytes()
    return (gzip.decompress(content) if file.suffix == ".gz" else content).decode()


def create(connection: duckdb.DuckDBPyConnection, table: dict[str, Any], bucket: Path, scratch: Path) -> None:
    """Make a table of the catalogue a table of the database."""
    folder = bucket / table["folder"]
    columns = {
        column["name"]: exp.DataType.build(column["type"], dialect="hive").sql("duckdb")
        for column in table["columns"]
    }
    files = []
    for number, file in enumerate(sorted(file for file in folder.rglob("*") if file.is_file())):
        hour = str(file.parent.relative_to(folder)) if table["hour"] else ""
        files.append(scratch / f"{table['name']}-{number}" / hour.replace("/", "|") / "lines.json")
        files[-1].parent.mkdir(parents=True)
        text = read(file)
        if table["any_case"]:
            text = "".join(json.dumps(lowered(json.loads(line))) + "\n" for line in text.splitlines())
        files[-1].write_text(text)
    declared = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
    if table["hour"]:
        declared += f', "{table["hour"]}" TEXT'
    connection.execute(f'CREATE TABLE "{table["name"]}" ({declared})')
    if files:
        hour = ", replace(parse_path(filename)[-2], '|', '/')" if table["hour"] else ""
        connection.execute(
            f'INSERT INTO "{table["name"]}" SELECT * EXCLUDE (filename){hour} FROM read_json(?, columns = ?,'
            " format = 'newline_delimited', filename = true)",
            [[str(file) for file in files], columns],
        )


def main() -> None:
    """Answer the request."""
    request = json.load(sys.stdin)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    with tempfile.TemporaryDirectory() as scratch:
        for table in request["tables"]:
            create(connection, table, Path(request["folder"]), Path(scratch))
    answer = {}
    for query in request["queries"]:
        (statement,) = sqlglot.transpile(
            query["text"], read="athena", write="duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE
        )
        result = connection.execute(statement, query["parameters"])
        names = [column[0] for column in result.description or []]
        answer[query["name"]] = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    json.dump(answer, sys.stdout, default=str)


if __name__ == "__main__":
    main()
