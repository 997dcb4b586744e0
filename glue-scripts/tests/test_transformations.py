"""The transformations and rules on small frames with exact rows."""

from __future__ import annotations

import random
import statistics
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

import ratings_etl as etl

MOMENT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
NOW = datetime(2026, 3, 1, 9, 0)
EARLIER, LATER = datetime(2026, 1, 1), datetime(2026, 2, 1)
PAIR = {"customerNumber": "int", "productCode": "string"}
UNDATED = {**PAIR, "productRating": "int"}

Rows = list[tuple[Any, ...]]


def frame(spark: SparkSession, columns: etl.Columns, rows: Rows) -> DataFrame:
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    # A time without a zone in a row is read in the zone of this process.
    given = spark.createDataFrame(
        [tuple(str(each) if isinstance(each, datetime) else each for each in row) for row in rows],
        etl.schema_of({name: "string" if kind == "timestamp" else kind for name, kind in columns.items()}),
    )
    return etl.conform(given, columns)


def collected(result: DataFrame) -> Rows:
    texts = [f"CAST({name} AS string)" if kind == "timestamp" else name for name, kind in result.dtypes]
    return sorted(tuple(row) for row in result.selectExpr(*texts).collect())


def test_a_dated_source_is_believed(spark: SparkSession) -> None:
    ratings = frame(spark, {**UNDATED, "ratedAt": "timestamp"}, [(1, "a", 3, EARLIER)])
    assert etl.dated(ratings, None, MOMENT) is ratings


def test_without_a_date_the_first_run_dates_everything(spark: SparkSession) -> None:
    assert collected(etl.dated(frame(spark, UNDATED, [(1, "a", 3)]), None, MOMENT)) == [(1, "a", 3, str(NOW))]


def test_without_a_date_a_value_dates_from_the_run_that_first_saw_it_after_another(
    spark: SparkSession,
) -> None:
    observations = frame(
        spark,
        etl.TABLES["observations"],
        [
            (1, "kept", EARLIER, 3),
            (1, "changed", EARLIER, 3),
            (1, "back again", EARLIER, 3),
            (1, "back again", LATER, 4),
            (2, "changed long ago", EARLIER, 1),
            (2, "changed long ago", LATER, 2),
        ],
    )
    ratings = frame(
        spark,
        UNDATED,
        [(1, "kept", 3), (1, "changed", 5), (1, "back again", 3), (1, "new", 2), (2, "changed long ago", 2)],
    )
    assert collected(etl.dated(ratings, observations, MOMENT)) == [
        (1, "back again", 3, str(NOW)),
        (1, "changed", 5, str(NOW)),
        (1, "kept", 3, str(EARLIER)),
        (1, "new", 2, str(NOW)),
        (2, "changed long ago", 2, str(LATER)),
    ]


def test_observations_keep_what_was_seen_and_never_double(spark: SparkSession) -> None:
    columns = etl.TABLES["observations"]
    before = frame(spark, columns, [(1, "a", EARLIER, 3), (1, "gone", EARLIER, 1), (2, "a", EARLIER, 5)])
    ratings = frame(
        spark,
        {**UNDATED, "ratedAt": "timestamp"},
        [(1, "a", 3, EARLIER), (2, "a", 4, LATER), (3, "a", 1, LATER)],
    )
    after = etl.arranged(etl.observed(before, ratings), "observations", 1)
    expected = [
        (1, "a", str(EARLIER), 3),
        (1, "gone", str(EARLIER), 1),
        (2, "a", str(EARLIER), 5),
        (2, "a", str(LATER), 4),
        (3, "a", str(LATER), 1),
    ]
    assert collected(after) == expected
    for files in (1, 3):
        again = etl.arranged(etl.observed(after, ratings), "observations", files)
        assert collected(again) == expected, files


RATED: dict[str, str] = {
    **etl.TABLES["ratings"],
    "customerFound": "boolean",
    "productFound": "boolean",
    "startedAt": "timestamp",
}
GOOD_RATING: dict[str, Any] = {
    "customerNumber": 1, "city": "Nantes", "country": "France", "creditLimit": None, "productCode": "a",
    "productLine": "Ships", "productScale": "1:10", "quantityInStock": 1, "buyPrice": Decimal("1.00"),
    "MSRP": Decimal("2.00"),
    "productRating": 3, "ratedAt": EARLIER, "ratingCount": 1, "customerFound": True, "productFound": True,
    "startedAt": NOW,
}  # fmt: skip
SOLD: dict[str, str] = {
    **etl.TABLES["sales"],
    "customerFound": "boolean",
    "productFound": "boolean",
    "orderFound": "boolean",
}
GOOD_SALE: dict[str, Any] = {
    "orderNumber": 1, "orderLineNumber": 1, "orderDate": date(2026, 1, 1), "status": "Shipped",
    "customerNumber": 1, "productCode": "a", "quantityOrdered": 1, "priceEach": Decimal("1.00"),
    "revenue": Decimal("1.00"),
    "customerFound": True, "productFound": True, "orderFound": True,
}  # fmt: skip

BREACHES: list[tuple[str, str, str, dict[str, Any], str]] = [
    ("ratings", "complete", "customerNumber", {"customerNumber": None}, "null"),
    ("ratings", "complete", "productCode", {"productCode": None}, "null"),
    ("ratings", "complete", "productRating", {"productRating": None}, "null"),
    ("ratings", "complete", "ratedAt", {"ratedAt": None}, "null"),
    ("ratings", "range", "productRating", {"productRating": 0}, "0"),
    ("ratings", "range", "productRating", {"productRating": 6}, "6"),
    ("ratings", "ahead", "ratedAt", {"ratedAt": datetime(2030, 1, 1)}, "2030-01-01 00:00:00"),
    (
        "ratings",
        "reference",
        "customerNumber",
        {"customerNumber": 9, "customerFound": None, "city": None, "country": None},
        "9",
    ),
    ("ratings", "reference", "productCode", {"productCode": "z", "productFound": None, "MSRP": None}, "z"),
    ("ratings", "complete", "city", {"city": None}, "null"),
    ("ratings", "complete", "country", {"country": None}, "null"),
    ("ratings", "complete", "productLine", {"productLine": None}, "null"),
    ("ratings", "complete", "productScale", {"productScale": None}, "null"),
    ("ratings", "complete", "quantityInStock", {"quantityInStock": None}, "null"),
    ("ratings", "complete", "buyPrice", {"buyPrice": None}, "null"),
    ("ratings", "complete", "MSRP", {"MSRP": None}, "null"),
    ("sales", "complete", "orderNumber", {"orderNumber": None}, "null"),
    ("sales", "complete", "productCode", {"productCode": None}, "null"),
    ("sales", "complete", "quantityOrdered", {"quantityOrdered": None}, "null"),
    ("sales", "complete", "priceEach", {"priceEach": None}, "null"),
    ("sales", "complete", "orderLineNumber", {"orderLineNumber": None}, "null"),
    ("sales", "range", "orderDate", {"orderDate": date(9999, 12, 31)}, "9999-12-31"),
    ("sales", "range", "orderDate", {"orderDate": date(1899, 12, 31)}, "1899-12-31"),
    ("sales", "reference", "orderNumber", {"orderNumber": 7, "orderFound": None, "status": None}, "7"),
    ("sales", "complete", "orderDate", {"orderDate": None}, "null"),
    ("sales", "complete", "status", {"status": None}, "null"),
    ("sales", "complete", "customerNumber", {"customerNumber": None}, "null"),
    ("sales", "reference", "customerNumber", {"customerNumber": 9, "customerFound": None}, "9"),
    ("sales", "reference", "productCode", {"productCode": "z", "productFound": None}, "z"),
]


def counts(judged: DataFrame, table: str) -> etl.Counts:
    return etl.Counts(**etl.arranged(judged, table, 1).agg(*etl.counts(table)).collect()[0].asDict())


def broken(judged: DataFrame, table: str, tolerance: float) -> tuple[etl.Finding, ...]:
    details = etl.details(etl.bad(judged), table)
    return etl.verdict(counts(judged, table), details, table, tolerance).broken


def test_every_rule_has_a_breach() -> None:
    declared = {(table, rule.name, rule.column) for table, rules in etl.RULES.items() for rule in rules}
    declared -= {("customers", "complete", "customerNumber"), ("products", "complete", "productCode")}
    assert declared == {(table, rule, column) for table, rule, column, _, _ in BREACHES}


@pytest.mark.parametrize("table", ["ratings", "sales"])
def test_each_rule_quarantines_its_breach_within_the_tolerance_and_forbids_above(
    spark: SparkSession, table: str
) -> None:
    columns, row, key = (
        (RATED, GOOD_RATING, "productCode") if table == "ratings" else (SOLD, GOOD_SALE, "productCode")
    )
    fine = [{**row, key: f"p{i}"} for i in range(4)]
    cases = [breach for breach in BREACHES if breach[0] == table]
    rows = [{"case": i, **each} for i, case in enumerate(cases) for each in [*fine, {**row, **case[3]}]]
    every = frame(
        spark,
        {"case": "int", **columns},
        [tuple(each.get(name) for name in ("case", *columns)) for each in rows],
    ).cache()
    # All cases in the same passes: each would cost several of its own.
    judged = etl.judged(every, table).withColumn(etl.DOUBLED, F.lit(False)).cache()
    out = etl.bad(judged)
    counted = by_case(judged, etl.counts(table))
    details = by_case(out, etl.breach_counts(table, F.lit(True)))
    reasons = {row.case: [reason.split(":")[0] for reason in row.reasons] for row in out.collect()}
    kept = etl.good(judged, table)
    assert kept.count() == 4 * len(cases)
    assert kept.dtypes == list(etl.TABLES[table].items())
    for i, (_, name, column, change, found) in enumerate(cases):
        assert reasons[i] == [name], change
        for tolerance, within in ((0.2, True), (0.19, False)):
            passed = within or name == etl.AHEAD  # left out, and no fault of the data
            quality = etl.verdict(etl.Counts(**counted[i]), details[i], table, tolerance)
            assert (quality.rows, quality.quarantined) == (5, 1), change
            broken = [finding for finding in quality.findings if finding.rows and finding.rule != "not empty"]
            assert [(each.rule, each.column, each.found, each.rows, each.passed) for each in broken] == [
                (name, column, found, 1, passed)
            ]
            assert (quality.broken == ()) == passed


def by_case(frame: DataFrame, measures: list[Column]) -> dict[int, dict[str, Any]]:
    rows = [row.asDict() for row in frame.groupBy("case").agg(*measures).collect()]
    return {row.pop("case"): row for row in rows}


def test_a_parent_without_a_key_is_not_published(spark: SparkSession) -> None:
    customers = frame(spark, etl.TABLES["customers"], [(None, "Nantes", None, None, "France", None)])
    (finding,) = broken(etl.judged(customers, "customers"), "customers", 0)
    assert (finding.rule, finding.column, finding.rows) == ("complete", "customerNumber", 1)


def test_a_doubled_pair_and_an_empty_table_have_no_tolerance(spark: SparkSession) -> None:
    twice = etl.judged(frame(spark, RATED, [tuple(GOOD_RATING.get(name) for name in RATED)] * 2), "ratings")
    (finding,) = broken(twice, "ratings", 1.0)
    assert (finding.rule, finding.column, finding.rows) == ("unique", "customerNumber, productCode", 1)
    (finding,) = broken(etl.judged(frame(spark, RATED, []), "ratings"), "ratings", 1.0)
    assert (finding.rule, finding.found) == ("not empty", "0")


def test_in_many_files_doubles_are_found_and_incomplete_keys_are_none(spark: SparkSession) -> None:
    def rating(customer: int | None, product: str | None) -> tuple[Any, ...]:
        changed = {**GOOD_RATING, "customerNumber": customer, "productCode": product}
        return tuple(changed.get(name) for name in RATED)

    rows = [rating(i % 40, f"p{i // 40}") for i in range(400)]
    rows += [rating(3, "p1"), rating(3, "p1"), rating(39, "p9")]
    rows += [rating(None, "p1"), rating(None, "p1"), rating(3, None), rating(3, None)]
    judged = etl.judged(frame(spark, RATED, rows), "ratings")
    for files in (1, 3):
        arranged = etl.arranged(judged, "ratings", files)
        counted = etl.Counts(**arranged.agg(*etl.counts("ratings")).collect()[0].asDict())
        assert counted == etl.Counts(rows=407, quarantined=4, doubled=3), files
        assert arranged.rdd.getNumPartitions() == files


def sales_by_day(spark: SparkSession, revenues: list[tuple[date, str, str]]) -> DataFrame:
    rows = [
        (
            i,
            1,
            day,
            status,
            1,
            "a",
            1,
            Decimal(price),
            Decimal(price) if status != "Cancelled" else Decimal(0),
        )
        for i, (day, price, status) in enumerate(revenues)
    ]
    return frame(spark, etl.TABLES["sales"], rows)


def reference(days: dict[date, Decimal]) -> dict[date, tuple[Decimal, Decimal | None, bool]]:
    """Median plus three MAD of the 28 days with revenue before, by Python's own median."""
    result = {}
    ordered = sorted(days)
    for i, day in enumerate(ordered):
        past = [days[each] for each in ordered[max(0, i - 28) : i]]
        threshold = None
        if len(past) == 28:
            median = statistics.median(past)
            threshold = median + 3 * statistics.median(abs(value - median) for value in past)
        result[day] = (days[day], threshold, threshold is not None and days[day] > threshold)
    return result


def test_the_calendar_has_every_day_and_finds_the_spikes(spark: SparkSession) -> None:
    dice = random.Random(7)
    first = date(2024, 1, 1)
    days: dict[date, Decimal] = {}
    lines: list[tuple[date, str, str]] = []
    for i in range(90):
        day = first + timedelta(days=i + i // 7)  # a day without orders each week
        # Few values, so that many days are equal, and odd cents, so that halves would be rounded.
        value = Decimal(dice.choice([101, 101, 103, 104, 107])) / 100 * (9 if i in (27, 28, 60) else 1)
        days[day] = value
        lines += [(day, str(value), "Shipped"), (day, "500.00", "Cancelled")]
    calendar = etl.calendar(sales_by_day(spark, lines)).collect()
    assert [row.calendarDate for row in calendar] == [first + timedelta(days=i) for i in range(len(calendar))]
    assert calendar[-1].calendarDate == max(days)
    expected = reference(days)
    for row in calendar:
        nothing = (Decimal("0.00"), None, False)
        assert (row.revenue, row.threshold, row.isSpike) == expected.get(row.calendarDate, nothing), row
        day = row.calendarDate
        assert (row.year, row.month, row.dayOfMonth, row.dayOfWeek) == (
            day.year,
            day.month,
            day.day,
            day.isoweekday(),
        )
        assert row.quarter == (day.month + 2) // 3
    assert sum(row.isSpike for row in calendar) >= 2
    assert not calendar[27].isSpike  # 27 days before it are too few


def test_no_orders_make_an_empty_calendar(spark: SparkSession) -> None:
    assert etl.calendar(sales_by_day(spark, [])).collect() == []


def test_the_order_of_rows_changes_nothing(spark: SparkSession) -> None:
    dice = random.Random(3)
    ratings = [(dice.randrange(9), f"p{i}", dice.randrange(1, 6)) for i in range(40)]
    observations = [
        (c, p, dice.choice([EARLIER, LATER]), dice.randrange(1, 6))
        for c, p, _ in ratings
        if dice.random() < 0.7
    ]

    def result(first: Rows, second: Rows) -> Rows:
        seen = frame(spark, etl.TABLES["observations"], second)
        dated = etl.dated(frame(spark, UNDATED, first), seen, MOMENT)
        return collected(dated) + collected(etl.arranged(etl.observed(seen, dated), "observations", 1))

    expected = result(ratings, observations)
    for _ in range(2):
        dice.shuffle(ratings)
        dice.shuffle(observations)
        assert result(ratings, observations) == expected
