"""How the job logs in, what it trusts, and what it says when the source cannot be read."""

from __future__ import annotations

import json
import re
import socket
import ssl
import struct
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
import trustme
from pyspark.sql import SparkSession

import ratings_etl as etl
from tests.conftest import Shop
from tests.engines import (
    ACCESS_KEY_ID,
    LOOPBACK,
    QUICK_START,
    free_port,
    start_job,
    write_spark_defaults,
)


def refusal(shop: Shop, **changes: str) -> str:
    options = {name: value for name, value in changes.items() if not name.isupper()}
    environment = {**shop.environment(), **{name: value for name, value in changes.items() if name.isupper()}}
    with pytest.raises(etl.JobError) as refused:
        etl.run(shop.arguments(run_id="refused", **options), environment, shop.spark)
    assert shop.published() == ""
    assert shop.outcome("refused")["reason"] == str(refused.value)
    return str(refused.value)


def test_a_source_that_cannot_be_reached_is_named(shop: Shop) -> None:
    port = str(free_port())
    message = refusal(shop, source_port=port)
    assert f"source mysql://127.0.0.1:{port}/{shop.database} as etl_reader: it cannot be reached" in message


def test_a_wrong_login_is_told_from_an_unreachable_source(shop: Shop) -> None:
    boto3.client("secretsmanager", region_name="us-east-1").put_secret_value(
        SecretId=shop.secret, SecretString='{"username": "etl_reader", "password": "wrong-horse"}'
    )
    message = refusal(shop)
    assert "the login was refused" in message
    assert "wrong-horse" not in message


def test_without_tls_the_source_refuses_the_login(shop: Shop) -> None:
    assert "the server wants TLS, and DATABASE_TLS is off" in refusal(shop, DATABASE_TLS="off")


def test_a_certificate_of_an_unknown_authority_is_refused(shop: Shop, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(stranger)
    assert "the server's certificate is not trusted" in refusal(shop, DATABASE_CA_FILE=str(stranger))


def test_a_certificate_of_another_name_is_refused(shop: Shop) -> None:
    # The certificate is for 127.0.0.1.
    assert "the server's certificate is not trusted or bears another name" in refusal(
        shop, source_host="localhost"
    )


def test_the_trust_store_is_opened_without_deriving_keys(spark: SparkSession, authority: trustme.CA) -> None:
    store = etl.trust_store(spark, authority.cert_pem.bytes())
    assert store.startswith(b"\xfe\xed\xfe\xed")  # JKS; Java would open any other kind by this name, too


def test_a_file_without_certificates_and_a_missing_one_are_named(shop: Shop, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    assert "holds no certificate in PEM form" in refusal(shop, DATABASE_CA_FILE=str(empty))
    assert "missing.pem: cannot be read" in refusal(shop, DATABASE_CA_FILE=str(tmp_path / "missing.pem"))


def test_a_statement_that_takes_too_long_is_given_up(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etl, "SILENCE_SECONDS", 1)
    with shop.mariadb.connect(shop.database) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLES ratings WRITE")
        message = refusal(shop, statement_timeout="2")
    assert "took too long: check locks and load, or raise --statement-timeout" in message


def test_reading_takes_no_lock_and_waits_for_none_that_a_writer_holds(shop: Shop) -> None:
    with shop.mariadb.connect(shop.database) as connection, connection.cursor() as cursor:
        connection.autocommit(False)
        cursor.execute("UPDATE ratings SET productRating = 1")
        shop.run(run_id="beside-a-writer", statement_timeout="20")
        connection.rollback()
    assert [row[12] for row in shop.rows("ratings")] == [4, 1, 5, 3]


EVER = etl.SourceWindow()


def reading(shop: Shop) -> etl.Source:
    settings = etl.settings_from(shop.arguments(), shop.environment())
    lake = etl.Lake(shop.spark, settings, etl.publishing_client("us-east-1"))
    return etl.Source(shop.spark, settings, etl.certificates(lake))


def test_rows_beyond_the_keys_of_the_beginning_wait_for_the_next_run(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = etl.Source.read

    def busy(self: etl.Source, query: str, bounds: tuple[str, int, int, int] | None = None) -> Any:
        if "customerNumber <= 112" in query:  # the ends are known, the rows are not read
            shop.sql(
                "INSERT INTO ratings VALUES (200, 'S10_1', 5, '2024-05-01')",
                "INSERT INTO customers VALUES (200, 'Late', 'Oslo', NULL, '1', 'Norway', 1.00)",
            )
        return read(self, query, bounds)

    monkeypatch.setattr(etl.Source, "read", busy)
    outcome = shop.run(run_id="bounded", max_quarantined="0")
    assert outcome.rows_read["ratings"] == 4
    assert {row[0] for row in shop.rows("ratings")} == {103, 112}
    assert {row[0] for row in shop.rows("customers")} == {103, 112, 200}


def test_a_large_table_is_read_over_several_connections_row_for_row(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etl, "ROWS_PER_CONNECTION", 1)
    shop.sql(
        "INSERT INTO ratings VALUES (NULL, 'S10_1', 5, '2024-05-01'), (-5, 'S10_1', 5, '2024-05-01')",
        *(f"INSERT INTO ratings VALUES ({n}, 'S10_3', 1, '2024-05-01')" for n in range(104, 112)),
    )
    columns = {"customerNumber": "int", "productCode": "string", "productRating": "int"}
    frame = reading(shop).table("ratings", columns, 14, EVER)
    assert frame.rdd.getNumPartitions() == 2
    found = [tuple(row) for row in frame.collect()]
    wanted = shop.mariadb.rows(shop.database, f"SELECT {', '.join(columns)} FROM ratings")
    assert sorted(found, key=str) == sorted(wanted, key=str)
    assert len(found) == 14


def test_small_numbers_are_no_bits_and_zero_dates_are_none(shop: Shop) -> None:
    with shop.mariadb.connect(shop.database) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_mode = ''")
        cursor.execute("ALTER TABLE ratings MODIFY productRating tinyint(1)")
        cursor.execute("INSERT INTO ratings VALUES (103, 'S10_3', 5, '0000-00-00 00:00:00')")
    columns = {"productCode": "string", "productRating": "int", "ratedAt": "timestamp"}
    ratings = reading(shop).table("ratings", columns, 5, EVER)
    found = {(row[0], row[1], row[2] is None) for row in ratings.collect()}
    assert ("S10_3", 5, True) in found
    assert ("S10_1", 4, False) in found


def test_more_orphans_than_an_accident_leaves_are_not_asked_for_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    still_there = etl.Source.still_there

    def ask(self: etl.Source, table: str, keys: Any, rows: Any) -> set[tuple[int, str]]:
        asked.append(table)
        return still_there(self, table, keys, rows)

    monkeypatch.setattr(etl.Source, "still_there", ask)
    shop.sql("INSERT INTO ratings VALUES (998, 'S10_1', 2, '2024-05-01'), (999, 'S10_1', 2, '2024-05-01')")
    source, moment = reading(shop), datetime(2026, 1, 1)
    ratings, customers, products = (
        source.table(name, {column: hive for column, (_, hive) in etl.SOURCE[name].read.items()}, 1, EVER)
        for name in (etl.RATINGS, etl.CUSTOMERS, etl.PRODUCTS)
    )
    judged = etl.judged(etl.rated(ratings, customers, products, moment), etl.RATINGS)
    for most, wanted in ((1, []), (2, ["ratings"])):
        monkeypatch.setattr(etl, "MAX_ORPHANS", most)
        assert etl.rejected(source, judged, etl.RATINGS).count() == 2
        assert asked == wanted


def packet(number: int, body: bytes) -> bytes:
    return struct.pack("<I", len(body))[:3] + bytes([number]) + body


class ClearTextServer:
    """As much of a MySQL server as a login sees: it demands TLS, then a token in clear text, as RDS
    does for IAM users.

    It tells what it got, and refuses the login with a code of its own, so that a client that comes
    this far shows it.
    """

    def __init__(self, authority: trustme.CA, tls: bool = True) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(LOOPBACK).configure_cert(self.context)
        self.tls, self.users, self.tokens = tls, list[str](), list[str]()
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                try:
                    self._login(connection)
                except (OSError, struct.error):
                    continue  # the client hung up: it does not trust what it sees

    def _login(self, plain: socket.socket) -> None:
        # CLIENT_PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH, CONNECT_WITH_DB, LONG_PASSWORD,
        # TRANSACTIONS and, maybe, SSL.
        capabilities = 0x00000200 | 0x00008000 | 0x00080000 | 0x00000008 | 0x00000001 | 0x00002000
        capabilities |= 0x00000800 if self.tls else 0
        salt = b"12345678" + b"abcdefghijkl"
        greeting = (
            b"\x0a8.4.0\x00"
            + struct.pack("<I", 7)
            + salt[:8]
            + b"\x00"
            + struct.pack("<H", capabilities & 0xFFFF)
        )
        greeting += (
            b"\xff\x02\x00" + struct.pack("<H", capabilities >> 16) + b"\x15" + bytes(10) + salt[8:] + b"\x00"
        )
        plain.sendall(packet(0, greeting + b"mysql_native_password\x00"))
        self._read(plain)  # the request for TLS
        with self.context.wrap_socket(plain, server_side=True) as secure:
            number, answer = self._read(secure)
            self.users.append(answer[32:].split(b"\x00")[0].decode())
            secure.sendall(packet(number + 1, b"\xfemysql_clear_password\x00"))
            number, token = self._read(secure)
            self.tokens.append(token.rstrip(b"\x00").decode())
            secure.sendall(
                packet(
                    number + 1, b"\xff" + struct.pack("<H", 1045) + b"#28000the stand-in has seen the token"
                )
            )

    def _read(self, connection: socket.socket) -> tuple[int, bytes]:
        head = self._exactly(connection, 4)
        return head[3], self._exactly(connection, int.from_bytes(head[:3], "little"))

    def _exactly(self, connection: socket.socket, length: int) -> bytes:
        data = b""
        while len(data) < length:
            part = connection.recv(length - len(data))
            if not part:
                raise OSError("the client hung up")
            data += part
        return data


@contextmanager
def stand_in(authority: trustme.CA, tls: bool = True) -> Iterator[ClearTextServer]:
    server = ClearTextServer(authority, tls)
    try:
        yield server
    finally:
        server.close()


def test_the_driver_sends_the_signed_token_in_clear_text_over_verified_tls(
    shop: Shop, authority: trustme.CA
) -> None:
    with stand_in(authority) as server:
        message = refusal(shop, source_port=str(server.port), DATABASE_AUTH="iam")
    assert "the stand-in has seen the token" in message
    assert set(server.users) == {"etl_reader"}
    token = urlsplit("https://" + server.tokens[0])
    asked = {name: values[0] for name, values in parse_qs(token.query).items()}
    assert token.netloc == f"{LOOPBACK}:{server.port}"
    assert (asked["Action"], asked["DBUser"], asked["X-Amz-Expires"]) == ("connect", "etl_reader", "900")
    assert re.fullmatch(r"AKIDEXAMPLE/\d{8}/us-east-1/rds-db/aws4_request", asked["X-Amz-Credential"])
    assert re.fullmatch("[0-9a-f]{64}", asked["X-Amz-Signature"])
    assert asked["X-Amz-Signature"] not in message


def test_the_token_is_sent_to_no_server_that_is_not_trusted(shop: Shop) -> None:
    with stand_in(trustme.CA()) as server:
        message = refusal(shop, source_port=str(server.port), DATABASE_AUTH="iam")
    assert "the server's certificate is not trusted" in message
    assert server.tokens == []


def test_the_token_is_sent_to_no_server_without_tls(shop: Shop, authority: trustme.CA) -> None:
    with stand_in(authority, tls=False) as server:
        message = refusal(shop, source_port=str(server.port), DATABASE_AUTH="iam")
    assert "the server does not speak TLS" in message
    assert server.tokens == []


def executors_that_read_the_source(event_log: Path) -> set[str]:
    """From Spark's own log of events: who ran the tasks of the stages that read over JDBC."""
    events = [json.loads(line) for line in event_log.read_text().splitlines()]
    stages = [event["Stage Info"] for event in events if event["Event"] == "SparkListenerStageSubmitted"]
    reading = {
        stage["Stage ID"] for stage in stages if any(rdd["Name"] == "JDBCRDD" for rdd in stage["RDD Info"])
    }
    ended = [event for event in events if event["Event"] == "SparkListenerTaskEnd"]
    return {event["Task Info"]["Executor ID"] for event in ended if event["Stage ID"] in reading}


def test_two_executors_verify_the_server(shop: Shop, environment: dict[str, str], tmp_path: Path) -> None:
    # Two executors are two more processes, so they try one driver, the one that the job ships (the
    # other one reads in test_publication's processes), and Spark's own ways of compiling and
    # planning, which Glue has and the other tests have not.
    java = QUICK_START["spark.driver.extraJavaOptions"]
    write_spark_defaults(
        tmp_path,
        shop.s3,
        "local-cluster[2,1,1024]",
        more={
            "spark.driver.extraJavaOptions": java,
            "spark.executor.extraJavaOptions": java,
            "spark.executor.memory": "700m",
            "spark.sql.shuffle.partitions": "2",
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": str(tmp_path),
        },
    )
    variables = {**environment, **shop.environment(), "SPARK_CONF_DIR": str(tmp_path)}
    process = start_job(shop.arguments(run_id="cluster"), variables, tmp_path / "log")
    assert process.wait() == 0, (tmp_path / "log").read_text()
    assert len(shop.rows("ratings")) == 4
    (event_log,) = [path for path in tmp_path.iterdir() if path.name.startswith("app-")]
    assert executors_that_read_the_source(event_log) == {"0", "1"}


SIGNATURE = (
    f"X-Amz-Credential={ACCESS_KEY_ID}/20260101/us-east-1/s3/aws4_request"
    "&X-Amz-Security-Token=the-token-of-the-role&X-Amz-Signature=0123456789abcdef"
)


@pytest.mark.parametrize("fault", ["expired", "unreachable", "no store"])
def test_a_trust_store_that_cannot_be_fetched_is_no_fault_of_the_source_and_its_signature_stays_secret(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    shop.client.put_object(Bucket=shop.bucket, Key="no-store.jks", Body=b"nothing")
    url = {
        "expired": f"{shop.s3.endpoint}/{shop.bucket}/gone.jks?{SIGNATURE}",
        "unreachable": f"http://{LOOPBACK}:{free_port()}/{shop.bucket}/gone.jks?{SIGNATURE}",
        "no store": f"{shop.s3.endpoint}/{shop.bucket}/no-store.jks?{SIGNATURE}",
    }[fault]
    monkeypatch.setattr(etl, "certificates", lambda lake: lambda: url)
    with pytest.raises(etl.JobError) as refused:
        etl.run(shop.arguments(run_id="refused"), shop.environment(), shop.spark)
    message = str(refused.value)
    assert "the trust store in the lake s3://" in message
    assert "source mysql" not in message
    told = "".join(traceback.format_exception(refused.value)) + json.dumps(shop.outcome("refused"))
    told += "".join(capsys.readouterr())
    assert ".jks" in told
    for secret in ("the-token-of-the-role", "0123456789abcdef", "X-Amz-"):
        assert secret not in told
