"""What the first layer sees."""

from __future__ import annotations

import numpy as np
import pytest

from training.dataset import Features
from training.features import fit
from training.run import RefusedError


def features(cities: list[str], limits: list[float]) -> Features:
    return Features({"city": np.array(cities)}, {"credit_limit": np.array(limits)})


def test_texts_are_one_hot_and_numbers_standardised() -> None:
    rated = features(["lyon", "oslo", "lyon"], [1, 1, 1])
    encoder = fit(rated, features(["lyon", "oslo", "nantes"], [10, 30, np.nan]))
    assert encoder.categories == {"city": ("lyon", "oslo")}
    assert encoder.width == 3
    given = features(["oslo", "nantes", "", "lyon"], [10, 30, np.nan, 40])
    np.testing.assert_array_equal(
        encoder.encode(given), np.array([[0, 1, -1], [0, 0, 1], [0, 0, 0], [1, 0, 2]], dtype=np.float32)
    )


def test_a_constant_or_absent_number_is_zero() -> None:
    rated = features(["oslo"], [1])
    assert fit(rated, features(["oslo"], [5])).encode(features(["oslo"], [5]))[0, 1] == 0
    assert fit(rated, features(["oslo"], [np.nan])).encode(features(["oslo"], [np.nan]))[0, 1] == 0


def test_a_text_that_is_always_null_is_refused() -> None:
    with pytest.raises(RefusedError, match="city is null in every row"):
        fit(features(["", ""], [1, 2]), features(["oslo"], [1]))
