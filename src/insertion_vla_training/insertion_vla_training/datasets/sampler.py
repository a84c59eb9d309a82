"""Which samples come when: an endless, repeatable order, the same for every number of ranks and workers.

One epoch is a list of (sample, share) pairs. A source of weight w gets w / sum of weights of its places, and within a
source samples come in proportion to their own weights: as often as their expectation says, rounded down or up by
chance, so with even weights and one source each sample comes once. The list is shuffled; place p of it goes to rank
p % world. `share` decides the age of the sample's features (TrainingSet.batch). All of it follows from the seed, the
number of the epoch and the samples; how far an epoch has got is one number, from which it goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from insertion_vla_core.strict_yaml import StrictModel
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, ValidationError
from torch.utils.data import Sampler

Pair = tuple[int, float]


class SamplerState(StrictModel):
    """Where a run has got to.

    Attributes:
        seed, digest: of the order, and of the samples and weights that it is made of.
        epoch, position: the epoch, and the places of its list that all ranks together have consumed.
    """

    seed: int
    digest: str
    epoch: int = Field(ge=0)
    position: int = Field(ge=0)


class WeightedOrder:
    """The lists of all epochs.

    Attributes:
        length: places of one epoch.
        digest: of what the lists are made of, beside the seed.
    """

    def __init__(
        self, source_of: ArrayLike, weights: ArrayLike, source_weights: ArrayLike, seed: int, length: int | None = None
    ) -> None:
        """Prepares the lists.

        Args:
            source_of: (N,) number of each sample's source.
            weights: (N,) of the samples, relative to others of the source.
            source_weights: of the sources.
            seed: another one gives another order.
            length: places of one epoch; by default N.

        Raises:
            ValueError: no sample has a weight.
        """
        sources, own = np.asarray(source_of, np.int64), np.asarray(weights, np.float64)
        of_source = np.asarray(source_weights, np.float64)
        total = np.bincount(sources, own, minlength=len(of_source))
        # A source without samples gives its part to the others.
        part = np.where(total > 0, of_source, 0.0)
        if len(own) == 0 or not part.sum() > 0 or not np.isfinite(own).all() or own.min() < 0:
            raise ValueError("expected samples with weights of 0 and more, some of them above: got none")
        self.seed, self.length = seed, len(own) if length is None else length
        self._sources = sources
        self._expected = self.length * part[sources] / part.sum() * own / np.where(total > 0, total, 1.0)[sources]
        digest = hashlib.sha256(repr((len(own), self.length, of_source.tolist())).encode())
        digest.update(self._expected.tobytes())
        self.digest = digest.hexdigest()[:16]

    def epoch(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Samples (length,) and shares (length,) of an epoch."""
        rng = np.random.Generator(np.random.Philox(key=np.array([self.seed % 2**64, number], np.uint64)))
        # Systematic sampling: the running sum of expectations passes each number of an even comb with a random start.
        # Each sample is passed floor or ceil of its expectation times; so is each source, whose samples stand together.
        order = rng.permutation(len(self._expected))
        order = order[np.argsort(self._sources[order], kind="stable")]
        edges = np.cumsum(self._expected[order])
        edges *= self.length / edges[-1]
        found = np.searchsorted(edges, np.arange(self.length) + rng.random(), side="right")
        samples = np.sort(order[np.minimum(found, len(order) - 1)])
        shares, places = rng.random(self.length), rng.permutation(self.length)
        return samples[places], shares[places]


class RankSampler(Sampler[list[Pair]]):
    """Batches of one rank's places, from the present position to the end of the present epoch.

    Attributes:
        order: the lists.
        batch_size: pairs per batch.
        epoch: the present epoch.
        position: places of all ranks before the first batch that comes next.
    """

    def __init__(self, order: WeightedOrder, batch_size: int, rank: int = 0, world: int = 1) -> None:
        if not 0 <= rank < world or batch_size < 1:
            raise ValueError(f"expected 0 <= rank < world and batch_size >= 1, got {rank}, {world} and {batch_size}")
        if order.length < batch_size * world:
            raise ValueError(
                f"expected at least one batch per rank and epoch ({batch_size} x {world}), got {order.length} samples: "
                "use smaller batches, fewer ranks or longer epochs"
            )
        self.order, self.batch_size, self.rank, self.world = order, batch_size, rank, world
        self.epoch = self.position = 0

    def __len__(self) -> int:
        """Batches that are left of the epoch; the rest that fills no batch on every rank is left out."""
        return (self.order.length - self.position) // (self.batch_size * self.world)

    def __iter__(self) -> Iterator[list[Pair]]:
        samples, shares = self.order.epoch(self.epoch)
        step, position = self.batch_size * self.world, self.position
        for start in range(position, position + len(self) * step, step):
            mine = slice(start + self.rank, start + step, self.world)
            yield list(zip(samples[mine].tolist(), shares[mine].tolist(), strict=True))

    def advance(self, batches: int) -> None:
        """So many batches were consumed on every rank; after the last one comes the next epoch."""
        self.position += batches * self.batch_size * self.world
        if self.order.length - self.position < self.batch_size * self.world:
            self.epoch, self.position = self.epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers and texts; the same on every rank."""
        order = self.order
        state = SamplerState(seed=order.seed, digest=order.digest, epoch=self.epoch, position=self.position)
        return state.model_dump()

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """Go on from there, also with another number of ranks or another size of batches.

        Raises:
            ValueError: it is the state of other samples or of another seed.
        """
        try:
            state = SamplerState.model_validate(values)
        except ValidationError as error:
            raise ValueError(f"expected the state of a sampler, got {values}: take another checkpoint") from error
        if (state.seed, state.digest) != (self.order.seed, self.order.digest):
            raise ValueError(
                f"expected the state of these samples (seed {self.order.seed}, {self.order.digest}), got seed "
                f"{state.seed}, {state.digest}: the data set or its weights have changed since; start a new run, or "
                "put the stores back"
            )
        self.epoch, self.position = state.epoch, state.position
        self.advance(0)
