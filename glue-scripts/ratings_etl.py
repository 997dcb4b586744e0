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
contracts as data, transformations from DataFrame to DataFrame, quality and drift, the source, the
lake, the run.
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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
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
TRUST_STORE = "_certificates.jks"  # below a run's folder, while it runs
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
ETL_QUALITY = "etl_quality"

REPLACE, LATEST, AVERAGE = "replace", "latest", "average"
STRATEGIES = (REPLACE, LATEST, AVERAGE)

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
    # What was measured of this run and of all that it was made from: a trend.
    ETL_QUALITY: {
        "runId": "string",
        "createdAt": "timestamp",
        "strategy": "string",
        "tableName": "string",
        "columnName": "string",  # an asterisk for the whole table
        "measure": "string",
        "value": "double",
    },
}

# What identifies a row, and what rows are sorted by.
KEYS: dict[str, tuple[str, ...]] = {
    RATINGS: (CUSTOMER_NUMBER, PRODUCT_CODE),
    PRODUCTS: (PRODUCT_CODE,),
    CUSTOMERS: (CUSTOMER_NUMBER,),
    SALES: (ORDER_NUMBER, PRODUCT_CODE),
    DATES: (CALENDAR_DATE,),
    OBSERVATIONS: (CUSTOMER_NUMBER, PRODUCT_CODE, RATED_AT, PRODUCT_RATING),
    ETL_QUALITY: ("createdAt", "runId", "tableName", "columnName", "measure"),
}


def columns_of(table: str, strategy: str) -> Columns:
    """A table's columns: a mean of ratings is no whole number."""
    if table == RATINGS and strategy == AVERAGE:
        return {**TABLES[RATINGS], PRODUCT_RATING: "double"}
    return TABLES[table]


def catalogue_name(table: str, file_format: str, strategy: str = REPLACE) -> str:
    """The catalogue's table: that of the ratings has the course's name. Another format than
    Parquet, and ratings that are means, have tables of their own, so that none ever names files
    that it cannot read.
    """
    name = PREFIX if table == RATINGS else table
    if table == RATINGS and strategy == AVERAGE:
        name += "_average"
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
# The run's start, beside each rating.
STARTED_AT = "startedAt"
AHEAD = "ahead"


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
        # One date in 2030 would move the watermark there, and nothing would be read until then. Not
        # counted against the tolerance: a shop that lives dates ratings while the run reads.
        Rule(AHEAD, RATED_AT, "not after the run's start", f"{RATED_AT} > {STARTED_AT}"),
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
    return frame.selectExpr(*(f"CAST(`{name}` AS {kind}) AS `{name}`" for name, kind in columns.items()))


def given(spark: SparkSession, rows: Iterable[Sequence[Any]], columns: Columns) -> DataFrame:
    """A frame of some thousand rows at most, their values in the order of the columns.

    They go as JSON: createDataFrame would start a Python process beside the executor to unpack
    them, which takes longer than all that is done with so few.
    """
    document = json.dumps([dict(zip(columns, row, strict=True)) for row in rows], default=str)
    fields = ", ".join(f"`{name}`: {kind}" for name, kind in columns.items())
    return spark.range(0, 1, 1, 1).select(F.inline(F.from_json(F.lit(document), f"array<struct<{fields}>>")))


def marked(frame: DataFrame, mark: str) -> DataFrame:
    """The rows with a column of this name that is true."""
    return frame.withColumn(mark, F.lit(True))


def instant(moment: datetime) -> Column:
    """A time as a column; the session's time zone is UTC."""
    return F.lit(moment.strftime("%Y-%m-%d %H:%M:%S.%f")).cast("timestamp")


def dated(ratings: DataFrame, observations: DataFrame | None, moment: datetime) -> DataFrame:
    """Ratings with the time from which each pair has its value.

    A source that dates them is believed. Otherwise it is the run that first saw the pair's value
    after a different one: the time of the pair's newest observation where that has the same value,
    else moment.
    """
    if RATED_AT in ratings.columns:
        return ratings
    seen_now = instant(moment)
    if observations is None:
        return ratings.withColumn(RATED_AT, seen_now)
    newest = observations.groupBy(CUSTOMER_NUMBER, PRODUCT_CODE).agg(
        F.max(F.struct(RATED_AT, PRODUCT_RATING)).alias("newest")
    )
    same_value = F.col(f"newest.{PRODUCT_RATING}") == F.col(PRODUCT_RATING)
    return ratings.join(newest, [CUSTOMER_NUMBER, PRODUCT_CODE], "left").select(
        *ratings.columns, F.when(same_value, F.col(f"newest.{RATED_AT}")).otherwise(seen_now).alias(RATED_AT)
    )


def rated(ratings: DataFrame, customers: DataFrame, products: DataFrame, moment: datetime) -> DataFrame:
    """Ratings with what is known of customer and product, values as the source has them, the marks
    of both, and the run's start. A rating without a count counts for one.
    """
    if RATING_COUNT not in ratings.columns:
        ratings = ratings.withColumn(RATING_COUNT, F.lit(1))
    customer = marked(conform(customers, TABLES[CUSTOMERS]), CUSTOMER_FOUND)
    product = marked(products.select(PRODUCT_CODE, *_CLASSIFIED, *_PRICED), PRODUCT_FOUND)
    return (
        ratings.join(customer, CUSTOMER_NUMBER, "left")
        .join(product, PRODUCT_CODE, "left")
        .withColumn(STARTED_AT, instant(moment))
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
    """Every value ever seen: those seen before and those of these ratings. Once arranged, each is
    there once.

    A union of sets: whatever is seen twice, late or in another order gives the same.
    """
    now = conform(ratings, TABLES[OBSERVATIONS])
    return now if previous is None else conform(previous, TABLES[OBSERVATIONS]).unionByName(now)


def latest(observations: DataFrame) -> DataFrame:
    """The newest rating of each customer and product; of several at one time the greatest, so that
    no order of reading matters.
    """
    newest = F.max(F.struct(RATED_AT, PRODUCT_RATING)).alias("newest")
    return (
        observations.groupBy(CUSTOMER_NUMBER, PRODUCT_CODE)
        .agg(newest)
        .select(CUSTOMER_NUMBER, PRODUCT_CODE, f"newest.{PRODUCT_RATING}", f"newest.{RATED_AT}")
    )


def average(observations: DataFrame) -> DataFrame:
    """The mean of all ratings of each customer and product, the time of the newest, and how many
    they are.
    """
    # A sum of whole numbers is exact, so that the order in which it is added does not show.
    mean = F.sum(F.col(PRODUCT_RATING).cast("bigint")) / F.count(F.lit(1))
    return observations.groupBy(CUSTOMER_NUMBER, PRODUCT_CODE).agg(
        mean.cast("double").alias(PRODUCT_RATING),
        F.max(RATED_AT).alias(RATED_AT),
        F.count(F.lit(1)).cast("int").alias(RATING_COUNT),
    )


# What the strategies that look back make of all observations.
RESOLVED: dict[str, Callable[[DataFrame], DataFrame]] = {LATEST: latest, AVERAGE: average}


def without(frame: DataFrame, erased: frozenset[int]) -> DataFrame:
    """The rows that are of none of these customers."""
    if not erased:
        return frame
    going = frame.sparkSession.createDataFrame([(each,) for each in sorted(erased)], f"{CUSTOMER_NUMBER} int")
    return frame.join(F.broadcast(going), CUSTOMER_NUMBER, "left_anti")


# What a calendar is made of: the sum over a day's order lines of one status, as one line.
DAILY: Columns = {ORDER_DATE: "date", STATUS: "string", "priceEach": "decimal(31,2)"}


def calendar(sales: DataFrame) -> DataFrame:
    """A row for each day from the first order's to the last one's, with its revenue and whether it
    is a spike.
    """
    lines = F.sum(F.col("quantityOrdered") * F.col("priceEach")).cast(DAILY["priceEach"])
    daily = sales.groupBy(ORDER_DATE, STATUS).agg(lines.alias("priceEach")).collect()
    # The definition adds up each day's orders of each status: they are given to it as one order of
    # one line, and few enough for one task.
    orders = given(sales.sparkSession, daily, DAILY).withColumns(
        {ORDER_NUMBER: F.struct(ORDER_DATE, STATUS), "quantityOrdered": F.lit(1)}
    )
    orders.createOrReplaceTempView(ORDERS)
    orders.createOrReplaceTempView(ORDER_DETAILS)
    days = sales.sparkSession.sql(SPIKE_DAYS).withColumnRenamed(ORDER_DATE, CALENDAR_DATE)
    day = F.col(CALENDAR_DATE)
    return conform(
        orders.agg(F.min(ORDER_DATE).alias("first"), F.max(ORDER_DATE).alias("last"))
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
    """The rows in this many partitions, each sorted by the table's keys. Rows with the keys of the
    row before are DOUBLED in a table with rules, and left out of others.

    Rows with an incomplete key are no doubles: completeness is a rule of its own.
    """
    first, *others = KEYS[table]
    # What becomes one file is sorted by one task in any case: it need not be moved to it.
    spread = frame.coalesce(1) if files == 1 else frame.repartitionByRange(files, first)
    in_order = spread.sortWithinPartitions(first, *others)
    # Rows of one first key share a partition and lie in this order: it costs no further sorting.
    window = Window.partitionBy(first).orderBy(*(others or [first]))
    same = [F.lag(key).over(window) == F.col(key) for key in KEYS[table]]
    doubled = functools.reduce(lambda left, right: left & right, same)
    found = in_order.withColumn(DOUBLED, F.coalesce(doubled, F.lit(False)))
    return found if table in RULES else found.where(~F.col(DOUBLED)).drop(DOUBLED)


@dataclass(frozen=True)
class Counts:
    """What one pass counts of a judged table: all rows, those with reasons to be quarantined, and
    those whose keys another row has, too.
    """

    rows: int
    quarantined: int = 0
    doubled: int = 0
    kept: int | None = None
    """Rows that are published where that is not all the others: those of a strategy that looks
    back."""

    @property
    def published(self) -> int:
        """Rows that are published."""
        return self.rows - self.quarantined if self.kept is None else self.kept


def counts(table: str) -> list[Column]:
    """The aggregates of Counts over an arranged table, named like its fields."""
    measures = [F.count(F.lit(1)).alias("rows")]
    if table in RULES:
        measures += [
            F.count(REASONS).alias("quarantined"),
            F.count(F.when(F.col(DOUBLED), 1)).alias("doubled"),
        ]
    return measures


def breach_counts(table: str, counted: Column) -> list[Column]:
    """The aggregates over rows that break a rule from which a verdict is made: rule by rule how
    many, and an example; and how many the source has deleted meanwhile, for which counted is false.
    """
    measures = [F.count(F.when(~counted, 1)).alias("deleted")]
    for rule in RULES[table]:
        if rule.name == AHEAD:
            only = counted & (F.col(REASONS) == F.array(F.lit(rule.reason)))
            measures.append(F.count(F.when(only, 1)).alias(AHEAD))
    for i, rule in enumerate(RULES[table]):
        broken = counted & F.expr(rule.breach)
        measures += [
            F.count(F.when(broken, 1)).alias(f"rows{i}"),
            F.min(F.when(broken, F.col(rule.column).cast("string"))).alias(f"found{i}"),
        ]
    return measures


def details(bad: DataFrame | None, table: str) -> dict[str, Any]:
    """What breach_counts tells of these rows; None has nothing to tell."""
    if bad is None:
        return {}
    counted = ~F.col(DELETED) if DELETED in bad.columns else F.lit(True)
    return bad.agg(*breach_counts(table, counted)).collect()[0].asDict()


def verdict(counted: Counts, told: Mapping[str, Any], table: str, tolerance: float) -> Quality:
    """Holds a table to all its rules by its counts and the details of its bad rows.

    Keys are unique and of tables of NOT_EMPTY rows are left to publish, without tolerance; rows
    that break other rules may be up to this share.
    """
    deleted = int(told.get("deleted", 0))
    quarantined = counted.quarantined - deleted
    faults = quarantined - int(told.get(AHEAD, 0))
    # By the share as it is written: 0.29 * 100 is less than 29 in floating point.
    tolerated = faults <= Fraction(str(tolerance)) * counted.rows
    # Rows beyond the tolerance are a fault of their own, and nothing is left out then.
    left = counted.published if tolerated else counted.rows
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
            Finding(
                table,
                rule.name,
                rule.column,
                rule.expected,
                found,
                broken,
                broken == 0 or tolerated or rule.name == AHEAD,
            )
        )
    return Quality(counted.rows, quarantined, deleted, tuple(findings))


def good(frame: DataFrame, table: str, strategy: str = REPLACE) -> DataFrame:
    """The rows of a judged table that are published, with the table's columns."""
    return conform(frame.where(F.isnull(REASONS)), columns_of(table, strategy))


def bad(frame: DataFrame) -> DataFrame:
    """The rows of a judged table that are quarantined, with their reasons and marks."""
    return frame.where(F.isnotnull(REASONS))


# --------------------------------------------------------------------------------------------------
# Drift
# --------------------------------------------------------------------------------------------------

WHOLE = "*"  # stands for a column where a measure is of the whole table
ROWS, NULLS, MEAN, NEW, VANISHED = "rows", "nulls", "mean", "new", "vanished"
DRIFTING = (ROWS, NULLS, MEAN, NEW, VANISHED)  # measures with a limit, by their names in Limits
QUARANTINED = "quarantined"
NEWEST = "newest"  # of ratings: the time of the newest, in microseconds; no measure of quality
MEASURED = (RATINGS, PRODUCTS, CUSTOMERS, SALES, OBSERVATIONS)  # tables whose rows are counted
PARTLY_NULL = (RATINGS, PRODUCTS, CUSTOMERS)  # tables whose columns may have nulls


@dataclass(frozen=True)
class Measure:
    """A number that tells of a table: rows, share of nulls of a column, mean of a column, share of
    products that are new or have vanished since the previous run.
    """

    table: str
    column: str
    measure: str
    value: float


@dataclass(frozen=True)
class Limits:
    """How far a run may lie from the previous one.

    rows, new and vanished are shares of what the previous run had, nulls is a difference of shares,
    mean one of ratings. Tables of which the previous run had fewer than least rows are not judged.
    """

    rows: float
    nulls: float
    mean: float
    new: float
    vanished: float
    least: int


@dataclass(frozen=True)
class Drift:
    """What a drift rule found: how far a measure has moved, and how far it may."""

    table: str
    column: str
    measure: str
    before: float
    now: float
    change: float
    limit: float
    passed: bool

    def finding(self, told_only: bool) -> Finding:
        """As the rules' findings are told."""
        found = f"{self.change:.4g}: {self.before:.6g} in the previous run, {self.now:.6g} now"
        return Finding(
            self.table,
            f"drift of {self.measure}",
            self.column,
            f"a change of at most {self.limit:g}",
            "" if self.passed else found,
            0,
            self.passed or told_only,
        )


def measures_of(table: str) -> list[Column]:
    """The aggregates over a table as it is published from which its measures are made."""
    measures = [F.count(F.lit(1)).alias(ROWS)]
    if table in PARTLY_NULL:
        measures += [F.count(F.when(F.isnull(name), 1)).alias(f"{NULLS} {name}") for name in TABLES[table]]
    if table == RATINGS:
        measures.append(F.avg(PRODUCT_RATING).alias(MEAN))
    if table in (RATINGS, OBSERVATIONS):
        measures.append(F.max(F.unix_micros(RATED_AT)).alias(NEWEST))
    return measures


def measured(table: str, told: Mapping[str, Any]) -> list[Measure]:
    """The measures of a table by the aggregates of measures_of."""
    rows = int(told[ROWS])
    found = [Measure(table, WHOLE, ROWS, float(rows))]
    for name in TABLES[table] if table in PARTLY_NULL and rows else ():
        found.append(Measure(table, name, NULLS, int(told[f"{NULLS} {name}"]) / rows))
    if told.get(MEAN) is not None:
        found.append(Measure(table, PRODUCT_RATING, MEAN, float(told[MEAN])))
    return found


def turnover(before: DataFrame, now: DataFrame) -> list[Measure]:
    """The shares of the products of before that are new now, and that have vanished."""
    old = before.select(PRODUCT_CODE, F.lit(1).alias("old"))
    counted = (
        now.select(PRODUCT_CODE, F.lit(1).alias("new"))
        .coalesce(1)
        .join(old.coalesce(1), PRODUCT_CODE, "full")
        .agg(
            F.count("old").alias("had"),
            F.count(F.when(F.isnull("old"), 1)).alias(NEW),
            F.count(F.when(F.isnull("new"), 1)).alias(VANISHED),
        )
        .collect()[0]
    )
    if not counted.had:
        return []
    return [Measure(PRODUCTS, PRODUCT_CODE, kind, counted[kind] / counted.had) for kind in (NEW, VANISHED)]


def drifts(before: Sequence[Measure], now: Sequence[Measure], limits: Limits) -> list[Drift]:
    """Holds each measure that has a limit to that of the previous run; one that either run lacks
    is passed over.
    """
    earlier = {(each.table, each.column, each.measure): each.value for each in before}
    found = []
    for each in now:
        had = earlier.get((each.table, WHOLE, ROWS), 0)
        if had < max(1, limits.least) or each.measure not in DRIFTING:
            continue
        if each.measure in (NEW, VANISHED):
            was, change = 0.0, each.value
        else:
            known = earlier.get((each.table, each.column, each.measure))
            if known is None:
                continue
            was, change = known, abs(each.value - known) / (known if each.measure == ROWS else 1)
        limit = float(getattr(limits, each.measure))
        # What a subtraction of shares leaves in the last digits is no drift.
        passed = change <= limit + 1e-9
        found.append(Drift(each.table, each.column, each.measure, was, each.value, change, limit, passed))
    return found


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
    """What a run is told. Times are in seconds; max_quarantined is a share of a table's rows; since
    and until bound ratedAt, half open.
    """

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
    strategy: str
    since: datetime | None
    until: datetime | None
    lookback: timedelta
    erased: str
    limits: Limits

    @property
    def source(self) -> str:
        """The source, for messages."""
        return f"mysql://{self.host}:{self.port}/{self.database}"

    @property
    def windowed(self) -> bool:
        """Whether a window was asked for."""
        return self.since is not None or self.until is not None


_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def settings_from(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Reads the arguments that the job's definition gives and the environment, in which only a
    laptop differs.

    DATABASE_AUTH is iam (default) or secret, DATABASE_SECRET_ARN the secret's name, DATABASE_TLS
    verify-full (default) or, for a loopback host, off, DATABASE_CA_FILE a PEM file in place of
    --source-ca. Glue adds arguments of its own: unknown ones are left alone. Raises JobError with
    all problems at once.
    """
    started = datetime.now(UTC)
    now = started.strftime("%Y%m%dT%H%M%SZ")
    parser = argparse.ArgumentParser(prog="ratings_etl.py", allow_abbrev=False)
    add = parser.add_argument
    add("--run-id", default="", help="name of the run; default: time and a random part")
    add("--region", default=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION", ""))
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
    add("--strategy", default=REPLACE, help="replace, latest or average")
    add("--since", default="", help="reads ratings from this time on: a day or a time in RFC 3339, UTC")
    add("--until", default="", help="reads ratings before this time")
    add("--lookback", default="7", help="days before the watermark that are read again")
    add("--erased", default="", help="s3://bucket/key or path of a list of erased customers")
    add("--drift-rows", default="0.5", help="share by which a table's rows may change")
    add("--drift-nulls", default="0.1", help="difference that a column's share of nulls may have")
    add("--drift-mean", default="0.5", help="difference that the mean rating may have")
    add("--drift-new", default="0.5", help="new products, as a share of those before")
    add("--drift-vanished", default="0.1", help="vanished products, as a share of those before")
    add("--drift-least", default="100", help="rows that a table must have had for its drift to be judged")
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

    def limit(value: str, name: str, most: int) -> float:
        if re.fullmatch(r"\d{1,4}(\.\d{1,9})?", value) and float(value) <= most:
            return float(value)
        problems.append(f"{name} is {value!r}: allowed is a number from 0 to {most}, such as 0.5")
        return 0.0

    def moment(value: str, name: str) -> datetime | None:
        try:
            return moment_of(value) if value else None
        except ValueError:
            problems.append(
                f"{name} is {value!r}: allowed is a day from 2000 to 2099 such as 2026-03-01, its midnight in"
                " UTC, or a time with its zone such as 2026-03-01T06:00:00Z"
            )
            return None

    strategy = one_of(given.strategy, "--strategy", STRATEGIES)
    since, until = moment(given.since, "--since"), moment(given.until, "--until")
    if (given.since or given.until) and strategy == REPLACE:
        problems.append(
            "--since or --until is given with --strategy replace, which publishes the source as it is:"
            " give latest or average, or no window"
        )
    if since and until and since >= until:
        problems.append(
            f"--since is {given.since!r} and --until is {given.until!r}: the first must come before the"
            " second"
        )
    if since and since > started:
        problems.append(
            f"--since is {given.since!r}, after now, {rfc3339(started)}: there is nothing to read in the"
            " future"
        )
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
        strategy=strategy,
        since=since,
        until=until,
        lookback=timedelta(days=number(given.lookback, "--lookback", 0, 36_500)),
        erased=given.erased,
        limits=Limits(
            rows=limit(given.drift_rows, "--drift-rows", 1000),
            nulls=limit(given.drift_nulls, "--drift-nulls", 1),
            mean=limit(given.drift_mean, "--drift-mean", 4),
            new=limit(given.drift_new, "--drift-new", 1000),
            vanished=limit(given.drift_vanished, "--drift-vanished", 1),
            least=number(given.drift_least, "--drift-least", 0, 1_000_000),
        ),
    )
    if problems:
        raise JobError("the job's settings are wrong:\n  " + "\n  ".join(problems))
    return settings


_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
FIRST_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)  # a manifest's times lie from here to 2099
_TIME_OF_DAY = re.compile(_DAY.pattern + r"T\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def moment_of(text: str) -> datetime:
    """A day, which is its midnight in UTC, or a time in RFC 3339; raises ValueError for anything
    else.
    """
    if _DAY.fullmatch(text):
        text += "T00:00:00Z"
    if not _TIME_OF_DAY.fullmatch(text):
        raise ValueError(f"no time in RFC 3339: {text!r}")
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except OverflowError as error:  # the year 1 or 9999, in another zone
        raise ValueError(f"no year from 1 to 9999 in UTC: {text!r}") from error
    if not 2000 <= moment.year <= 2099:
        raise ValueError(f"no year from 2000 to 2099 in UTC: {text!r}")
    return moment


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
    """A JKS trust store of these certificate authorities, made by the JVM.

    Connector/J opens it for every connection. Opening a PKCS12 store derives two keys from its
    password, by 10,000 steps each, which takes longer than the login. That would protect secrets;
    these are public certificates under a public password.
    """
    blocks = re.findall(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", pem, re.DOTALL)
    if not blocks:
        raise JobError("the file of certificate authorities holds no certificate in PEM form")
    jvm: Any = spark.sparkContext._jvm  # PySpark has no public way to the JVM
    java = jvm.java
    password = java.nio.CharBuffer.allocate(len(TRUST_STORE_PASSWORD)).put(TRUST_STORE_PASSWORD).array()
    store = java.security.KeyStore.getInstance("JKS")
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


@dataclass(frozen=True)
class SourceWindow:
    """The times of the ratings that a run reads, from since on and before until, in UTC; None is no
    bound.
    """

    since: datetime | None = None
    until: datetime | None = None

    def condition(self) -> str:
        """The window as an SQL condition on ratedAt; empty where all is read."""
        bounds = ((">=", self.since), ("<", self.until))
        return " AND ".join(
            f"{RATED_AT} {comparison} '{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'"
            for comparison, moment in bounds
            if moment
        )

    def document(self) -> dict[str, str]:
        """As the manifest has it."""
        bounds = {"since": self.since, "until": self.until}
        return {name: exact(moment) for name, moment in bounds.items() if moment}


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
                "trustCertificateKeyStoreType": "JKS",
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

    def table(self, name: str, columns: Columns, about: int, window: SourceWindow) -> DataFrame:
        """A table's columns, bounded by what its keys are now: rows of customers or orders that
        come later wait for the next run, however long the reading takes. Ratings are those of the
        window.
        """
        query = f"SELECT {', '.join(columns)} FROM {name}"  # names are constants
        bound = SOURCE[name].bound
        if not bound:
            return conform(self.read(query), columns)
        within = window.condition() if name == RATINGS else ""
        ends = self.read(f"SELECT MIN({bound}) AS least, MAX({bound}) AS greatest FROM {name}").collect()[0]
        if ends.greatest is None:
            return conform(self.read(query + (f" WHERE {within}" if within else "")), columns)
        query += f" WHERE ({bound} <= {int(ends.greatest)} OR {bound} IS NULL)"
        if within:
            query += f" AND {within}"
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


@dataclass(frozen=True)
class Written:
    """What one pass over a table counted of all its rows, and measured of those that it wrote."""

    counts: Counts
    measures: Mapping[str, Any]


def _counted(counter: Observation) -> Counts:
    return Counts(**{name: int(value) for name, value in counter.get.items()})


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

    def write(self, frame: DataFrame, table: str, size: int) -> Written:
        """Writes the good rows of a table of the run, sorted by its keys, in files of a useful
        size; counts all its rows, and measures the written ones, in the same pass.

        A table with rules is judged already. size is about how many bytes it will have, in Parquet.
        """
        counter, meter = Observation(), Observation()
        counted = arranged(frame, table, files_for(size)).observe(counter, *counts(table))
        columns = columns_of(table, self.settings.strategy)
        good_rows = (
            good(counted, table, self.settings.strategy) if table in RULES else conform(counted, columns)
        )
        good_rows.observe(meter, *measures_of(table)).write.mode("overwrite").format(
            self.settings.format
        ).options(**FORMAT_OPTIONS[self.settings.format]).save(self.path(f"{self.run}/{table}"))
        return Written(_counted(counter), dict(meter.get))

    def gather(self, ratings: DataFrame) -> tuple[DataFrame, Written]:
        """Materialises the observations of judged ratings, the good ones, and counts them."""
        path = self.path(f"{self.run}/{STAGING}/{OBSERVATIONS}")
        counter, meter = Observation(), Observation()
        counted = ratings.withColumn(DOUBLED, F.lit(False)).observe(counter, *counts(RATINGS))
        seen = conform(counted.where(F.isnull(REASONS)), TABLES[OBSERVATIONS])
        seen.observe(meter, *measures_of(OBSERVATIONS)).write.mode("overwrite").parquet(path)
        return self.spark.read.schema(seen.schema).parquet(path), Written(_counted(counter), dict(meter.get))

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
        marks = (CUSTOMER_FOUND, PRODUCT_FOUND, ORDER_FOUND, STARTED_AT, DELETED)
        rows = frame.drop(*marks).repartition(1)
        rows.write.mode("overwrite").option("ignoreNullFields", "false").json(folder)
        return folder

    def files(self, table: str) -> list[dict[str, Any]]:
        """The files of a written table as the manifest names them, in their order."""
        found = []
        for key, size, _ in sorted(self.objects(f"{self.run}/{table}/part-")):
            found.append(
                {"path": key.removeprefix(self.run + "/"), "sha256": self.digest(key), "bytes": size}
            )
        return found

    def digest(self, key: str) -> str:
        """The sha256 of an object."""
        body = self.client.get_object(Bucket=self.settings.lake_bucket, Key=key)["Body"]
        digest = hashlib.sha256()
        for block in body.iter_chunks(HASH_BLOCK):
            digest.update(block)
        return digest.hexdigest()


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


# The tables of the published run that the next run reads.
READ_AGAIN = {OBSERVATIONS, PRODUCTS, ETL_QUALITY}


def measures_before(manifest: Mapping[str, Any]) -> list[Measure]:
    """What was measured of a run; of one that is older than measures, the rows of its tables."""
    if (quality := manifest.get("quality")) is None:
        return [
            Measure(name, WHOLE, ROWS, float(table.get("rows", 0)))
            for name, table in manifest["tables"].items()
            if name in MEASURED
        ]
    return [
        Measure(str(each["table"]), str(each["column"]), str(each["measure"]), float(each["value"]))
        for each in quality["measures"]
    ]


def check_readable(manifest: dict[str, Any]) -> None:
    """Raises ValueError, KeyError, TypeError or AttributeError where a manifest lacks what a later
    run reads of it.
    """
    if manifest.get("schema_version", 1) != 1:
        raise ValueError(f"schema_version {manifest['schema_version']!r}, this job knows 1")
    datetime.strptime(manifest["created_at"], "%Y-%m-%dT%H:%M:%SZ")
    if manifest.get("watermark") is not None:
        moment_of(manifest["watermark"])
    measures_before(manifest)
    tables = manifest["tables"].values()
    for name in READ_AGAIN & manifest["tables"].keys():
        columns = [(column["name"], column["type"]) for column in manifest["tables"][name]["columns"]]
        if columns != list(TABLES[name].items()):
            raise ValueError(f"{name} has the columns {columns}, this job knows {list(TABLES[name].items())}")
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
        stated = json.loads(pointer[0]).get("manifest_sha256")
        if stated not in (None, hashlib.sha256(content[0]).hexdigest()):
            raise ValueError(f"its sha256 is not {stated}, which the pointer says")
        manifest = json.loads(content[0])
        check_readable(manifest)
        return Publication(pointer[1], run_id, manifest)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise JobError(
            f"{lake.path(PUBLISHED)} names no run with a readable manifest ({error}): restore the run's"
            " folder from the bucket's earlier versions, or delete published.json to begin without what was"
            " observed before"
        ) from error


@dataclass(frozen=True)
class Past:
    """What a run takes over from the published one; all of it is empty where there is none.

    Its tables are None where it has none of that name.
    """

    publication: Publication
    observations: DataFrame | None
    products: DataFrame | None
    quality: DataFrame | None
    measures: Sequence[Measure]
    watermark: datetime | None


def past(lake: Lake, published: Publication) -> Past:
    """What the published run left; raises JobError where a file of it is gone or has changed."""
    watermark = published.manifest.get("watermark")
    return Past(
        published,
        previous_table(lake, published, OBSERVATIONS),
        previous_table(lake, published, PRODUCTS),
        previous_table(lake, published, ETL_QUALITY),
        measures_before(published.manifest) if published.run_id else (),
        moment_of(watermark) if watermark else None,
    )


def previous_table(lake: Lake, published: Publication, name: str) -> DataFrame | None:
    """A table of the published run, its files held to the manifest; None where it has none."""
    table = published.manifest.get("tables", {}).get(name)
    if table is None:
        return None
    folder = f"{PREFIX}/{published.run_id}/"
    there = {key: size for key, size, _ in lake.objects(f"{folder}{name}/")}
    advice = (
        "restore them from the bucket's earlier versions, or delete published.json to begin without what"
        " was observed before"
    )

    def refuse(what: str, files: Sequence[str]) -> None:
        if files:
            shown = ", ".join(lake.path(folder + path) for path in files)[:1000]
            raise JobError(f"the published run {published.run_id} lists files that {what}: {shown}; {advice}")

    files = {file["path"]: file for file in table["files"]}
    refuse("are gone", [path for path in files if folder + path not in there])
    changed = (
        path
        for path, file in files.items()
        if there[folder + path] != file["bytes"]
        or file.get("sha256") not in (None, lake.digest(folder + path))
    )
    refuse("have changed", list(changed))
    return lake.read(name, published.manifest["format"], [lake.path(folder + path) for path in files])


MAX_ERASED_BYTES = 16 << 20  # some two million customers
_ERASED = re.compile(rb"[1-9]\d{0,9}")
_MAX_CUSTOMER = 2**31 - 1


def erased_customers(lake: Lake) -> frozenset[int]:
    """The customers of the list that --erased names: a text with one customer number a line; none
    where it names none. The message of a refusal has no line of the list: they are personal data.
    """
    where = lake.settings.erased
    if not where:
        return frozenset()
    content = fetch(lake, where, "list of erased customers", MAX_ERASED_BYTES)
    if len(content) > MAX_ERASED_BYTES:
        raise JobError(
            f"--erased {where}: has more than {MAX_ERASED_BYTES} bytes: it is no list of customers"
        )
    lines = content.removesuffix(b"\n").replace(b"\r\n", b"\n").split(b"\n") if content else []
    wrong = [
        number
        for number, line in enumerate(lines, 1)
        if not _ERASED.fullmatch(line.removesuffix(b"\r")) or int(line) > _MAX_CUSTOMER
    ]
    if wrong:
        raise JobError(
            f"--erased {where}: {len(wrong)} of {len(lines)} lines are no customer number, the first is line"
            f" {wrong[0]}: want one whole number from 1 to {_MAX_CUSTOMER} a line and nothing else"
        )
    return frozenset(map(int, lines))


def fetch(lake: Lake, where: str, what: str, most: int) -> bytes:
    """The content of s3://bucket/key or of a path, at most one byte more than this many; raises
    JobError where it cannot be read.
    """
    place = urlsplit(where)
    try:
        if place.scheme == "s3":
            body = lake.client.get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"]
            return body.read(most + 1)
        with Path(where).open("rb") as file:
            return file.read(most + 1)
    except (OSError, ValueError, BotoCoreError, ClientError) as error:
        raise JobError(f"{what} {where}: cannot be read: {error}") from error


def follow(lake: Lake, published: Publication) -> None:
    """Lets the catalogue's tables show the published run: one object for each table lists the run's
    files. Ratings have two tables, whole numbers and means; that of the other kind lists none.
    """
    manifest = published.manifest
    strategy = manifest.get("strategy", REPLACE)
    if RATINGS in manifest.get("tables", {}):
        other = LATEST if strategy == AVERAGE else AVERAGE
        lake.put(f"{CATALOGUE}/{catalogue_name(RATINGS, manifest['format'], other)}/symlink.txt", b"")
    for table, described in manifest.get("tables", {}).items():
        name = catalogue_name(table, manifest["format"], strategy)
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


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def exact(moment: datetime) -> str:
    """A time in UTC, with the microseconds that it has."""
    return rfc3339(moment) if not moment.microsecond else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


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
    strategy: str = REPLACE
    window: dict[str, str] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As the contract training_set_outcome has it."""
        return {
            "schema_version": 1,
            "run_id": self.run_id,
            "status": self.status,
            "stage": self.stage,
            "strategy": self.strategy,
            "started_at": rfc3339(self.started_at),
            **({"window": self.window} if self.window else {}),
            **({"quality": self.quality} if self.quality else {}),
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
    deleted = marked(given(source.spark, sorted(gone), columns), DELETED)
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
            share = f"{quality.quarantined} of {quality.rows} rows that were read"
            refused.append(f"{table}: {share} break a rule, allowed is a share of {tolerance:g}")
    if refused:
        raise JobError(
            f"{'; '.join(refused)}; nothing is published."
            " Mend these in the source, or raise --max-quarantined:",
            broken,
        )
    for table, frame in out.items():
        outcome.quarantine.append(lake.quarantine(frame, table))


@contextmanager
def kept(*frames: DataFrame) -> Iterator[None]:
    """Keeps what several tables are made of with the executors while they are; one that is lost
    reads it from the lake again.
    """
    for frame in frames:
        frame.persist()
    try:
        yield
    finally:
        for frame in frames:
            frame.unpersist()


def write_tables(
    lake: Lake, staged: Mapping[str, DataFrame], before: Past, erased: frozenset[int], moment: datetime
) -> tuple[dict[str, DataFrame], dict[str, Counts], dict[str, Mapping[str, Any]]]:
    """Writes the tables of the run that are made from the source; returns those with rules as they
    were judged, in the order of their rules, and the counts and measures of all.

    Tables that do not wait for each other are written side by side: one alone leaves most of the
    executors idle while it is sorted and stored.
    """
    customers, products = without(staged[CUSTOMERS], erased), staged[PRODUCTS]
    previous = None if before.observations is None else without(before.observations, erased)
    new = without(dated(staged[RATINGS], previous, moment), erased)
    sales_lines = sold(staged[ORDER_DETAILS], staged[ORDERS], staged[CUSTOMERS], products)
    frames = {
        CUSTOMERS: judged(customers, CUSTOMERS),
        PRODUCTS: judged(products, PRODUCTS),
        RATINGS: judged(rated(new, customers, products, moment), RATINGS),
        SALES: judged(without(sales_lines, erased), SALES),
    }
    sizes = {table: lake.staged_bytes(ORIGIN.get(table, table)) for table in frames}
    tables_before = before.publication.manifest.get("tables", {})
    seen_before = tables_before.get(OBSERVATIONS, {}).get("files", [])
    sizes[OBSERVATIONS] = sizes[RATINGS] + sum(file["bytes"] for file in seen_before)

    def ratings() -> dict[str, Written]:
        """The source as it is: what is published is what was read."""
        return {RATINGS: lake.write(frames[RATINGS], RATINGS, sizes[RATINGS])}

    def observations() -> dict[str, Written]:
        """Every value ever seen, of the same rows."""
        seen = observed(previous, good(frames[RATINGS], RATINGS))
        return {OBSERVATIONS: lake.write(seen, OBSERVATIONS, sizes[OBSERVATIONS])}

    def resolved() -> dict[str, Written]:
        """All that was ever seen: what is published is made of the observations alone.

        An observation whose customer or product the source no longer has cannot be described: it
        stays an observation.
        """
        seen, gathered = lake.gather(frames[RATINGS])
        all_seen = lake.write(observed(previous, seen), OBSERVATIONS, sizes[OBSERVATIONS])
        pairs = RESOLVED[lake.settings.strategy](lake.written(OBSERVATIONS))
        described = judged(rated(pairs, customers, products, moment), RATINGS)
        written = lake.write(described, RATINGS, sizes[OBSERVATIONS])
        if written.counts.quarantined:
            say(
                f"{written.counts.quarantined} pairs stay observations: the source has not their customer or"
                " product"
            )
        counted = replace(gathered.counts, doubled=written.counts.doubled, kept=int(written.measures[ROWS]))
        measures = {**written.measures, NEWEST: gathered.measures[NEWEST]}
        return {RATINGS: Written(counted, measures), OBSERVATIONS: all_seen}

    def sales() -> dict[str, Written]:
        written = lake.write(frames[SALES], SALES, sizes[SALES])
        return {SALES: written, DATES: lake.write(calendar(lake.written(SALES)), DATES, 0)}

    def parents() -> dict[str, Written]:
        return {table: lake.write(frames[table], table, sizes[table]) for table in (CUSTOMERS, PRODUCTS)}

    with ThreadPoolExecutor(max_workers=3) as pool:
        of_ratings = (resolved,) if lake.settings.strategy in RESOLVED else (ratings, observations)
        parts = [pool.submit(part) for part in (*of_ratings, sales, parents)]
    every = {table: each for part in parts for table, each in part.result().items()}
    counted = {table: each.counts for table, each in every.items()}
    return frames, counted, {table: each.measures for table, each in every.items()}


def weigh(
    lake: Lake,
    outcome: Outcome,
    before: Past,
    products: DataFrame,
    measures: Mapping[str, Mapping[str, Any]],
) -> list[Measure]:
    """Measures the run and holds it to the previous one, and returns the measures; raises JobError
    where it has drifted too far.

    A run over a window that was asked for is only told so: whoever fills in a month knows that it
    changes much.
    """
    now = [measure for table in MEASURED for measure in measured(table, measures[table])]
    for table in ORIGIN:
        out = outcome.rows_quarantined.get(table, 0)
        now.append(Measure(table, WHOLE, QUARANTINED, float(out)))
    if before.products is not None:
        now += turnover(before.products, products)
    found = drifts(before.measures, now, lake.settings.limits)
    findings = [drift.finding(lake.settings.windowed) for drift in found]
    outcome.findings += findings
    outcome.quality = {"measures": [vars(each) for each in now], "drift": [vars(each) for each in found]}
    for finding, drift in zip(findings, found, strict=True):
        if not drift.passed:
            say(f"drift: {finding}")
    broken = [finding for finding in findings if not finding.passed]
    if broken:
        raise JobError(
            f"the run has drifted too far from the published one, {before.publication.run_id}; nothing is"
            " published. Mend the source, or accept it once by a higher --drift-rows, --drift-nulls,"
            " --drift-mean, --drift-new or --drift-vanished:",
            broken,
        )
    return now


def trend(lake: Lake, before: Past, measures: Sequence[Measure], moment: datetime) -> DataFrame:
    """The rows of etl_quality: those of the previous run, and this run's."""
    settings = lake.settings
    rows = [
        (
            settings.run_id,
            rfc3339(moment),
            settings.strategy,
            each.table,
            each.column,
            each.measure,
            each.value,
        )
        for each in measures
    ]
    written = {name: "string" if kind == "timestamp" else kind for name, kind in TABLES[ETL_QUALITY].items()}
    now = conform(given(lake.spark, rows, written), TABLES[ETL_QUALITY])
    return now if before.quality is None else before.quality.unionByName(now)


def tell_measures(measures: Sequence[Measure], drift: Sequence[Mapping[str, Any]]) -> None:
    """Writes the line of JSON from which CloudWatch Logs makes the job's metrics: the job's
    security group reaches S3 and the source, and no endpoint of CloudWatch.
    """
    values = {(each.table, each.column, each.measure): each.value for each in measures}
    nulls = [each.value for each in measures if each.measure == NULLS]
    line = {
        "RatingRows": values.get((RATINGS, WHOLE, ROWS)),
        "ObservationRows": values.get((OBSERVATIONS, WHOLE, ROWS)),
        "QuarantinedRatings": values.get((RATINGS, WHOLE, QUARANTINED)),
        "MeanRating": values.get((RATINGS, PRODUCT_RATING, MEAN)),
        "GreatestNullShare": max(nulls, default=None),
        "NewProductShare": values.get((PRODUCTS, PRODUCT_CODE, NEW)),
        "VanishedProductShare": values.get((PRODUCTS, PRODUCT_CODE, VANISHED)),
        "BrokenDriftRules": sum(not each["passed"] for each in drift),
    }
    print(
        json.dumps({"etlMeasures": {name: value for name, value in line.items() if value is not None}}),
        flush=True,
    )


def window_of(settings: Settings, has_dates: bool, watermark: datetime | None) -> SourceWindow:
    """The times of the ratings to read: those asked for; else, looking back, from the watermark
    less the lookback on; all where there is neither.
    """
    if settings.windowed:
        return SourceWindow(settings.since, settings.until)
    if settings.strategy not in RESOLVED or not has_dates or watermark is None:
        return SourceWindow()
    since = watermark - settings.lookback
    return SourceWindow(since if since >= FIRST_MOMENT else None)


def watermark_of(before: datetime | None, newest: int | None) -> datetime | None:
    """The maximum of ratedAt over the rows that were read, in microseconds since 1970, and never
    less than the one before; None where it lies before the times that a manifest may have.
    """
    known = [before] if before else []
    if newest is not None and EPOCH + timedelta(microseconds=newest) >= FIRST_MOMENT:
        known.append(EPOCH + timedelta(microseconds=newest))
    return max(known, default=None)


def produce(
    lake: Lake, source: Source, outcome: Outcome, before: Past, erased: frozenset[int]
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
        has_dates = RATED_AT in SOURCE[RATINGS].columns(found[RATINGS])
        if settings.windowed and not has_dates:
            raise JobError(
                f"source {settings.source}: its ratings have no {RATED_AT}, so that no window can be read:"
                " leave out --since and --until"
            )
        window = window_of(settings, has_dates, before.watermark)
        outcome.window = window.document()
        if before.watermark and window.since and window.since > before.watermark:
            say(
                f"warning: the window begins after the watermark {exact(before.watermark)}: ratings between"
                " the two are read only when they are asked for"
            )
    staged: dict[str, DataFrame] = {}
    with outcome.during("read"):
        for name, table in SOURCE.items():
            wanted = table.columns(found[name])
            staged[name], outcome.rows_read[name] = lake.stage(
                source.table(name, wanted, about[name], window), name
            )
            say(f"read {outcome.rows_read[name]} rows of {name}")
    with outcome.during("write"), kept(staged[CUSTOMERS], staged[PRODUCTS]):
        frames, counted, measures = write_tables(lake, staged, before, erased, moment)
    with outcome.during("quality"):
        assess(lake, source, outcome, frames, counted)
        outcome.rows_published = {table: each.published for table, each in counted.items()}
        now = weigh(lake, outcome, before, staged[PRODUCTS], measures)
        quality = lake.write(trend(lake, before, now, moment), ETL_QUALITY, 0)
    outcome.rows_published[ETL_QUALITY] = quality.counts.rows
    described = {
        name: {
            "rows": outcome.rows_published[name],
            "columns": [
                {"name": column, "type": kind} for column, kind in columns_of(name, settings.strategy).items()
            ],
            "files": lake.files(name),
        }
        for name in TABLES
    }
    watermark = watermark_of(before.watermark, measures[RATINGS][NEWEST] if has_dates else None)
    manifest = {
        "schema_version": 1,
        "run_id": settings.run_id,
        "created_at": rfc3339(moment),
        "strategy": settings.strategy,
        **({"window": outcome.window} if outcome.window else {}),
        **({"watermark": exact(watermark)} if watermark else {}),
        **({"previous_run": before.publication.run_id} if before.publication.run_id else {}),
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
        "quality": outcome.quality,
    }
    with outcome.during("manifest"):
        return manifest, lake.put_json(f"{lake.run}/{MANIFEST}", manifest)


MAX_AUTHORITIES_BYTES = 4 << 20  # RDS's bundle of all regions has 165 KB


def certificates(lake: Lake) -> Callable[[], str]:
    """Puts the trust store into the run's folder and returns what makes an URL of it that every
    executor can read.

    Executors open the connections, and neither Spark nor Glue puts a file into a place of theirs
    that is known beforehand: they fetch it as the driver does, by a URL that is signed here and
    good for as long as a login token.
    """
    settings = lake.settings
    pem = fetch(lake, settings.ca, "certificate authorities", MAX_AUTHORITIES_BYTES)
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
        # What refuses the run, before the source is asked anything.
        erased, taken_over = erased_customers(lake), past(lake, before)
        source = Source(spark, settings, certificates(lake) if settings.tls else lambda: "")
        manifest, content = produce(lake, source, outcome, taken_over, erased)
        with outcome.during("publish"):
            now = publish(lake, before, manifest, content, datetime.now(UTC))
            follow(lake, now)
            tell_measures([Measure(**each) for each in outcome.quality["measures"]], outcome.quality["drift"])
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


def remember_names(spark: SparkSession) -> None:
    """Has py4j look only once for what PySpark asks it for by name with every expression.

    Each time it tries eight packages, and the JVM searches all jars for a class that is in none of
    them: a tenth of its work in a run of few rows.
    """
    jvm = spark.sparkContext._jvm
    for name in ("functions", "org", "py4j", "PythonUtils"):
        setattr(jvm, name, getattr(jvm, name))


def run(
    arguments: Sequence[str], environment: Mapping[str, str], spark: SparkSession | None = None
) -> Outcome:
    """Runs the job; raises JobError with where, what and what to do."""
    start, moment = time.monotonic(), datetime.now(UTC).replace(microsecond=0)
    settings = settings_from(arguments, environment)
    session = spark or SparkSession.builder.appName("ratings_etl").getOrCreate()
    remember_names(session)
    outcome = Outcome(settings.run_id, moment, strategy=settings.strategy)
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
