"""Measures the job at several sizes beside a bare JDBC-to-Parquet copy of the same tables.

Run it with `make bench-etl`; arguments are numbers of ratings, 100000 and 1000000 by default.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import trustme
from pyspark.sql import SparkSession

import ratings_etl as etl
from tests.conftest import REGION, SCHEMA, Shop, job_environment, new_shop
from tests.engines import S3, MariaDB, write_spark_defaults

RATINGS_PER_CUSTOMER = 100


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
              1 + (seq * 7) MOD 5, '2024-01-01' + INTERVAL seq SECOND
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


def main(sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, s3 = Path(name), S3()
        mariadb = MariaDB(folder, trustme.CA())
        try:
            mariadb.start()
            s3.start(folder)
            write_spark_defaults(folder, s3, "local[2]", more={"spark.sql.shuffle.partitions": "2"})
            os.environ.update(job_environment(folder, s3))
            start = time.monotonic()
            spark = SparkSession.builder.appName("bench").getOrCreate()
            session = time.monotonic() - start
            warm = new_shop(spark, mariadb, s3)
            fill(warm, 10_000)
            warm.run()
            for size in sizes:
                shop = new_shop(spark, mariadb, s3)
                fill(shop, size)
                copy = bare_copy(shop)
                outcome = shop.run()
                seconds = {stage: took for stage, took in outcome.seconds.items() if stage != "session"}
                whole = sum(seconds.values())
                print(f"{size} ratings: session {session:.1f} s, then {seconds}")
                memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                print(
                    f"{size} ratings: bare copy {copy:.1f} s, read stage {seconds['read'] / copy:.2f} of it,"
                    f" whole job {whole:.1f} s, {whole / copy:.2f} of it; {size / whole:.0f} ratings/s;"
                    f" the driver's Python {memory:.0f} MB"
                )
            spark.stop()
        finally:
            s3.stop()
            mariadb.stop()


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [100_000, 1_000_000])
