"""What lies beside a store, computed from it: image sets with the hash of their content, features, prepared samples.

    <cache>/sets/<episode>-<key>.safetensors      frames, stamps, ready; the content hash
    <cache>/features/<model>-<key>/...            see cache_features
    <cache>/samples/<episode>-<key>.safetensors   see dataset_prepare

<episode> is the hash of the bag that the episode came from, and <key> that of everything else the file depends on, the
code that made it included: a file that is found is right, and all of it can be deleted at any time.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from insertion_vla_training.caching import images as cache_images
from insertion_vla_training.caching import sets as cache_sets
from insertion_vla_training.caching.images import SetImages
from insertion_vla_training.caching.sets import ImageSets, image_sets
from insertion_vla_training.caching.tensors import DamagedFile, TensorFile, write_tensors
from insertion_vla_training.stores.episode_index import Episode
from insertion_vla_training.stores.store import Store

CACHE_FOLDER, SETS, FEATURES, SAMPLES = "cache", "sets", "features", "samples"


def cache_root(store: Path, given: str | Path | None = None) -> Path:
    """The folder for what is computed from a store: the one given, or `cache` within the store."""
    return Path(given) if given else store / CACHE_FOLDER


def file_of(folder: Path, episode: Episode, code: Iterable[ModuleType], *settings: str) -> Path:
    """The file of an episode that depends on its bag, on some modules and on settings."""
    digest = hashlib.sha256(repr(settings).encode())
    for module in code:
        digest.update(_source(str(module.__file__)))
    return folder / f"{episode.bag_sha256[:32]}-{digest.hexdigest()[:16]}.safetensors"


@functools.cache
def _source(file: str) -> bytes:
    """Hash of a source file, as it was when this process first asked: modules do not change under it."""
    return hashlib.sha256(Path(file).read_bytes()).digest()


def indexed_sets(store: Store, episode: Episode, views: tuple[str, ...], root: Path) -> tuple[ImageSets, str]:
    """The image sets of an episode and the hash of their content, computed once.

    Raises:
        OSError: the index cannot be written.
    """
    path = file_of(root / SETS, episode, (cache_sets, cache_images), store.contract_hash, *views)
    try:
        file = TensorFile(path)
        return ImageSets(views, *(file.arrays[name] for name in ("frames", "stamps", "ready"))), file.texts["content"]
    except (FileNotFoundError, DamagedFile):
        sets = image_sets(store, episode, views)
        content = SetImages(store, episode, sets).content_hash()
        arrays = {"frames": sets.frames, "stamps": sets.stamps, "ready": sets.ready}
        write_tensors(path, arrays, {"content": content, "episode": episode.name, "views": ",".join(views)})
        return sets, content
