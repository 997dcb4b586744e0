"""A training set as arrays: the whole catalogue, all customers, and the ratings with the features
they had.

Nothing here depends on how the rows were cut into files: they are put into the order of their ids.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training import tables
from training.run import MANIFEST, Problems, Run, decode, verify

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Texts = npt.NDArray[np.str_]

# The tables of a run that are trained on; the sales mart and the observations are for others.
_TRAINED = ("ratings", "products", "customers")
_PRODUCT_CODE = re.compile(r"[!-~]{1,64}")
_MAX_CUSTOMER = 2**31 - 1


@dataclass(frozen=True)
class Side:
    """One side of the model: its tower's inputs, each with the training set's column."""

    name: str
    texts: dict[str, str]
    numbers: dict[str, str]


USER = Side("user", {"city": "city", "country": "country"}, {"credit_limit": "creditLimit"})
ITEM = Side(
    "item",
    {"product_line": "productLine", "product_scale": "productScale"},
    {"quantity_in_stock": "quantityInStock", "buy_price": "buyPrice", "msrp": "MSRP"},
)


@dataclass(frozen=True)
class Features:
    """Inputs of a tower for some rows, by input name: normalised texts, and numbers with NaN for
    null."""

    texts: dict[str, Texts]
    numbers: dict[str, Floats]

    def take(self, rows: Integers) -> Features:
        return Features(
            {name: values[rows] for name, values in self.texts.items()},
            {name: values[rows] for name, values in self.numbers.items()},
        )


@dataclass(frozen=True)
class Ratings:
    """Ratings from 1 to 5 by customer number and product code, and the features of both at that
    time."""

    customers: Integers
    products: Texts
    values: Floats
    user: Features
    item: Features

    def take(self, rows: Integers) -> Ratings:
        return Ratings(
            self.customers[rows],
            self.products[rows],
            self.values[rows],
            self.user.take(rows),
            self.item.take(rows),
        )


@dataclass(frozen=True)
class Dataset:
    """A training set. customers and products are ids in ascending order, users and items their
    features."""

    run: Run
    customers: Integers
    users: Features
    products: Texts
    items: Features
    ratings: Ratings


def normalise(text: str) -> str:
    """Trims white space and folds case; Diecast's activity.Normalise does the same to events."""
    return text.strip().casefold()


def load(folder: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> Dataset:
    """Reads and checks the run in this folder; progress is told how many of how many files are
    done.

    Raises RefusedError with file, place and reason where the run breaks its contract or there is
    nothing to learn from.
    """
    run = decode(folder / MANIFEST)
    total = sum(len(table.files) for table in run.tables.values())
    total += sum(len(run.tables[name].files) for name in _TRAINED)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    verify(folder, run, step)
    cells = {name: tables.read(folder, run, name, step) for name in _TRAINED}
    problems = Problems()
    for name, table in cells.items():
        if table.rows == 0:
            problems.add(str(folder / name), "has no rows: there is nothing to train on")
        _check(table, problems)
    tables.require_unique(cells["customers"], "customerNumber", problems)
    tables.require_unique(cells["products"], "productCode", problems)
    problems.raise_any()

    customers, products, ratings = cells["customers"], cells["products"], cells["ratings"]
    numbers = _numbers(customers, "customerNumber").astype(np.int64)
    codes = _texts(products, "productCode")
    rated = Ratings(
        _numbers(ratings, "customerNumber").astype(np.int64),
        _texts(ratings, "productCode"),
        _numbers(ratings, "productRating"),
        _features(ratings, USER),
        _features(ratings, ITEM),
    )
    by_number, by_code = np.argsort(numbers), np.argsort(codes)
    return Dataset(
        run,
        numbers[by_number],
        _features(customers, USER).take(by_number),
        codes[by_code],
        _features(products, ITEM).take(by_code),
        rated.take(_order(rated)),
    )


def _check(cells: tables.Cells, problems: Problems) -> None:
    for name, column in cells.columns.items():
        valid, wanted = _rule(name, column.type)
        tables.require(cells, name, valid, wanted, problems)


def _rule(column: str, kind: str) -> tuple[Callable[[str], bool], str]:
    """What a cell of this column may be, as a test and in words."""
    if column == "customerNumber":
        return _is_customer, f"a whole number from 0 to {_MAX_CUSTOMER}"
    if column == "productCode":
        return _matches(_PRODUCT_CODE), "1 to 64 visible ASCII characters without spaces"
    if kind not in tables.NUMBERS:
        return lambda text: True, "a text"
    pattern, wanted = tables.NUMBERS[kind]
    number = _matches(pattern)
    if column == "productRating":
        return lambda text: number(text) and 1 <= float(text) <= 5, f"{wanted} from 1 to 5"
    if column == "creditLimit":
        return lambda text: text == "" or number(text), f"{wanted} or null"
    return number, wanted


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


def _is_customer(text: str) -> bool:
    return re.fullmatch(r"0|[1-9]\d{0,9}", text, re.ASCII) is not None and int(text) <= _MAX_CUSTOMER


def _order(ratings: Ratings) -> Integers:
    """The rows by customer and product, then by everything else that training reads."""
    columns = [
        ratings.customers,
        ratings.products,
        ratings.values,
        *ratings.user.texts.values(),
        *ratings.user.numbers.values(),
        *ratings.item.texts.values(),
        *ratings.item.numbers.values(),
    ]
    return np.lexsort(columns[::-1]).astype(np.int64)


def _texts(cells: tables.Cells, name: str, change: Callable[[str], str] = str) -> Texts:
    column = cells.columns[name]
    return np.array([change(text) for text in column.texts], dtype=np.str_)[column.codes]


def _numbers(cells: tables.Cells, name: str) -> Floats:
    column = cells.columns[name]
    values = [float(text) if text else float("nan") for text in column.texts]
    return np.array(values, dtype=np.float64)[column.codes]


def _features(cells: tables.Cells, side: Side) -> Features:
    return Features(
        {name: _texts(cells, column, normalise) for name, column in side.texts.items()},
        {name: _numbers(cells, column) for name, column in side.numbers.items()},
    )
