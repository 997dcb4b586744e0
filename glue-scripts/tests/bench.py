"""Measures the job at several sizes beside a bare JDBC-to-Parquet copy of the same tables, and the
strategies beside each other, over the last size and a tenth of it that is new.

Run it with `make bench-etl`; SIZES are numbers of ratings, 100000 and 1000000 by default, and with
ONLY=strategies the strategies alone are compared.
"""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pyspark
import trustme
from pyspark.sql import SparkSession

import ratings_etl as etl
from tests.conftest import REGION, SCHEMA, Shop, job_environment, new_shop
from tests.engines import LAPTOP, S3, MariaDB, write_spark_defaults

RATINGS_PER_CUSTOMER = 100
RUNS = 3
# Spark compiles a class for each part of a plan and keeps the last hundred. A run makes more: the
# next one would find none of them, while a copy's stay.
WARM = {"spark.sql.codegen.cache.maxEntries": "1000"}
DAYS = 700  # of ratings, evenly spread: those of the lookback, 7 days, are a hundredth


def fill(shop: Shop, ratings: int) -> None:
    """Customers with a hundred ratings and one order each; the server makes the rows itself."""
    customers = ratings // RATINGS_PER_CUSTOMER
    shop.sql(
        *SCHEMA,
        f"""INSERT INTO products
            SELECT CONCAT('S', seq), CONCAT('Product ', seq), CONCAT('Line ', seq MOD 7), '1:10', 'Vendor',
              'text', seq, seq, 2 * seq
            FROM seq_0_to_{RATINGS_PER_CUSTOMER - 1}""",
        f"""INSERT INTO customers
            SELECT seq, 'Name', CONCAT('City ', seq MOD 50), NULL, '1000', CONCAT('Country ', seq MOD 20),
              1000
            FROM seq_1_to_{customers}""",
        f"""INSERT INTO orders
            SELECT seq, '2024-01-01' + INTERVAL (seq MOD 700) DAY, 'Shipped', seq
            FROM seq_1_to_{customers}""",
        f"""INSERT INTO orderdetails
            SELECT seq, CONCAT('S', seq MOD {RATINGS_PER_CUSTOMER}), 3, 9.99, 1 FROM seq_1_to_{customers}""",
        f"""INSERT INTO ratings
            SELECT 1 + seq DIV {RATINGS_PER_CUSTOMER}, CONCAT('S', seq MOD {RATINGS_PER_CUSTOMER}),
              1 + (seq * 7) MOD 5, '2022-01-01' + INTERVAL (seq * {DAYS} * 86400 DIV {ratings}) SECOND
            FROM seq_0_to_{ratings - 1}""",
        "ANALYZE TABLE ratings",
    )


def bare_copy(shop: Shop) -> float:
    """Seconds in which Spark copies the same tables and columns, with the same driver, to
    Parquet."""
    settings = etl.settings_from(shop.arguments(run_id="copy"), shop.environment())
    lake = etl.Lake(shop.spark, settings, etl.publishing_client(REGION))
    source = etl.Source(shop.spark, settings, etl.certificates(lake))
    start = time.monotonic()
    for name, table in etl.SOURCE.items():
        frame = source.read(f"SELECT {', '.join(table.read)} FROM {name}")
        frame.write.mode("overwrite").parquet(lake.path(f"copy/{name}"))
    return time.monotonic() - start


def peak_megabytes(process: int) -> float:
    """The most memory that a process had since the last call."""
    status = Path(f"/proc/{process}/status").read_text()
    (peak,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    Path(f"/proc/{process}/clear_refs").write_text("5")
    return peak / 1024


def spread(values: list[float]) -> str:
    """Median, least and greatest."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def measure(shop: Shop, ratings: int) -> None:
    """Runs copy and job in turns, and prints what they took."""
    gateway: Any = shop.spark.sparkContext._gateway  # PySpark has no public way to its process
    java = gateway.proc.pid
    peak_megabytes(java)
    copies, runs, peaks = [], [], []
    for _ in range(RUNS):
        copies.append(bare_copy(shop))
        peak_megabytes(java)
        with contextlib.redirect_stdout(None):
            seconds = shop.run().seconds
        runs.append({stage: took for stage, took in seconds.items() if stage != "session"})
        peaks.append(peak_megabytes(java))
    whole = [sum(stages.values()) for stages in runs]
    stages = {stage: statistics.median(run[stage] for run in runs) for stage in runs[0]}
    python = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{ratings} ratings, {RUNS} runs, load {os.getloadavg()[0]:.1f}: median (least to greatest)")
    print(f"  bare copy, s                  {spread(copies)}")
    print(f"  whole job, s                  {spread(whole)}, by stage {stages}")
    # The read stage is a copy of its own, to the lake; the tables are joined, sorted and written
    # from there.
    both = [run["read"] + run["write"] for run in runs]
    print(f"  read and write, s             {spread(both)}")
    print(f"  read stage / bare copy        {ratio([run['read'] for run in runs], copies)}")
    print(f"  read and write / bare copy    {ratio(both, copies)}")
    print(f"  whole job / bare copy         {ratio(whole, copies)}")
    print(f"  ratings / s of the whole job  {spread([ratings / each for each in whole])}")
    print(
        f"  peak of the driver, MB        Python {python:.0f}, Java {spread(peaks)}; its heap's limit is 1024"
    )


def add(shop: Shop, ratings: int, new: int) -> None:
    """New customers with a hundred ratings each, all newer than those that are there."""
    shop.sql(
        f"""INSERT INTO customers
            SELECT seq, 'Name', CONCAT('City ', seq MOD 50), NULL, '1000', CONCAT('Country ', seq MOD 20),
              1000
            FROM seq_{ratings // RATINGS_PER_CUSTOMER + 1}_to_{(ratings + new) // RATINGS_PER_CUSTOMER}""",
        f"""INSERT INTO ratings
            SELECT 1 + seq DIV {RATINGS_PER_CUSTOMER}, CONCAT('S', seq MOD {RATINGS_PER_CUSTOMER}),
              1 + (seq * 7) MOD 5, '2022-01-01' + INTERVAL {DAYS} DAY + INTERVAL (seq - {ratings}) SECOND
            FROM seq_{ratings}_to_{ratings + new - 1}""",
        "ANALYZE TABLE ratings",
    )


def compare(shop: Shop, ratings: int, new: int) -> None:
    """Runs replace, latest and average in turns over the same published run and the same source,
    and prints what they took.
    """
    with contextlib.redirect_stdout(None):
        shop.run(run_id="before", keep_runs="1000")
    add(shop, ratings, new)
    pointer = shop.object(etl.PUBLISHED)
    took: dict[str, list[float]] = {strategy: [] for strategy in etl.STRATEGIES}
    for _ in range(RUNS):
        for strategy, seconds in took.items():
            shop.client.put_object(Bucket=shop.bucket, Key=etl.PUBLISHED, Body=pointer)
            with contextlib.redirect_stdout(None):
                outcome = shop.run(strategy=strategy, keep_runs="1000")
            assert outcome.rows_published["ratings"] == ratings + new
            read = outcome.rows_read["ratings"]
            assert read == ratings + new if strategy == etl.REPLACE else new <= read <= new + ratings // 50, (
                read
            )
            seconds.append(sum(each for stage, each in outcome.seconds.items() if stage != "session"))
    print(f"{ratings} observations and {new} new ratings, {RUNS} runs, load {os.getloadavg()[0]:.1f}")
    for strategy, seconds in took.items():
        print(f"  {strategy:8}, s                   {spread(seconds)}")
        if strategy != etl.REPLACE:
            print(f"  {strategy:8} / replace            {ratio(seconds, took[etl.REPLACE])}")


def ratio(parts: list[float], wholes: list[float]) -> str:
    """Run by run, as each pair ran side by side."""
    return spread([part / whole for part, whole in zip(parts, wholes, strict=True)])


def main(sizes: list[int], copies: bool) -> None:
    load = os.getloadavg()[0]
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, load {load:.1f} at the start,"
        f" PySpark {pyspark.__version__}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as name:
        folder, s3 = Path(name), S3(watched=False)
        mariadb = MariaDB(folder, trustme.CA())
        try:
            mariadb.start()
            s3.start(folder)
            write_spark_defaults(folder, s3, "local[2]", more=LAPTOP | WARM)
            os.environ.update(job_environment(folder, s3))
            start = time.monotonic()
            spark = SparkSession.builder.appName("bench").getOrCreate()
            print(f"start of a session: {time.monotonic() - start:.1f} s", flush=True)
            warm = new_shop(spark, mariadb, s3)
            fill(warm, 10_000)
            with contextlib.redirect_stdout(None):
                warm.run()
            for size in sizes if copies else ():
                shop = new_shop(spark, mariadb, s3)
                fill(shop, size)
                measure(shop, size)
            shop = new_shop(spark, mariadb, s3)
            fill(shop, sizes[-1])
            compare(shop, sizes[-1], sizes[-1] // 10)
            spark.stop()
        finally:
            s3.stop()
            mariadb.stop()


if __name__ == "__main__":
    main(
        [int(size) for size in (os.environ.get("SIZES") or "100000 1000000").split()],
        copies=os.environ.get("ONLY") != "strategies",
    )
