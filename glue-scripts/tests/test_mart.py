"""The sales mart, the saved queries and the definitions behind both, on the generated shop."""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot
from pyspark.sql import SparkSession

import ratings_etl as etl
from tests.conftest import REPOSITORY, Shop, new_shop
from tests.engines import LOOPBACK, S3, MariaDB

SQL = REPOSITORY / "sql"
LINES = (
    "orders JOIN orderdetails USING (orderNumber) JOIN products USING (productCode)"
    " JOIN customers USING (customerNumber)"
)


@pytest.fixture(scope="module")
def published(spark: SparkSession, mariadb: MariaDB, s3: S3, generated: Path, folder: Path) -> Iterator[Shop]:
    """The generated shop, published once."""
    made = new_shop(spark, mariadb, s3)
    dump = (
        (generated / "sql" / "classicmodels.sql")
        .read_bytes()
        .replace(b"`classicmodels`", made.database.encode())
    )
    subprocess.run(
        [mariadb.client, "--no-defaults", f"--host={LOOPBACK}", f"--port={mariadb.port}", "--user=root",
         "--default-character-set=utf8mb4", f"--ssl-ca={mariadb.ca_file}"],
        input=dump,
        check=True,
    )  # fmt: skip
    made.run(run_id="generated", source_kind="generated")
    yield made


@pytest.fixture(scope="module")
def lake(published: Shop, folder: Path) -> duckdb.DuckDBPyConnection:
    """The catalogue's tables, as an engine that is not Spark reads the files that they list."""
    connection = duckdb.connect()
    for table in etl.TABLES:
        files = []
        for number, path in enumerate(published.catalogue(table)):
            files.append(folder / f"{table}-{number}.parquet")
            files[-1].write_bytes(published.object(path.removeprefix(f"s3://{published.bucket}/")))
        listed = ", ".join(f"'{file}'" for file in files)
        connection.execute(
            f"CREATE VIEW {etl.catalogue_name(table, 'parquet')} AS SELECT * FROM read_parquet([{listed}])"
        )
    return connection


@pytest.mark.parametrize("table", ["ratings", "products", "customers"])
def test_the_job_publishes_row_for_row_what_the_generator_writes(
    published: Shop, generated: Path, table: str
) -> None:
    (folder,) = (generated / "training-set" / etl.PREFIX).iterdir()
    with (folder / table / "part-00000.csv").open(newline="") as file:
        reader = csv.reader(file)
        header = next(reader)
        expected = sorted(tuple(row) for row in reader)
    assert header == list(etl.TABLES[table])

    def text(value: object) -> str:
        return (
            ""
            if value is None
            else f"{value:%Y-%m-%dT%H:%M:%SZ}"
            if isinstance(value, datetime)
            else str(value)
        )

    assert sorted(tuple(map(text, row)) for row in published.rows(table)) == expected
    assert len(expected) > 100


def test_the_totals_are_those_of_the_source_to_the_cent(
    published: Shop, lake: duckdb.DuckDBPyConnection
) -> None:
    for group in ("orders.orderDate", "productLine", "country", "'all'"):
        wanted = published.mariadb.rows(
            published.database,
            f"SELECT {group}, SUM(quantityOrdered * priceEach) FROM {LINES} WHERE status <> 'Cancelled'"
            " GROUP BY 1 ORDER BY 2, 1",
        )
        mart = "sales JOIN products USING (productCode) JOIN customers USING (customerNumber)"
        found = lake.execute(
            f"SELECT {group.replace('orders.', '')}, SUM(revenue) FROM {mart} WHERE status <> 'Cancelled'"
            " GROUP BY 1 ORDER BY 2, 1"
        ).fetchall()
        assert found == list(wanted)
    everything = lake.execute("SELECT SUM(revenue), (SELECT SUM(revenue) FROM dates) FROM sales").fetchone()
    assert everything is not None
    assert everything[0] == everything[1] == wanted[0][1]


def test_the_statement_in_the_job_is_the_one_definition_of_a_spike() -> None:
    text = (SQL / "source" / "spike_days.sql").read_text()
    statement = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    assert statement.strip().rstrip(";") == etl.SPIKE_DAYS.strip()


def test_cancelled_orders_are_left_out_by_one_condition() -> None:
    condition = re.compile(r"LOWER\(TRIM\((?:\w+\.)?status\)\) <> 'cancelled'")
    texts = {str(path.relative_to(SQL)): path.read_text() for path in SQL.rglob("*.sql")}
    texts |= {"LINE_REVENUE": etl.LINE_REVENUE, "SPIKE_DAYS": etl.SPIKE_DAYS}
    found = 0
    for name, text in texts.items():
        statement = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
        assert len(re.findall("cancelled", statement, re.IGNORECASE)) == len(condition.findall(statement)), (
            name
        )
        found += len(condition.findall(statement))
    assert found >= 6


def test_the_source_and_the_mart_find_the_same_spikes(
    published: Shop, lake: duckdb.DuckDBPyConnection
) -> None:
    text = (SQL / "source" / "spike_days.sql").read_text()
    of_source = [
        (day, revenue, threshold, bool(spike))
        for day, revenue, threshold, spike in published.mariadb.rows(published.database, text)
    ]
    of_mart = lake.execute(
        "SELECT calendarDate, revenue, threshold, isSpike FROM dates WHERE revenue > 0 ORDER BY calendarDate"
    ).fetchall()
    assert of_mart == of_source
    assert any(spike for *_, spike in of_source)


def test_the_definition_is_in_what_mysql_and_spark_have_in_common() -> None:
    text = (SQL / "source" / "spike_days.sql").read_text()
    for dialect in ("mysql", "spark", "trino"):
        sqlglot.transpile(text, read=dialect, unsupported_level=sqlglot.ErrorLevel.RAISE)


QUERIES = sorted((SQL / "lake").glob("*.sql"))


def run_query(lake: duckdb.DuckDBPyConnection, name: str) -> list[tuple[Any, ...]]:
    (statement,) = sqlglot.transpile(
        (SQL / "lake" / f"{name}.sql").read_text(),
        read="athena",
        write="duckdb",
        unsupported_level=sqlglot.ErrorLevel.RAISE,
    )
    return lake.execute(statement).fetchall()


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_a_saved_query_is_one_statement_that_says_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    assert re.match(r"-- [A-Z].*\.\n", text)
    assert len(sqlglot.parse(text, read="athena")) == 1


def test_saved_queries_agree_with_the_source(published: Shop, lake: duckdb.DuckDBPyConnection) -> None:
    revenue = "SUM(CASE WHEN status <> 'Cancelled' THEN quantityOrdered * priceEach ELSE 0 END)"
    pieces = "SUM(CASE WHEN status <> 'Cancelled' THEN quantityOrdered ELSE 0 END)"
    source = {
        "revenue_by_month": f"SELECT YEAR(orderDate), MONTH(orderDate), {revenue},"
        f" COUNT(DISTINCT orderNumber), COUNT(*) FROM {LINES} GROUP BY 1, 2 ORDER BY 1, 2",
        "revenue_by_product_line": f"SELECT productLine, {revenue}, {pieces} FROM {LINES}"
        " GROUP BY 1 ORDER BY 2 DESC, 1",
        "revenue_by_country": f"SELECT country, {revenue}, COUNT(DISTINCT customerNumber),"
        f" COUNT(DISTINCT orderNumber) FROM {LINES} GROUP BY 1 ORDER BY 2 DESC, 1",
        "top_products": f"SELECT productCode, productName, productLine, {revenue}, {pieces}"
        f" FROM {LINES} GROUP BY 1, 2, 3"
        " ORDER BY 4 DESC, 1 LIMIT 20",
        "training_set_profile": "SELECT COUNT(*), COUNT(DISTINCT customerNumber),"
        " COUNT(DISTINCT productCode),"
        " SUM(COALESCE(state, '') = ''), SUM(COALESCE(postalCode, '') = ''),"
        " CAST(AVG(productRating) AS double), SUM(productRating >= 4)"
        " FROM ratings JOIN customers USING (customerNumber)",
    }
    assert {*source, "spike_days"} == {path.stem for path in QUERIES}
    for name, statement in source.items():
        wanted = [tuple(row) for row in published.mariadb.rows(published.database, statement)]
        found = [row[: len(wanted[0])] for row in run_query(lake, name)]
        assert len(wanted) >= 1
        if name == "training_set_profile":
            assert found[0] == pytest.approx([float(value) for value in wanted[0]], abs=1e-4)
        else:
            assert found == wanted, name
    spikes = published.mariadb.rows(published.database, (SQL / "source" / "spike_days.sql").read_text())
    assert run_query(lake, "spike_days") == [
        (day, value, threshold) for day, value, threshold, spike in spikes if spike
    ]


def test_the_queries_read_text_columns_as_the_csv_tables_have_them(
    published: Shop, lake: duckdb.DuckDBPyConnection
) -> None:
    texts = duckdb.connect()
    for table, columns in etl.TABLES.items():
        name = etl.catalogue_name(table, "parquet")
        frame = lake.execute(
            f"SELECT {', '.join(f'CAST({column} AS varchar)' for column in columns)} FROM {name}"
        ).fetchall()
        texts.execute(f"CREATE TABLE {name} ({', '.join(f'{column} varchar' for column in columns)})")
        texts.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(columns))})", frame)
    for path in QUERIES:
        if path.stem == "training_set_profile":
            continue  # its times stay texts
        assert run_query(texts, path.stem) == run_query(lake, path.stem), path.stem


def test_decimals_stay_decimals(lake: duckdb.DuckDBPyConnection) -> None:
    row = lake.execute(
        "SELECT revenue, typeof(revenue), typeof(ratedAt) FROM sales, ratings_ml_training LIMIT 1"
    ).fetchone()
    assert row is not None
    assert isinstance(row[0], Decimal)
    assert row[1:] == ("DECIMAL(20,2)", "TIMESTAMP WITH TIME ZONE")
