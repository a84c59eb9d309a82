"""Measure the way from a store to batches: preparing, cached features, batches, images; prints one line per figure.

python tools/bench_loader.py                      # on a few episodes collected for it
python tools/bench_loader.py --store data/store   # on a store of yours, with features that are cached already
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import torch
from insertion_vla_training.caching.features import FeatureCache
from insertion_vla_training.caching.index import FEATURES, SAMPLES, cache_root
from insertion_vla_training.caching.key import find_keys
from insertion_vla_training.datasets.dataset import TrainingSet
from insertion_vla_training.datasets.episodes import DataSource
from insertion_vla_training.datasets.loader import TrainingLoader
from insertion_vla_training.stores.store import Store

from insertion_vla_training import cache, collect, preprocess

LEAST_RATE, MOST_HIT_S = 2000.0, 1e-4
BATCH, SECONDS = 64, 3.0


def cpu_time(work: Callable[[], int]) -> tuple[int, float]:
    """What `work` counts, and the seconds of this process's CPU that it took."""
    started = time.process_time()
    return work(), time.process_time() - started


def say(what: str, value: float, unit: str) -> None:
    print(f"{what:<52} {value:12,.3f} {unit}", flush=True)


def collected(folder: Path, episodes: int) -> Path:
    """A store of demo episodes with the features of `visual_servo`."""
    bags, store = folder / "bags", folder / "store"
    with contextlib.redirect_stdout(sys.stderr):
        code = collect.main(["--fast", "--episodes", str(episodes), "--out", str(bags)])
        code |= preprocess.main([str(bags), "--store", str(store), "--val-share", "0"])
        code |= cache.main(["build", str(store), "--backbone", "visual_servo"])
    if code:
        raise SystemExit(code)
    return store


def rate_of(loader: TrainingLoader, seconds: float = SECONDS) -> float:
    """Samples per second of CPU, over whole epochs."""

    def epochs() -> int:
        count, until = 0, time.process_time() + seconds
        while time.process_time() < until:
            count += sum(len(batch["index"]) for batch in loader)
        return count

    count, spent_s = cpu_time(epochs)
    return count / spent_s


def hit_s(data: TrainingSet) -> float:
    """Seconds to find and copy the features of one random sample."""
    rng, out = np.random.default_rng(0), np.zeros(data.spec.shapes()["features"], np.float32)
    picks = list(zip(rng.integers(0, len(data), 20_000).tolist(), rng.random(20_000).tolist(), strict=True))

    def hits() -> int:
        for index, share in picks:
            each, row = data.place(index)
            tokens = each.features.tokens(each.ages.draw(row, share))
            out[: len(tokens)] = tokens
        return len(picks)

    count, spent_s = cpu_time(hits)
    return spent_s / count


def workers_grow(data: TrainingSet) -> float:
    """MB that two worker processes have of their own after an epoch, more than after their first batch."""
    loader = TrainingLoader(data, BATCH, workers=2)
    batches = iter(loader)
    next(batches)
    workers = psutil.Process().children()
    before = sum(worker.memory_full_info().uss for worker in workers)
    for _ in range(len(loader) - 1):
        next(batches)
    return (sum(worker.memory_full_info().uss for worker in workers) - before) / 1e6


def measure(store: Path, features: str) -> bool:
    """Prints all figures; True if those with a limit keep it."""
    root = cache_root(Store.open(store).path)
    for file in (root / SAMPLES).glob("*.safetensors"):
        file.unlink()
    sources = [DataSource(store=str(store))]
    samples, prepare_s = cpu_time(lambda: len(TrainingSet(sources, "train", features)))
    data = TrainingSet(sources, "train", features)
    _, open_s = cpu_time(lambda: len(TrainingSet(sources, "train", features)))
    loader = TrainingLoader(data, min(BATCH, samples))
    rate_of(loader, 0.5)
    process = psutil.Process()
    before = process.memory_info().rss
    rate, hit = rate_of(loader), hit_s(data)
    grown = process.memory_info().rss - before
    views = FeatureCache(root / FEATURES / features).key.views
    with_images = TrainingLoader(TrainingSet(sources, "train", image_views=views), 8)
    say("samples", samples, "")
    say("preparing, once per store", samples / prepare_s, "samples/s/core")
    say(f"opening a prepared store of {len(data.episodes)} episodes", open_s * 1e3, "ms")
    say(f"batches of {BATCH} with cached features (at least {LEAST_RATE:,.0f})", rate, "samples/s/core")
    say(f"a cached feature found and copied (at most {MOST_HIT_S * 1e3:g})", hit * 1e3, "ms")
    say("memory gained over many epochs", grown / 1e6, "MB")
    say("memory that two workers gain over an epoch", workers_grow(data), "MB")
    say("batches of 8 with images to decode (stage 2)", rate_of(with_images, 2.0), "samples/s/core")
    return rate >= LEAST_RATE and hit <= MOST_HIT_S


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, help="measure this store; by default a few episodes are collected")
    parser.add_argument("--features", help="name as `cache list` says it (the first)")
    parser.add_argument("--episodes", type=int, default=4, help="to collect, without --store (4)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store = given.store or collected(Path(folder), given.episodes)
        found = [path.name for path in find_keys(cache_root(store) / FEATURES)]
        if not found or given.features not in (None, *found):
            parser.error(f"expected features of {store} ({', '.join(found) or 'none'}): run cache build {store}")
        return 0 if measure(store, given.features or found[0]) else 1


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
