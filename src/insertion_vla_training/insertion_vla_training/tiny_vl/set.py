"""Frame sets on disk: shards of up to a hundred, drawn once, in processes, and resumed where a run was stopped.

A shard is one safetensors file with the JPEGs as one run of bytes and the truth beside them. A shard appears whole
(written aside, then renamed), so what is there is finished; its header says which seeds it holds, and a shard that says
otherwise is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from insertion_vla_core.workers import start_worker, worker_context
from insertion_vla_sim.randomise import Randomisation
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from insertion_vla_sim import scene
from insertion_vla_training.cli.progress import Progress
from insertion_vla_training.tiny_vl.scene import KeypointScene

FORMAT = "insertion_vla key points 1"
SHARD = 100
VIEWS, COLOURS = len(scene.VIEWS), len(scene.COLOURS)


@dataclass(frozen=True)
class Shard:
    """A shard to draw: `count` seeds from `first` on."""

    folder: Path
    randomisation: Randomisation
    first: int
    count: int

    @property
    def path(self) -> Path:
        return self.folder / f"{self.randomisation}_{self.first:08d}_{self.count:03d}.safetensors"

    def header(self) -> dict[str, str]:
        kind = {"format": FORMAT, "randomisation": self.randomisation}
        return kind | {"first": str(self.first), "count": str(self.count)}


def generate(folder: Path, randomisation: Randomisation, first: int, count: int, processes: int = 1) -> list[Path]:
    """Draws the sets of `count` seeds from `first` on that are not there yet; returns all their shards in order.

    Args:
        folder: made if it does not exist.
        randomisation: "train" or "heldout".
        first, count: of the seeds.
        processes: at a time.

    Raises:
        ValueError: a file that is not the shard its name promises.
    """
    folder.mkdir(parents=True, exist_ok=True)
    end = first + count
    shards = [Shard(folder, randomisation, seed, min(SHARD, end - seed)) for seed in range(first, end, SHARD)]
    for shard in shards:
        if shard.path.exists():
            _check(shard.path, shard.header())
    missing = [shard for shard in shards if not shard.path.exists()]
    if missing:
        with Progress(f"frames ({randomisation})", sum(shard.count for shard in missing), "set") as progress:
            with worker_context().Pool(min(processes, len(missing)), start_worker) as pool:
                for drawn in pool.imap_unordered(draw, missing):
                    progress.advance(drawn)
    return [shard.path for shard in shards]


def draw(shard: Shard) -> int:
    """Draws one shard, puts it in its place and returns how many sets it holds."""
    bench = KeypointScene(shard.randomisation)
    sets = [bench.frame_set(seed) for seed in range(shard.first, shard.first + shard.count)]
    jpegs = [jpeg for one in sets for jpeg in one.jpegs]
    aside = shard.path.with_suffix(".part")
    save_file(
        {
            "jpegs": np.frombuffer(b"".join(jpegs), np.uint8),
            "ends": np.cumsum([len(jpeg) for jpeg in jpegs]).astype(np.int64),
            "pixels": np.stack([one.pixels for one in sets]),
            "seen": np.stack([one.seen for one in sets]),
            "tubes": np.stack([one.tubes for one in sets]),
            "flange": np.stack([one.flange for one in sets]),
        },
        aside,
        shard.header(),
    )
    aside.replace(shard.path)
    return shard.count


def _check(path: Path, header: dict[str, str]) -> None:
    try:
        with safe_open(path, "numpy") as file:
            found = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"expected a shard of key point frames in {path}, got {error}: delete it") from error
    if found != header:
        raise ValueError(f"expected {path} to hold {header}, got {found}: choose another folder for the frames")


class KeypointSet:
    """The sets of some shards in memory, pictures as JPEG.

    Attributes:
        pixels: (n, views, colours, 2, 2) float32.
        seen: (n, views, colours, 2) bool.
        tubes: (n, colours, 6) float32.
        flange: (n, 7) float64.
    """

    def __init__(self, paths: list[Path]) -> None:
        """Raises ValueError for a file that is not a shard."""
        parts: dict[str, list[np.ndarray]] = {"pixels": [], "seen": [], "tubes": [], "flange": []}
        self._jpegs: list[np.ndarray] = []
        for path in paths:
            try:
                with safe_open(path, "numpy") as file:
                    for name, arrays in parts.items():
                        arrays.append(file.get_tensor(name))
                    self._jpegs += np.split(file.get_tensor("jpegs"), file.get_tensor("ends")[:-1])
            except SafetensorError as error:
                raise ValueError(f"expected a shard of key point frames in {path}, got {error}: delete it") from error
        self.pixels, self.seen, self.tubes, self.flange = (np.concatenate(arrays) for arrays in parts.values())

    def __len__(self) -> int:
        return len(self.pixels)

    def picture(self, index: int, view: int) -> np.ndarray:
        """RGB (height, width, 3) uint8 of a view of a set."""
        decoded = cv2.imdecode(self._jpegs[index * VIEWS + view], cv2.IMREAD_COLOR)
        if decoded is None:
            raise ValueError(
                f"expected a JPEG in set {index}, view {scene.VIEWS[view]}: the shard is damaged, delete it"
            )
        return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
