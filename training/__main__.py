"""The trainer's command line."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from training import dataset, folder, pipeline
from training.run import RefusedError, find_run


def main(arguments: list[str] | None = None) -> int:
    """Runs the trainer; the exit status is 0, 1 (input refused), 2 (wrong arguments) or 130
    (Ctrl-C)."""
    options = _parse(arguments)
    progress = _Progress()
    try:
        data = dataset.load(
            find_run(options.data), lambda done, total: progress.show("reading files", done, total)
        )
        artifacts = pipeline.build(data, options.seed, options.origin, progress.show)
        written = folder.write(options.out, artifacts)
    except (RefusedError, OSError) as error:
        progress.clear()
        for line in str(error).splitlines():
            print(f"training: {line}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        progress.clear()
        print("training: stopped; nothing was written", file=sys.stderr)
        return 130
    progress.clear()
    print(_summary(data, artifacts, written))
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Train user and item towers on a published training set and write the model's artifacts.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="the run's folder, with manifest.json; or one that holds ratings_ml_training/: its newest run",
    )
    parser.add_argument("--out", type=Path, required=True, help="writes OUT/models/<model_version>/")
    parser.add_argument(
        "--seed", type=_seed, default=1, help="of the weights, batches and hold-out (default: 1)"
    )
    parser.add_argument(
        "--origin",
        choices=("trained", "shipped"),
        default="trained",
        help="whose the model is; a shipped model never replaces a trained one (default: trained)",
    )
    return parser.parse_args(arguments)


def _seed(text: str) -> int:
    if re.fullmatch(r"\d{1,16}", text, re.ASCII) is None or int(text) > 2**53:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 2^53")
    return int(text)


def _summary(data: dataset.Dataset, artifacts: pipeline.Artifacts, written: Path) -> str:
    metrics = artifacts.manifest["metrics"]
    lines = [
        f"model {artifacts.version}: {len(data.products):,} products, {len(data.customers):,} customers, "
        f"{len(data.ratings.values):,} ratings of run {data.run.run_id}"
    ]
    if metrics:
        lines.append(f"{metrics['holdout_ratings']:,.0f} held-out ratings   concordance     RMSE")
        for name in ("towers", "popularity", "random", "mean"):
            cells = [metrics.get(f"holdout_{measure}_{name}") for measure in ("concordance", "rmse")]
            shown = ["" if cell is None else f"{cell:.3f}" for cell in cells]
            lines.append(f"  {name:<20}{shown[0]:>14}{shown[1]:>9}".rstrip())
        for name in ("popularity", "random"):
            low, high = (metrics[f"holdout_gain_over_{name}_{end}"] for end in ("low", "high"))
            lines.append(f"  gain over {name:<10} {low:+.3f} to {high:+.3f} (95 %)")
    else:
        lines.append("too few ratings to hold any out: nothing is known of its quality")
    return "\n".join([*lines, f"written to {written}"])


class _Progress:
    """One line on a terminal's stderr, rewritten at each percent; nothing in a pipe."""

    def __init__(self) -> None:
        self._enabled = sys.stderr.isatty()
        self._shown = ""

    def show(self, stage: str, done: int, total: int) -> None:
        line = f"{stage} {100 * done // total:3d} %"
        if self._enabled and line != self._shown:
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
            self._shown = line

    def clear(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = ""


if __name__ == "__main__":
    sys.exit(main())
