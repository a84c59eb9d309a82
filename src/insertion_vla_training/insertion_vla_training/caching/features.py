"""Cached features of one key: shards that are named after the content they were computed from.

    <root>/<model>-<key hash>/key.json
    <root>/<model>-<key hash>/<content hash>.<first set>-<last set + 1>.safetensors     tokens (k, n, d), view_stamps

The content hash is over the instruction, the stamps and the bytes of the images (SetImages.content_hash), so features
of other images or of another sentence are never found. There is no index but the names, hence nothing to lock.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insertion_vla_training.caching.key import CacheKey, read_key
from insertion_vla_training.caching.tensors import DamagedFile, TensorFile, write_tensors

SHARD_SETS = 64
HASH_DIGITS = 32
SUFFIX = ".safetensors"
AGAIN = "compute them with: cache build"

Shard = tuple[int, int]  # first set, last set + 1


def shards_of(sets: int) -> list[Shard]:
    """How so many sets are cut into shards."""
    return [(first, min(first + SHARD_SETS, sets)) for first in range(0, sets, SHARD_SETS)]


class FeatureCache:
    """The features of one key.

    Attributes:
        folder: where they are.
        key: what they were computed with.
    """

    def __init__(self, folder: Path) -> None:
        """Raises ValueError if there is no cache in the folder."""
        self.folder = folder
        self.key: CacheKey = read_key(folder)

    def path(self, content: str, shard: Shard) -> Path:
        """File of a shard."""
        return self.folder / f"{content[:HASH_DIGITS]}.{shard[0]:06d}-{shard[1]:06d}{SUFFIX}"

    def missing(self, content: str, sets: int) -> list[Shard]:
        """Shards that are not there."""
        return [shard for shard in shards_of(sets) if not self.path(content, shard).exists()]

    def write(self, content: str, shard: Shard, tokens: NDArray[np.float32], view_stamps: NDArray[np.int64]) -> None:
        """Keep the tokens (k, n, d) of one shard; raises OSError on a full disk."""
        arrays = {"tokens": tokens.astype(_dtype(self.key)), "view_stamps": view_stamps}
        write_tensors(self.path(content, shard), arrays, {"key": self.folder.name, "content": content})

    def episode(self, content: str, sets: int, name: str = "") -> EpisodeFeatures:
        """All features of an episode, mapped.

        Raises:
            ValueError: a shard is missing or damaged; the sentence says what to do.
        """
        missing = self.missing(content, sets)
        if missing:
            count = sum(last - first for first, last in missing)
            raise ValueError(
                f"expected features of {sets} image sets of episode '{name}' in {self.folder}, {count} are missing "
                f"(no episode of this content is cached, or not all of it): {AGAIN}"
            )
        return EpisodeFeatures([self._open(content, shard) for shard in shards_of(sets)])

    def check(self, content: str, shard: Shard, numbers: bool = True) -> None:
        """Raises ValueError unless a shard is there, whole, and of this key and content; `numbers` reads all of it."""
        file = self._open(content, shard)
        if numbers and not np.isfinite(file.arrays["tokens"]).all():
            path = self.path(content, shard)
            raise DamagedFile(f"expected finite features in {path}, got others: remove it and {AGAIN}")

    def _open(self, content: str, shard: Shard) -> TensorFile:
        path = self.path(content, shard)
        try:
            file = TensorFile(path)
        except FileNotFoundError as error:
            raise ValueError(f"expected features in {path}, there are none: {AGAIN}") from error
        except DamagedFile as error:
            raise DamagedFile(f"{error}; {AGAIN} (it replaces damaged files)") from error
        tokens = file.arrays.get("tokens")
        if (file.texts.get("key"), file.texts.get("content")) != (self.folder.name, content):
            raise DamagedFile(
                f"expected features of {self.folder.name} and of their images in {path}, got others: {AGAIN}"
            )
        if tokens is None or tokens.ndim != 3 or len(tokens) != shard[1] - shard[0] or tokens.dtype != _dtype(self.key):
            raise DamagedFile(f"expected the tokens of {shard[1] - shard[0]} sets in {path}, got others: {AGAIN}")
        return file


class EpisodeFeatures:
    """The features of one episode, by image set."""

    def __init__(self, files: list[TensorFile]) -> None:
        self._files = files

    @property
    def _shards(self) -> list[NDArray[Any]]:
        return [file.arrays["tokens"] for file in self._files]

    def __len__(self) -> int:
        return sum(len(shard) for shard in self._shards)

    def tokens(self, index: int) -> NDArray[Any]:
        """Tokens (n, d) of one image set."""
        tokens: NDArray[Any] = self._files[index // SHARD_SETS].arrays["tokens"][index % SHARD_SETS]
        return tokens

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d): the most tokens, and numbers per token; (0, 0) without any set."""
        if not self._shards:
            return 0, 0
        return max(shard.shape[1] for shard in self._shards), self._shards[0].shape[2]


def _dtype(key: CacheKey) -> np.dtype[Any]:
    return np.dtype("<f4" if key.dtype == "f32" else "<f2")


def most_tokens(features: Collection[EpisodeFeatures]) -> tuple[int, int]:
    """(n, d) of all episodes: the most tokens, and numbers per token."""
    shapes = [episode.shape for episode in features if len(episode)]
    return max((n for n, _ in shapes), default=0), max((d for _, d in shapes), default=0)
