"""That the trainer learns what was planted, and claims nothing where nothing was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training import dataset, evaluation
from training.pipeline import Artifacts
from training.tests.shop import plant


def test_a_planted_signal_is_learned_beyond_popularity_and_chance(artifacts: Artifacts) -> None:
    metrics = artifacts.manifest["metrics"]
    assert metrics["holdout_gain_over_popularity_low"] > 0.1
    assert metrics["holdout_gain_over_random_low"] > 0.1
    assert metrics["holdout_concordance_towers"] > 0.75
    assert metrics["holdout_rmse_towers"] < metrics["holdout_rmse_mean"]
    assert abs(metrics["holdout_concordance_random"] - 0.5) < 0.1


def test_no_quality_is_claimed_of_noise(tmp_path: Path) -> None:
    data = dataset.load(plant(strength=0).write(tmp_path))
    metrics = evaluation.evaluate(data, 3, lambda done, total: None)
    assert metrics["holdout_gain_over_popularity_low"] <= 0 <= metrics["holdout_gain_over_popularity_high"]
    assert metrics["holdout_gain_over_random_low"] <= 0 <= metrics["holdout_gain_over_random_high"]


def test_too_few_ratings_give_no_metrics(data: dataset.Dataset) -> None:
    few = data.ratings.take(np.arange(19))
    kept, held = evaluation.split(few, 1)
    assert (len(kept.values), len(held.values)) == (19, 0)


def test_a_pair_is_held_out_with_all_its_ratings(data: dataset.Dataset) -> None:
    rows = len(data.ratings.values)
    twice = data.ratings.take(np.repeat(np.arange(rows), 2))
    kept, held = evaluation.split(twice, 1)
    assert len(held.values) == 2 * int(rows * evaluation.HELD_OUT)
    pairs = [set(zip(each.customers.tolist(), each.products.tolist(), strict=True)) for each in (kept, held)]
    assert not pairs[0] & pairs[1]


def test_concordance_counts_ordered_pairs_within_each_customer(data: dataset.Dataset) -> None:
    ratings = dataset.Ratings(
        np.array([1, 2, 1, 1, 2]),
        np.array(["a", "a", "b", "c", "b"]),
        np.array([5.0, 1.0, 3.0, 3.0, 2.0]),
        data.ratings.user,
        data.ratings.item,
    )
    # Customer 1: a above b rightly, a and c tie, b and c are equal; customer 2: b above a, wrongly
    # ordered.
    result = evaluation.concordance(ratings, np.array([0.9, 0.8, 0.1, 0.9, 0.2]))
    np.testing.assert_array_equal(result.right, [1.5, 0])
    np.testing.assert_array_equal(result.pairs, [2, 1])
    assert result.share == 0.5


def test_popularity_is_a_mean_that_few_ratings_hardly_move(data: dataset.Dataset) -> None:
    ratings = dataset.Ratings(
        np.arange(4),
        np.array(["a", "b", "b", "b"]),
        np.array([5.0, 1, 1, 1]),
        data.ratings.user,
        data.ratings.item,
    )
    scores = evaluation.popularity(np.array(["a", "b", "never", "0"]), ratings)
    assert scores == pytest.approx([(5 + 20) / 11, (3 + 20) / 13, 2, 2])
