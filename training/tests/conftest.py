"""What several tests share: one set with a strong planted signal, and what is trained on it, made
once."""

from __future__ import annotations

from pathlib import Path

import pytest

from training import dataset, pipeline
from training.tests.shop import Shop, plant


@pytest.fixture(scope="session")
def shop() -> Shop:
    return plant(strength=1)


@pytest.fixture(scope="session")
def run(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop.write(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def data(run: Path) -> dataset.Dataset:
    return dataset.load(run)


@pytest.fixture(scope="session")
def artifacts(data: dataset.Dataset) -> pipeline.Artifacts:
    return pipeline.build(data, seed=3, origin="trained")
