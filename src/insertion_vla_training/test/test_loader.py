"""Batches of tensors: the same with any number of workers, resumable, and without copies of the store."""

import gc
import os

import numpy as np
import psutil
import pytest
import torch
from image_rig import Plain, cached, stored, with_pictures
from insertion_vla_training.datasets.dataset import TrainingSet
from insertion_vla_training.datasets.episodes import DataSource
from insertion_vla_training.datasets.loader import TrainingLoader, validation_batches

TOKENS = (48, 2048)  # 0.4 MB per image set, as a large model's


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loader")
    (folder / "weights").write_bytes(b"3 weights")
    made = stored(folder, {n: with_pictures(3.0, seed=i, aline_bins=0, live=False) for i, n in enumerate("abk")})
    cache = cached(made, lambda: Plain(folder / "weights", TOKENS))
    return [
        TrainingSet([DataSource(store=str(made.path))], split, features=cache.folder.name) for split in ("train", "val")
    ]


def flat(batches):
    return [(name, values.numpy().tobytes()) for batch in batches for name, values in batch.items()]


def test_workers_change_nothing(data):
    expected = flat(TrainingLoader(data[0], 8, seed=1))
    assert expected and flat(TrainingLoader(data[0], 8, seed=1, workers=2)) == expected
    assert flat(TrainingLoader(data[0], 8, seed=2)) != expected


def test_it_goes_on_after_what_was_handed_out_not_after_what_was_read_ahead(data):
    loader = TrainingLoader(data[0], 8, seed=1)
    expected = [flat([batch]) for _ in range(2) for batch in loader]
    stopped = TrainingLoader(data[0], 8, seed=1, workers=2)
    before = []
    for batch in stopped:
        before.append(flat([batch]))
        if len(before) == 3:
            break
    resumed = TrainingLoader(data[0], 8, seed=1, workers=1)
    resumed.load_state_dict(stopped.state_dict())
    assert len(resumed) == len(expected) // 2 - 3
    after = [flat([batch]) for _ in range(2) for batch in resumed]
    assert before + after == expected


def test_features_are_drawn_anew_in_every_epoch(data):
    loader = TrainingLoader(data[0], 8, seed=1)
    ages = []
    for _ in range(2):
        epoch = {}
        for batch in loader:
            epoch.update(zip(batch["index"].tolist(), batch["feature_age"][:, 0].tolist(), strict=True))
        ages.append(epoch)
    both = ages[0].keys() & ages[1].keys()
    assert len(both) > 30 and sum(ages[0][i] != ages[1][i] for i in both) > 10


def test_validation_sees_every_sample_once(data):
    batches = [batch for rank in range(2) for batch in validation_batches(data[1], 4, rank, 2)]
    assert sorted(i for batch in batches for i in batch["index"].tolist()) == list(range(len(data[1])))
    assert all(isinstance(values, torch.Tensor) for batch in batches for values in batch.values())


def memory(process):
    return process.memory_full_info()


def test_memory_stays_flat_and_workers_copy_nothing(data):
    own = psutil.Process(os.getpid())
    loader = TrainingLoader(data[0], 4, seed=0)
    tokens = sum(len(each.sets) for each in data[0].episodes) * int(np.prod(TOKENS)) * 4
    assert tokens > 10_000_000
    for _ in loader:
        pass
    before = memory(own).uss
    for _ in range(4):
        for _ in loader:
            pass
    # Mapped pages are not our own: four epochs of a large model's features leave nothing behind.
    assert memory(own).uss - before < tokens / 4
    others = own.children()  # multiprocessing keeps a process of its own for those before
    reading = TrainingLoader(data[0], 4, seed=0, workers=2)
    batches = iter(reading)
    first = next(batches)
    workers = [child for child in own.children() if child not in others]
    start = sum(memory(worker).uss for worker in workers)
    for _ in range(len(reading) - 1):
        next(batches)
    grown = sum(memory(worker).uss for worker in workers) - start
    assert len(workers) == 2 and first["features"].shape == (4, *TOKENS)
    assert grown < tokens / 2, f"workers took {grown} bytes of their own, the features are {tokens}"
    assert len(list(batches)) == 1


def test_opening_takes_no_file_descriptors(data):
    source = data[0].sources[0]
    name = next(iter(data[0].episodes)).features._files[0].path.parent.name
    gc.collect()  # what the loaders of other tests have open
    before = len(os.listdir("/proc/self/fd"))
    kept = [TrainingSet([source], "train", features=name) for _ in range(5)]
    assert len(os.listdir("/proc/self/fd")) <= before and kept
