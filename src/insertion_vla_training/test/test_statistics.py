"""Normalisation statistics: robust, of good training episodes alone, and never stale."""

import json
from dataclasses import replace

import numpy as np
import pytest
from bag_rig import CONTRACT
from episode_rig import messages, write_episode
from insertion_vla_training.bags.episode import bag_hash, read_episode
from insertion_vla_training.stores.episode_index import Split
from insertion_vla_training.stores.layout import Rows
from insertion_vla_training.stores.statistics import STATISTICS_FILE, load_statistics, update_statistics
from insertion_vla_training.stores.store import Store


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    bag = write_episode(tmp_path_factory.mktemp("bags") / "episode", messages(1.0, seed=3))
    return read_episode(bag, bag_hash(bag), "f16")


def episode(data, name, force, bad=False):
    """The episode with other forces and another name."""
    rows = data.tables["streams/force"]
    values = np.resize(np.asarray(force, np.float64), (len(rows), 1))
    tables = {**data.tables, "streams/force": Rows({**rows.columns, "values": values})}
    metadata = data.metadata.model_copy(update={"name": name, "bad": bad})
    return replace(data, metadata=metadata, bag_sha256=name, tables=tables)


def name_of(split, wanted):
    return next(name for i in range(1000) if split.of(name := f"episode_{i}") == wanted)


def test_validation_and_bad_episodes_take_no_part(tmp_path, data):
    split = Split(seed=4, val_share=0.5)
    train, val = name_of(split, "train"), name_of(split, "val")
    bad = next(name for i in range(1000) if split.of(name := f"bad_{i}") == "train")
    with Store.create(tmp_path / "store", CONTRACT, split=split) as store:
        store.append_episode(episode(data, train, [1.0, 2.0, 3.0, 4.0, np.nan]))
        assert update_statistics(store)
        alone = json.loads((store.path / STATISTICS_FILE).read_text())["streams"]
        store.append_episode(episode(data, val, [1000.0]))
        store.append_episode(episode(data, bad, [-1000.0], bad=True))
        assert not update_statistics(store)
        assert load_statistics(store) == alone
        force = alone["force"]
        count = len(data.tables["streams/force"])
        assert force["channels"] == ["axial"] and count * 0.75 < force["count"][0] < count * 0.85
        assert (force["median"][0], force["q25"][0], force["q75"][0]) == pytest.approx((2.5, 1.75, 3.25), abs=0.3)
        assert 1.0 <= force["q01"][0] < 1.1 and 3.9 < force["q99"][0] <= 4.0
        assert force["mean"][0] == pytest.approx(2.5, abs=0.1) and force["std"][0] == pytest.approx(1.118, abs=0.02)


def test_a_new_training_episode_makes_them_stale_until_they_are_updated(tmp_path, data):
    split = Split(seed=4, val_share=0.0)
    with Store.create(tmp_path / "store", CONTRACT, split=split) as store:
        store.append_episode(episode(data, "one", [1.0]))
        update_statistics(store)
        store.append_episode(episode(data, "two", [3.0]))
        with pytest.raises(ValueError, match="expected statistics of the present training split"):
            load_statistics(store)
        assert update_statistics(store)
        assert load_statistics(store)["force"]["mean"] == [2.0]


def test_every_stream_the_actions_and_the_a_lines_have_some(tmp_path, data):
    with Store.create(tmp_path / "store", CONTRACT, split=Split(val_share=0.0)) as store:
        episode_ = store.append_episode(data)
        update_statistics(store)
        found = load_statistics(store)
        assert set(found) == {"joints", "tool_pose", "force", "surface_distance", "action", "alines"}
        chunks = store.chunks(episode_)["data"].reshape(-1, 7)
        assert found["action"]["std"] == pytest.approx(chunks.std(axis=0).tolist(), rel=1e-3)
        assert found["alines"]["median"][0] == pytest.approx(50.0, abs=3.0)


def test_a_stream_without_any_number_has_none_and_not_zero(tmp_path, data):
    with Store.create(tmp_path / "store", CONTRACT, split=Split(val_share=0.0)) as store:
        store.append_episode(episode(data, "one", [np.nan]))
        update_statistics(store)
        assert load_statistics(store)["force"]["count"] == [0] and load_statistics(store)["force"]["std"] == [None]
