"""The batch job: from the shop's MySQL database to a published training set and sales mart in the
data lake.

One run checks the source's contract, reads its tables, joins and writes them into a folder
ratings_ml_training/<run_id>/, judges their quality, completes the folder with a manifest.json, and
then publishes it by one conditional write of ratings_ml_training/published.json. Until that write
nothing that is published has changed; a run that fails or dies leaves it as it was. The contract of
a run is docs/schemas/training_set_manifest.schema.json, that of what a run tells of itself
training_set_outcome.schema.json, that of the pointer training_set_published.schema.json.

The script runs on Glue 5.1 and on a laptop alike: a plain SparkSession, boto3, nothing else, one
file. What differs (endpoints, jars, where s3:// leads) lies outside of it. It is cut into: the
contracts as data, transformations from DataFrame to DataFrame, the source, the lake, the run.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import ipaddress
import json
import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, Observation, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

# --------------------------------------------------------------------------------------------------
# Contracts, as data
# --------------------------------------------------------------------------------------------------

PREFIX = "ratings_ml_training"  # the folder of all runs
MANIFEST = "manifest.json"
PUBLISHED = f"{PREFIX}/published.json"
OUTCOME = "_outcome.json"
STAGING = "_staging"  # below a run's folder: the source's tables as they were read
TRUST_STORE = "_certificates.p12"  # below a run's folder, while it runs
QUARANTINE = "quarantine"  # beside the runs, for the bucket's own expiry: quarantine/<run_id>/<table>/
FOLDER_MARK = "_$folder$"  # ends the name of the object beside a folder that Glue's writer makes
CATALOGUE = "catalogue"  # catalogue/<table>/symlink.txt: where the catalogue's tables look

CUSTOMER_NUMBER, PRODUCT_CODE, PRODUCT_RATING, RATED_AT = (
    "customerNumber",
    "productCode",
    "productRating",
    "ratedAt",
)
ORDER_NUMBER, ORDER_DATE, STATUS, REVENUE = "orderNumber", "orderDate", "status", "revenue"
RATING_COUNT, CALENDAR_DATE, THRESHOLD, IS_SPIKE = "ratingCount", "calendarDate", "threshold", "isSpike"

RATINGS, CUSTOMERS, PRODUCTS, ORDERS, ORDER_DETAILS = (
    "ratings",
    "customers",
    "products",
    "orders",
    "orderdetails",
)
SALES, DATES, OBSERVATIONS = "sales", "dates", "observations"

Columns = Mapping[str, str]
"""Columns of a table in their order, each with its Hive type."""

_MONEY = "decimal(10,2)"
_CUSTOMER: dict[str, str] = {
    CUSTOMER_NUMBER: "int",
    "city": "string",
    "state": "string",
    "postalCode": "string",
    "country": "string",
    "creditLimit": _MONEY,
}
_PRICED: dict[str, str] = {"quantityInStock": "smallint", "buyPrice": _MONEY, "MSRP": _MONEY}
_CLASSIFIED: dict[str, str] = {"productLine": "string", "productScale": "string"}

# The tables of a run.
TABLES: dict[str, Columns] = {
    RATINGS: {
        **_CUSTOMER,
        PRODUCT_CODE: "string",
        **_CLASSIFIED,
        **_PRICED,
        PRODUCT_RATING: "int",
        RATED_AT: "timestamp",
        RATING_COUNT: "int",
    },
    PRODUCTS: {
        PRODUCT_CODE: "string",
        "productName": "string",
        **_CLASSIFIED,
        "productVendor": "string",
        **_PRICED,
    },
    CUSTOMERS: _CUSTOMER,
    # Order lines, cancelled ones with a revenue of 0.
    SALES: {
        ORDER_NUMBER: "int",
        "orderLineNumber": "smallint",
        ORDER_DATE: "date",
        STATUS: "string",
        CUSTOMER_NUMBER: "int",
        PRODUCT_CODE: "string",
        "quantityOrdered": "int",
        "priceEach": _MONEY,
        REVENUE: "decimal(20,2)",
    },
    # Every day from the first order's to the last one's.
    DATES: {
        CALENDAR_DATE: "date",
        "year": "int",
        "quarter": "int",
        "month": "int",
        "dayOfMonth": "int",
        "dayOfWeek": "int",  # ISO 8601: Monday is 1
        REVENUE: "decimal(20,2)",
        THRESHOLD: "decimal(24,4)",
        IS_SPIKE: "boolean",
    },
    # Every value that a customer's rating of a product was ever seen to have.
    OBSERVATIONS: {
        CUSTOMER_NUMBER: "int",
        PRODUCT_CODE: "string",
        RATED_AT: "timestamp",
        PRODUCT_RATING: "int",
    },
}

# What identifies a row, and what rows are sorted by.
KEYS: dict[str, tuple[str, ...]] = {
    RATINGS: (CUSTOMER_NUMBER, PRODUCT_CODE),
    PRODUCTS: (PRODUCT_CODE,),
    CUSTOMERS: (CUSTOMER_NUMBER,),
    SALES: (ORDER_NUMBER, PRODUCT_CODE),
    DATES: (CALENDAR_DATE,),
    OBSERVATIONS: (CUSTOMER_NUMBER, PRODUCT_CODE, RATED_AT),
}


def catalogue_name(table: str, file_format: str) -> str:
    """The catalogue's table: that of the ratings has the course's name. Another format than Parquet
    has tables of its own, so that none ever names files that it cannot read.
    """
    name = PREFIX if table == RATINGS else table
    return name if file_format == "parquet" else f"{name}_{file_format}"


@dataclass(frozen=True)
class SourceTable:
    """A table of the source.

    read are the columns that the job needs, each with the types that MySQL may give it, lengths of
    text left out, and the Hive type that it is read as. optional ones may be absent. ignored are
    columns that are known to be there and not read: with the others they are what a new column is
    told from. bound is the column by which a read is bounded and cut.
    """

    read: Mapping[str, tuple[tuple[str, ...], str]]
    optional: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    bound: str | None = None

    def columns(self, found: Mapping[str, str]) -> Columns:
        """The columns to read where these are the ones found."""
        present = {name.lower() for name in found}
        return {name: hive for name, (_, hive) in self.read.items() if name.lower() in present}


_INT = (("int",), "int")
_WHOLE = (("int", "smallint", "tinyint"), "int")
_SMALLINT = (("smallint",), "smallint")
_TEXT = (("varchar", "char"), "string")
_DECIMAL = (("decimal(10,2)",), _MONEY)
_DATE = (("date",), "date")
_TIME = (("datetime", "timestamp"), "timestamp")

# In the order of reading: what refers to others comes before what it refers to, so that a row that
# is added meanwhile finds its parents. Readers of a busy database get no snapshot over several
# tables without a lock.
SOURCE: dict[str, SourceTable] = {
    RATINGS: SourceTable(
        read={CUSTOMER_NUMBER: _INT, PRODUCT_CODE: _TEXT, PRODUCT_RATING: _WHOLE, RATED_AT: _TIME},
        optional=(RATED_AT,),
        bound=CUSTOMER_NUMBER,
    ),
    ORDER_DETAILS: SourceTable(
        read={
            ORDER_NUMBER: _INT,
            PRODUCT_CODE: _TEXT,
            "quantityOrdered": _INT,
            "priceEach": _DECIMAL,
            "orderLineNumber": _SMALLINT,
        },
        bound=ORDER_NUMBER,
    ),
    ORDERS: SourceTable(
        read={ORDER_NUMBER: _INT, ORDER_DATE: _DATE, STATUS: _TEXT, CUSTOMER_NUMBER: _INT},
        ignored=("requiredDate", "shippedDate", "comments"),
    ),
    CUSTOMERS: SourceTable(
        read={
            CUSTOMER_NUMBER: _INT,
            "city": _TEXT,
            "state": _TEXT,
            "postalCode": _TEXT,
            "country": _TEXT,
            "creditLimit": _DECIMAL,
        },
        ignored=(
            "customerName",
            "contactLastName",
            "contactFirstName",
            "phone",
            "addressLine1",
            "addressLine2",
            "salesRepEmployeeNumber",
        ),
    ),
    PRODUCTS: SourceTable(
        read={
            PRODUCT_CODE: _TEXT,
            "productName": _TEXT,
            "productLine": _TEXT,
            "productScale": _TEXT,
            "productVendor": _TEXT,
            "quantityInStock": _SMALLINT,
            "buyPrice": _DECIMAL,
            "MSRP": _DECIMAL,
        },
        ignored=("productDescription",),
    ),
}


@dataclass(frozen=True)
class Rule:
    """A rule that every row of a table has to obey, as an SQL condition that is true for a row that
    breaks it.
    """

    name: str
    column: str
    expected: str
    breach: str

    @property
    def reason(self) -> str:
        """What is written beside a quarantined row."""
        return f"{self.name}: {self.column} must be {self.expected}"


# Marks that a join leaves on the rows that found their parent.
CUSTOMER_FOUND, PRODUCT_FOUND, ORDER_FOUND = "customerFound", "productFound", "orderFound"


def _complete(columns: Sequence[str], where: str = "true") -> tuple[Rule, ...]:
    return tuple(Rule("complete", name, "given", f"{where} AND {name} IS NULL") for name in columns)


def _reference(column: str, table: str, mark: str) -> Rule:
    expected = f"in the table {table}"
    if column == PRODUCT_CODE:
        # A source whose collation ignores case has let the row in; who joins what is published does
        # not ignore it.
        expected += ", letter by letter, whatever the source's collation ignores"
    return Rule("reference", column, expected, f"{column} IS NOT NULL AND {mark} IS NULL")


# Rules for rows. Of ratings and sales a share may break them: those are quarantined. Customers and
# products are published whole or not at all.
RULES: dict[str, tuple[Rule, ...]] = {
    CUSTOMERS: _complete((CUSTOMER_NUMBER,)),
    PRODUCTS: _complete((PRODUCT_CODE,)),
    RATINGS: (
        *_complete((CUSTOMER_NUMBER, PRODUCT_CODE, PRODUCT_RATING, RATED_AT)),
        Rule("range", PRODUCT_RATING, "from 1 to 5", f"{PRODUCT_RATING} NOT BETWEEN 1 AND 5"),
        _reference(CUSTOMER_NUMBER, CUSTOMERS, CUSTOMER_FOUND),
        _reference(PRODUCT_CODE, PRODUCTS, PRODUCT_FOUND),
        *_complete(("city", "country"), CUSTOMER_FOUND),
        *_complete(("productLine", "productScale", "quantityInStock", "buyPrice", "MSRP"), PRODUCT_FOUND),
    ),
    SALES: (
        *_complete((ORDER_NUMBER, PRODUCT_CODE, "quantityOrdered", "priceEach", "orderLineNumber")),
        _reference(ORDER_NUMBER, ORDERS, ORDER_FOUND),
        *_complete((ORDER_DATE, STATUS, CUSTOMER_NUMBER), ORDER_FOUND),
        # The calendar has a row for each day in between: one order of the year 9999 makes millions.
        Rule(
            "range",
            ORDER_DATE,
            "from 1900-01-01 to 2099-12-31",
            f"{ORDER_DATE} NOT BETWEEN DATE'1900-01-01' AND DATE'2099-12-31'",
        ),
        _reference(CUSTOMER_NUMBER, CUSTOMERS, CUSTOMER_FOUND),
        _reference(PRODUCT_CODE, PRODUCTS, PRODUCT_FOUND),
    ),
}
# The source's table whose rows become those of a table that may leave some of them out.
ORIGIN = {RATINGS: RATINGS, SALES: ORDER_DETAILS}
# Tables without which there is nothing to publish.
NOT_EMPTY = (RATINGS, CUSTOMERS, PRODUCTS)

# Revenue of an order line: its share of the day's revenue in SPIKE_DAYS.
LINE_REVENUE = f"CASE WHEN LOWER(TRIM({STATUS})) <> 'cancelled' THEN quantityOrdered * priceEach ELSE 0 END"

# The statement of sql/source/spike_days.sql, without its comment. A test holds the two together: a
# job has one file.
SPIKE_DAYS = """
WITH daily AS (
  SELECT orders.orderDate, SUM(orderdetails.quantityOrdered * orderdetails.priceEach) AS revenue
  FROM orders
  JOIN orderdetails ON orderdetails.orderNumber = orders.orderNumber
  WHERE LOWER(TRIM(orders.status)) <> 'cancelled'
  GROUP BY orders.orderDate
),
numbered AS (
  SELECT orderDate, revenue, ROW_NUMBER() OVER (ORDER BY orderDate) AS dayNumber
  FROM daily
),
before_it AS (
  SELECT numbered.orderDate, past.revenue,
    ROW_NUMBER() OVER (PARTITION BY numbered.orderDate ORDER BY past.revenue) AS placement
  FROM numbered
  JOIN numbered AS past ON past.dayNumber BETWEEN numbered.dayNumber - 28 AND numbered.dayNumber - 1
  WHERE numbered.dayNumber > 28
),
medians AS (
  SELECT orderDate, SUM(revenue) AS twoMedians
  FROM before_it
  WHERE placement IN (14, 15)
  GROUP BY orderDate
),
deviations AS (
  SELECT before_it.orderDate, ABS(2 * before_it.revenue - medians.twoMedians) AS twoDeviations,
    ROW_NUMBER() OVER (
      PARTITION BY before_it.orderDate ORDER BY ABS(2 * before_it.revenue - medians.twoMedians)
    ) AS placement
  FROM before_it
  JOIN medians ON medians.orderDate = before_it.orderDate
),
mads AS (
  SELECT orderDate, SUM(twoDeviations) AS fourMads
  FROM deviations
  WHERE placement IN (14, 15)
  GROUP BY orderDate
)
SELECT daily.orderDate, daily.revenue,
  0.25 * (2 * medians.twoMedians + 3 * mads.fourMads) AS threshold,
  CASE WHEN 4 * daily.revenue > 2 * medians.twoMedians + 3 * mads.fourMads THEN 1 ELSE 0 END AS spike
FROM daily
LEFT JOIN medians ON medians.orderDate = daily.orderDate
LEFT JOIN mads ON mads.orderDate = daily.orderDate
ORDER BY daily.orderDate
"""


# --------------------------------------------------------------------------------------------------
# Transformations
# --------------------------------------------------------------------------------------------------


def schema_of(columns: Columns) -> str:
    """The schema of columns with Hive types, as Spark's readers take it; every column may be
    null."""
    return ", ".join(f"`{name}` {kind}" for name, kind in columns.items())


def conform(frame: DataFrame, columns: Columns) -> DataFrame:
    """These columns in this order with these types."""
    return frame.select(*(F.col(name).cast(kind).alias(name) for name, kind in columns.items()))


def marked(frame: DataFrame, mark: str) -> DataFrame:
    """The rows with a column of this name that is true."""
    return frame.withColumn(mark, F.lit(True))


def dated(ratings: DataFrame, observations: DataFrame | None, moment: datetime) -> DataFrame:
    """Ratings with the time from which each pair has its value.

    A source that dates them is believed. Otherwise it is the run that first saw the pair's value
    after a different one: the time of the pair's newest observation where that has the same value,
    else moment.
    """
    if RATED_AT in ratings.columns:
        return ratings
    seen_now = F.lit(moment.strftime("%Y-%m-%d %H:%M:%S")).cast("timestamp")
    if observations is None:
        return ratings.withColumn(RATED_AT, seen_now)
    newest = observations.groupBy(CUSTOMER_NUMBER, PRODUCT_CODE).agg(
        F.max(F.struct(RATED_AT, PRODUCT_RATING)).alias("newest")
    )
    same_value = F.col(f"newest.{PRODUCT_RATING}") == F.col(PRODUCT_RATING)
    return ratings.join(newest, [CUSTOMER_NUMBER, PRODUCT_CODE], "left").select(
        *ratings.columns, F.when(same_value, F.col(f"newest.{RATED_AT}")).otherwise(seen_now).alias(RATED_AT)
    )


def rated(ratings: DataFrame, customers: DataFrame, products: DataFrame) -> DataFrame:
    """Ratings with what is known of customer and product, values as the source has them, and the
    marks of both.
    """
    customer = marked(conform(customers, TABLES[CUSTOMERS]), CUSTOMER_FOUND)
    product = marked(products.select(PRODUCT_CODE, *_CLASSIFIED, *_PRICED), PRODUCT_FOUND)
    return (
        ratings.join(customer, CUSTOMER_NUMBER, "left")
        .join(product, PRODUCT_CODE, "left")
        .withColumn(RATING_COUNT, F.lit(1))
    )


def sold(lines: DataFrame, orders: DataFrame, customers: DataFrame, products: DataFrame) -> DataFrame:
    """Order lines with their order's day, status and customer, their revenue, and the marks of all
    three parents.
    """
    return (
        lines.join(marked(orders, ORDER_FOUND), ORDER_NUMBER, "left")
        .join(marked(customers.select(CUSTOMER_NUMBER), CUSTOMER_FOUND), CUSTOMER_NUMBER, "left")
        .join(marked(products.select(PRODUCT_CODE), PRODUCT_FOUND), PRODUCT_CODE, "left")
        .withColumn(REVENUE, F.expr(LINE_REVENUE))
    )


def observed(previous: DataFrame | None, ratings: DataFrame) -> DataFrame:
    """Every value ever seen: those seen before and those of these ratings.

    An observation is a customer, a product and a time; where both sides have one, the value is the
    newer side's.
    """
    now = conform(ratings, TABLES[OBSERVATIONS])
    if previous is None:
        return now
    before = conform(previous, TABLES[OBSERVATIONS])
    return before.join(now, list(KEYS[OBSERVATIONS]), "left_anti").unionByName(now)


def calendar(sales: DataFrame) -> DataFrame:
    """A row for each day from the first order's to the last one's, with its revenue and whether it
    is a spike.
    """
    lines = sales.select(ORDER_NUMBER, PRODUCT_CODE, "quantityOrdered", "priceEach")
    lines.createOrReplaceTempView(ORDER_DETAILS)
    sales.select(ORDER_NUMBER, ORDER_DATE, STATUS).distinct().createOrReplaceTempView(ORDERS)
    days = sales.sparkSession.sql(SPIKE_DAYS).withColumnRenamed(ORDER_DATE, CALENDAR_DATE)
    day = F.col(CALENDAR_DATE)
    return conform(
        sales.agg(F.min(ORDER_DATE).alias("first"), F.max(ORDER_DATE).alias("last"))
        .where("first IS NOT NULL")
        .select(F.explode(F.sequence("first", "last")).alias(CALENDAR_DATE))
        .join(days, CALENDAR_DATE, "left")
        .withColumns(
            {
                "year": F.year(day),
                "quarter": F.quarter(day),
                "month": F.month(day),
                "dayOfMonth": F.dayofmonth(day),
                "dayOfWeek": F.weekday(day) + 1,
                REVENUE: F.coalesce(REVENUE, F.lit(0)),
                IS_SPIKE: F.coalesce("spike", F.lit(0)),
            }
        ),
        TABLES[DATES],
    )


# --------------------------------------------------------------------------------------------------
# Quality
# --------------------------------------------------------------------------------------------------

REASONS = "reasons"  # of a row to be quarantined
DOUBLED = "doubled"  # marks a row whose keys another row has, too
DELETED = "deleted"  # marks a row that the source has deleted since it was read
DELETED_REASON = "orphan by concurrent delete: the source deleted the row and its parent while the run read"


@dataclass(frozen=True)
class Finding:
    """What a rule found in a table: an example of what broke it, and in how many rows."""

    table: str
    rule: str
    column: str
    expected: str
    found: str
    rows: int
    passed: bool

    def __str__(self) -> str:
        """One line for people."""
        verdict = f"want {self.expected}, found {self.found} ({self.rows} rows)"
        return f"{self.table}.{self.column}: {self.rule}: {verdict}"


@dataclass(frozen=True)
class Quality:
    """The verdict on a table."""

    rows: int
    quarantined: int
    deleted: int
    findings: tuple[Finding, ...]

    @property
    def broken(self) -> tuple[Finding, ...]:
        """What forbids to publish."""
        return tuple(finding for finding in self.findings if not finding.passed)


def judged(frame: DataFrame, table: str) -> DataFrame:
    """The rows with the reasons for which each would be quarantined, null for a good one."""
    rules = RULES[table]
    breaches = functools.reduce(lambda left, right: left | right, (F.expr(rule.breach) for rule in rules))
    # Good rows, nearly all, never come to make a list of nothing; array_compact would keep Spark
    # from compiling the whole stage.
    reasons = F.array(*(F.when(F.expr(rule.breach), F.lit(rule.reason)) for rule in rules))
    broken = F.when(breaches, F.array_except(reasons, F.array(F.lit(None).cast("string"))))
    if DELETED in frame.columns:
        broken = F.when(F.col(DELETED), F.array(F.lit(DELETED_REASON))).otherwise(broken)
    return frame.withColumn(REASONS, broken)


def arranged(frame: DataFrame, table: str, files: int) -> DataFrame:
    """The rows in this many partitions, each sorted by the table's keys; of a table with rules,
    with DOUBLED where the row before has the same keys.

    Rows with an incomplete key are no doubles: completeness is a rule of its own.
    """
    first, *others = KEYS[table]
    spread = frame.repartition(1) if files == 1 else frame.repartitionByRange(files, first)
    in_order = spread.sortWithinPartitions(first, *others)
    if table not in RULES:
        return in_order
    # Rows of one first key share a partition and lie in this order: it costs no further sorting.
    window = Window.partitionBy(first).orderBy(*(others or [first]))
    same = [F.lag(key).over(window) == F.col(key) for key in KEYS[table]]
    doubled = functools.reduce(lambda left, right: left & right, same)
    return in_order.withColumn(DOUBLED, F.coalesce(doubled, F.lit(False)))


@dataclass(frozen=True)
class Counts:
    """What one pass counts of a judged table: all rows, those with reasons to be quarantined, and
    those whose keys another row has, too.
    """

    rows: int
    quarantined: int = 0
    doubled: int = 0


def counts(table: str) -> list[Column]:
    """The aggregates of Counts over an arranged table, named like its fields."""
    measures = [F.count(F.lit(1)).alias("rows")]
    if table in RULES:
        measures += [
            F.count(REASONS).alias("quarantined"),
            F.count(F.when(F.col(DOUBLED), 1)).alias("doubled"),
        ]
    return measures


def details(bad: DataFrame | None, table: str) -> dict[str, Any]:
    """Over the rows that break a rule, rule by rule: how many, and an example; and how many the
    source has deleted meanwhile. None has nothing to tell.
    """
    if bad is None:
        return {}
    counted = ~F.col(DELETED) if DELETED in bad.columns else F.lit(True)
    measures = [F.count(F.when(~counted, 1)).alias("deleted")]
    for i, rule in enumerate(RULES[table]):
        broken = counted & F.expr(rule.breach)
        measures += [
            F.count(F.when(broken, 1)).alias(f"rows{i}"),
            F.min(F.when(broken, F.col(rule.column).cast("string"))).alias(f"found{i}"),
        ]
    return bad.agg(*measures).collect()[0].asDict()


def verdict(counted: Counts, told: Mapping[str, Any], table: str, tolerance: float) -> Quality:
    """Holds a table to all its rules by its counts and the details of its bad rows.

    Keys are unique and of tables of NOT_EMPTY rows are left to publish, without tolerance; rows
    that break other rules may be up to this share.
    """
    deleted = int(told.get("deleted", 0))
    quarantined = counted.quarantined - deleted
    # By the share as it is written: 0.29 * 100 is less than 29 in floating point.
    tolerated = quarantined <= Fraction(str(tolerance)) * counted.rows
    # Rows beyond the tolerance are a fault of their own, and nothing is left out then.
    left = counted.rows - counted.quarantined if tolerated else counted.rows
    doubled = counted.doubled
    findings = [
        Finding(
            table,
            "unique",
            ", ".join(KEYS[table]),
            "unique",
            "doubled" if doubled else "",
            doubled,
            doubled == 0,
        )
    ]
    if table in NOT_EMPTY:
        findings.append(Finding(table, "not empty", "*", "at least one row", str(left), 0, left > 0))
    for i, rule in enumerate(RULES[table]):
        broken = int(told.get(f"rows{i}", 0))
        found = "" if not broken else "null" if told[f"found{i}"] is None else told[f"found{i}"]
        findings.append(
            Finding(table, rule.name, rule.column, rule.expected, found, broken, broken == 0 or tolerated)
        )
    return Quality(counted.rows, quarantined, deleted, tuple(findings))


def good(frame: DataFrame, table: str) -> DataFrame:
    """The rows of a judged table that are published, with the table's columns."""
    return conform(frame.where(F.isnull(REASONS)), TABLES[table])


def bad(frame: DataFrame) -> DataFrame:
    """The rows of a judged table that are quarantined, with their reasons and marks."""
    return frame.where(F.isnotnull(REASONS))


# --------------------------------------------------------------------------------------------------
# The source
# --------------------------------------------------------------------------------------------------


class JobError(Exception):
    """The run cannot be published. The message says where, what, and what to do; findings are the
    rules that were broken.
    """

    def __init__(self, message: str, findings: Sequence[Finding] = ()) -> None:
        """Lists the findings below the message, which goes to logs and outcomes: see unsigned."""
        super().__init__(unsigned("\n  ".join([message, *map(str, findings)])))
        self.findings = tuple(findings)


def unsigned(text: str) -> str:
    """The text without the queries of its URLs: they sign for whoever reads them."""
    return re.sub(r"(?<=\S)\?[^\s'\"<>()\[\]]*=[^\s'\"<>()\[\]]*", "", text)


@dataclass(frozen=True)
class Settings:
    """What a run is told. Times are in seconds; max_quarantined is a share of a table's rows."""

    run_id: str
    region: str
    lake_bucket: str
    format: str
    max_quarantined: float
    keep_runs: int
    connections: int
    fetch_size: int
    statement_timeout: int
    host: str
    port: int
    database: str
    user: str
    auth: str
    secret_arn: str
    tls: bool
    ca: str
    source_kind: str
    source_detail: str
    source_owner: str

    @property
    def source(self) -> str:
        """The source, for messages."""
        return f"mysql://{self.host}:{self.port}/{self.database}"


_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def settings_from(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Reads the arguments that the job's definition gives and the environment, in which only a
    laptop differs.

    DATABASE_AUTH is iam (default) or secret, DATABASE_SECRET_ARN the secret's name, DATABASE_TLS
    verify-full (default) or, for a loopback host, off, DATABASE_CA_FILE a PEM file in place of
    --source-ca. Glue adds arguments of its own: unknown ones are left alone. Raises JobError with
    all problems at once.
    """
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    parser = argparse.ArgumentParser(prog="ratings_etl.py", allow_abbrev=False)
    add = parser.add_argument
    add("--run-id", default="", help="name of the run; default: time and a random part")
    add("--region", default=environment.get("AWS_REGION", environment.get("AWS_DEFAULT_REGION", "")))
    add("--lake-bucket", default="", help="bucket of the data lake")
    add("--format", default="parquet", help="parquet (snappy) or csv")
    add("--max-quarantined", default="0.01", help="share of a table's rows that may break a rule")
    add("--keep-runs", default="5", help="published runs that stay")
    add("--connections", default="4", help="most connections to the source at a time")
    add("--fetch-size", default="10000", help="rows that the source sends at a time")
    add("--statement-timeout", default="300", help="seconds for one statement of the source")
    add("--source-host", default="")
    add("--source-port", default="3306")
    add("--source-database", default="classicmodels")
    add("--source-user", default="etl_reader")
    add(
        "--source-ca",
        default="",
        help="s3://bucket/key or path of the certificate authorities to trust, in PEM",
    )
    add("--source-kind", default="mysql", help="generated, mysql or dump")
    add("--source-detail", default="", help="what a reader of the manifest should know of the source")
    add("--source-owner", default="", help="who is asked when the source's schema changes")
    given, _ = parser.parse_known_args(list(arguments))
    problems: list[str] = []

    def required(value: str, name: str) -> str:
        if not value:
            problems.append(f"{name} is not given")
        return value

    def one_of(value: str, name: str, allowed: tuple[str, ...]) -> str:
        if value not in allowed:
            problems.append(f"{name} is {value!r}: allowed is {' or '.join(allowed)}")
        return value

    def number(value: str, name: str, least: int, most: int) -> int:
        if re.fullmatch(r"\d{1,9}", value) and least <= int(value) <= most:
            return int(value)
        problems.append(f"{name} is {value!r}: allowed is a whole number from {least} to {most}")
        return least

    def share(value: str, name: str) -> float:
        if re.fullmatch(r"0(\.\d+)?|1(\.0+)?", value):
            return float(value)
        problems.append(f"{name} is {value!r}: allowed is a share from 0 to 1, such as 0.01")
        return 0.0

    run_id = given.run_id or f"{now}-{secrets.token_hex(4)}"
    if not _RUN_ID.fullmatch(run_id):
        problems.append(
            f"--run-id is {run_id!r}: allowed are 1 to 128 letters, digits, dots, dashes and underscores"
        )
    host = required(given.source_host, "--source-host")
    auth = one_of(environment.get("DATABASE_AUTH") or "iam", "DATABASE_AUTH", ("iam", "secret"))
    tls = one_of(environment.get("DATABASE_TLS") or "verify-full", "DATABASE_TLS", ("verify-full", "off"))
    secret_arn = environment.get("DATABASE_SECRET_ARN", "")
    if auth == "secret":
        required(secret_arn, "DATABASE_SECRET_ARN (the login is DATABASE_AUTH=secret)")
    if tls == "off" and host and not _loopback(host):
        problems.append(f"DATABASE_TLS is off for {host}: only a loopback host may be reached without TLS")
    ca = environment.get("DATABASE_CA_FILE") or given.source_ca
    if tls == "verify-full":
        required(ca, "--source-ca (the server's certificate is verified)")
    settings = Settings(
        run_id=run_id,
        region=required(given.region, "--region"),
        lake_bucket=required(given.lake_bucket, "--lake-bucket"),
        format=one_of(given.format, "--format", ("parquet", "csv")),
        max_quarantined=share(given.max_quarantined, "--max-quarantined"),
        keep_runs=number(given.keep_runs, "--keep-runs", 1, 1000),
        connections=number(given.connections, "--connections", 1, 64),
        fetch_size=number(given.fetch_size, "--fetch-size", 1, 1_000_000),
        statement_timeout=number(given.statement_timeout, "--statement-timeout", 1, 3600),
        host=host,
        port=number(given.source_port, "--source-port", 1, 65535),
        database=required(given.source_database, "--source-database"),
        user=required(given.source_user, "--source-user"),
        auth=auth,
        secret_arn=secret_arn,
        tls=tls == "verify-full",
        ca=ca,
        source_kind=one_of(given.source_kind, "--source-kind", ("generated", "mysql", "dump")),
        source_detail=given.source_detail or f"{host}:{given.source_port}/{given.source_database}",
        source_owner=given.source_owner,
    )
    if problems:
        raise JobError("the job's settings are wrong:\n  " + "\n  ".join(problems))
    return settings


def _loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def login(settings: Settings) -> tuple[str, str]:
    """User name and password: an IAM token, signed here without a call and good for opening
    connections for 15 minutes, or what a secret holds.
    """
    if settings.auth == "iam":
        token = boto3.client("rds", region_name=settings.region).generate_db_auth_token(
            DBHostname=settings.host, Port=settings.port, DBUsername=settings.user, Region=settings.region
        )
        return settings.user, token
    answer = boto3.client("secretsmanager", region_name=settings.region).get_secret_value(
        SecretId=settings.secret_arn
    )
    try:
        secret = json.loads(answer["SecretString"])
        return str(secret["username"]), str(secret["password"])
    except (ValueError, KeyError, TypeError):
        raise JobError(
            f"database secret {settings.secret_arn}: its value is not a JSON object with username and"
            " password"
        ) from None


TRUST_STORE_PASSWORD = "certificates"  # it holds public certificates; the format wants a password


def trust_store(spark: SparkSession, pem: bytes) -> bytes:
    """A PKCS12 trust store of these certificate authorities, made by the JVM: Connector/J reads
    nothing else.
    """
    blocks = re.findall(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", pem, re.DOTALL)
    if not blocks:
        raise JobError("the file of certificate authorities holds no certificate in PEM form")
    jvm: Any = spark.sparkContext._jvm  # PySpark has no public way to the JVM
    java = jvm.java
    password = java.nio.CharBuffer.allocate(len(TRUST_STORE_PASSWORD)).put(TRUST_STORE_PASSWORD).array()
    store = java.security.KeyStore.getInstance("PKCS12")
    store.load(None, password)
    factory = java.security.cert.CertificateFactory.getInstance("X.509")
    for i, block in enumerate(blocks):
        certificate = factory.generateCertificate(java.io.ByteArrayInputStream(block + b"\n"))
        store.setCertificateEntry(f"authority-{i}", certificate)
    output = java.io.ByteArrayOutputStream()
    store.store(output, password)
    return bytes(output.toByteArray())


# A connection is wanted soon or not at all; a statement may take its time, a silent peer may not.
CONNECT_TIMEOUT_SECONDS = 10
SILENCE_SECONDS = 30
# Below this many rows one statement reads a table: one statement is a snapshot of it.
ROWS_PER_CONNECTION = 1_000_000


@dataclass
class Source:
    """The source database, read over JDBC without a lock: plain SELECT statements, each its own
    transaction.
    """

    spark: SparkSession
    settings: Settings
    certificates: Callable[[], str]
    """An URL from which every executor reads the trust store."""

    def read(self, query: str, bounds: tuple[str, int, int, int] | None = None) -> DataFrame:
        """The rows of a query, read anew by every action; bounds are column, least, greatest and
        number of connections.

        It logs in now: a token is good for 15 minutes, so the action has to follow.
        """
        settings = self.settings
        user, password = login(settings)
        options = {
            "driver": "com.mysql.cj.jdbc.Driver",
            "url": f"jdbc:mysql://{settings.host}:{settings.port}/{settings.database}",
            "user": user,
            "password": password,
            "dbtable": f"({query}) AS rows_read",
            "fetchsize": str(settings.fetch_size),
            "queryTimeout": str(settings.statement_timeout),
            # Else a time-out opens one more connection to kill the statement from.
            "queryTimeoutKillsConnection": "true",
            # Else the driver holds a whole table in memory, whatever the fetch size. The server
            # keeps it instead, in a temporary table.
            "useCursorFetch": "true",
            "connectTimeout": str(CONNECT_TIMEOUT_SECONDS * 1000),
            "socketTimeout": str((settings.statement_timeout + SILENCE_SECONDS) * 1000),
            "tcpKeepAlive": "true",
            # A datetime of the source is UTC, whatever the machine's own zone.
            "connectionTimeZone": "UTC",
            "forceConnectionTimeZoneToSession": "true",
            "characterEncoding": "UTF-8",
            "tinyInt1isBit": "false",
            "zeroDateTimeBehavior": "CONVERT_TO_NULL",
            "sslMode": "VERIFY_IDENTITY" if settings.tls else "DISABLED",
        }
        if settings.tls:
            options |= {
                "trustCertificateKeyStoreUrl": self.certificates(),
                "trustCertificateKeyStoreType": "PKCS12",
                "trustCertificateKeyStorePassword": TRUST_STORE_PASSWORD,
                "fallbackToSystemTrustStore": "false",
            }
        if bounds:
            column, least, greatest, parts = bounds
            options |= {
                "partitionColumn": column,
                "lowerBound": str(least),
                "upperBound": str(greatest),
                "numPartitions": str(parts),
            }
        return self.spark.read.format("jdbc").options(**options).load()

    def schema(self) -> tuple[dict[str, dict[str, str]], dict[str, int]]:
        """Tables with their columns' types as MySQL names them, lengths of text left out; and about
        how many rows each has.
        """
        query = (
            "SELECT c.TABLE_NAME AS table_name, c.COLUMN_NAME AS column_name, c.DATA_TYPE AS data_type,"
            " c.COLUMN_TYPE LIKE '%unsigned%' AS is_unsigned, CAST(c.NUMERIC_PRECISION AS CHAR) AS digits,"
            " CAST(c.NUMERIC_SCALE AS CHAR) AS decimals, CAST(COALESCE(t.TABLE_ROWS, 0) AS CHAR) AS about,"
            " CAST(c.ORDINAL_POSITION AS CHAR) AS place"
            " FROM information_schema.COLUMNS c JOIN information_schema.TABLES t"
            " ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME"
            " WHERE c.TABLE_SCHEMA = DATABASE()"
        )
        tables: dict[str, dict[str, str]] = {}
        about: dict[str, int] = {}
        for row in sorted(self.read(query).collect(), key=lambda row: (row.table_name, int(row.place))):
            kind = str(row.data_type).lower()
            if kind == "decimal":
                kind = f"decimal({row.digits},{row.decimals})"
            tables.setdefault(row.table_name, {})[row.column_name] = kind + (
                " unsigned" if row.is_unsigned else ""
            )
            about[row.table_name] = int(row.about)
        return tables, about

    def table(self, name: str, columns: Columns, about: int) -> DataFrame:
        """A table's columns, bounded by what its keys are now: rows of customers or orders that
        come later wait for the next run, however long the reading takes.
        """
        query = f"SELECT {', '.join(columns)} FROM {name}"  # names are constants
        bound = SOURCE[name].bound
        if not bound:
            return conform(self.read(query), columns)
        ends = self.read(f"SELECT MIN({bound}) AS least, MAX({bound}) AS greatest FROM {name}").collect()[0]
        if ends.greatest is None:
            return conform(self.read(query), columns)
        query += f" WHERE {bound} <= {int(ends.greatest)} OR {bound} IS NULL"
        parts = connections_for(about, self.settings.connections, self.spark.sparkContext.defaultParallelism)
        bounds = (bound, int(ends.least), int(ends.greatest) + 1, parts) if parts > 1 else None
        return conform(self.read(query, bounds), columns)

    def still_there(
        self, table: str, keys: Sequence[str], rows: Sequence[tuple[int, str]]
    ) -> set[tuple[int, str]]:
        """Which of these rows, by their keys, the table has at this moment."""
        numbers = ", ".join(sorted({str(int(number)) for number, _ in rows}))
        query = f"SELECT {', '.join(keys)} FROM {table} WHERE {keys[0]} IN ({numbers})"  # whole numbers
        return {(int(row[0]), str(row[1])) for row in self.read(query).collect()}


def connections_for(rows: int, connections: int, slots: int) -> int:
    """How many connections read a table: all must open while the token is good, so at most as many
    as there are slots.
    """
    return max(1, min(connections, slots, rows // ROWS_PER_CONNECTION + 1))


def check_contract(
    found: Mapping[str, Mapping[str, str]], settings: Settings
) -> tuple[list[Finding], list[dict[str, str]]]:
    """Compares the source's tables with what the job needs: what is broken, and what was added."""
    broken: list[Finding] = []
    additions: list[dict[str, str]] = []
    for table, wanted in SOURCE.items():
        if table not in found:
            there = ", ".join(sorted(found))[:1000] or "no table at all"
            broken.append(
                Finding(table, "contract", "*", "a table", f"none; {settings.database} has {there}", 0, False)
            )
            continue
        columns = {name.lower(): kind for name, kind in found[table].items()}
        known = {name.lower() for name in (*wanted.read, *wanted.ignored)}
        new = {name: kind for name, kind in found[table].items() if name.lower() not in known}
        for name, (types, _) in wanted.read.items():
            kind = columns.get(name.lower())
            if kind in types or (kind is None and name in wanted.optional):
                continue
            shown = kind or "none"
            if kind is None and new:
                shown += "; renamed? new columns are " + ", ".join(f"{each} {new[each]}" for each in new)
            broken.append(Finding(table, "contract", name, " or ".join(types), shown, 0, False))
        additions += [{"table": table, "column": name, "type": kind} for name, kind in new.items()]
    return broken, additions


# What the texts of JDBC's and the network's exceptions mean, the first that fits.
_SOURCE_FAULTS = (
    (
        r"Access denied for user|\(1045\)",
        "the login was refused: check the user, its password or IAM policy, and that it must log in over TLS",
    ),
    (r"insecure transport", "the server wants TLS, and DATABASE_TLS is off: leave it at verify-full"),
    (r"command denied|\(1142\)", "the user may not read a table: grant it SELECT"),
    (r"Unknown database", "there is no such database: check --source-database"),
    (
        r"SSL Connection required|does not support SSL",
        "the server does not speak TLS: switch it on",
    ),
    (
        r"SSLHandshake|CertPath|CertificateException|unable to find valid certification",
        "the server's certificate is not trusted or bears another name: check --source-ca and the host",
    ),
    (
        # A statement that is given up ends with its connection: its socket is closed under it.
        r"timeout|timed out|Statement cancelled|Query execution was interrupted|Socket is closed",
        "a statement or connection took too long: check locks and load, or raise --statement-timeout",
    ),
    (
        r"UnknownHost|Connection refused|Communications link failure|NoRouteToHost",
        "it cannot be reached: check host, port, security groups and that it runs",
    ),
)
# What Connector/J throws where it cannot read the trust store, whatever kept it from it.
_TRUST_STORE_FAULT = r"SSLParamsException"
_LAKE_FAULTS = (
    r"AccessDenied|NoSuchBucket|AllAccessDisabled|AmazonS3Exception|AWSClientIOException|S3Exception"
)


def explained(error: Py4JJavaError, settings: Settings) -> JobError:
    """A Java exception as one line: which side failed, how, and what to do."""
    texts: list[str] = []
    cause = error.java_exception
    while cause is not None and len(texts) < 20:  # causes can form a ring
        texts.append(str(cause.toString()))
        cause = cause.getCause()
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    # Stack frames say nothing to people; the innermost exception says most.
    story = [line for line in lines if not line.startswith(("at ", "..."))]
    whole = "\n".join(story)
    innermost = story[-1] if story else str(error)
    for line in reversed(story):
        if line.startswith("Caused by:") or "Exception" in line:
            innermost = line.removeprefix("Caused by:").strip()
            break
    if re.search(_TRUST_STORE_FAULT, whole):
        return JobError(
            f"the trust store in the lake s3://{settings.lake_bucket} cannot be read by its signed URL:"
            f" {innermost}; check the way to S3 (gateway endpoint, security group), the job's rights on the"
            " bucket, and that the run was not paused for longer than the 15 minutes that the URL is good for"
        )
    if re.search(_LAKE_FAULTS, whole):
        return JobError(
            f"the lake s3://{settings.lake_bucket} refused: {innermost};"
            " check the bucket and the job's rights on it"
        )
    for pattern, advice in _SOURCE_FAULTS:
        if re.search(pattern, whole, re.IGNORECASE):
            return JobError(f"source {settings.source} as {settings.user}: {advice} ({innermost})")
    return JobError(f"Spark failed: {innermost}")


# --------------------------------------------------------------------------------------------------
# The lake
# --------------------------------------------------------------------------------------------------

FILE_BYTES = 128 << 20  # what a file of a table is aimed at: above it a second one begins
HASH_BLOCK = 1 << 20
DELETE_LIMIT = 1000  # keys of one DeleteObjects


def files_for(size: int) -> int:
    """In how many files a table of about this many bytes is written: one, or several of at least 64
    MB each.
    """
    return max(1, size // FILE_BYTES)


def publishing_client(region: str) -> S3Client:
    """An S3 client for conditional writes: the botocore of Glue 5.1 (1.34.131) knows no IfMatch, so
    a header is set.
    """
    client: S3Client = boto3.client("s3", region_name=region)

    def condition(params: dict[str, Any], **_: object) -> None:
        etag = params["headers"].pop("x-amz-meta-condition", None)
        if etag == ABSENT:
            params["headers"]["If-None-Match"] = "*"
        elif etag:
            params["headers"]["If-Match"] = etag

    client.meta.events.register("before-call.s3.PutObject", condition)
    return client


def signing_client(client: S3Client, region: str) -> S3Client:
    """An S3 client whose signed URLs name the host that the given client of that region calls.

    botocore signs URLs for S3's global host, bucket.s3.amazonaws.com, which the gateway endpoint of
    a region does not route.
    """
    return boto3.client(
        "s3",
        region_name=region,
        endpoint_url=client.meta.endpoint_url,
        config=Config(signature_version="s3v4"),
    )


ABSENT = "absent"  # the condition that nothing is published yet


@dataclass
class Lake:
    """The bucket, as one run sees it."""

    spark: SparkSession
    settings: Settings
    client: S3Client

    @property
    def run(self) -> str:
        """The run's folder."""
        return f"{PREFIX}/{self.settings.run_id}"

    def path(self, key: str) -> str:
        """A key as Spark names it."""
        return f"s3://{self.settings.lake_bucket}/{key}"

    def get(self, key: str) -> tuple[bytes, str] | None:
        """An object and its entity tag, or None where there is none."""
        try:
            answer = self.client.get_object(Bucket=self.settings.lake_bucket, Key=key)
        except self.client.exceptions.NoSuchKey:
            return None
        return answer["Body"].read(), answer["ETag"]

    def put(self, key: str, content: bytes, condition: str = "") -> None:
        """Writes an object; the condition is the entity tag that it must still have, or ABSENT."""
        self.client.put_object(
            Bucket=self.settings.lake_bucket,
            Key=key,
            Body=content,
            Metadata={"condition": condition} if condition else {},
        )

    def put_json(self, key: str, value: object, condition: str = "") -> bytes:
        """Writes a document, indented, and returns its bytes."""
        content = (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
        self.put(key, content, condition)
        return content

    def objects(self, prefix: str) -> Iterator[tuple[str, int, datetime]]:
        """Keys below a prefix with their sizes and times."""
        for page in self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.settings.lake_bucket, Prefix=prefix
        ):
            for entry in page.get("Contents", []):
                yield entry["Key"], entry["Size"], entry["LastModified"]

    def remove(self, keys: Sequence[str]) -> None:
        """Deletes objects; one that is not there is no error."""
        for start in range(0, len(keys), DELETE_LIMIT):
            answer = self.client.delete_objects(
                Bucket=self.settings.lake_bucket,
                Delete={
                    "Objects": [{"Key": key} for key in keys[start : start + DELETE_LIMIT]],
                    "Quiet": True,
                },
            )
            for failure in answer.get("Errors", []):
                raise JobError(
                    f"{self.path(failure['Key'])} cannot be deleted: {failure['Code']}: {failure['Message']}"
                )

    def size(self, prefix: str) -> int:
        """Bytes below a prefix."""
        return sum(size for _, size, _ in self.objects(prefix))

    def stage(self, frame: DataFrame, table: str) -> tuple[DataFrame, int]:
        """Materialises what was read of a source table, and its number of rows.

        It goes to the lake rather than to Spark's memory: a lost executor would make Spark read the
        source once more, at another moment and with a token that has ended.
        """
        path = self.path(f"{self.run}/{STAGING}/{table}")
        counter = Observation()
        frame.observe(counter, F.count(F.lit(1)).alias("rows")).write.mode("overwrite").parquet(path)
        return self.spark.read.schema(frame.schema).parquet(path), int(counter.get["rows"])

    def staged_bytes(self, table: str) -> int:
        """Bytes of a staged table."""
        return self.size(f"{self.run}/{STAGING}/{table}/")

    def write(self, frame: DataFrame, table: str, size: int) -> Counts:
        """Writes the good rows of a table of the run, sorted by its keys, in files of a useful
        size; counts all its rows in the same pass.

        A table with rules is judged already. size is about how many bytes it will have, in Parquet.
        """
        counter = Observation()
        counted = arranged(frame, table, files_for(size)).observe(counter, *counts(table))
        good_rows = good(counted, table) if table in RULES else conform(counted, TABLES[table])
        good_rows.write.mode("overwrite").format(self.settings.format).options(
            **FORMAT_OPTIONS[self.settings.format]
        ).save(self.path(f"{self.run}/{table}"))
        return Counts(**{name: int(value) for name, value in counter.get.items()})

    def written(self, table: str) -> DataFrame:
        """A table of the run as it was written; of one in CSV, texts that were null are empty.

        CSV knows no difference, and the texts that are read again are never null, by RULES.
        """
        rows = self.read(table, self.settings.format, [self.path(f"{self.run}/{table}")])
        return rows.fillna("") if self.settings.format == "csv" else rows

    def read(self, table: str, file_format: str, paths: Sequence[str]) -> DataFrame:
        """The rows of a table's files."""
        reader = self.spark.read.schema(schema_of(TABLES[table])).format(file_format)
        return reader.options(**FORMAT_OPTIONS[file_format]).load(list(paths))

    def quarantine(self, frame: DataFrame, table: str) -> str:
        """Writes rows that are not published as lines of JSON, and returns where they are."""
        folder = self.path(f"{QUARANTINE}/{self.settings.run_id}/{table}/")
        rows = frame.drop(CUSTOMER_FOUND, PRODUCT_FOUND, ORDER_FOUND, DELETED).repartition(1)
        rows.write.mode("overwrite").option("ignoreNullFields", "false").json(folder)
        return folder

    def files(self, table: str) -> list[dict[str, Any]]:
        """The files of a written table as the manifest names them, in their order."""
        found = []
        for key, size, _ in sorted(self.objects(f"{self.run}/{table}/part-")):
            body = self.client.get_object(Bucket=self.settings.lake_bucket, Key=key)["Body"]
            digest = hashlib.sha256()
            for block in body.iter_chunks(HASH_BLOCK):
                digest.update(block)
            found.append(
                {"path": key.removeprefix(self.run + "/"), "sha256": digest.hexdigest(), "bytes": size}
            )
        return found


_CSV = {
    "header": "true",
    "quote": '"',
    "escape": '"',  # RFC 4180: a quote is doubled
    "lineSep": "\n",
    "multiLine": "true",  # of a reader: a text may hold line ends
    "nullValue": "",
    "emptyValue": "",
    "ignoreLeadingWhiteSpace": "false",  # Spark's default trims what the source has
    "ignoreTrailingWhiteSpace": "false",
    "timestampFormat": "yyyy-MM-dd'T'HH:mm:ssXXX",
    "dateFormat": "yyyy-MM-dd",
}
FORMAT_OPTIONS: dict[str, dict[str, str]] = {"parquet": {"compression": "snappy"}, "csv": _CSV}


@dataclass(frozen=True)
class Publication:
    """What is published: the pointer's entity tag, and the manifest that it names."""

    condition: str
    run_id: str
    manifest: dict[str, Any]


def check_readable(manifest: dict[str, Any]) -> None:
    """Raises ValueError, KeyError, TypeError or AttributeError where a manifest lacks what a later
    run reads of it.
    """
    datetime.strptime(manifest["created_at"], "%Y-%m-%dT%H:%M:%SZ")
    tables = manifest["tables"].values()
    if tables and manifest["format"] not in FORMAT_OPTIONS:
        raise ValueError(f"format {manifest['format']!r}")
    for file in [file for table in tables for file in table["files"]]:
        if not isinstance(file["path"], str) or not isinstance(file["bytes"], int):
            raise TypeError("a file without path and bytes")


def publication(lake: Lake) -> Publication:
    """What is published now; an empty run_id where nothing is."""
    pointer = lake.get(PUBLISHED)
    if pointer is None:
        return Publication(ABSENT, "", {})
    try:
        run_id = str(json.loads(pointer[0])["run_id"])
        content = lake.get(f"{PREFIX}/{run_id}/{MANIFEST}")
        if content is None:
            raise KeyError(MANIFEST)
        manifest = json.loads(content[0])
        check_readable(manifest)
        return Publication(pointer[1], run_id, manifest)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise JobError(
            f"{lake.path(PUBLISHED)} names no run with a readable manifest ({error}): restore the run's"
            " folder from the bucket's earlier versions, or delete published.json to begin without what was"
            " observed before"
        ) from error


def previous_observations(lake: Lake, published: Publication) -> DataFrame | None:
    """The observations of the published run; None where it has none."""
    table = published.manifest.get("tables", {}).get(OBSERVATIONS)
    if table is None:
        return None
    folder = f"{PREFIX}/{published.run_id}/"
    there = {key for key, _, _ in lake.objects(folder)}
    missing = [
        lake.path(folder + file["path"]) for file in table["files"] if folder + file["path"] not in there
    ]
    if missing:
        raise JobError(
            f"the published run {published.run_id} lists files that are gone: {', '.join(missing)[:1000]};"
            " restore them from the bucket's earlier versions, or delete published.json to begin without what"
            " was observed before"
        )
    paths = [lake.path(folder + file["path"]) for file in table["files"]]
    return lake.read(OBSERVATIONS, published.manifest["format"], paths)


def follow(lake: Lake, published: Publication) -> None:
    """Lets the catalogue's tables show the published run: one object for each table lists the run's
    files.
    """
    for table, described in published.manifest.get("tables", {}).items():
        name = catalogue_name(table, published.manifest["format"])
        paths = "".join(
            lake.path(f"{PREFIX}/{published.run_id}/{file['path']}") + "\n" for file in described["files"]
        )
        lake.put(f"{CATALOGUE}/{name}/symlink.txt", paths.encode())


def publish(
    lake: Lake, before: Publication, manifest: dict[str, Any], manifest_bytes: bytes, moment: datetime
) -> Publication:
    """Publishes the run, if what was published when it began still is; raises JobError where
    another run came first.
    """
    pointer = {
        "schema_version": 1,
        "run_id": lake.settings.run_id,
        "published_at": rfc3339(moment),
        "manifest_sha256": hashlib.sha256(manifest_bytes).hexdigest(),
    }
    try:
        lake.put_json(PUBLISHED, pointer, before.condition)
    except ClientError as error:
        if error.response["Error"]["Code"] not in (
            "PreconditionFailed",
            "ConditionalRequestConflict",
            "412",
            "409",
        ):
            raise
        # A repeated request after a lost answer finds its own work.
        now = publication(lake)
        if now.run_id != lake.settings.run_id:
            raise JobError(
                f"run {now.run_id or 'none'} was published while this one ran"
                f" (before: {before.run_id or 'none'}): start it again"
            ) from error
    return Publication("", lake.settings.run_id, manifest)


def surplus(objects: Sequence[tuple[str, datetime]], published: str, running: str, keep: int) -> list[str]:
    """The objects of runs that go: all but the last ones.

    Of the complete runs (those with a manifest) the last stay, of the others (failed or killed
    ones) as many again; the published and the running one always. Objects are keys with their
    times; a run is as old as its newest object.
    """
    runs: dict[str, list[tuple[str, datetime]]] = {}
    for key, modified in objects:
        run, slash, _ = key.removeprefix(PREFIX + "/").partition("/")
        if slash or run.endswith(FOLDER_MARK):
            run = run.removesuffix(FOLDER_MARK)
            runs.setdefault(run, []).append((key, modified))
    going: list[str] = []
    for complete in (True, False):
        kind = [
            run
            for run, members in runs.items()
            if any(key == f"{PREFIX}/{run}/{MANIFEST}" for key, _ in members) == complete
        ]
        by_age = sorted(kind, key=lambda run: (max(modified for _, modified in runs[run]), run), reverse=True)
        going += [run for run in by_age[keep:] if run not in (published, running)]
    # The manifest goes first: a run without one is no run.
    return sorted(
        (key for run in going for key, _ in runs[run]),
        key=lambda key: (not key.endswith("/" + MANIFEST), key),
    )


# --------------------------------------------------------------------------------------------------
# The run
# --------------------------------------------------------------------------------------------------


def rfc3339(moment: datetime) -> str:
    """A time in UTC, in whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Outcome:
    """What a run tells of itself, in _outcome.json; rewritten when it ends."""

    run_id: str
    started_at: datetime
    status: str = "running"  # running, failed, published
    stage: str = "session"
    reason: str = ""
    findings: list[Finding] = field(default_factory=list)
    rows_read: dict[str, int] = field(default_factory=dict)
    rows_published: dict[str, int] = field(default_factory=dict)
    rows_quarantined: dict[str, int] = field(default_factory=dict)
    rows_deleted: dict[str, int] = field(default_factory=dict)
    quarantine: list[str] = field(default_factory=list)
    additions: list[dict[str, str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    finished_at: datetime | None = None

    def document(self) -> dict[str, Any]:
        """As the contract training_set_outcome has it."""
        return {
            "schema_version": 1,
            "run_id": self.run_id,
            "status": self.status,
            "stage": self.stage,
            "started_at": rfc3339(self.started_at),
            **({"finished_at": rfc3339(self.finished_at)} if self.finished_at else {}),
            **({"reason": self.reason} if self.reason else {}),
            "rules": [vars(finding) for finding in self.findings],
            "rows": {
                "read": self.rows_read,
                "published": self.rows_published,
                "quarantined": self.rows_quarantined,
                "deleted_meanwhile": self.rows_deleted,
            },
            "quarantine": self.quarantine,
            "additions": self.additions,
            "seconds": self.seconds,
        }

    @contextmanager
    def during(self, stage: str) -> Iterator[None]:
        """Times a stage and says that it begins."""
        self.stage = stage
        say(f"{stage} ...")
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = round(time.monotonic() - start, 3)


def say(text: str) -> None:
    """Tells the job's log what it is at."""
    print(f"ratings_etl: {text}", flush=True)


MAX_ORPHANS = 1000  # rows about which the source is asked again; more are no accident of timing


def rejected(source: Source, frame: DataFrame, table: str) -> DataFrame:
    """The bad rows of a judged table, with their last reasons.

    Rows whose parents are missing are looked up in the source once more: those that are gone were
    deleted together with their parents while the run read, and are no fault of the data.
    """
    found = bad(frame).persist()
    keys = KEYS[table]
    references = [F.expr(rule.breach) for rule in RULES[table] if rule.name == "reference"]
    orphan = functools.reduce(lambda left, right: left | right, references, F.lit(False))
    rows = [
        (int(row[0]), str(row[1]))
        for row in found.where(orphan).select(*keys).dropna().limit(MAX_ORPHANS + 1).collect()
    ]
    if not 0 < len(rows) <= MAX_ORPHANS:
        return found
    gone = set(rows) - source.still_there(ORIGIN[table], keys, rows)
    if not gone:
        return found
    say(f"{table}: {len(gone)} rows: {DELETED_REASON}")
    columns = {name: TABLES[table][name] for name in keys}
    deleted = marked(source.spark.createDataFrame(sorted(gone), schema_of(columns)), DELETED)
    joined = found.join(F.broadcast(deleted), list(keys), "left")
    return judged(joined.withColumn(DELETED, F.coalesce(DELETED, F.lit(False))), table)


def assess(
    lake: Lake,
    source: Source,
    outcome: Outcome,
    frames: Mapping[str, DataFrame],
    counted: Mapping[str, Counts],
) -> None:
    """Judges the written tables by their rules and records the verdicts; raises JobError where one
    forbids to publish, else puts the rows that are left out into quarantine.
    """
    refused: list[str] = []
    broken: list[Finding] = []
    out: dict[str, DataFrame] = {}
    for table, frame in frames.items():
        tolerance = lake.settings.max_quarantined if table in ORIGIN else 0
        if counted[table].quarantined:
            out[table] = rejected(source, frame, table)
        quality = verdict(counted[table], details(out.get(table), table), table, tolerance)
        outcome.findings += quality.findings
        outcome.rows_quarantined[table] = quality.quarantined
        outcome.rows_deleted[table] = quality.deleted
        if quality.broken:
            broken += quality.broken
            share = f"{quality.quarantined} of {quality.rows} rows"
            refused.append(f"{table}: {share} break a rule, allowed is a share of {tolerance:g}")
    if refused:
        raise JobError(
            f"{'; '.join(refused)}; nothing is published."
            " Mend these in the source, or raise --max-quarantined:",
            broken,
        )
    for table, frame in out.items():
        outcome.quarantine.append(lake.quarantine(frame, table))


def write_tables(
    lake: Lake, staged: Mapping[str, DataFrame], before: Publication, moment: datetime
) -> tuple[dict[str, DataFrame], dict[str, Counts]]:
    """Writes all tables of the run; returns those with rules as they were judged, in the order of
    their rules, and the counts of all.

    Tables that do not wait for each other are written side by side: one alone leaves most of the
    executors idle while it is sorted and stored.
    """
    previous = previous_observations(lake, before)
    customers, products = staged[CUSTOMERS], staged[PRODUCTS]
    frames = {
        CUSTOMERS: judged(customers, CUSTOMERS),
        PRODUCTS: judged(products, PRODUCTS),
        RATINGS: judged(rated(dated(staged[RATINGS], previous, moment), customers, products), RATINGS),
        SALES: judged(sold(staged[ORDER_DETAILS], staged[ORDERS], customers, products), SALES),
    }
    sizes = {table: lake.staged_bytes(ORIGIN.get(table, table)) for table in frames}
    seen_before = before.manifest.get("tables", {}).get(OBSERVATIONS, {}).get("files", [])
    sizes[OBSERVATIONS] = sizes[RATINGS] + sum(file["bytes"] for file in seen_before)

    def ratings() -> dict[str, Counts]:
        counted = lake.write(frames[RATINGS], RATINGS, sizes[RATINGS])
        seen = observed(previous, lake.written(RATINGS))
        return {RATINGS: counted, OBSERVATIONS: lake.write(seen, OBSERVATIONS, sizes[OBSERVATIONS])}

    def sales() -> dict[str, Counts]:
        counted = lake.write(frames[SALES], SALES, sizes[SALES])
        return {SALES: counted, DATES: lake.write(calendar(lake.written(SALES)), DATES, 0)}

    def parents() -> dict[str, Counts]:
        return {table: lake.write(frames[table], table, sizes[table]) for table in (CUSTOMERS, PRODUCTS)}

    with ThreadPoolExecutor(max_workers=3) as pool:
        parts = [pool.submit(part) for part in (ratings, sales, parents)]
    return frames, {table: each for part in parts for table, each in part.result().items()}


def produce(
    lake: Lake, source: Source, outcome: Outcome, before: Publication
) -> tuple[dict[str, Any], bytes]:
    """Makes the run's folder, the manifest last; returns the manifest and its bytes."""
    settings, moment = lake.settings, outcome.started_at
    with outcome.during("contract"):
        found, about = source.schema()
        broken, outcome.additions = check_contract(found, settings)
        outcome.findings += broken
        for addition in outcome.additions:
            say("new column {table}.{column} {type}: it is not read".format(**addition))
        if broken:
            owner = settings.source_owner or "its owner (source.owner is not set)"
            raise JobError(f"source {settings.source} breaks its contract; ask {owner}:", broken)
    staged: dict[str, DataFrame] = {}
    with outcome.during("read"):
        for name, table in SOURCE.items():
            wanted = table.columns(found[name])
            staged[name], outcome.rows_read[name] = lake.stage(source.table(name, wanted, about[name]), name)
            say(f"read {outcome.rows_read[name]} rows of {name}")
    with outcome.during("write"):
        frames, counted = write_tables(lake, staged, before, moment)
    with outcome.during("quality"):
        assess(lake, source, outcome, frames, counted)
    outcome.rows_published = {table: each.rows - each.quarantined for table, each in counted.items()}
    described = {
        name: {
            "rows": outcome.rows_published[name],
            "columns": [{"name": column, "type": kind} for column, kind in columns.items()],
            "files": lake.files(name),
        }
        for name, columns in TABLES.items()
    }
    manifest = {
        "schema_version": 1,
        "run_id": settings.run_id,
        "created_at": rfc3339(moment),
        "strategy": "replace",
        "format": settings.format,
        "tables": described,
        "source": {"kind": settings.source_kind, "detail": settings.source_detail[:500]},
        "source_schema": [
            {
                "table": name,
                "columns": [{"name": column, "type": kind} for column, kind in found[name].items()],
            }
            for name in SOURCE
        ],
        "additions": outcome.additions,
    }
    with outcome.during("manifest"):
        return manifest, lake.put_json(f"{lake.run}/{MANIFEST}", manifest)


def certificates(lake: Lake) -> Callable[[], str]:
    """Puts the trust store into the run's folder and returns what makes an URL of it that every
    executor can read.

    Executors open the connections, and neither Spark nor Glue puts a file into a place of theirs
    that is known beforehand: they fetch it as the driver does, by a URL that is signed here and
    good for as long as a login token.
    """
    settings = lake.settings
    where = urlsplit(settings.ca)
    try:
        if where.scheme == "s3":
            pem = lake.client.get_object(Bucket=where.netloc, Key=where.path.lstrip("/"))["Body"].read()
        else:
            pem = Path(settings.ca).read_bytes()
    except (OSError, ClientError) as error:
        raise JobError(f"certificate authorities {settings.ca}: cannot be read: {error}") from error
    key = f"{lake.run}/{TRUST_STORE}"
    lake.put(key, trust_store(lake.spark, pem))
    signer = signing_client(lake.client, settings.region)
    return lambda: signer.generate_presigned_url(
        "get_object", Params={"Bucket": settings.lake_bucket, "Key": key}, ExpiresIn=900
    )


def clean(lake: Lake, keep: Callable[[str], bool]) -> None:
    """Removes what the run has written, but for what is to stay."""
    written = [
        key for key, _, _ in lake.objects(lake.run + "/") if not keep(key.removeprefix(lake.run + "/"))
    ]
    lake.remove([*written, lake.run + FOLDER_MARK])


def prune(lake: Lake) -> None:
    """Removes what the published run no longer needs, and the oldest runs.

    The run is published: that old objects stay is told, and is no failure; the next run tries
    again.
    """
    settings = lake.settings
    try:
        clean(lake, lambda key: not key.startswith((STAGING, TRUST_STORE)) and not key.endswith(FOLDER_MARK))
        objects = [(key, modified) for key, _, modified in lake.objects(PREFIX + "/")]
        lake.remove(surplus(objects, settings.run_id, settings.run_id, settings.keep_runs))
    except (BotoCoreError, ClientError, JobError) as error:
        say(f"warning: the run is published, but what it no longer needs could not be removed: {error}")


def understood(error: BaseException, settings: Settings) -> BaseException:
    """An error of Spark, its driver or the lake as a JobError; any other as it is."""
    if isinstance(error, Py4JJavaError):
        return explained(error, settings)
    if isinstance(error, PySparkException):
        return JobError(f"Spark failed: {str(error).strip().splitlines()[0]}")
    if isinstance(error, ClientError | BotoCoreError):
        return JobError(
            f"the lake s3://{settings.lake_bucket} or the login: {error}; check bucket, policies and role"
        )
    return error


def refuse_a_complete_run(lake: Lake) -> None:
    """Raises JobError where the run's folder has its manifest already: it is never written to
    again.
    """
    try:
        complete = lake.get(f"{lake.run}/{MANIFEST}") is not None
    except (ClientError, BotoCoreError) as error:
        raise understood(error, lake.settings) from None
    if complete:
        raise JobError(
            f"run {lake.settings.run_id} is complete in {lake.path(lake.run)}: give another --run-id"
        )


def execute(spark: SparkSession, settings: Settings, outcome: Outcome) -> None:
    """One run, from the source to what is published. Raises JobError; the outcome then tells the
    same.
    """
    # What makes values right, whatever the machine's own settings.
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    spark.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    # Days before 1582 by the calendar that MySQL has; Spark's default is to refuse them.
    for mode in ("datetimeRebaseModeInWrite", "datetimeRebaseModeInRead"):
        spark.conf.set(f"spark.sql.parquet.{mode}", "CORRECTED")
    lake = Lake(spark, settings, publishing_client(settings.region))
    refuse_a_complete_run(lake)
    try:
        lake.put_json(f"{lake.run}/{OUTCOME}", outcome.document())
        before = publication(lake)
        # What an earlier run published and then did not live to tell the catalogue.
        follow(lake, before)
        if before.run_id and before.manifest["created_at"] >= rfc3339(outcome.started_at):
            raise JobError(
                f"run {before.run_id} was made at {before.manifest['created_at']}, which is not before now,"
                f" {rfc3339(outcome.started_at)}: the clock is wrong, or two runs began in one second"
            )
        source = Source(spark, settings, certificates(lake) if settings.tls else lambda: "")
        manifest, content = produce(lake, source, outcome, before)
        with outcome.during("publish"):
            now = publish(lake, before, manifest, content, datetime.now(UTC))
            follow(lake, now)
        with outcome.during("prune"):
            prune(lake)
    except BaseException as error:
        fault = understood(error, settings)
        outcome.reason = unsigned(str(fault))[:2000] or type(fault).__name__
        if fault is error:
            raise
        say(f"{outcome.stage} failed: {unsigned(str(error))}")
        raise fault from None  # the error's own text is told above without signatures
    finally:
        outcome.finished_at = datetime.now(UTC)
        _conclude(lake, outcome)


def _conclude(lake: Lake, outcome: Outcome) -> None:
    """Writes the outcome, and of a run that is not published leaves nothing else.

    Whether it is published the lake says: an answer may have been lost. A failure here does not
    hide an earlier one.
    """
    try:
        is_public = publication(lake).run_id == lake.settings.run_id
        outcome.status = "published" if is_public else "failed"
        lake.put_json(f"{lake.run}/{OUTCOME}", outcome.document())
        if not is_public:
            clean(lake, lambda key: key == OUTCOME)
    except (BotoCoreError, ClientError, JobError) as error:
        say(f"the run's outcome could not be written to {lake.path(lake.run)}: {error}")


def run(
    arguments: Sequence[str], environment: Mapping[str, str], spark: SparkSession | None = None
) -> Outcome:
    """Runs the job; raises JobError with where, what and what to do."""
    start, moment = time.monotonic(), datetime.now(UTC).replace(microsecond=0)
    settings = settings_from(arguments, environment)
    session = spark or SparkSession.builder.appName("ratings_etl").getOrCreate()
    outcome = Outcome(settings.run_id, moment)
    outcome.seconds["session"] = round(time.monotonic() - start, 3)
    say(f"run {settings.run_id}: {settings.source} -> s3://{settings.lake_bucket}/{PREFIX}/{settings.run_id}")
    execute(session, settings, outcome)
    for table, rows in outcome.rows_published.items():
        say(f"published {rows} rows of {table}, quarantined {outcome.rows_quarantined.get(table, 0)}")
    passed = sum(finding.passed for finding in outcome.findings)
    say(
        f"published run {settings.run_id}: {passed} of {len(outcome.findings)} rules passed;"
        f" seconds {outcome.seconds}"
    )
    return outcome


def main() -> None:
    """Runs the job as Glue starts it. It ends by returning: Glue takes any SystemExit for a
    failure.
    """
    try:
        run(sys.argv[1:], os.environ)
    except JobError as error:
        say(f"failed: {error}")
        raise


if __name__ == "__main__":
    main()
