"""The model: two small towers to unit vectors, learned from ratings.

A rating is read as mean + scale * <user, item>, the inner product of the two unit vectors being
what the vector store ranks by. No bias of a customer or product stands beside it: what the inner
product does not say cannot be served. The loss is the mean squared error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from training.dataset import Dataset, Features, Ratings
from training.features import Encoder, Matrix, fit

DIMENSION = 32
HIDDEN = 64

# A fixed number of steps: a large set needs no more for the signal of a few features, and a small
# one would be learned by heart. Chosen on generated sets of seeds 2 to 5 (the shipped model's is
# 1): 1,500 steps lost 0.05 of held-out concordance there, and won 0.005 at twenty times the
# ratings.
STEPS = 300
BATCH = 512
LEARNING_RATE = 0.003
WEIGHT_DECAY = 0.2

# How often training hides a text input, as if it were unknown. Nearly every customer has a city of
# its own: unless it is hidden, the user tower learns customers by heart and the country means
# nothing. What is hidden is also what an unknown city looks like when serving.
HIDE = {"city": 0.9, "country": 0.1, "product_line": 0.1, "product_scale": 0.1}


class Tower(nn.Module):
    """Encoded features (N, width) to unit vectors (N, DIMENSION)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, HIDDEN)
        self.output = nn.Linear(HIDDEN, DIMENSION)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(self.output(torch.relu(self.hidden(rows))), dim=-1)


@dataclass(frozen=True)
class Model:
    """Trained towers with their encoders; mean and scale turn inner products into ratings."""

    user_encoder: Encoder
    item_encoder: Encoder
    user_tower: Tower
    item_tower: Tower
    mean: float
    scale: float

    def embed_users(self, features: Features) -> Matrix:
        """Unit vectors of shape (rows, DIMENSION)."""
        return _embed(self.user_tower, self.user_encoder.encode(features))

    def embed_items(self, features: Features) -> Matrix:
        """Unit vectors of shape (rows, DIMENSION)."""
        return _embed(self.item_tower, self.item_encoder.encode(features))

    def score(self, ratings: Ratings) -> npt.NDArray[np.float64]:
        """The inner product for each rated pair, from -1 to 1."""
        user_rows, users = distinct(ratings.user)
        item_rows, items = distinct(ratings.item)
        left = self.embed_users(ratings.user.take(user_rows)).astype(np.float64)
        right = self.embed_items(ratings.item.take(item_rows)).astype(np.float64)
        scores: npt.NDArray[np.float64] = np.einsum("nd,nd->n", left[users], right[items])
        return scores


def train(
    dataset: Dataset,
    ratings: Ratings,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Model:
    """Learns from these ratings, the dataset's or some of them; progress is told the step of how
    many.

    Runs on one thread of the processor, so that sums have one order whatever the machine's number
    of cores.
    """
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    generator = torch.Generator().manual_seed(seed)
    user_encoder = fit(ratings.user, dataset.users)
    item_encoder = fit(ratings.item, dataset.items)
    user_rows, user_index = distinct(ratings.user)
    item_rows, item_index = distinct(ratings.item)
    users = torch.from_numpy(user_encoder.encode(ratings.user.take(user_rows)))
    items = torch.from_numpy(item_encoder.encode(ratings.item.take(item_rows)))
    user_of, item_of = torch.from_numpy(user_index), torch.from_numpy(item_index)
    mean = float(ratings.values.mean())
    targets = torch.from_numpy((ratings.values - mean).astype(np.float32))

    user_tower, item_tower = _tower(user_encoder.width, generator), _tower(item_encoder.width, generator)
    log_scale = nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.AdamW(
        [
            {"params": [*user_tower.parameters(), *item_tower.parameters()], "weight_decay": WEIGHT_DECAY},
            {"params": [log_scale], "weight_decay": 0.0},
        ],
        lr=LEARNING_RATE,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for step in range(STEPS):
        batch = torch.randint(len(targets), (min(BATCH, len(targets)),), generator=generator)
        left = user_tower(_hide(users[user_of[batch]], user_encoder, generator))
        right = item_tower(_hide(items[item_of[batch]], item_encoder, generator))
        predicted = log_scale.exp() * (left * right).sum(dim=1)
        loss = nn.functional.mse_loss(predicted, targets[batch])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch leaves it untyped
        optimizer.step()
        schedule.step()
        progress(step + 1, STEPS)
    scale = float(log_scale.detach().exp())
    return Model(user_encoder, item_encoder, user_tower.eval(), item_tower.eval(), mean, scale)


def distinct(features: Features) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The first row of each distinct combination of features, and for each row which combination it
    has."""
    columns = [*features.texts.values(), *features.numbers.values()]
    codes = np.stack([np.unique(column, return_inverse=True)[1] for column in columns], axis=1)
    _, rows, inverse = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    return rows.astype(np.int64), inverse.reshape(-1).astype(np.int64)


def _tower(width: int, generator: torch.Generator) -> Tower:
    tower = Tower(width)
    for layer in (tower.hidden, tower.output):
        nn.init.xavier_uniform_(layer.weight, generator=generator)
        nn.init.zeros_(layer.bias)
    return tower


def _hide(rows: torch.Tensor, encoder: Encoder, generator: torch.Generator) -> torch.Tensor:
    start = 0
    rows = rows.clone()
    for name, size in zip(encoder.categories, encoder.blocks, strict=True):
        kept = torch.rand((len(rows), 1), generator=generator) >= HIDE[name]
        rows[:, start : start + size] *= kept
        start += size
    return rows


def _embed(tower: Tower, rows: Matrix) -> Matrix:
    torch.set_num_threads(1)
    with torch.no_grad():
        embedded: Matrix = tower(torch.from_numpy(rows)).numpy()
    return embedded
