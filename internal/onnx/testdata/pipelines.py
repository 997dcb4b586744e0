"""scikit-learn pipelines of the supported kinds, fitted on random tables and converted by
skl2onnx."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline as Steps
from sklearn.preprocessing import Normalizer, OneHotEncoder, StandardScaler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.random import Generator
    from tensors import Array

TEXTS = ("city", "country")
NUMBERS = ("credit", "price")
COUNTS = ("shelf",)
CITIES = ("nantes", "oslo", "reims", "são paulo", "tokyo", "york")
COUNTRIES = ("france", "japan", "norway")
TENSOR_TYPES = {
    "text": StringTensorType,
    "float": FloatTensorType,
    "double": DoubleTensorType,
    "int": Int64TensorType,
}


@dataclass(frozen=True)
class Pipeline:
    """A fitted pipeline, its input columns with their kinds, and the converter's options."""

    name: str
    fitted: Any
    columns: dict[str, str]
    options: dict[Any, Any]

    def convert(self, opset: int) -> bytes:
        types = [(name, TENSOR_TYPES[kind]([None, 1])) for name, kind in self.columns.items()]
        model = to_onnx(
            self.fitted, initial_types=types, target_opset={"": opset, "ai.onnx.ml": 3}, options=self.options
        )
        return bytes(model.SerializeToString())


def draw_column(kind: str, name: str, rows: int, rng: Generator) -> Array:
    """A column of one kind; texts may be ones that no pipeline has seen."""
    match kind:
        case "text":
            known = CITIES if name == "city" else COUNTRIES
            return rng.choice([*known, "nowhere"], size=(rows, 1)).astype(object)
        case "int":
            return rng.integers(0, 6, size=(rows, 1))
        case "double":
            return rng.normal(50, 20, size=(rows, 1))
        case _:
            return rng.normal(50, 20, size=(rows, 1)).astype(np.float32)


def draw_inputs(columns: dict[str, str], rows: int, rng: Generator) -> dict[str, Array]:
    return {name: draw_column(kind, name, rows, rng) for name, kind in columns.items()}


def training_table(columns: dict[str, str], rng: Generator) -> Array:
    """80 rows of known texts and numbers, a column each."""
    table = draw_inputs(columns, 80, rng)
    for name, known in (("city", CITIES), ("country", COUNTRIES)):
        if name in table:
            table[name] = rng.choice(known, size=(80, 1)).astype(object)
    if "text" in columns.values():
        return np.hstack([values.astype(object) for values in table.values()])
    return np.hstack(list(table.values()))


def encoder(columns: dict[str, str]) -> ColumnTransformer:
    """One-hot columns for texts and counts, standardised numbers."""
    kinds = list(columns.values())
    texts = [i for i, kind in enumerate(kinds) if kind == "text"]
    counts = [i for i, kind in enumerate(kinds) if kind == "int"]
    numbers = [i for i, kind in enumerate(kinds) if kind in ("float", "double")]
    parts: list[tuple[str, Any, list[int]]] = []
    if texts:
        parts.append(("texts", OneHotEncoder(handle_unknown="ignore"), texts))
    if counts:
        parts.append(("counts", OneHotEncoder(handle_unknown="ignore"), counts))
    if numbers:
        parts.append(("numbers", StandardScaler(), numbers))
    return ColumnTransformer(parts, sparse_threshold=0)


def make_pipelines(seed: int) -> Iterator[Pipeline]:
    """One pipeline of each kind, with random data, layers and labels from the seed."""
    warnings.filterwarnings("ignore")
    rng = np.random.default_rng(seed)
    all_floats = {"city": "text", "country": "text", "shelf": "int", "credit": "float", "price": "float"}
    few: dict[str, str] = {"city": "text", "credit": "float"}
    doubles: dict[str, str] = {"credit": "double", "price": "double"}

    def layers() -> tuple[int, ...]:
        return tuple(int(n) for n in rng.integers(2, 9, size=rng.integers(1, 3)))

    def regressor(activation: str) -> MLPRegressor:
        return MLPRegressor(hidden_layer_sizes=layers(), activation=activation, max_iter=8, random_state=seed)

    def classifier() -> MLPClassifier:
        return MLPClassifier(hidden_layer_sizes=layers(), max_iter=8, random_state=seed)

    def fit(
        name: str, steps: list[tuple[str, Any]], columns: dict[str, str], target: Callable[[], Array] | None
    ) -> Pipeline:
        table = training_table(columns, rng)
        pipeline = Steps(steps)
        pipeline.fit(table, target() if target else None)
        last = steps[-1][1]
        options = {id(last): {"zipmap": False}} if isinstance(last, MLPClassifier) else {}
        return Pipeline(name, pipeline, columns, options)

    def numbers(width: int) -> Callable[[], Array]:
        return lambda: rng.normal(size=(80, width)) if width > 1 else rng.normal(size=80)

    yield fit("encode", [("encode", encoder(all_floats))], all_floats, None)
    for norm in ("l1", "l2"):
        yield fit(f"encode_{norm}", [("encode", encoder(few)), ("unit", Normalizer(norm))], few, None)
    for activation in ("relu", "tanh", "logistic", "identity"):
        yield fit(
            f"regressor_{activation}",
            [("encode", encoder(all_floats)), ("model", regressor(activation))],
            all_floats,
            numbers(4),
        )
    yield fit(
        "regressor_double", [("encode", encoder(doubles)), ("model", regressor("relu"))], doubles, numbers(1)
    )
    yield fit(
        "classifier_two",
        [("encode", encoder(few)), ("model", classifier())],
        few,
        lambda: rng.integers(0, 2, size=80),
    )
    yield fit(
        "classifier_texts",
        [("encode", encoder(all_floats)), ("model", classifier())],
        all_floats,
        lambda: rng.choice(["cars", "planes", "ships"], size=80),
    )
    yield fit(
        "classifier_many",
        [("encode", encoder(few)), ("model", classifier())],
        few,
        lambda: rng.integers(3, 9, size=80),
    )
