"""What a run is told, and the source's contract: no engine."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

import pytest

import ratings_etl as etl
from tests.conftest import REPOSITORY
from tests.engines import LAPTOP

ARGUMENTS = {
    "--region": "eu-central-1",
    "--lake-bucket": "lake",
    "--source-host": "db.example.com",
    "--source-ca": "s3://assets/rds.pem",
}


def settings(
    changes: dict[str, str] | None = None, environment: dict[str, str] | None = None
) -> etl.Settings:
    given = {**ARGUMENTS, **(changes or {})}
    return etl.settings_from([part for item in given.items() if item[1] for part in item], environment or {})


def test_defaults_are_verified_tls_and_an_iam_login() -> None:
    found = settings()
    assert (found.auth, found.tls, found.user, found.port, found.format) == (
        "iam",
        True,
        "etl_reader",
        3306,
        "parquet",
    )
    assert found.source == "mysql://db.example.com:3306/classicmodels"
    assert found.max_quarantined == 0.01
    assert etl._RUN_ID.fullmatch(found.run_id)
    assert settings().run_id != found.run_id


@pytest.mark.parametrize(
    ("environment", "region"),
    [
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-west-2"}, "eu-west-1"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-west-2"}, "us-west-2"),
        ({"AWS_DEFAULT_REGION": "us-west-2"}, "us-west-2"),
    ],
)
def test_the_region_is_the_environments(environment: dict[str, str], region: str) -> None:
    assert settings({"--region": ""}, environment).region == region


def test_glues_own_arguments_are_left_alone_and_names_are_not_shortened() -> None:
    found = settings({"--JOB_NAME": "job", "--TempDir": "s3://t", "--keep": "9", "--run-id": "r1"})
    assert (found.run_id, found.keep_runs) == ("r1", 5)


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ({"--lake-bucket": ""}, {}, "--lake-bucket is not given"),
        ({"--region": ""}, {}, "--region is not given"),
        ({"--source-host": ""}, {}, "--source-host is not given"),
        ({"--source-ca": ""}, {}, "--source-ca (the server's certificate is verified) is not given"),
        ({"--run-id": "../x"}, {}, "--run-id is '../x'"),
        ({"--format": "json"}, {}, "--format is 'json': allowed is parquet or csv"),
        ({"--max-quarantined": "1 %"}, {}, "--max-quarantined is '1 %'"),
        ({"--max-quarantined": "1.5"}, {}, "--max-quarantined is '1.5'"),
        ({"--keep-runs": "0"}, {}, "--keep-runs is '0'"),
        ({"--connections": "65"}, {}, "--connections is '65'"),
        ({"--fetch-size": "-1"}, {}, "--fetch-size is '-1'"),
        ({"--statement-timeout": "soon"}, {}, "--statement-timeout is 'soon'"),
        ({"--source-port": "0"}, {}, "--source-port is '0'"),
        ({"--source-kind": "copied"}, {}, "--source-kind is 'copied'"),
        ({}, {"DATABASE_AUTH": "password"}, "DATABASE_AUTH is 'password'"),
        ({}, {"DATABASE_AUTH": "secret"}, "DATABASE_SECRET_ARN"),
        ({}, {"DATABASE_TLS": "prefer"}, "DATABASE_TLS is 'prefer'"),
        ({}, {"DATABASE_TLS": "off"}, "DATABASE_TLS is off for db.example.com: only a loopback host"),
        ({"--source-host": "10.0.0.1"}, {"DATABASE_TLS": "off"}, "only a loopback host"),
        ({"--source-host": "localhost.example.com"}, {"DATABASE_TLS": "off"}, "only a loopback host"),
    ],
)
def test_wrong_settings_are_refused(
    arguments: dict[str, str], environment: dict[str, str], message: str
) -> None:
    with pytest.raises(etl.JobError) as refused:
        settings(arguments, environment)
    assert message in str(refused.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(etl.JobError) as refused:
        settings({"--format": "json", "--keep-runs": "0", "--lake-bucket": ""}, {"DATABASE_AUTH": "none"})
    assert len(str(refused.value).splitlines()) == 5


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_tls_may_be_off_on_loopback(host: str) -> None:
    found = settings({"--source-host": host, "--source-ca": ""}, {"DATABASE_TLS": "off"})
    assert not found.tls


def test_connections_are_bounded_by_rows_slots_and_the_setting() -> None:
    assert etl.connections_for(rows=999_999, connections=4, slots=8) == 1
    assert etl.connections_for(rows=2_500_000, connections=4, slots=8) == 3
    assert etl.connections_for(rows=9_000_000, connections=4, slots=8) == 4
    assert etl.connections_for(rows=9_000_000, connections=4, slots=2) == 2
    assert etl.connections_for(rows=0, connections=4, slots=0) == 1


def test_files_are_one_or_of_a_useful_size() -> None:
    assert etl.files_for(0) == etl.files_for(255 << 20) == 1
    assert etl.files_for(256 << 20) == 2
    assert all(size // etl.files_for(size) >= 64 << 20 for size in range(1 << 27, 1 << 33, 9_999_991))


def source_schema() -> dict[str, dict[str, str]]:
    return {
        table: {
            **{name: types[0] for name, (types, _) in wanted.read.items()},
            **dict.fromkeys(wanted.ignored, "varchar"),
        }
        for table, wanted in etl.SOURCE.items()
    }


def check(found: dict[str, dict[str, str]]) -> tuple[list[etl.Finding], list[dict[str, str]]]:
    return etl.check_contract(found, settings())


def test_the_contract_is_kept() -> None:
    assert check(source_schema()) == ([], [])


def test_the_courses_ratings_have_no_date() -> None:
    found = source_schema()
    del found["ratings"]["ratedAt"]
    assert check(found) == ([], [])
    assert "ratedAt" not in etl.SOURCE["ratings"].columns(found["ratings"])


@pytest.mark.parametrize(
    ("table", "column", "kind"),
    [
        ("products", "MSRP", "decimal(12,4)"),
        ("products", "quantityInStock", "bigint"),
        ("customers", "customerNumber", "int unsigned"),
        ("ratings", "productRating", "varchar"),
        ("ratings", "ratedAt", "date"),
        ("orders", "orderDate", "datetime"),
        ("orderdetails", "priceEach", "double"),
    ],
)
def test_a_retyped_column_is_named(table: str, column: str, kind: str) -> None:
    found = source_schema()
    expected = found[table][column]
    found[table][column] = kind
    (finding,), _ = check(found)
    assert (finding.table, finding.column, finding.found) == (table, column, kind)
    assert expected in finding.expected


@pytest.mark.parametrize(
    ("table", "column"), [(t, c) for t, w in etl.SOURCE.items() for c in w.read if c not in w.optional]
)
def test_a_missing_column_is_named(table: str, column: str) -> None:
    found = source_schema()
    del found[table][column]
    (finding,), additions = check(found)
    assert (finding.table, finding.column, finding.found) == (table, column, "none")
    assert additions == []


def test_a_renamed_column_is_suspected() -> None:
    found = source_schema()
    found["products"]["retailPrice"] = found["products"].pop("MSRP")
    (finding,), additions = check(found)
    assert finding.found == "none; renamed? new columns are retailPrice decimal(10,2)"
    assert additions == [{"table": "products", "column": "retailPrice", "type": "decimal(10,2)"}]


def test_a_missing_table_and_an_empty_database_say_what_is_there() -> None:
    found = source_schema()
    del found["ratings"]
    (finding,), _ = check(found)
    assert finding.table == "ratings"
    assert "classicmodels has customers, orderdetails" in finding.found
    findings, _ = check({})
    assert [finding.table for finding in findings] == list(etl.SOURCE)
    assert "no table at all" in findings[0].found


def test_a_new_column_is_reported_and_passes() -> None:
    found = source_schema()
    found["customers"]["loyaltyTier"] = "varchar"
    assert check(found) == ([], [{"table": "customers", "column": "loyaltyTier", "type": "varchar"}])


def objects(*runs: tuple[str, int, bool]) -> list[tuple[str, datetime]]:
    """Objects of runs by name, age in days and whether they are complete."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    found: list[tuple[str, datetime]] = [(etl.PUBLISHED, now)]
    for run, age, complete in runs:
        names = ["_outcome.json", *(["manifest.json", "ratings/part-0.parquet"] if complete else [])]
        found += [(f"{etl.PREFIX}/{run}/{name}", now - timedelta(days=age)) for name in names]
    return found


def gone(found: list[tuple[str, datetime]], published: str, keep: int) -> set[str]:
    keys = etl.surplus(found, published, "running", keep)
    return {key.split("/")[1] for key in keys}


def test_the_last_runs_stay_and_the_published_one_always() -> None:
    found = objects(("a", 4, True), ("b", 3, True), ("c", 2, True), ("d", 1, True))
    assert gone(found, "d", 2) == {"a", "b"}
    assert gone(found, "a", 2) == {"b"}
    assert gone(found, "d", 4) == set()


def test_failed_runs_do_not_push_out_complete_ones() -> None:
    failed: list[Any] = [(f"f{i}", i + 1, False) for i in range(5)]
    found = objects(("a", 9, True), ("b", 8, True), *failed, ("running", 0, False))
    assert gone(found, "b", 2) == {"f1", "f2", "f3", "f4"}


def test_a_pruned_runs_manifest_goes_first() -> None:
    keys = etl.surplus(objects(("a", 4, True), ("b", 3, True), ("c", 2, True)), "c", "c", 1)
    assert keys[:2] == [f"{etl.PREFIX}/a/manifest.json", f"{etl.PREFIX}/b/manifest.json"]


@pytest.mark.parametrize("region", ["eu-west-1", "ap-southeast-2"])
def test_signed_urls_name_the_host_that_the_regions_gateway_endpoint_routes(
    region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-signing-key")

    def signed() -> SplitResult:
        client = etl.signing_client(etl.publishing_client(region), region)
        wanted = {"Bucket": "lake", "Key": "run/_certificates.jks"}
        return urlsplit(client.generate_presigned_url("get_object", Params=wanted, ExpiresIn=900))

    url = signed()
    assert url.netloc in (f"s3.{region}.amazonaws.com", f"lake.s3.{region}.amazonaws.com")
    asked = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert (asked["X-Amz-Algorithm"], asked["X-Amz-Expires"]) == ("AWS4-HMAC-SHA256", "900")
    assert f"/{region}/s3/aws4_request" in asked["X-Amz-Credential"]
    # Where S3 is elsewhere, so is what is signed.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    assert signed().netloc == "127.0.0.1:4566"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("403 for URL: https://s3.eu-west-1.amazonaws.com/b/k.jks?X-Amz-Signature=ab%2Fc&x=1 (again)",
         "403 for URL: https://s3.eu-west-1.amazonaws.com/b/k.jks (again)"),
        ("refused 'db.example.com:3306/?Action=connect&X-Amz-Security-Token=t', twice",
         "refused 'db.example.com:3306/', twice"),
        ("renamed? new columns are price; is a = b?", "renamed? new columns are price; is a = b?"),
    ],
)  # fmt: skip
def test_what_is_told_has_no_signature(text: str, told: str) -> None:
    assert etl.unsigned(text) == told == str(etl.JobError(text))


def test_glues_marks_of_folders_go_with_their_runs() -> None:
    found = objects(("a", 4, True), ("b", 3, True), ("c", 2, True))
    old = datetime(2025, 12, 1, tzinfo=UTC)
    marks = [f"{etl.PREFIX}/{run}{etl.FOLDER_MARK}" for run in ("a", "b", "c", "gone", "long-gone")]
    found += [(key, old) for key in [*marks, f"{etl.PREFIX}/a/ratings{etl.FOLDER_MARK}"]]
    keys = etl.surplus(found, "c", "c", 1)
    assert {key for key in keys if key.endswith(etl.FOLDER_MARK)} == {
        *marks[:2],
        marks[3],
        f"{etl.PREFIX}/a/ratings{etl.FOLDER_MARK}",
    }
    assert not any(f"{etl.PREFIX}/c" in key for key in keys)


@pytest.mark.parametrize("table", etl.NOT_EMPTY)
def test_a_table_with_nothing_left_to_publish_has_no_tolerance(table: str) -> None:
    # Rows that are judged and all left out: quarantined, or deleted while the run read.
    for counted, deleted in (
        (etl.Counts(0), 0),
        (etl.Counts(3, 3), 0),
        (etl.Counts(3, 3), 3),
        (etl.Counts(3, 3), 1),
    ):
        quality = etl.verdict(counted, {"deleted": deleted}, table, 1.0)
        assert [(each.rule, each.found) for each in quality.broken] == [("not empty", "0")], (
            counted,
            deleted,
        )
    assert etl.verdict(etl.Counts(3, 2), {}, table, 1.0).broken == ()


@pytest.mark.parametrize(
    ("share", "rows"), [("0.29", 100), ("0.07", 100), ("0.57", 100), ("0.1", 30), ("0.001", 9000)]
)
def test_the_tolerance_is_the_share_as_it_is_written(share: str, rows: int) -> None:
    tolerance = settings({"--max-quarantined": share}).max_quarantined
    allowed = round(float(share) * rows)
    told = {"rows0": 1, "found0": None}
    assert etl.verdict(etl.Counts(rows, allowed), told, etl.RATINGS, tolerance).broken == ()
    assert etl.verdict(etl.Counts(rows, allowed + 1), told, etl.RATINGS, tolerance).broken != ()


class Recorder:
    """Stands for a session and remembers the options of a read."""

    def __init__(self) -> None:
        self.given: dict[str, str] = {}

    read = property(lambda self: self)

    def format(self, name: str) -> Recorder:
        assert name == "jdbc"
        return self

    def options(self, **options: str) -> Recorder:
        self.given = options
        return self

    def load(self) -> Recorder:
        return self


def test_the_driver_is_told_to_stream_to_give_up_and_whom_to_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etl, "login", lambda settings: ("etl_reader", "token"))
    spark: Any = Recorder()
    source = etl.Source(spark, settings(), lambda: "https://s3.eu-west-1.amazonaws.com/lake/store.jks")
    source.read("SELECT 1")
    expected = {
        "useCursorFetch": "true",  # else a whole table comes into memory
        "fetchsize": "10000",
        "connectTimeout": "10000",
        "queryTimeout": "300",
        "socketTimeout": "330000",
        "tinyInt1isBit": "false",
        "zeroDateTimeBehavior": "CONVERT_TO_NULL",
        "sslMode": "VERIFY_IDENTITY",
        "trustCertificateKeyStoreUrl": "https://s3.eu-west-1.amazonaws.com/lake/store.jks",
        "trustCertificateKeyStoreType": "JKS",
        "fallbackToSystemTrustStore": "false",  # else any authority of the machine would do
    }
    assert expected.items() <= spark.given.items()
    assert "numPartitions" not in spark.given
    source.read("SELECT 1", ("customerNumber", 3, 8, 4))
    bounds = {"partitionColumn": "customerNumber", "lowerBound": "3", "upperBound": "8", "numPartitions": "4"}
    assert bounds.items() <= spark.given.items()


MANIFEST: dict[str, Any] = {
    "created_at": "2026-01-01T00:00:00Z",
    "format": "parquet",
    "tables": {"observations": {"files": [{"path": "observations/part-0", "bytes": 1}]}},
}


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        [],
        "text",
        None,
        {**MANIFEST, "created_at": 5},
        {**MANIFEST, "created_at": "yesterday"},
        {**MANIFEST, "format": "orc"},
        {**MANIFEST, "tables": []},
        {**MANIFEST, "tables": {"observations": {}}},
        {**MANIFEST, "tables": {"observations": {"files": [{"path": 1, "bytes": 1}]}}},
        {**MANIFEST, "tables": {"observations": {"files": ["observations/part-0"]}}},
    ],
)
def test_a_manifest_that_cannot_be_worked_with_is_named_with_the_way_out(manifest: Any) -> None:
    class Shelf(etl.Lake):
        def get(self, key: str) -> tuple[bytes, str] | None:
            return json.dumps({"run_id": "r1"} if key == etl.PUBLISHED else manifest).encode(), "etag"

    nothing: Any = None
    with pytest.raises(
        etl.JobError, match=r"published\.json names no run with a readable manifest .*: restore"
    ):
        etl.publication(Shelf(nothing, settings(), nothing))


def test_what_is_measured_has_the_settings_of_the_laptops_runs() -> None:
    host = (REPOSITORY / "internal" / "local" / "gluejobs" / "spark.go").read_text()
    given = dict(re.findall(r'"(spark\.[\w.]+)":\s+"([^"]*)",', host))
    assert {name: given.get(name) for name in LAPTOP} == LAPTOP
