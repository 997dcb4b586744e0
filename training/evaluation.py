"""How well a model predicts ratings that it has not seen, beside what random and popularity give.

One fifth of the customer-product pairs is held out, a model is trained on the others, and both
answer for the held-out ratings. The measures:

- concordance: over all pairs of held-out ratings of one customer that differ, the share that the
scores order
  as the customer did, ties counting half; 0.5 is chance. The c-index of Harrell et al., JAMA 1982.
- RMSE: the root of the mean squared error of the predicted rating.

A gain in concordance comes with its 95 % interval by a bootstrap over customers (Efron, 1979):
where it holds zero, the model has shown nothing beyond that baseline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.dataset import Dataset, Ratings
from training.towers import Model, train

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

HELD_OUT = 0.2
RESAMPLES = 1000
# How many ratings at the mean every product starts with, so that one lucky rating makes no
# favourite.
PRIOR = 10


@dataclass(frozen=True)
class Concordance:
    """For each customer: the pairs ordered rightly, and all that can be."""

    right: Floats
    pairs: Floats

    @property
    def share(self) -> float:
        return float(self.right.sum() / self.pairs.sum()) if self.pairs.sum() else 0.5


def evaluate(dataset: Dataset, seed: int, progress: Callable[[int, int], None]) -> dict[str, float]:
    """The metrics by name; empty where there are too few ratings to hold any out (fewer than 20
    pairs)."""
    kept, held = split(dataset.ratings, seed)
    if len(held.values) == 0:
        return {}
    model = train(dataset, kept, seed, progress)
    return compare(model, kept, held, seed)


def compare(model: Model, kept: Ratings, held: Ratings, seed: int) -> dict[str, float]:
    """The metrics of a model trained on kept, for the ratings in held."""
    generator = np.random.default_rng(seed)
    scores = model.score(held)
    mean = float(kept.values.mean())
    popular = popularity(held.products, kept)
    towers = concordance(held, scores)
    baselines = {
        "popularity": concordance(held, popular),
        "random": concordance(held, generator.random(len(scores))),
    }
    metrics = {
        "holdout_ratings": float(len(scores)),
        "holdout_customers": float(len(np.unique(held.customers))),
        "holdout_concordance_towers": towers.share,
        "holdout_concordance_popularity": baselines["popularity"].share,
        "holdout_concordance_random": baselines["random"].share,
        "holdout_rmse_towers": _rmse(model.mean + model.scale * scores, held.values),
        "holdout_rmse_popularity": _rmse(popular, held.values),
        "holdout_rmse_mean": _rmse(np.full(len(scores), mean), held.values),
    }
    for name, baseline in baselines.items():
        low, high = _gain(towers, baseline, generator)
        metrics[f"holdout_gain_over_{name}_low"] = low
        metrics[f"holdout_gain_over_{name}_high"] = high
    return metrics


def split(ratings: Ratings, seed: int) -> tuple[Ratings, Ratings]:
    """Ratings to train on, and those of a fifth of the customer-product pairs, drawn by the
    seed."""
    _, product = np.unique(ratings.products, return_inverse=True)
    keys = np.stack([ratings.customers, product.astype(np.int64)], axis=1)
    pairs, pair = np.unique(keys, axis=0, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(pairs))
    count = int(len(pairs) * HELD_OUT) if len(pairs) >= 20 else 0
    held = np.isin(pair.reshape(-1), order[:count])
    return ratings.take(np.flatnonzero(~held)), ratings.take(np.flatnonzero(held))


def popularity(products: npt.NDArray[np.str_], ratings: Ratings) -> Floats:
    """The mean rating of each product, pulled to the mean of all by PRIOR ratings; that mean if
    unrated."""
    mean = float(ratings.values.mean())
    codes, index = np.unique(ratings.products, return_inverse=True)
    sums = np.bincount(index, weights=ratings.values, minlength=len(codes))
    counts = np.bincount(index, minlength=len(codes))
    means = (sums + PRIOR * mean) / (counts + PRIOR)
    place = np.minimum(np.searchsorted(codes, products), len(codes) - 1)
    found: Floats = np.where(codes[place] == products, means[place], mean)
    return found


def concordance(held: Ratings, scores: Floats) -> Concordance:
    """How each customer's held-out ratings are ordered by these scores."""
    order = np.argsort(held.customers, kind="stable")
    _, starts = np.unique(held.customers[order], return_index=True)
    right, pairs = [], []
    for rows in np.split(order, starts[1:]):
        rating, score = held.values[rows], scores[rows]
        above = rating[:, None] > rating[None, :]
        difference = score[:, None] - score[None, :]
        right.append(float(((difference > 0) + 0.5 * (difference == 0))[above].sum()))
        pairs.append(float(above.sum()))
    return Concordance(np.array(right), np.array(pairs))


def _gain(towers: Concordance, baseline: Concordance, generator: np.random.Generator) -> tuple[float, float]:
    customers = len(towers.pairs)
    gains = np.zeros(RESAMPLES)
    for i in range(RESAMPLES):
        drawn = generator.integers(customers, size=customers)
        total = towers.pairs[drawn].sum()
        gains[i] = (towers.right[drawn] - baseline.right[drawn]).sum() / total if total else 0.0
    low, high = np.quantile(gains, [0.025, 0.975])
    return float(low), float(high)


def _rmse(predicted: Floats, actual: Floats) -> float:
    return float(np.sqrt(np.mean((predicted - actual) ** 2)))
