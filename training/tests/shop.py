"""A small shop whose customers' preferences are known, written as a published training set."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

CUSTOMER = {
    "customerNumber": "int",
    "city": "string",
    "state": "string",
    "postalCode": "string",
    "country": "string",
    "creditLimit": "decimal(10,2)",
}
PRICED = {"quantityInStock": "smallint", "buyPrice": "decimal(10,2)", "MSRP": "decimal(10,2)"}
COLUMNS = {
    "ratings": {
        **CUSTOMER,
        "productCode": "string",
        "productLine": "string",
        "productScale": "string",
        **PRICED,
        "productRating": "int",
        "ratedAt": "timestamp",
        "ratingCount": "int",
    },
    "products": {
        "productCode": "string",
        "productName": "string",
        "productLine": "string",
        "productScale": "string",
        "productVendor": "string",
        **PRICED,
    },
    "customers": CUSTOMER,
}
ARROW = {
    "int": pyarrow.int32(),
    "smallint": pyarrow.int16(),
    "string": pyarrow.string(),
    "double": pyarrow.float64(),
    "decimal(10,2)": pyarrow.decimal128(10, 2),
    "timestamp": pyarrow.timestamp("us", tz="UTC"),
}

Row = dict[str, Any]


@dataclass
class Shop:
    """Rows of the three tables; a test may change them before it writes them."""

    tables: dict[str, list[Row]]
    strategy: str = "replace"

    def columns(self, table: str) -> dict[str, str]:
        if table == "ratings" and self.strategy == "average":
            return {**COLUMNS[table], "productRating": "double"}
        return COLUMNS[table]

    def write(self, folder: Path, kind: str = "csv", parts: int = 1) -> Path:
        """Writes the run into the folder, each table in so many files."""
        described = {}
        for table, rows in self.tables.items():
            columns = self.columns(table)
            files = []
            for part in range(parts):
                path = f"{table}/part-{part:05d}.{kind}"
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                write = write_csv if kind == "csv" else write_parquet
                write(target, columns, rows[part::parts])
                files.append({"path": path, **described_file(target)})
            described[table] = {
                "rows": len(rows),
                "columns": [{"name": name, "type": kind_of} for name, kind_of in columns.items()],
                "files": files,
            }
        manifest = {
            "schema_version": 1,
            "run_id": "test-run",
            "created_at": "2026-03-01T09:00:00Z",
            "strategy": self.strategy,
            "format": kind,
            "tables": described,
            "source": {"kind": "generated", "detail": "by a test"},
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder


def plant(strength: float, seed: int = 7, customers: int = 60, products: int = 48) -> Shop:
    """A shop in which each country likes half of the lines and dislikes the others, each line
    equally often.

    A rating is 3 plus or minus 1.5 by that liking, times strength, and noise of deviation 1; at 0
    it is noise alone. The last customer has no ratings, the last product none either.
    """
    generator = np.random.default_rng(seed)
    lines = ["Classic Cars", "Planes", "Ships", "Trains"]
    countries = ["Norway  ", "Japan", "USA", "España"]
    liked = np.array([[1, 1, -1, -1], [-1, 1, 1, -1], [-1, -1, 1, 1], [1, -1, -1, 1]])
    customer_rows = [
        {
            "customerNumber": 100 + 3 * i,
            "city": f"City {i}",
            "state": None,
            "postalCode": None,
            "country": countries[i % 4],
            "creditLimit": None if i == 5 else Decimal(int(generator.integers(0, 1_000_000))) / 10,
        }
        for i in range(customers)
    ]
    product_rows = []
    for i in range(products):
        price = Decimal(int(generator.integers(1500, 10_000))) / 100
        product_rows.append(
            {
                "productCode": f"S{10 + i % 3}_{1000 + i}",
                "productName": f"Model, {i}",
                "productLine": lines[i % 4],
                "productScale": ["1:10", "1:18", "1:700"][i % 3],
                "productVendor": "A Vendor",
                "quantityInStock": int(generator.integers(0, 9999)),
                "buyPrice": price,
                "MSRP": (price * 2).quantize(Decimal("0.01")),
            }
        )
    ratings = []
    for c, customer in enumerate(customer_rows[:-1]):
        for p in sorted(generator.choice(products - 1, size=20, replace=False)):
            score = 3 + strength * 1.5 * liked[c % 4][p % 4] + generator.normal()
            product = product_rows[p]
            ratings.append(
                {
                    **customer,
                    **{name: product[name] for name in COLUMNS["ratings"] if name in product},
                    "productRating": int(np.clip(round(score), 1, 5)),
                    "ratedAt": datetime(2026, 1, 1 + p % 28, tzinfo=UTC),
                    "ratingCount": 1,
                }
            )
    return Shop({"ratings": ratings, "products": product_rows, "customers": customer_rows})


def write_csv(path: Path, columns: dict[str, str], rows: list[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_text(columns[name], row[name]) for name in columns])


def write_parquet(path: Path, columns: dict[str, str], rows: list[Row]) -> None:
    schema = pyarrow.schema([(name, ARROW[kind]) for name, kind in columns.items()])
    table = pyarrow.Table.from_pylist([{name: row[name] for name in columns} for row in rows], schema=schema)
    pyarrow.parquet.write_table(table, path, compression="snappy")


def described_file(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def rewrite(folder: Path, path: str, content: bytes) -> None:
    """Replaces a file and what the manifest says of its bytes, so that only its content can be at
    fault."""
    (folder / path).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    for table in manifest["tables"].values():
        for file in table["files"]:
            if file["path"] == path:
                file.update(described_file(folder / path))
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _text(kind: str, value: Any) -> str:
    if value is None:
        return ""
    if kind == "timestamp":
        return str(value.isoformat().replace("+00:00", "Z"))
    return f"{value:.2f}" if kind == "decimal(10,2)" else str(value)
