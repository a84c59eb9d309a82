"""What a folder of cached features was computed with; anything else is another folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from insertion_vla_core.contract import Contract
from insertion_vla_core.strict_yaml import StrictModel
from insertion_vla_policy.protocol import Backbone
from pydantic import Field, ValidationError

from insertion_vla_training.caching.backbone import details_of
from insertion_vla_training.caching.sets import check_views
from insertion_vla_training.stores.episode_index import read_json, write_json

KEY_FILE = "key.json"


class CacheKey(StrictModel):
    """All that features depend on beside the images and the instruction, which name the files within the folder.

    Attributes:
        model_id, model_hash: of the backbone. The hash is over weights, revision, LoRA, prompt, preprocessing, pooling.
        views: in the order of the tokens.
        sizes: of each view, as "320x180".
        dtype: of the stored tokens.
        details: the backbone's settings, for people; not part of the name.
    """

    model_id: str
    model_hash: str
    views: tuple[str, ...] = Field(strict=False)
    sizes: tuple[str, ...] = Field(strict=False)
    dtype: Literal["f32", "f16"]
    details: dict[str, str] = Field(default_factory=dict)

    @property
    def folder_name(self) -> str:
        """Name of the model, for people, and a hash over everything."""
        text = json.dumps(self.model_dump(mode="json", exclude={"details"}), sort_keys=True)
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in self.model_id.split("/")[-1])
        return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def make_key(backbone: Backbone, contract: Contract, views: tuple[str, ...], dtype: str) -> CacheKey:
    """The key of a backbone's features of these views.

    Raises:
        ValueError: a view is not in the contract, or the backbone does not say which weights it has.
    """
    check_views(contract, views)
    if not backbone.model_id or not backbone.model_hash:
        raise ValueError(
            "expected a backbone with model_id and model_hash, got one without: stale features would go unseen"
        )
    sizes = {image.name: f"{image.width}x{image.height}" for image in contract.images}
    return CacheKey(
        model_id=backbone.model_id,
        model_hash=backbone.model_hash,
        views=views,
        sizes=tuple(sizes[view] for view in views),
        dtype=dtype,
        details=details_of(backbone),
    )


def read_key(folder: Path) -> CacheKey:
    """The key of a folder.

    Raises:
        ValueError: it has none, or was renamed.
    """
    try:
        key = CacheKey.model_validate(read_json(folder / KEY_FILE))
    except (ValueError, ValidationError) as error:
        raise ValueError(
            f"expected cached features in {folder}, got no key ({error}): compute them with: cache build"
        ) from error
    if key.folder_name != folder.name:
        raise ValueError(
            f"expected the folder {folder} to be called {key.folder_name}, as its key says: rename it back"
        )
    return key


def write_key(root: Path, key: CacheKey) -> Path:
    """The folder of a key, made if there is none."""
    folder = root / key.folder_name
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / KEY_FILE).exists():
        write_json(folder / KEY_FILE, key.model_dump(mode="json"))
    return folder


def find_keys(root: Path) -> list[Path]:
    """The folders of cached features under a root, by name."""
    return sorted(path.parent for path in root.glob(f"*/{KEY_FILE}"))
