"""What each strategy makes of what was seen before and what is new, against references in plain
Python; windows; drift.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import boto3
import pytest
from pyspark.sql import DataFrame, SparkSession

import ratings_etl as etl
from tests.conftest import REGION, Shop
from tests.test_run import conforms
from tests.test_settings import settings
from tests.test_transformations import Rows, collected, frame

CASES = 60
DAYS = [datetime(2026, 1, 1) + timedelta(hours=9 * n) for n in range(8)]
Seen = set[tuple[int, str, datetime, int]]


def reference(seen: Seen) -> tuple[Rows, Rows]:
    """Latest and average of a set of observations, sorted: by Python's own sorting and exact
    fractions.
    """
    pairs: dict[tuple[int, str], list[tuple[datetime, int]]] = defaultdict(list)
    for customer, product, moment, rating in seen:
        pairs[customer, product].append((moment, rating))
    newest, means = [], []
    for (customer, product), history in pairs.items():
        moment, rating = sorted(history)[-1]
        newest.append((customer, product, rating, str(moment)))
        mean = float(Fraction(sum(each for _, each in history), len(history)))
        means.append((customer, product, mean, str(moment), len(history)))
    return sorted(newest), sorted(means)


def histories(dice: random.Random) -> list[Rows]:
    """Three readings of each of many shops, kept apart by their customers' numbers: rows that come
    late, doubled, back-dated, again with another value, and at one time with two.
    """
    readings: list[Rows] = [[], [], []]
    for case in range(CASES):
        rows = [
            (100 * case + dice.randrange(3), f"p{dice.randrange(3)}", dice.choice(DAYS), dice.randrange(1, 6))
            for _ in range(dice.randrange(12))
        ]
        for row in rows:
            for reading in dice.sample(range(3), dice.randrange(1, 4)):
                readings[reading] += [row] * dice.randrange(1, 3)
    for rows in readings:
        dice.shuffle(rows)
    return readings


def seen_once(previous: DataFrame | None, ratings: DataFrame) -> DataFrame:
    """The observations of a run, as they are written."""
    return etl.arranged(etl.observed(previous, ratings), "observations", 1)


def test_strategies_are_functions_of_the_set_of_observations(spark: SparkSession) -> None:
    readings = histories(random.Random(13))
    # A value that goes 3, 4, 3, which no other customer touches.
    there_and_back = [(9_000, "p0", moment, rating) for moment, rating in zip(DAYS, (3, 4, 3), strict=False)]
    for reading, row in zip(readings, there_and_back, strict=True):
        reading.append(row)
    seen: Seen = {row for reading in readings for row in reading}
    expected = sorted((customer, product, str(moment), rating) for customer, product, moment, rating in seen)
    a, b, c = (frame(spark, etl.TABLES["observations"], reading).cache() for reading in readings)
    union = seen_once(seen_once(seen_once(None, a), b), c).cache()
    assert collected(union) == expected
    # In another order, otherwise bracketed, and once more.
    assert collected(seen_once(seen_once(c, a), seen_once(b, a))) == expected
    assert collected(seen_once(union, union)) == expected
    newest, means = reference(seen)
    assert collected(etl.latest(union)) == newest
    assert collected(etl.average(union)) == means
    assert (9_000, "p0", 3, str(DAYS[2])) in newest
    assert (9_000, "p0", 10 / 3, str(DAYS[2]), 3) in means


def test_strategies_agree_where_each_pair_has_one_rating(spark: SparkSession) -> None:
    rows = [(n, f"p{n % 3}", DAYS[n % 8], 1 + n % 5) for n in range(30)]
    once = frame(spark, etl.TABLES["observations"], rows)
    newest = collected(etl.latest(once))
    assert newest == sorted((c, p, rating, str(moment)) for c, p, moment, rating in rows)
    assert [row[:4] for row in collected(etl.average(once))] == newest
    assert {row[4] for row in collected(etl.average(once))} == {1}


# --------------------------------------------------------------------------------------------------
# Windows
# --------------------------------------------------------------------------------------------------

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T06:00:00Z", datetime(2026, 3, 1, 6, tzinfo=UTC)),
        ("2026-03-01T06:00:00.25+02:00", datetime(2026, 3, 1, 4, 0, 0, 250_000, UTC)),
        ("2026-03-01T06:00:00", None),
        ("2026-02-30", None),
        ("1999-12-31", None),
        ("2000-01-01T00:00:00+01:00", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("yesterday", None),
        ("2026-3-1", None),
        ("\u0662\u0660\u0662\u0666-01-01", None),
    ],
)
def test_a_time_is_a_day_or_has_its_zone(text: str, meant: datetime | None) -> None:
    if meant:
        assert etl.moment_of(text) == meant
        return
    with pytest.raises(ValueError, match=r"no time|no year|out of range|must be in"):
        etl.moment_of(text)


def test_a_window_is_half_open_and_its_bounds_are_utc() -> None:
    window = etl.SourceWindow(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, 0, 0, 0, 5, UTC))
    assert window.condition() == (
        "ratedAt >= '2026-01-01 00:00:00.000000' AND ratedAt < '2026-01-02 00:00:00.000005'"
    )
    assert window.document() == {"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00.000005Z"}
    assert (etl.SourceWindow().condition(), etl.SourceWindow().document()) == ("", {})


def test_the_next_window_begins_at_the_watermark_less_the_lookback() -> None:
    looking_back = settings({"--strategy": "latest", "--lookback": "3"})
    for given, has_dates, watermark, since in (
        (looking_back, True, NOW, NOW - timedelta(days=3)),
        (looking_back, True, None, None),  # nothing was read before: all is
        (looking_back, False, NOW, None),
        (settings(), True, NOW, None),  # the source as it is
        (looking_back, True, etl.FIRST_MOMENT, None),
    ):
        assert etl.window_of(given, has_dates, watermark) == etl.SourceWindow(since)
    asked = settings({"--strategy": "average", "--until": "2026-01-01"})
    assert etl.window_of(asked, True, NOW) == etl.SourceWindow(None, datetime(2026, 1, 1, tzinfo=UTC))


def test_the_watermark_is_that_of_rows_read_and_never_goes_back() -> None:
    micros = (NOW - etl.EPOCH) // timedelta(microseconds=1)
    assert etl.watermark_of(None, micros) == NOW
    assert etl.watermark_of(NOW, micros - 1) == NOW
    assert etl.watermark_of(NOW, micros + 1) == NOW + timedelta(microseconds=1)
    assert etl.watermark_of(NOW, None) == NOW
    assert etl.watermark_of(None, None) is None
    assert etl.watermark_of(None, -1) is None  # before 2000: a manifest has no such time


ORDERS = 6


def test_windows_in_any_order_with_overlaps_equal_the_whole(spark: SparkSession) -> None:
    dice = random.Random(13)
    rows = [
        (dice.randrange(4), f"p{dice.randrange(3)}", dice.choice(DAYS), dice.randrange(1, 6))
        for _ in range(60)
    ]
    bounds = [None, *(day.replace(tzinfo=UTC) for day in DAYS[1:-1:2]), None]
    # Each reaches into the next one; the first and the last have no bound.
    windows = [
        etl.SourceWindow(since, until and until + timedelta(hours=9)) for since, until in pairwise(bounds)
    ]
    windows.append(etl.SourceWindow(bounds[1], bounds[2]))  # and one is read twice
    whole = frame(spark, etl.TABLES["observations"], rows).cache()
    # Every order is that of another shop, kept apart by its customers' numbers: one pass reads the
    # first windows of all of them, the next one the second.
    orders = [dice.sample(windows, len(windows)) for _ in range(ORDERS)]
    seen: DataFrame | None = None
    watermarks: list[datetime | None] = [None] * ORDERS
    for step in zip(*orders, strict=True):
        read = None
        for shop, window in enumerate(step):
            found = whole.where(window.condition())
            of_shop = found.withColumn("customerNumber", found.customerNumber + 100 * shop)
            read = of_shop if read is None else read.unionByName(of_shop)
            dates = [row[2] for row in rows if contains(window, row[2])]
            since_1970 = max(dates).replace(tzinfo=UTC) - etl.EPOCH
            watermarks[shop] = etl.watermark_of(watermarks[shop], since_1970 // timedelta(microseconds=1))
        assert read is not None
        seen = seen_once(seen, read)
    assert seen is not None
    seen = seen.cache()
    every: Seen = {(c + 100 * shop, p, at, rating) for shop in range(ORDERS) for c, p, at, rating in rows}
    assert collected(seen) == sorted((c, p, str(moment), rating) for c, p, moment, rating in every)
    assert (collected(etl.latest(seen)), collected(etl.average(seen))) == reference(every)
    assert set(watermarks) == {max(row[2] for row in rows).replace(tzinfo=UTC)}


def contains(window: etl.SourceWindow, moment: datetime) -> bool:
    at = moment.replace(tzinfo=UTC)
    return (window.since is None or at >= window.since) and (window.until is None or at < window.until)


WINDOW_FAULTS: list[tuple[dict[str, str], str]] = [
    ({"--strategy": "merge"}, "--strategy is 'merge': allowed is replace or latest or average"),
    ({"--since": "2026-01-01"}, "with --strategy replace"),
    ({"--until": "2026-01-01"}, "with --strategy replace"),
    (
        {"--strategy": "latest", "--since": "2026-01-02", "--until": "2026-01-01"},
        "the first must come before the second",
    ),
    (
        {"--strategy": "latest", "--since": "2026-01-02", "--until": "2026-01-02"},
        "the first must come before the second",
    ),
    ({"--strategy": "latest", "--since": "2099-01-01"}, "there is nothing to read in the future"),
    ({"--strategy": "latest", "--since": "1 May"}, "--since is '1 May': allowed is a day"),
    ({"--lookback": "-1"}, "--lookback is '-1'"),
    ({"--drift-rows": "many"}, "--drift-rows is 'many'"),
    ({"--drift-nulls": "1.1"}, "--drift-nulls is '1.1'"),
    ({"--drift-least": "0.5"}, "--drift-least is '0.5'"),
]


@pytest.mark.parametrize(("arguments", "message"), WINDOW_FAULTS)
def test_a_strategy_or_window_that_cannot_be_honoured_is_refused(
    arguments: dict[str, str], message: str
) -> None:
    with pytest.raises(etl.JobError) as refused:
        settings(arguments)
    assert message in str(refused.value)


# --------------------------------------------------------------------------------------------------
# Drift
# --------------------------------------------------------------------------------------------------

LIMITS = etl.Limits(rows=0.5, nulls=0.1, mean=0.5, new=0.25, vanished=0.1, least=10)


def measure(table: str, column: str, kind: str, value: float) -> etl.Measure:
    return etl.Measure(table, column, kind, value)


@pytest.mark.parametrize(
    ("kind", "column", "before", "within", "beyond"),
    [
        ("rows", "*", 100, 150, 151),
        ("rows", "*", 100, 50, 49),
        ("nulls", "state", 0.1, 0.2, 0.21),
        ("nulls", "state", 0.4, 0.3, 0.29),
        ("mean", "productRating", 3.5, 4.0, 4.01),
        ("new", "productCode", None, 0.25, 0.26),
        ("vanished", "productCode", None, 0.1, 0.11),
    ],
)
def test_each_drift_rule_holds_at_its_limit_and_breaks_beyond(
    kind: str, column: str, before: float | None, within: float, beyond: float
) -> None:
    earlier = [measure("ratings", "*", "rows", 100)]
    earlier += [measure("ratings", column, kind, before)] if before is not None and kind != "rows" else []
    for value, passed in ((within, True), (beyond, False)):
        (found,) = etl.drifts(earlier, [measure("ratings", column, kind, value)], LIMITS)
        assert (found.passed, found.now, found.limit) == (passed, value, getattr(LIMITS, kind))
        assert found.finding(told_only=False).passed == passed
        assert found.finding(told_only=True).passed
    # What is left out has a tolerance of its own.
    assert etl.drifts(earlier, [measure("ratings", "*", "quarantined", 50)], LIMITS) == []
    # Too few rows to tell anything, and a table that was not there.
    now = [measure("ratings", column, kind, beyond)]
    assert etl.drifts([measure("ratings", "*", "rows", 9), *earlier[1:]], now, LIMITS) == []
    assert etl.drifts([], now, LIMITS) == []


def test_a_run_that_is_older_than_measures_has_its_rows() -> None:
    tables = {"ratings": {"rows": 7}, "dates": {"rows": 3}}
    assert etl.measures_before({"tables": tables}) == [measure("ratings", "*", "rows", 7)]


# --------------------------------------------------------------------------------------------------
# Whole runs
# --------------------------------------------------------------------------------------------------


def ratings(shop: Shop, run: str) -> Rows:
    """Customer, product, rating, time and count."""
    return [(row[0], row[6], *row[12:]) for row in shop.rows("ratings", run)]


def test_windows_in_any_order_equal_one_run_and_late_rows_are_found(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = f"{shop.bucket}-windows"
    boto3.client("s3", region_name=REGION).create_bucket(Bucket=bucket)
    windows = replace(shop, bucket=bucket)
    shop.sql(
        "INSERT INTO ratings VALUES (103, 'S10_1', 5, '2024-03-01 00:00:00'),"  # a pair again
        " (103, 'S10_1', 5, '2024-03-01 00:00:00'),"  # and doubled
        " (112, 'S10_3', 2, '2030-01-01')"  # of the future
    )
    whole = shop.run(run_id="whole", strategy="latest")
    assert whole.rows_quarantined["ratings"] == 1
    manifest = shop.manifest("whole")
    conforms(manifest, "manifest")
    assert manifest["watermark"] == "2024-03-31T02:30:00Z"
    assert "window" not in manifest
    for number, (since, until) in enumerate(
        [("2024-02-15", "2024-03-02"), ("2024-03-01", ""), ("", "2024-02-20T10:00:01Z")]
    ):
        bounds = {name: value for name, value in (("since", since), ("until", until)) if value}
        windows.run(run_id=f"part-{number}", strategy="latest", **bounds)
        told = windows.manifest(f"part-{number}")
        assert set(told["window"]) == set(bounds)
        assert told.get("previous_run") == (f"part-{number - 1}" if number else None)
    assert "warning" not in capsys.readouterr().out
    assert windows.manifest("part-0")["watermark"] == "2024-03-01T00:00:00Z"
    assert windows.manifest("part-2")["watermark"] == manifest["watermark"]  # an older window
    for table in ("ratings", "observations"):
        assert windows.rows(table, "part-2") == shop.rows(table, "whole"), table
    # Committed after the read that covers their dates: within the lookback, and before it.
    shop.sql(
        "INSERT INTO ratings VALUES (103, 'S10_3', 4, '2024-03-25'), (112, 'S10_3', 1, '2024-01-01'),"
        " (103, 'S10_2', 2, '2024-03-24 02:29:59')"
    )
    later = shop.run(run_id="later", strategy="latest")
    assert (later.window, later.rows_read["ratings"]) == ({"since": "2024-03-24T02:30:00Z"}, 3)
    found = {row[:2]: row[2] for row in ratings(shop, "later")}
    assert (found[103, "S10_3"], found[103, "S10_2"]) == (4, 1)
    assert (112, "S10_3") not in found
    assert found[103, "S10_1"] == 5


def test_what_each_strategy_makes_of_the_same_change(shop: Shop, tmp_path: Path) -> None:
    shop.run(run_id="first", drift_least="0")
    shop.sql(
        "UPDATE ratings SET productRating = 5, ratedAt = '2024-04-01' WHERE customerNumber = 103"
        " AND productCode = 'S10_1'",
        "DELETE FROM ratings WHERE customerNumber = 103 AND productCode = 'S10_2'",
    )
    shop.run(run_id="newest", strategy="latest")
    kept = (103, "S10_2", 1, datetime(2024, 2, 1, 23, 59, 59), 1)  # the source deleted it
    assert ratings(shop, "newest")[:2] == [(103, "S10_1", 5, datetime(2024, 4, 1), 1), kept]
    shop.sql(
        "UPDATE ratings SET productRating = 4, ratedAt = '2024-04-02' WHERE customerNumber = 103",
        "DELETE FROM ratings WHERE customerNumber = 112 AND productCode = 'S10_1'",
        "DELETE FROM products WHERE productCode = 'S10_2'",
        "DELETE FROM orderdetails WHERE productCode = 'S10_2'",
        "DELETE FROM ratings WHERE productCode = 'S10_2'",
    )
    # 4, 5, 4; and a rating of a product that is gone is an observation only.
    shop.run(run_id="mean", strategy="average")
    assert ratings(shop, "mean") == [
        (103, "S10_1", 13 / 3, datetime(2024, 4, 2), 3),
        (112, "S10_1", 5.0, datetime(2024, 2, 20, 10), 1),
    ]
    assert len(shop.rows("observations", "mean")) == 6
    conforms(shop.manifest("mean"), "manifest")
    assert shop.catalogue("ratings") == []
    assert len(shop.catalogue("ratings", strategy="average")) == 1

    erased = tmp_path / "erased.txt"
    erased.write_text("112\n7\n")
    shop.run(run_id="erased", strategy="latest", erased=str(erased))
    tables = {table: shop.rows(table, "erased") for table in etl.TABLES}
    assert {row[0] for table in ("ratings", "observations", "customers") for row in tables[table]} == {103}
    assert {row[4] for row in tables["sales"]} == {103}
    assert len(shop.catalogue("ratings")) == 1
    assert shop.catalogue("ratings", strategy="average") == []

    # Against the published run, which has half of it; nothing is published, and all is told.
    shop.sql("INSERT INTO ratings VALUES (112, 'S10_3', 1, '2024-05-01'), (103, 'S10_3', 1, '2024-05-01')")
    with pytest.raises(etl.JobError, match=r"drifted too far .*, erased; nothing") as refused:
        shop.run(run_id="drifted", drift_least="0")
    assert "ratings.productRating: drift of mean" in str(refused.value)
    told = shop.outcome("drifted")
    conforms(told, "outcome")
    assert (shop.published(), told["status"], told["stage"]) == ("erased", "failed", "quality")
    assert any(not each["passed"] for each in told["quality"]["drift"])
    shop.run(run_id="accepted", drift_least="0", drift_mean="4", drift_rows="9", drift_nulls="1")
    # Back to the source as it is: what it deleted is gone.
    assert (103, "S10_2") not in {row[:2] for row in ratings(shop, "accepted")}
    trend = [row for row in shop.rows("etl_quality") if row[3:6] == ("ratings", "*", "rows")]
    assert [(row[0], row[2], row[6]) for row in trend] == [
        ("first", "replace", 4.0),
        ("newest", "latest", 4.0),
        ("mean", "average", 2.0),
        ("erased", "latest", 1.0),
        ("accepted", "replace", 3.0),
    ]


def test_a_line_for_metrics_is_written_for_a_published_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = [measure("ratings", "*", "rows", 4), measure("ratings", "city", "nulls", 0.5)]
    etl.tell_measures(now, [{"passed": True}, {"passed": False}])
    assert json.loads(capsys.readouterr().out) == {
        "etlMeasures": {"RatingRows": 4, "GreatestNullShare": 0.5, "BrokenDriftRules": 1}
    }


NOBODY = "1"  # a port where nothing listens: what is refused before the source is read never tries it


def test_bad_input_is_refused_before_the_source_is_asked(shop: Shop, tmp_path: Path) -> None:
    wrong = tmp_path / "erased.txt"
    secret = b"Atelier graphique, 103\n"
    for content in (b"103\n" + secret, b"1.5\n", b"0\n", b"2147483648\n", b"\x1f\x8b\x08", b"\n", b'["103"]'):
        wrong.write_bytes(content)
        with pytest.raises(etl.JobError, match=r"--erased .* lines are no customer number") as refused:
            shop.run(erased=str(wrong), source_port=NOBODY)
        assert "Atelier" not in str(refused.value)
    with pytest.raises(etl.JobError, match=r"list of erased customers .*cannot be read"):
        shop.run(erased=f"s3://{shop.bucket}/none.txt", source_port=NOBODY)

    shop.run(run_id="good")
    manifest, key = shop.manifest("good"), f"{etl.PREFIX}/good/{etl.MANIFEST}"
    pointer = shop.document(etl.PUBLISHED)
    (file,) = manifest["tables"]["observations"]["files"]
    path, content = f"{etl.PREFIX}/good/{file['path']}", shop.object(f"{etl.PREFIX}/good/{file['path']}")

    def put(name: str, value: Any) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        shop.client.put_object(Bucket=shop.bucket, Key=name, Body=body)

    flipped = content[:-1] + bytes([content[-1] ^ 1])
    for damaged in (flipped, content[:-1], b""):
        put(path, damaged)
        with pytest.raises(
            etl.JobError, match=r"run good lists files that have changed: .*observations/part-"
        ):
            shop.run(strategy="latest", source_port=NOBODY)
    put(path, content)
    others = [
        ({**manifest, "schema_version": 2}, "schema_version 2, this job knows 1"),
        ({**manifest, "watermark": "soon"}, "no time in RFC 3339"),
        ({**manifest, "quality": {"measures": [{}]}}, "'table'"),
    ]
    other = json.loads(json.dumps(manifest))
    other["tables"]["observations"]["columns"][3]["type"] = "double"
    others.append((other, "observations has the columns"))
    put(etl.PUBLISHED, {"run_id": "good"})
    for document, message in others:
        put(key, document)
        with pytest.raises(etl.JobError, match="names no run with a readable manifest") as refused:
            shop.run(strategy="average", source_port=NOBODY)
        assert message in str(refused.value)
    put(etl.PUBLISHED, pointer)
    with pytest.raises(etl.JobError, match=r"its sha256 is not .*, which the pointer says"):
        shop.run(source_port=NOBODY)


def test_a_source_without_dates_has_no_windows_and_dates_by_its_runs(shop: Shop) -> None:
    shop.sql("ALTER TABLE ratings DROP COLUMN ratedAt")
    with pytest.raises(etl.JobError, match="its ratings have no ratedAt, so that no window can be read"):
        shop.run(run_id="window", strategy="latest", since="2024-01-01")
    assert shop.outcome("window")["rows"]["read"] == {}
    shop.run(run_id="one", strategy="latest")
    assert "watermark" not in shop.manifest("one")
    assert [row[2] for row in ratings(shop, "one")] == [4, 1, 5, 3]
