"""What a tower's first layer sees: one-hot texts and standardised numbers.

The same arithmetic, in float32, stands in the exported graph (see graph).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.dataset import Features
from training.run import RefusedError

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation of an input over the training set's snapshot, nulls left out."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Encoder:
    """Categories of each text input and scaling of each number, in the order of the matrix's
    columns.

    A text that is not a category, the empty one among them, becomes zeros; a missing number the
    mean.
    """

    categories: dict[str, tuple[str, ...]]
    scaling: dict[str, Scaling]

    @property
    def width(self) -> int:
        """How many columns the matrix has."""
        return sum(map(len, self.categories.values())) + len(self.scaling)

    @property
    def blocks(self) -> list[int]:
        """How many of the first columns belong to each text input."""
        return [len(names) for names in self.categories.values()]

    def encode(self, features: Features) -> Matrix:
        """The matrix of shape (rows, width)."""
        parts: list[Matrix] = []
        for name, known in self.categories.items():
            parts.append((features.texts[name][:, None] == np.array(known)[None, :]).astype(np.float32))
        for name, scaling in self.scaling.items():
            values = features.numbers[name]
            given = np.where(np.isnan(values), scaling.mean, values).astype(np.float32)
            parts.append(((given - np.float32(scaling.mean)) * np.float32(1 / scaling.deviation))[:, None])
        return np.concatenate(parts, axis=1)


def fit(rated: Features, snapshot: Features) -> Encoder:
    """Categories are those of the rated rows: nothing can be learned of others, which stay unknown.
    Means and deviations are the snapshot's, where each customer or product counts once.
    """
    categories = {}
    for name, values in rated.texts.items():
        known = tuple(str(value) for value in np.unique(values) if value)
        if not known:
            raise RefusedError(f"ratings: {name} is null in every row: there is nothing to learn from it")
        categories[name] = known
    return Encoder(categories, {name: _scaling(values) for name, values in snapshot.numbers.items()})


def _scaling(values: npt.NDArray[np.float64]) -> Scaling:
    present = values[~np.isnan(values)]
    if present.size == 0:
        return Scaling(0.0, 1.0)
    # A constant says nothing: any deviation above zero will do.
    return Scaling(float(present.mean()), float(present.std()) or 1.0)
