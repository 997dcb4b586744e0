"""What is read of a training set, and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from training import dataset
from training.run import RefusedError
from training.tests.shop import Shop, plant, rewrite


def equal(left: dataset.Features, right: dataset.Features) -> None:
    for name, values in left.texts.items():
        np.testing.assert_array_equal(values, right.texts[name])
    for name, numbers in left.numbers.items():
        np.testing.assert_array_equal(numbers, right.numbers[name])


@pytest.mark.parametrize(("kind", "parts"), [("csv", 4), ("parquet", 1), ("parquet", 3)])
def test_format_and_cut_into_files_change_nothing(
    shop: Shop, data: dataset.Dataset, tmp_path: Path, kind: str, parts: int
) -> None:
    other = dataset.load(shop.write(tmp_path, kind, parts))
    np.testing.assert_array_equal(other.customers, data.customers)
    np.testing.assert_array_equal(other.products, data.products)
    np.testing.assert_array_equal(other.ratings.customers, data.ratings.customers)
    np.testing.assert_array_equal(other.ratings.products, data.ratings.products)
    np.testing.assert_array_equal(other.ratings.values, data.ratings.values)
    equal(other.users, data.users)
    equal(other.items, data.items)
    equal(other.ratings.user, data.ratings.user)
    equal(other.ratings.item, data.ratings.item)


def test_texts_are_normalised_and_nulls_are_kept(data: dataset.Dataset) -> None:
    assert sorted(set(data.users.texts["country"])) == ["españa", "japan", "norway", "usa"]
    assert dataset.normalise(" \tSTRAßE ") == "strasse"
    assert np.isnan(data.users.numbers["credit_limit"]).sum() == 1
    assert math.isclose(
        data.items.numbers["msrp"].sum(), 2 * data.items.numbers["buy_price"].sum(), rel_tol=1e-12
    )


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_averages_are_doubles(tmp_path: Path, kind: str) -> None:
    shop = plant(1)
    shop.strategy = "average"
    for i, row in enumerate(shop.tables["ratings"]):
        row["productRating"] = 1 + (i % 5) * 0.7
    data = dataset.load(shop.write(tmp_path, kind))
    assert sorted(set(data.ratings.values)) == [1 + i * 0.7 for i in range(5)]


# (table, what a line of its CSV becomes, line, what is said of it)
BAD_CELLS: dict[str, tuple[str, Callable[[list[str]], list[str]], str]] = {
    "no number": (
        "ratings",
        lambda row: [*row[:12], "NaN", *row[13:]],
        ":3, column productRating: got 'NaN', want a whole number from 1 to 5",
    ),
    "a rating beyond the scale": (
        "ratings",
        lambda row: [*row[:12], "6", *row[13:]],
        ":3, column productRating: got '6', want a whole number from 1 to 5",
    ),
    "half a rating": (
        "ratings",
        lambda row: [*row[:12], "3.5", *row[13:]],
        ":3, column productRating: got '3.5'",
    ),
    "no rating": ("ratings", lambda row: [*row[:12], "", *row[13:]], ":3, column productRating: got null"),
    "an infinite price": (
        "products",
        lambda row: [*row[:6], "inf", *row[7:]],
        ":3, column buyPrice: got 'inf', want a number with at most two decimals",
    ),
    "no price": ("products", lambda row: [*row[:7], ""], ":3, column MSRP: got null"),
    "a code with a space": (
        "products",
        lambda row: ["S10 1", *row[1:]],
        ":3, column productCode: got 'S10 1', want 1 to 64 visible",
    ),
    "a limit that is a word": (
        "customers",
        lambda row: [*row[:5], "much"],
        ":3, column creditLimit: got 'much', want a number with at most two decimals or null",
    ),
    "a negative customer": ("customers", lambda row: ["-4", *row[1:]], ":3, column customerNumber: got '-4'"),
    "a field too few": ("products", lambda row: row[:-1], ":3: has 7 fields, want 8"),
}


@pytest.mark.parametrize("name", BAD_CELLS)
def test_bad_cells_are_refused_with_their_place(shop: Shop, tmp_path: Path, name: str) -> None:
    table, change, said = BAD_CELLS[name]
    folder = shop.write(tmp_path)
    path = f"{table}/part-00000.csv"
    lines = (folder / path).read_text().splitlines()
    # No field before the third line's commas is quoted but product names, which hold one comma.
    fields = lines[2].replace("Model, ", "Model ").replace('"', "").split(",")
    lines[2] = ",".join(change(fields))
    rewrite(folder, path, ("\n".join(lines) + "\n").encode())
    with pytest.raises(RefusedError) as refused:
        dataset.load(folder)
    assert path + said in str(refused.value)


@pytest.mark.parametrize(
    ("table", "content", "said"),
    [
        ("products", b"productCode,productName\n", ":1: lacks column 'productLine'"),
        ("customers", b"customerNumber,town\n", ":1: column 2 is 'town', want 'city'"),
        ("customers", b"", ":1: lacks column 'customerNumber'"),
        (
            "customers",
            b"customerNumber,city,state,postalCode,country,creditLimit,x\n",
            ":1: has column 'x' beyond",
        ),
        (
            "customers",
            b"customerNumber,city,state,postalCode,country,creditLimit\n1,M\xfcnchen,,,,\n",
            "not UTF-8",
        ),
        ("customers", b'customerNumber,city,state,postalCode,country,creditLimit\n1,"Lyon', "broken CSV"),
    ],
)
def test_broken_files_are_refused(shop: Shop, tmp_path: Path, table: str, content: bytes, said: str) -> None:
    folder = shop.write(tmp_path)
    rewrite(folder, f"{table}/part-00000.csv", content)
    with pytest.raises(RefusedError) as refused:
        dataset.load(folder)
    assert f"{table}/part-00000.csv" in str(refused.value)
    assert said in str(refused.value)


def test_parquet_of_other_types_is_refused(shop: Shop, tmp_path: Path) -> None:
    folder = shop.write(tmp_path, "parquet")
    path = folder / "products/part-00000.parquet"
    table = pyarrow.parquet.read_table(path)
    place = table.schema.get_field_index("MSRP")
    table = table.set_column(place, "MSRP", table.column("MSRP").cast(pyarrow.float64()))
    pyarrow.parquet.write_table(table, path)
    rewrite(folder, "products/part-00000.parquet", path.read_bytes())
    with pytest.raises(RefusedError, match=r"column MSRP: has type double, want decimal\(10,2\)"):
        dataset.load(folder)
    rewrite(folder, "products/part-00000.parquet", b"PAR1 and no more")
    with pytest.raises(RefusedError, match="not a readable Parquet file"):
        dataset.load(folder)


def test_not_a_number_in_parquet_is_refused(tmp_path: Path) -> None:
    shop = plant(1)
    shop.strategy = "average"
    shop.tables["ratings"][4]["productRating"] = float("nan")
    with pytest.raises(RefusedError, match="row 5, column productRating: got 'nan'"):
        dataset.load(shop.write(tmp_path, "parquet"))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_doubled_ids_are_refused(shop: Shop, tmp_path: Path, kind: str) -> None:
    doubled = deepcopy(shop)
    doubled.tables["products"][6]["productCode"] = doubled.tables["products"][1]["productCode"]
    doubled.tables["customers"][2]["customerNumber"] = doubled.tables["customers"][0]["customerNumber"]
    with pytest.raises(RefusedError) as refused:
        dataset.load(doubled.write(tmp_path, kind))
    message = str(refused.value)
    line = ":8" if kind == "csv" else ", row 7"
    assert f"part-00000.{kind}{line}, column productCode: 'S11_1001' was already on" in message
    assert "column customerNumber: '100' was already on" in message


@pytest.mark.parametrize("table", ["ratings", "products", "customers"])
def test_empty_tables_are_refused(shop: Shop, tmp_path: Path, table: str) -> None:
    empty = deepcopy(shop)
    empty.tables[table] = []
    with pytest.raises(RefusedError, match=f"{table}: has no rows"):
        dataset.load(empty.write(tmp_path))


def test_missing_rows_are_refused(shop: Shop, tmp_path: Path) -> None:
    folder = shop.write(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tables"]["customers"]["rows"] = 61
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RefusedError, match="has 60 rows, the manifest says 61"):
        dataset.load(folder)
