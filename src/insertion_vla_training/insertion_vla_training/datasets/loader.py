"""Batches of torch tensors for training, read ahead by worker processes, that go on where a run was stopped.

loader = TrainingLoader(data, batch_size=64, seed=0, workers=2, rank=rank, world=world)
for epoch in range(epochs):
    for batch in loader:                 # to the end of the present epoch
        ...
        checkpoint = loader.state_dict() # what was handed out counts as consumed, what was read ahead does not
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import DataLoader

from insertion_vla_training.datasets.dataset import Batch, TrainingSet
from insertion_vla_training.datasets.sampler import RankSampler, WeightedOrder


class TrainingLoader:
    """One rank's batches of a training set.

    Attributes:
        data: the set.
        sampler: what comes when.
    """

    def __init__(
        self,
        data: TrainingSet,
        batch_size: int,
        seed: int = 0,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
        epoch_length: int | None = None,
        pin_memory: bool = False,
    ) -> None:
        """Prepares the order.

        Args:
            data: the set.
            batch_size: samples per batch and rank.
            seed: of the order and of the ages of features.
            workers: processes that read ahead; 0 reads in this one.
            rank, world: of this process, and how many there are.
            epoch_length: samples of an epoch, all ranks together; by default those of the set.
            pin_memory: for a faster way to a GPU.
        """
        self.data = data
        weights = [source.weight for source in data.sources]
        order = WeightedOrder(data.source_of, data.weights, weights, seed, epoch_length)
        self.sampler = RankSampler(order, batch_size, rank, world)
        self._loader: DataLoader[Any] = DataLoader(
            data,
            batch_sampler=self.sampler,
            num_workers=workers,
            collate_fn=cast(Any, to_tensors),  # the set gives whole batches
            pin_memory=pin_memory,
            worker_init_fn=_one_thread if workers else None,
        )

    def __len__(self) -> int:
        """Batches that are left of the present epoch."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        # The sampler runs ahead in the loader; it is told what really was handed out.
        for batch in self._loader:
            self.sampler.advance(1)
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Where the run has got to, plain numbers and texts."""
        return self.sampler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there; raises ValueError for the state of other data."""
        self.sampler.load_state_dict(state)


def validation_batches(data: TrainingSet, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
    """Every sample of a set once and in order, with the features that were live, over all ranks."""
    mine = range(rank, len(data), world)
    for start in range(0, len(mine), batch_size):
        indices = list(mine[start : start + batch_size])
        yield to_tensors(data.batch(indices, [float("nan")] * len(indices)))


def to_tensors(batch: Batch) -> Batch:
    """Arrays as tensors over the same memory; lists (images, instructions) stay."""
    return {
        name: torch.from_numpy(values) if isinstance(values, np.ndarray) else values for name, values in batch.items()
    }


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)
