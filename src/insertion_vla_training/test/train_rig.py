"""Small stores to train on, and runs of the verb."""

import json
from pathlib import Path

import numpy as np
from bag_rig import START_NS
from episode_rig import NS, chunk, messages, write_episode
from image_rig import cached, with_pictures
from insertion_vla_training.preprocess import preprocess
from insertion_vla_training.stores.episode_index import Split
from insertion_vla_training.stores.store import Store
from safetensors.numpy import load_file

from insertion_vla_training import train

SMALL = ("--model.size", "nano", "--model.no-surface", "--optim.batch-size", "8", "--validation.samples", "16")
QUIET = ("--log.trackers",)


def labelled(found, seconds, seed):
    """The messages with other chunks: in the second half the expert is near contact."""
    rng = np.random.default_rng([seed, 1])
    kept = [entry for entry in found if entry[0] != "/action_expert/chunk"]
    for number in range(round(seconds * 10)):
        data = np.cumsum(rng.normal(0.0, 0.001, (8, 7)), axis=0)
        data[:, 6] = number >= seconds * 5
        stamp = START_NS + number * NS // 10
        kept.append(("/action_expert/chunk", stamp + NS // 100, chunk(stamp, number, data)))
    return sorted(kept, key=lambda entry: entry[1])


def make_store(folder: Path, names: dict[str, int], pictures: bool = True, val_share: float = 0.4) -> Path:
    """A store of short episodes (name: seed), with cached features if they have pictures."""
    bags = []
    for name, seed in names.items():
        found = with_pictures(1.6, seed, aline_bins=0) if pictures else messages(1.6, seed, aline_bins=0)
        bags.append(write_episode(folder / "bags" / name, labelled(found, 1.6, seed)))
    tally = preprocess(bags, folder / "store", 1, split=Split(val_share=val_share))
    assert tally.problems == []
    if pictures:
        cached(Store.open(folder / "store"))
    return folder / "store"


def arguments(run: Path, store: Path, *more: str, features: str = "color_keypoints") -> list[str]:
    """A short run."""
    words = ["--out", str(run), "--data.stores", str(store), "--data.features", features, *SMALL]
    return [*words, *more] + ([] if "--log.trackers" in more else list(QUIET))


def run(*words: str) -> int:
    """Exit code of the verb."""
    return train.main([*words])


def weights(folder: Path) -> dict[str, np.ndarray]:
    """Of a policy's folder."""
    return load_file(folder / "model.safetensors")


def records(folder: Path) -> list[dict]:
    """metrics.jsonl without what depends on the clock."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.startswith(("system/", "train/samples_per_s"))} for row in rows]
