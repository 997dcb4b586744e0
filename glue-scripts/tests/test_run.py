"""Whole runs, from a real MySQL-compatible server over TLS to an S3."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

import ratings_etl as etl
from tests.conftest import REPOSITORY, ROWS, Shop

SCHEMAS = REPOSITORY / "docs" / "schemas"

ANCHOR = ("S10_1", "Ships", "1:10", 7933, Decimal("48.81"), Decimal("95.70"))
BELL = ("S10_2", "Trains", "1:18", 0, Decimal("10.00"), Decimal("20.00"))
NANTES = (103, "Nantes", None, "44000", "France", Decimal("21000.00"))
BERGEN = (112, "Bergen  ", "Vestland", None, "Norway  ", None)

RATINGS = [
    (*NANTES, *ANCHOR, 4, datetime(2024, 2, 11, 0, 0), 1),
    (*NANTES, *BELL, 1, datetime(2024, 2, 1, 23, 59, 59), 1),
    (*BERGEN, *ANCHOR, 5, datetime(2024, 2, 20, 10, 0), 1),
    (*BERGEN, *BELL, 3, datetime(2024, 3, 31, 2, 30), 1),
]
PRODUCTS = [
    ("S10_1", "Anchor", "Ships", "1:10", "Min Lin", 7933, Decimal("48.81"), Decimal("95.70")),
    ("S10_2", 'Bell, "red"', "Trains", "1:18", "Exoto", 0, Decimal("10.00"), Decimal("20.00")),
    ("S10_3", "Cart", "Trains", "1:18", "Exoto", 5, Decimal("1.00"), Decimal("2.00")),
]
SALES = [
    (1, 2, date(2024, 1, 30), "Shipped", 103, "S10_1", 3, Decimal("90.10"), Decimal("270.30")),
    (1, 1, date(2024, 1, 30), "Shipped", 103, "S10_2", 10, Decimal("19.99"), Decimal("199.90")),
    (2, 1, date(2024, 2, 2), "Cancelled", 112, "S10_1", 100, Decimal("95.70"), Decimal("0.00")),
    (3, 1, date(2024, 2, 2), "Resolved", 112, "S10_2", 7, Decimal("20.00"), Decimal("140.00")),
]
DATES = [
    (date(2024, 1, 30), 2024, 1, 1, 30, 2, Decimal("470.20"), None, False),
    (date(2024, 1, 31), 2024, 1, 1, 31, 3, Decimal("0.00"), None, False),
    (date(2024, 2, 1), 2024, 1, 2, 1, 4, Decimal("0.00"), None, False),
    (date(2024, 2, 2), 2024, 1, 2, 2, 5, Decimal("140.00"), None, False),
]


def conforms(document: Any, name: str) -> None:
    schema = json.loads((SCHEMAS / f"training_set_{name}.schema.json").read_text())
    assert [error.message for error in Draft202012Validator(schema).iter_errors(document)] == []


def observations() -> list[tuple[Any, ...]]:
    return [(row[0], row[6], row[13], row[12]) for row in RATINGS]


def test_the_small_shop_is_published_row_for_row_and_a_second_run_doubles_nothing(shop: Shop) -> None:
    outcome = shop.run(run_id="first")
    expected: dict[str, list[tuple[Any, ...]]] = {
        "ratings": RATINGS,
        "products": PRODUCTS,
        "customers": [NANTES, BERGEN],
        "sales": SALES,
        "dates": DATES,
        "observations": observations(),
    }
    assert shop.published() == "first"
    assert {table: shop.rows(table) for table in expected} == expected
    assert set(etl.TABLES) - set(expected) == {etl.ETL_QUALITY}  # it tells of the run: see test_strategies

    manifest, told = shop.manifest("first"), shop.outcome("first")
    conforms(manifest, "manifest")
    conforms(told, "outcome")
    conforms(shop.document(etl.PUBLISHED), "published")
    assert {table: manifest["tables"][table]["rows"] for table in expected} == {
        table: len(rows) for table, rows in expected.items()
    }
    assert told["status"] == "published"
    assert told["rows"]["read"] == {
        "ratings": 4,
        "orderdetails": 4,
        "orders": 3,
        "customers": 2,
        "products": 3,
    }
    assert set(told["seconds"]) == {
        "session",
        "contract",
        "read",
        "quality",
        "write",
        "manifest",
        "publish",
        "prune",
    }
    assert outcome.additions == manifest["additions"] == []
    # Nothing but what the manifest lists, and names that begin with an underscore.
    listed = {file["path"] for described in manifest["tables"].values() for file in described["files"]}
    there = {key.removeprefix(f"{etl.PREFIX}/first/") for key in shop.listed(f"{etl.PREFIX}/first/")}
    assert there - listed - {"manifest.json"} == {"_outcome.json"}
    assert all(len(described["files"]) == 1 for described in manifest["tables"].values())

    shop.run(run_id="second", keep_runs="1")
    assert shop.published() == "second"
    assert {table: shop.rows(table) for table in expected} == expected
    hashes = [
        [file["sha256"] for table in expected for file in run["tables"][table]["files"]]
        for run in (manifest, shop.manifest("second"))
    ]
    assert hashes[0] == hashes[1]
    assert shop.listed(f"{etl.PREFIX}/first/") == []  # pruned


def test_csv_and_the_order_of_rows_change_nothing(shop: Shop) -> None:
    shop.sql(
        *(f"DELETE FROM {table}" for table in ("ratings", "orderdetails", "orders", "customers", "products"))
    )
    for statement in ROWS:
        head, tail = statement.split(" VALUES ")
        rows = re.findall(r"\((?:[^()']|'[^']*')*\)", tail)
        shop.sql(f"{head} VALUES {', '.join(reversed(rows))}")
    shop.run(run_id="text", format="csv")
    assert shop.rows("ratings") == RATINGS
    assert shop.rows("sales") == SALES
    assert shop.rows("dates") == DATES
    (path,) = shop.catalogue("products", "csv")
    assert shop.object(path.removeprefix(f"s3://{shop.bucket}/")).decode() == (
        "productCode,productName,productLine,productScale,productVendor,quantityInStock,buyPrice,MSRP\n"
        "S10_1,Anchor,Ships,1:10,Min Lin,7933,48.81,95.70\n"
        'S10_2,"Bell, ""red""",Trains,1:18,Exoto,0,10.00,20.00\n'
        "S10_3,Cart,Trains,1:18,Exoto,5,1.00,2.00\n"
    )
    assert shop.catalogue("products") == [], "another format has tables of its own"
    (path,) = shop.catalogue("ratings", "csv")
    line = shop.object(path.removeprefix(f"s3://{shop.bucket}/")).decode().splitlines()[3]
    assert (
        line == "112,Bergen  ,Vestland,,Norway  ,,S10_1,Ships,1:10,7933,48.81,95.70,5,2024-02-20T10:00:00Z,1"
    )


# Values that a line-wise reader, or one that takes a backslash for an escape, misreads.
HARD_TEXTS = [
    "a\nb",
    "a\r\nb",
    "a\rb",
    "\n",
    "line\n",
    'say "x"\n, or',
    "back\\",
    'back\\"slash',
    "\\N",
    "a,b",
    " ",
]


def test_texts_with_line_ends_quotes_and_backslashes_are_published_as_they_are(shop: Shop) -> None:
    # As CSV; on the way there they are Parquet, for what was read is staged so.
    insert = "INSERT INTO {} VALUES ({})"
    with shop.mariadb.connect(shop.database) as connection, connection.cursor() as cursor:
        for i, text in enumerate(HARD_TEXTS):
            cursor.execute(
                insert.format("customers", "%s, 'Name', %s, %s, '1', %s, 1.00"), (200 + i, text, text, text)
            )
            cursor.execute(
                insert.format("products", "%s, %s, %s, '1:10', 'V', 'd', 1, 1.00, 2.00"),
                (f"T{i}", text, text),
            )
            cursor.execute(insert.format("orders", "%s, '2024-02-01', %s, %s"), (100 + i, text, 200 + i))
            cursor.execute(insert.format("orderdetails", "%s, %s, 1, 10.00, 1"), (100 + i, f"T{i}"))
            cursor.execute(insert.format("ratings", "%s, %s, 3, '2024-02-01'"), (200 + i, f"T{i}"))
    outcome = shop.run(run_id="hard", format="csv")
    count = len(HARD_TEXTS)
    assert outcome.rows_published["sales"] == count + 4
    assert outcome.rows_published["observations"] == count + 4
    customers = {row[0]: (row[1], row[2], row[4]) for row in shop.rows("customers")}
    assert [customers[200 + i] for i in range(count)] == [(text, text, text) for text in HARD_TEXTS]
    products = {row[0]: (row[1], row[2]) for row in shop.rows("products")}
    assert [products[f"T{i}"] for i in range(count)] == [(text, text) for text in HARD_TEXTS]
    assert {row[0]: row[3] for row in shop.rows("sales") if row[0] >= 100} == {
        100 + i: text for i, text in enumerate(HARD_TEXTS)
    }
    revenue = {row[0]: row[6] for row in shop.rows("dates")}
    assert revenue[date(2024, 2, 1)] == Decimal(10 * count)
    # As any reader of RFC 4180 reads it.
    (path,) = shop.catalogue("products", "csv")
    content = shop.object(path.removeprefix(f"s3://{shop.bucket}/")).decode()
    read = {
        row["productCode"]: row["productName"] for row in csv.DictReader(io.StringIO(content, newline=""))
    }
    assert [read[f"T{i}"] for i in range(count)] == HARD_TEXTS


def test_within_the_tolerance_bad_rows_are_quarantined_and_above_it_nothing_is_published(shop: Shop) -> None:
    shop.sql(
        "ALTER TABLE customers ADD COLUMN loyaltyTier varchar(10)",
        "INSERT INTO ratings VALUES (103, 'S10_3', 6, '2024-05-01'), (999, 'S10_1', 2, '2024-05-01')",
        "INSERT INTO orderdetails VALUES (9, 'S10_1', 1, 1.00, 1)",
    )
    with pytest.raises(etl.JobError) as refused:
        shop.run(run_id="strict", max_quarantined="0.33")
    message = str(refused.value)
    assert (
        "ratings: 2 of 6 rows that were read break a rule, allowed is a share of 0.33; nothing is published"
        in message
    )
    assert "ratings.productRating: range: want from 1 to 5, found 6 (1 rows)" in message
    assert "ratings.customerNumber: reference: want in the table customers, found 999 (1 rows)" in message
    told = shop.outcome("strict")
    conforms(told, "outcome")
    assert (told["status"], told["stage"]) == ("failed", "quality")
    assert [
        (rule["column"], rule["found"], rule["rows"]) for rule in told["rules"] if not rule["passed"]
    ] == [
        ("productRating", "6", 1),
        ("customerNumber", "999", 1),
    ]
    assert shop.published() == ""
    assert shop.listed() == [f"{etl.PREFIX}/strict/_outcome.json"]

    shop.run(run_id="lenient", max_quarantined="0.34")
    assert shop.rows("ratings") == RATINGS
    assert shop.rows("sales") == SALES
    told = shop.outcome("lenient")
    assert told["rows"]["quarantined"] == {"customers": 0, "products": 0, "ratings": 2, "sales": 1}
    kept = []
    for folder in told["quarantine"]:
        for key in shop.listed(folder.removeprefix(f"s3://{shop.bucket}/")):
            kept += [json.loads(line) for line in shop.object(key).decode().splitlines()]
    assert {
        (row.get("orderNumber"), row["customerNumber"], row["productCode"], *row["reasons"]) for row in kept
    } == {
        (None, 103, "S10_3", "range: productRating must be from 1 to 5"),
        (None, 999, "S10_1", "reference: customerNumber must be in the table customers"),
        (9, None, "S10_1", "reference: orderNumber must be in the table orders"),
    }
    addition = {"table": "customers", "column": "loyaltyTier", "type": "varchar"}
    assert told["additions"] == shop.manifest("lenient")["additions"] == [addition]


def test_status_and_days_are_understood_as_the_source_means_them(shop: Shop) -> None:
    shop.sql(
        "INSERT INTO orders VALUES (4, '2024-02-02', ' CANCELLED ', 103), (5, '1000-01-01', 'Shipped', 103),"
        " (6, '9999-12-31', 'Shipped', 103)",
        "INSERT INTO orderdetails VALUES (4, 'S10_1', 1, 9570.00, 1), (5, 'S10_1', 1, 1.00, 1),"
        " (6, 'S10_1', 1, 1.00, 1)",
        "INSERT INTO ratings VALUES (103, 's10_3', 3, '1000-01-01')",
        "UPDATE ratings SET ratedAt = '1000-01-01' WHERE customerNumber = 103 AND productCode = 'S10_1'",
    )
    told = shop.run(run_id="folded", max_quarantined="0.5")
    assert (
        sum(row[8] for row in shop.rows("sales"))
        == sum(row[6] for row in shop.rows("dates"))
        == Decimal("610.20")
    )
    assert shop.rows("dates") == DATES, "a day that cannot be is no reason for millions of rows"
    ((status, revenue),) = [(row[3], row[8]) for row in shop.rows("sales") if row[0] == 4]
    assert (status, revenue) == (" CANCELLED ", Decimal("0.00")), "published as the source has it"
    broken = {(each.table, each.rule, each.column): each for each in told.findings if each.rows}
    assert broken["sales", "range", "orderDate"].rows == 2
    reference = broken["ratings", "reference", "productCode"]
    assert (reference.found, reference.rows) == ("s10_3", 1)
    assert "letter by letter, whatever the source's collation" in reference.expected
    assert min(row[13] for row in shop.rows("ratings")) == datetime(1000, 1, 1)


def test_the_courses_ratings_without_a_date_are_dated_by_the_run_that_first_saw_them(shop: Shop) -> None:
    shop.sql("ALTER TABLE ratings DROP COLUMN ratedAt")
    shop.run(run_id="first", format="csv")
    first = datetime.strptime(shop.manifest("first")["created_at"], "%Y-%m-%dT%H:%M:%SZ")
    assert {row[13] for row in shop.rows("ratings")} == {first}
    shop.sql("UPDATE ratings SET productRating = 2 WHERE customerNumber = 103 AND productCode = 'S10_2'")
    shop.run(run_id="second")
    second = datetime.strptime(shop.manifest("second")["created_at"], "%Y-%m-%dT%H:%M:%SZ")
    assert second > first
    assert {(row[0], row[6]): row[13] for row in shop.rows("ratings")} == {
        (103, "S10_1"): first,
        (103, "S10_2"): second,
        (112, "S10_1"): first,
        (112, "S10_2"): first,
    }
    assert len(shop.rows("observations")) == 5
    assert [tuple(row) for row in shop.rows("observations") if row[:2] == (103, "S10_2")] == [
        (103, "S10_2", first, 1),
        (103, "S10_2", second, 2),
    ]


def test_a_source_that_changes_during_the_run_is_read_without_a_false_alarm(shop: Shop) -> None:
    changes = {
        # Ratings are read: a customer goes with all that is theirs, another comes and rates.
        "/_staging/ratings/part-": [
            "DELETE FROM ratings WHERE customerNumber = 112",
            "DELETE FROM orderdetails WHERE orderNumber IN (2, 3)",
            "DELETE FROM orders WHERE customerNumber = 112",
            "DELETE FROM customers WHERE customerNumber = 112",
            "INSERT INTO customers VALUES (200, 'New', 'Rome', NULL, NULL, 'Italy', 1.00)",
            "INSERT INTO ratings VALUES (200, 'S10_1', 5, '2024-06-01')",
        ],
        # Order lines are read: an order goes with its lines.
        "/_staging/orderdetails/part-": [
            "DELETE FROM orderdetails WHERE orderNumber = 1",
            "DELETE FROM orders WHERE orderNumber = 1",
            "INSERT INTO orders VALUES (4, '2024-07-01', 'Shipped', 200)",
            "INSERT INTO orderdetails VALUES (4, 'S10_1', 1, 1.00, 1)",
        ],
    }

    def change(method: str, path: str) -> None:
        for part, statements in changes.items():
            if method == "PUT" and part in path:
                shop.sql(*statements)

    assert shop.s3.door is not None
    shop.s3.door.watcher = change
    # One of two ratings would be far above the tolerance, were it a fault of the data.
    outcome = shop.run(run_id="busy", max_quarantined="0")
    assert shop.rows("ratings") == RATINGS[:2]
    assert outcome.rows_deleted["ratings"] == 2
    assert outcome.rows_deleted["sales"] == 2
    assert (shop.rows("sales"), shop.rows("dates")) == ([], [])
    conforms(shop.manifest("busy"), "manifest")  # an empty table has its file, too
    told = shop.outcome("busy")
    assert told["rows"]["deleted_meanwhile"]["ratings"] == 2
    reasons = set()
    for folder in told["quarantine"]:
        for key in shop.listed(folder.removeprefix(f"s3://{shop.bucket}/")):
            reasons |= {
                reason
                for line in shop.object(key).decode().splitlines()
                for reason in json.loads(line)["reasons"]
            }
    assert reasons == {etl.DELETED_REASON}


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (
            "ALTER TABLE products MODIFY MSRP decimal(12,4)",
            ["products.MSRP", "want decimal(10,2), found decimal(12,4)"],
        ),
        ("ALTER TABLE products DROP COLUMN MSRP", ["products.MSRP", "found none"]),
        (
            "ALTER TABLE products CHANGE MSRP price decimal(10,2)",
            ["products.MSRP", "renamed? new columns are price decimal(10,2)"],
        ),
        (
            "ALTER TABLE customers MODIFY customerNumber int unsigned",
            ["customers.customerNumber", "found int unsigned"],
        ),
        ("DROP TABLE ratings", ["ratings.*", "has customers, orderdetails, orders, products"]),
        ("DROP TABLE ratings, orders, orderdetails, customers, products", ["ratings.*", "no table at all"]),
    ],
)
def test_a_source_that_breaks_its_contract_is_named_with_its_owner(
    shop: Shop, change: str, messages: list[str]
) -> None:
    shop.sql(change)
    with pytest.raises(etl.JobError) as refused:
        shop.run(run_id="broken")
    for message in ["breaks its contract; ask orders@example.com", *messages]:
        assert message in str(refused.value)
    told = shop.outcome("broken")
    conforms(told, "outcome")
    assert (told["status"], told["stage"]) == ("failed", "contract")
    assert all(not rule["passed"] for rule in told["rules"])
    assert shop.published() == ""


def test_a_shop_without_ratings_is_refused_and_what_was_published_stays(shop: Shop) -> None:
    shop.run(run_id="first")
    before = {key: shop.object(key) for key in shop.listed()}
    shop.sql("DELETE FROM ratings")
    with pytest.raises(etl.JobError, match=r"ratings\.\*: not empty: want at least one row, found 0"):
        shop.run(run_id="empty")
    after = {key: shop.object(key) for key in shop.listed()}
    assert after == before | {f"{etl.PREFIX}/empty/_outcome.json": after[f"{etl.PREFIX}/empty/_outcome.json"]}


def test_doubled_keys_are_refused_whatever_the_tolerance(shop: Shop) -> None:
    shop.sql(
        "INSERT INTO ratings VALUES (112, 'S10_1', 2, '2024-05-01')",
        "ALTER TABLE customers DROP PRIMARY KEY",
        "INSERT INTO customers SELECT * FROM customers WHERE customerNumber = 103",
    )
    with pytest.raises(etl.JobError) as refused:
        shop.run(max_quarantined="1")
    # A doubled customer doubles two ratings and two order lines.
    assert [(each.table, each.rule, each.column, each.rows) for each in refused.value.findings] == [
        ("customers", "unique", "customerNumber", 1),
        ("ratings", "unique", "customerNumber, productCode", 3),
        ("sales", "unique", "orderNumber, productCode", 2),
    ]
    assert shop.published() == ""


def test_a_lake_that_is_not_there_is_named(shop: Shop) -> None:
    with pytest.raises(etl.JobError, match=r"the lake s3://no-such-lake .*NoSuchBucket"):
        shop.run(lake_bucket="no-such-lake")


def test_a_complete_run_is_never_written_to_again(shop: Shop, tmp_path: Path) -> None:
    key = f"{etl.PREFIX}/done/manifest.json"
    shop.client.put_object(Bucket=shop.bucket, Key=key, Body=b"{}")
    with pytest.raises(etl.JobError, match=r"run done is complete in .*: give another --run-id"):
        shop.run(run_id="done")
    assert shop.listed() == [key]


def test_py4j_is_asked_once_for_the_names_that_pyspark_uses_with_every_expression(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    jvm: Any = spark.sparkContext._jvm
    asked: list[str] = []
    look_up = type(jvm).__getattr__

    def looked_up(view: Any, name: str) -> Any:
        asked.append(name)
        return look_up(view, name)

    monkeypatch.setattr(type(jvm), "__getattr__", looked_up)
    vars(jvm).pop("functions", None)
    F.col("a")
    assert asked == ["functions"]
    etl.remember_names(spark)
    asked.clear()
    F.when(F.col("a") > 1, F.lit("b"))
    assert asked == []
