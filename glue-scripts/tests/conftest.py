"""One Spark session, one MariaDB and one S3 for the whole suite; a database and a bucket for each
test.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pytest
import trustme
from pyspark.sql import SparkSession

import ratings_etl as etl
from tests.engines import (
    ACCESS_KEY_ID,
    LOOPBACK,
    PASSWORD,
    READER,
    S3,
    MariaDB,
    forget_callers,
    java_home,
    write_spark_defaults,
)

REPOSITORY = Path(__file__).parents[2]
REGION = "us-east-1"
NUMBERS = count(1)


def pytest_configure() -> None:
    """Lets a run that is terminated end as one that is interrupted: its engines are stopped."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def mariadb(folder: Path, authority: trustme.CA) -> Iterator[MariaDB]:
    server = MariaDB(folder, authority)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def s3(folder: Path) -> Iterator[S3]:
    server = S3()
    try:
        server.start(folder)
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def environment(folder: Path, s3: S3) -> dict[str, str]:
    write_spark_defaults(folder, s3, "local[2]")
    return job_environment(folder, s3)


def job_environment(folder: Path, s3: S3) -> dict[str, str]:
    """What the job's process finds in its environment, but for the login."""
    return {
        **java_home(),
        "SPARK_CONF_DIR": str(folder),
        "SPARK_LOCAL_IP": LOOPBACK,
        "AWS_ENDPOINT_URL": s3.endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": "the-signing-key",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }


@pytest.fixture(scope="session")
def spark(environment: dict[str, str]) -> Iterator[SparkSession]:
    forget_callers()
    os.environ.update(environment)
    session = SparkSession.builder.appName("tests").getOrCreate()
    yield session
    session.stop()


@dataclass
class Shop:
    """A source database and a lake, and the job between them."""

    spark: SparkSession
    mariadb: MariaDB
    s3: S3
    database: str
    bucket: str
    secret: str
    options: dict[str, str] = field(default_factory=dict)

    @property
    def client(self) -> Any:
        return boto3.client("s3", region_name=REGION)

    def sql(self, *statements: str) -> None:
        self.mariadb.execute(self.database, *statements)

    def arguments(self, **options: str) -> list[str]:
        given = {
            "run-id": f"run-{next(NUMBERS):04d}",
            "region": REGION,
            "lake-bucket": self.bucket,
            "source-host": LOOPBACK,
            "source-port": str(self.mariadb.port),
            "source-database": self.database,
            "source-owner": "orders@example.com",
            "JOB_NAME": "diecast-Batch-job",  # Glue's own
            **{name.replace("_", "-"): value for name, value in {**self.options, **options}.items()},
        }
        return [part for name, value in given.items() for part in (f"--{name}", value)]

    def environment(self, **changes: str) -> dict[str, str]:
        return {
            "DATABASE_AUTH": "secret",
            "DATABASE_SECRET_ARN": self.secret,
            "DATABASE_CA_FILE": str(self.mariadb.ca_file),
            **changes,
        }

    def run(self, **options: str) -> etl.Outcome:
        return etl.run(self.arguments(**options), self.environment(), self.spark)

    def listed(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [
            entry["Key"]
            for page in pages
            for entry in page.get("Contents", [])
            if entry["Size"] or not entry["Key"].endswith("/")
        ]

    def object(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def document(self, key: str) -> Any:
        return json.loads(self.object(key))

    def published(self) -> str:
        """The published run, empty where there is none."""
        return str(self.document(etl.PUBLISHED)["run_id"]) if etl.PUBLISHED in self.listed() else ""

    def outcome(self, run: str) -> Any:
        return self.document(f"{etl.PREFIX}/{run}/{etl.OUTCOME}")

    def manifest(self, run: str) -> Any:
        return self.document(f"{etl.PREFIX}/{run}/{etl.MANIFEST}")

    def catalogue(self, table: str, file_format: str = "parquet", strategy: str = etl.REPLACE) -> list[str]:
        """The files that the catalogue's table lists."""
        key = f"{etl.CATALOGUE}/{etl.catalogue_name(table, file_format, strategy)}/symlink.txt"
        return self.object(key).decode().splitlines() if key in self.listed() else []

    def rows(self, table: str, run: str = "") -> list[tuple[Any, ...]]:
        """The rows of a table, in their order: of a run, or by the files that the catalogue
        lists."""
        manifest = self.manifest(run or self.published())
        listed = [file["path"] for file in manifest["tables"][table]["files"]]
        files = [f"s3://{self.bucket}/{etl.PREFIX}/{run}/{path}" for path in listed]
        columns = {column["name"]: column["type"] for column in manifest["tables"][table]["columns"]}
        reader = self.spark.read.schema(etl.schema_of(columns)).format(manifest["format"])
        frame = reader.options(**etl.FORMAT_OPTIONS[manifest["format"]]).load(
            files if run else self.catalogue(table, manifest["format"], manifest["strategy"])
        )
        return [tuple(row) for row in frame.collect()]


@pytest.fixture
def shop(spark: SparkSession, mariadb: MariaDB, s3: S3) -> Iterator[Shop]:
    """A small shop: two customers, three products, four ratings, three orders."""
    made = new_shop(spark, mariadb, s3)
    made.sql(*SCHEMA, *ROWS)
    yield made
    assert s3.door is not None
    s3.door.shut, s3.door.watcher = False, lambda method, path: None


def new_shop(spark: SparkSession, mariadb: MariaDB, s3: S3) -> Shop:
    number = next(NUMBERS)
    database, bucket = f"shop_{number}", f"lake-{number}"
    mariadb.create(database)
    boto3.client("s3", region_name=REGION).create_bucket(Bucket=bucket)
    login = json.dumps({"username": READER, "password": PASSWORD})
    secrets = boto3.client("secretsmanager", region_name=REGION)
    secret = secrets.create_secret(Name=f"reader-{number}", SecretString=login)["ARN"]
    return Shop(spark, mariadb, s3, database, bucket, secret)


# The columns that the job reads, and one that it does not, as the generator makes them.
SCHEMA = [
    """CREATE TABLE products (
        productCode varchar(15) PRIMARY KEY, productName varchar(70) NOT NULL, productLine varchar(50),
        productScale varchar(10), productVendor varchar(50) NOT NULL, productDescription text,
        quantityInStock smallint, buyPrice decimal(10,2), MSRP decimal(10,2))""",
    """CREATE TABLE customers (
        customerNumber int PRIMARY KEY, customerName varchar(50), city varchar(50), state varchar(50),
        postalCode varchar(15), country varchar(50), creditLimit decimal(10,2))""",
    """CREATE TABLE orders (
        orderNumber int PRIMARY KEY, orderDate date NOT NULL, status varchar(15) NOT NULL,
        customerNumber int)""",
    """CREATE TABLE orderdetails (
        orderNumber int, productCode varchar(15), quantityOrdered int, priceEach decimal(10,2),
        orderLineNumber smallint)""",
    """CREATE TABLE ratings (
        customerNumber int, productCode varchar(15), productRating int, ratedAt datetime)""",
]
ROWS = [
    "INSERT INTO products VALUES"
    " ('S10_1', 'Anchor', 'Ships', '1:10', 'Min Lin', 'a ship', 7933, 48.81, 95.70),"
    " ('S10_2', 'Bell, \"red\"', 'Trains', '1:18', 'Exoto', 'a train', 0, 10.00, 20.00),"
    " ('S10_3', 'Cart', 'Trains', '1:18', 'Exoto', 'never sold', 5, 1.00, 2.00)",
    "INSERT INTO customers VALUES (103, 'Atelier', 'Nantes', NULL, '44000', 'France', 21000.00),"
    " (112, 'Signal', 'Bergen  ', 'Vestland', NULL, 'Norway  ', NULL)",
    "INSERT INTO orders VALUES (1, '2024-01-30', 'Shipped', 103), (2, '2024-02-02', 'Cancelled', 112),"
    " (3, '2024-02-02', 'Resolved', 112)",
    "INSERT INTO orderdetails VALUES (1, 'S10_1', 3, 90.10, 2), (1, 'S10_2', 10, 19.99, 1),"
    " (2, 'S10_1', 100, 95.70, 1), (3, 'S10_2', 7, 20.00, 1)",
    "INSERT INTO ratings VALUES (112, 'S10_1', 5, '2024-02-20 10:00:00'),"
    " (103, 'S10_2', 1, '2024-02-01 23:59:59'), (103, 'S10_1', 4, '2024-02-11 00:00:00'),"
    " (112, 'S10_2', 3, '2024-03-31 02:30:00')",
]


@pytest.fixture(scope="session")
def generated(folder: Path) -> Path:
    """The generated shop of scale 1: its database as SQL and the training set that the generator
    writes of it.
    """
    out = folder / "generated"
    for kind in ("sql", "training-set"):
        subprocess.run(
            [
                "go",
                "run",
                "./cmd/diecast",
                "generate",
                "--format",
                kind,
                "--seed",
                "1",
                "--scale",
                "1",
                "--out",
                str(out / kind),
            ],
            cwd=REPOSITORY,
            check=True,
            capture_output=True,
            env={**os.environ, "GOFLAGS": "-buildvcs=false"},
        )
    return out
