"""A policy that is told where the trocar is, is told right: against the simulation's truth, at every recorded tick."""

from pathlib import Path

import numpy as np
import pytest
from insertion_vla_sim.world import World
from insertion_vla_training.caching.index import FEATURES, cache_root
from insertion_vla_training.datasets.dataset import TrainingSet
from insertion_vla_training.datasets.episodes import DataSource
from insertion_vla_training.stores.store import Store
from insertion_vla_training.trainer.data import vla_data
from insertion_vla_training.trainer.settings import TrainSettings

from insertion_vla_training import cache, collect, preprocess

SEED = 3
CALIBRATION = str(Path(__file__).resolve().parents[3] / "config" / "calibration" / "sim.yaml")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("targets")
    bags, store = str(folder / "bags"), str(folder / "store")
    assert collect.main(["--fast", "--episodes", "1", "--seed", str(SEED), "--out", bags, "--jobs", "1"]) == 0
    assert preprocess.main([bags, "--store", store, "--jobs", "1", "--val-share", "0"]) == 0
    assert cache.main(["build", store, "--backbone", "visual_servo"]) == 0
    return store


def training_set(store: str) -> TrainingSet:
    settings = TrainSettings.model_validate(
        {"data": {"stores": [store], "features": "color_keypoints", "calibration": CALIBRATION},
         "validation": {"enabled": False}}
    )  # fmt: skip
    samples = vla_data(settings).train
    assert isinstance(samples, TrainingSet)
    return samples


def test_the_way_leads_from_every_tick_to_the_mouth(store):
    samples = training_set(store)
    batch = samples.batch(range(len(samples)), [0.5] * len(samples))
    known = batch["target_mask"][:, 0]
    assert known.mean() > 0.9
    joints = samples.spec.joints
    mouths = batch["state"][known, joints : joints + 3] + batch["target"][known, :3]
    world = World(SEED)
    aim = world.truth(world.layout.target).aim
    off_mm = 1e3 * np.linalg.norm(mouths - aim.mouth, axis=1)
    assert np.median(off_mm) < 0.5 and off_mm.max() < 2.0, off_mm


def test_without_cameras_it_is_refused(store):
    spec = training_set(store).spec
    source = DataSource(store=store)
    name = next((cache_root(Store.open(store).path) / FEATURES).iterdir()).name
    with pytest.raises(ValueError, match="calibration"):
        TrainingSet([source], "train", name, spec=spec)
