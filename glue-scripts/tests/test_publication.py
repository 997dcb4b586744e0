"""What is published survives whatever happens to a run."""

from __future__ import annotations

import json
import os
import re
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import ratings_etl as etl
from tests.conftest import Shop
from tests.engines import start_job, write_spark_defaults


def test_the_header_of_a_condition_is_signed_and_sent_by_the_botocore_of_glue(shop: Shop) -> None:
    import botocore

    assert botocore.__version__ == "1.34.131"
    client = etl.publishing_client("us-east-1")
    sent: list[Any] = []
    client.meta.events.register("before-send.s3.PutObject", lambda request, **_: sent.append(request))
    lake = etl.Lake(shop.spark, etl.settings_from(shop.arguments(), shop.environment()), client)
    lake.put("x", b"1", etl.ABSENT)
    assert sent[0].headers["If-None-Match"] == b"*"
    assert b"if-none-match" in sent[0].headers["Authorization"]
    assert not any("condition" in name.lower() for name in sent[0].headers)
    with pytest.raises(client.exceptions.ClientError, match="PreconditionFailed"):
        lake.put("x", b"2", etl.ABSENT)
    found = lake.get("x")
    assert found is not None
    lake.put("x", b"3", found[1])
    assert sent[2].headers["If-Match"] == found[1].encode()
    with pytest.raises(client.exceptions.ClientError, match="PreconditionFailed"):
        lake.put("x", b"4", found[1])
    assert shop.object("x") == b"3"


def publish(shop: Shop, run_id: str, before: etl.Publication) -> etl.Publication:
    """Publishes an empty run over what was published before."""
    settings = etl.settings_from(shop.arguments(run_id=run_id), shop.environment())
    lake = etl.Lake(shop.spark, settings, etl.publishing_client("us-east-1"))
    manifest = {"run_id": run_id, "created_at": "2020-01-01T00:00:00Z", "tables": {}}
    content = lake.put_json(f"{lake.run}/{etl.MANIFEST}", manifest)
    return etl.publish(lake, before, manifest, content, datetime.now(UTC))


def test_of_two_runs_at_a_time_the_second_to_publish_is_refused(shop: Shop) -> None:
    nothing = etl.Publication(etl.ABSENT, "", {})
    publish(shop, "quick", nothing)
    with pytest.raises(etl.JobError, match=r"run quick was published while this one ran \(before: none\)"):
        publish(shop, "slow", nothing)
    assert shop.published() == "quick"


def test_a_run_whose_answer_was_lost_finds_itself_published(shop: Shop) -> None:
    nothing = etl.Publication(etl.ABSENT, "", {})
    publish(shop, "same", nothing)
    assert publish(shop, "same", nothing).run_id == "same"


def test_a_run_that_was_overtaken_leaves_only_its_outcome(shop: Shop) -> None:
    def overtake(method: str, path: str) -> None:
        if method == "PUT" and path.endswith("/slow/manifest.json"):
            assert shop.s3.door is not None
            shop.s3.door.watcher = lambda method, path: None
            publish(shop, "quick", etl.Publication(etl.ABSENT, "", {}))

    assert shop.s3.door is not None
    shop.s3.door.watcher = overtake
    with pytest.raises(etl.JobError, match="run quick was published while this one ran"):
        shop.run(run_id="slow")
    assert shop.listed(f"{etl.PREFIX}/slow/") == [f"{etl.PREFIX}/slow/_outcome.json"]
    assert shop.outcome("slow")["status"] == "failed"


def test_a_pointer_to_nothing_is_named_with_the_way_out(shop: Shop) -> None:
    shop.client.put_object(Bucket=shop.bucket, Key=etl.PUBLISHED, Body=b'{"run_id": "lost"}')
    with pytest.raises(etl.JobError, match=r"published\.json names no run with a readable manifest"):
        shop.run()


def test_observations_that_are_gone_are_named_with_the_way_out(shop: Shop) -> None:
    shop.run(run_id="first")
    (file,) = shop.manifest("first")["tables"]["observations"]["files"]
    shop.client.delete_object(Bucket=shop.bucket, Key=f"{etl.PREFIX}/first/{file['path']}")
    with pytest.raises(
        etl.JobError, match=r"run first lists files that are gone: s3://.*/observations/part-.*restore"
    ):
        shop.run(run_id="second")
    assert shop.published() == "first"


def test_a_clock_that_goes_back_is_refused(shop: Shop) -> None:
    manifest = {"created_at": "2999-01-01T00:00:00Z", "tables": {}}
    for key, value in ((f"{etl.PREFIX}/later/manifest.json", manifest), (etl.PUBLISHED, {"run_id": "later"})):
        shop.client.put_object(Bucket=shop.bucket, Key=key, Body=json.dumps(value).encode())
    with pytest.raises(
        etl.JobError, match=r"run later was made at 2999-01-01T00:00:00Z, .* the clock is wrong"
    ):
        shop.run(run_id="now")
    assert shop.published() == "later"


def test_what_cannot_be_pruned_is_told_and_fails_no_published_run(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(lake: etl.Lake, keys: Any) -> None:
        raise etl.JobError(f"{lake.path(keys[0])} cannot be deleted: AccessDenied: no")

    for mark in (f"full{etl.FOLDER_MARK}", f"full/ratings{etl.FOLDER_MARK}"):  # as Glue's writer makes them
        shop.client.put_object(Bucket=shop.bucket, Key=f"{etl.PREFIX}/{mark}", Body=b"")
    with monkeypatch.context() as patched:
        patched.setattr(etl.Lake, "remove", refuse)
        assert shop.run(run_id="full").status == "published"
    assert "warning: the run is published, but" in capsys.readouterr().out
    assert shop.outcome("full")["status"] == "published"
    shop.run(run_id="next", keep_runs="1")
    assert shop.listed(f"{etl.PREFIX}/full") == []


# The steps of a run, each by the last object that it writes, and the strategy of the run that ends
# there.
STEPS = [
    (r"PUT .*/{run}/_outcome\.json", etl.REPLACE),
    (r"PUT .*/{run}/_certificates\.jks", etl.AVERAGE),
    (r"PUT .*/{run}/_staging/ratings/part-.*", etl.REPLACE),
    (r"PUT .*/{run}/_staging/observations/part-.*", etl.LATEST),
    (r"PUT .*/{run}/ratings/part-.*", etl.AVERAGE),
    (r"PUT .*/{run}/etl_quality/part-.*", etl.LATEST),
    (r"PUT .*/{run}/manifest\.json", etl.LATEST),
    (r"PUT .*/ratings_ml_training/published\.json", etl.LATEST),
    (r"PUT .*/catalogue/products/symlink\.txt", etl.REPLACE),
    (r"POST .*\?delete.*", etl.LATEST),
]
PUBLISHING = 7
# Those after which a process of its own is killed, on either side of the publication: each costs a
# start of Spark. In one process, the test that cuts a run off tries all of them.
KILLED = (PUBLISHING - 1, PUBLISHING)


def state(shop: Shop) -> dict[str, bytes]:
    """The published run and the catalogue, object by object."""
    run = shop.published()
    return {
        key: shop.object(key)
        for key in shop.listed()
        if key.startswith((f"{etl.PREFIX}/{run}/", etl.CATALOGUE + "/")) or key == etl.PUBLISHED
    }


def test_a_run_that_is_cut_off_after_any_step_leaves_what_is_published(shop: Shop) -> None:
    shop.run(run_id="good")
    shop.sql("UPDATE ratings SET productRating = 2, ratedAt = '2025-01-01' WHERE customerNumber = 103")
    good, door = state(shop), shop.s3.door
    assert door is not None
    cuts = STEPS[:-1]  # what is lost while old objects are removed fails no run
    for number, (step, strategy) in enumerate(cuts):
        run = f"cut-{number}"
        pattern = re.compile(step.replace("{run}", run))

        seen: list[str] = []

        def cut(
            method: str, path: str, pattern: re.Pattern[str] = pattern, run: str = run, seen: list[str] = seen
        ) -> None:
            seen.append(path)
            # The catalogue is also written when a run begins.
            begun = "/catalogue/" not in path or any(f"/{run}/{etl.MANIFEST}" in each for each in seen)
            if begun and pattern.fullmatch(f"{method} {path}"):
                door.shut = True

        door.watcher = cut
        with pytest.raises(etl.JobError):
            shop.run(run_id=run, strategy=strategy)
        assert door.shut, f"the run never came to {step}"
        door.shut, door.watcher = False, lambda method, path: None
        if number < PUBLISHING:
            assert state(shop) == good, step
            continue
        # Published: the catalogue lags or follows, table by table, and lists files that are there.
        assert shop.published() == run
        for table in etl.TABLES:
            listed = shop.catalogue(table)
            assert len({path.split("/")[4] for path in listed}) == 1
            assert {path.removeprefix(f"s3://{shop.bucket}/") for path in listed} <= set(shop.listed())
    # The next run's start brings the catalogue up to what is published, whatever becomes of that
    # run.
    shop.sql("DROP TABLE orders")
    with pytest.raises(etl.JobError, match=r"orders\.\*: contract"):
        shop.run(run_id="late")
    assert all(
        path.split("/")[4] == f"cut-{len(cuts) - 1}" for table in etl.TABLES for path in shop.catalogue(table)
    )


def test_a_run_that_is_killed_leaves_what_is_published_and_the_next_one_goes_on(
    shop: Shop, environment: dict[str, str], tmp_path: Path
) -> None:
    door = shop.s3.door
    assert door is not None
    before, running = "", list[Any]()
    # The driver that Glue brings, and a time zone in which one of the ratings has an hour that is
    # not.
    write_spark_defaults(tmp_path, shop.s3, "local[2]", "jdbc-glue")
    surroundings = {"SPARK_CONF_DIR": str(tmp_path), "TZ": "Europe/Berlin"}
    for number in KILLED:
        step, strategy = STEPS[number]
        run = f"killed-{number}"
        pattern = re.compile(step.replace("{run}", run))

        def kill(method: str, path: str, pattern: re.Pattern[str] = pattern) -> None:
            if pattern.fullmatch(f"{method} {path}"):
                os.killpg(running[-1].pid, signal.SIGKILL)
                door.watcher = lambda method, path: None

        door.watcher = kill
        variables = {**environment, **shop.environment(), **surroundings}
        arguments = shop.arguments(run_id=run, strategy=strategy)
        running.append(start_job(arguments, variables, tmp_path / "log"))
        assert running[-1].wait() == -signal.SIGKILL, (step, (tmp_path / "log").read_text())
        before = run if number >= PUBLISHING else before
        assert shop.published() == before, step
        assert shop.outcome(run)["status"] == "running"
    shop.run(run_id="next")
    assert shop.published() == "next"
    assert len(shop.rows("ratings")) == len(shop.rows("observations")) == 4
    for table in set(etl.TABLES) - {etl.ETL_QUALITY}:
        assert shop.rows(table, before) == shop.rows(table, "next")
