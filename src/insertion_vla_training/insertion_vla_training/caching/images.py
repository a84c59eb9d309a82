"""The pictures of an episode's image sets: their hash, and decoded as the vlm node decodes them."""

from __future__ import annotations

import hashlib

import numpy as np
from insertion_vla_policy.images import decode_jpeg
from insertion_vla_policy.protocol import Image
from numpy.typing import NDArray

from insertion_vla_training.caching.sets import ImageSets
from insertion_vla_training.stores.episode_index import Episode
from insertion_vla_training.stores.store import Store


class SetImages:
    """The images of one episode's sets.

    Attributes:
        sets: which they are.
        instruction: of the episode.
    """

    def __init__(self, store: Store, episode: Episode, sets: ImageSets) -> None:
        self.sets = sets
        self.instruction = episode.instruction
        self._place = f"in episode '{episode.name}' of {store.path}"
        self._tables = [store.images(view, episode) for view in sets.views]
        sizes = {image.name: (image.height, image.width) for image in store.contract.images}
        self._sizes = [sizes[view] for view in sets.views]

    def content_hash(self) -> str:
        """SHA-256 (hex) over all of the episode that its features depend on: instruction, stamps, bytes of images."""
        digest = hashlib.sha256(repr((self.instruction, self.sets.views, self.sets.stamps.shape)).encode())
        digest.update(np.ascontiguousarray(self.sets.stamps, "<i8").tobytes())
        for column, table in enumerate(self._tables):
            for frame in self.sets.frames[:, column].tolist():
                digest.update(hashlib.sha256(table.jpeg(frame)).digest())
        return digest.hexdigest()

    def load(self, index: int) -> list[Image]:
        """The images of one set.

        Raises:
            ValueError: one is no image or has another size than the contract says.
        """
        return [
            Image(
                view, int(self.sets.stamps[index, column]), self._decoded(column, int(self.sets.frames[index, column]))
            )
            for column, view in enumerate(self.sets.views)
        ]

    def _decoded(self, column: int, frame: int) -> NDArray[np.uint8]:
        data, (height, width) = self._tables[column].jpeg(frame), self._sizes[column]
        place = f"image {frame} of view '{self.sets.views[column]}' {self._place}"
        try:
            decoded = decode_jpeg(data)
        except ValueError as error:
            raise ValueError(
                f"{place}: {error}: leave the episode out, or make the store again from its bags"
            ) from error
        if decoded.shape[:2] != (height, width):
            raise ValueError(
                f"expected {width} x {height} pixels as the contract says, got {decoded.shape[1]} x {decoded.shape[0]} "
                f"as {place}: record with a contract that says what the camera sends"
            )
        return decoded
