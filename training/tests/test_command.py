"""The command line, from a run's folder to a model's."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from training.__main__ import main
from training.pipeline import Artifacts

ROOT = Path(__file__).parents[2]


def test_a_run_becomes_a_model(artifacts: Artifacts, run: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training", "--data", str(run), "--out", str(tmp_path), "--seed", "3"]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    assert finished.stderr == ""
    assert f"written to {tmp_path / 'models' / artifacts.version}" in finished.stdout
    assert "gain over popularity" in finished.stdout
    folder = tmp_path / "models" / artifacts.version
    assert [path.name for path in (tmp_path / "models").iterdir()] == [artifacts.version]
    written = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    # Another process, the same bytes.
    assert written == {**artifacts.files, "manifest.json": artifacts.manifest_bytes}


def test_a_model_is_never_changed(
    run: Path, artifacts: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.pipeline.build", lambda *arguments: artifacts)
    arguments = ["--data", str(run), "--out", str(tmp_path), "--seed", "3"]
    assert main(arguments) == 0
    folder = tmp_path / "models" / artifacts.version
    before = (folder / "manifest.json").stat().st_mtime_ns
    assert main(arguments) == 0
    assert (folder / "manifest.json").stat().st_mtime_ns == before
    (folder / "scalers/user.json").write_text("{}")
    assert main(arguments) == 1
    assert (folder / "scalers/user.json").read_text() == "{}"


def test_a_refused_run_is_one_line_and_writes_nothing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "ratings/part-00000.csv").unlink()
    assert main(["--data", str(copy), "--out", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    path = copy / "ratings/part-00000.csv"
    said = f"training: {path}: listed in the manifest, not readable: No such file or directory\n"
    assert captured.err == said
    assert not (tmp_path / "out").exists()


def test_the_newest_run_below_a_folder_is_taken(
    run: Path, artifacts: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run, tmp_path / "ratings_ml_training/one")
    monkeypatch.setattr("training.pipeline.build", lambda *arguments: artifacts)
    assert main(["--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    manifest = tmp_path / "out/models" / artifacts.version / "manifest.json"
    assert json.loads(manifest.read_text())["training"]["run_id"] == "test-run"


@pytest.mark.parametrize("seed", ["-1", "x", "", "1.5", str(2**53 + 1)])
def test_a_seed_that_the_manifest_cannot_hold_is_refused(
    seed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--data", str(tmp_path), "--out", str(tmp_path), f"--seed={seed}"])
    assert stopped.value.code == 2
    assert f"--seed: {seed!r} is not a whole number from 0 to 2^53" in capsys.readouterr().err
