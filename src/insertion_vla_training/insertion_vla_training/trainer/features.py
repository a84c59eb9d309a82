"""Which cached features a run takes, and what its policy says of their backbone."""

from __future__ import annotations

from pathlib import Path

from insertion_vla_policy.backbones.folder import SETTINGS_FILE
from insertion_vla_policy.checkpoint_config import BackboneRef
from safetensors import safe_open

from insertion_vla_training.caching.features import FeatureCache
from insertion_vla_training.caching.index import FEATURES, cache_root
from insertion_vla_training.caching.key import CacheKey, find_keys
from insertion_vla_training.datasets.episodes import DataSource
from insertion_vla_training.stores.store import Store

WEIGHTLESS = ("color_keypoints",)  # backbones without a folder


def chosen_features(sources: list[DataSource], wanted: str) -> FeatureCache | None:
    """The cache of the first store that goes by that name or model; None for "none".

    Raises:
        ValueError: there is none, or more than one.
    """
    if wanted == "none":
        return None
    root = cache_root(Store.open(sources[0].store).path, sources[0].cache) / FEATURES
    caches = [FeatureCache(folder) for folder in find_keys(root)]
    found = [cache for cache in caches if cache.folder.name == wanted] or [
        cache for cache in caches if cache.key.model_id == wanted
    ]
    if len(found) == 1:
        return found[0]
    names = ", ".join(cache.folder.name for cache in (found or caches)) or "none"
    remedy = "name one of them" if found or caches else f"compute them: cache build {sources[0].store} --backbone ..."
    raise ValueError(f"expected one set of cached features '{wanted}' in {root}, there are {names}: {remedy}")


def token_shape(cache: FeatureCache) -> tuple[int, int]:
    """(n, d) of a cache, from its files' heads: the most tokens and their size."""
    shapes = []
    for path in sorted(cache.folder.glob("*.safetensors")):
        with safe_open(path, "np") as file:
            shapes.append(file.get_slice("tokens").get_shape())
    if not shapes:
        raise ValueError(f"expected features in {cache.folder}, there are none: compute them with: cache build")
    return max(shape[1] for shape in shapes), shapes[0][2]


def backbone_reference(key: CacheKey, source: str | None) -> BackboneRef:
    if key.model_id not in WEIGHTLESS and source is None:
        raise ValueError(
            f"expected the folder of the backbone '{key.model_id}', of which the policy keeps a copy: --data.backbone "
            "FOLDER, as for cache build"
        )
    if source is not None and not (Path(source) / SETTINGS_FILE).is_file():
        raise ValueError(f"expected the folder of a backbone in --data.backbone {source}, it has no {SETTINGS_FILE}")
    return BackboneRef(
        name=key.model_id, source=source or "", model_id=key.model_id, model_hash=key.model_hash, views=key.views
    )
