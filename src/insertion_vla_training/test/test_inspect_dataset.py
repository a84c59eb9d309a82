"""The data set as a whole: uneven splits, leaks, copies, statistics that are old, channels that never change."""

import itertools
import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insertion_vla_training.inspection.bounds import around, largest
from insertion_vla_training.inspection.dataset import (
    KEYS,
    as_uneven,
    check_balance,
    check_duplicates,
    check_seeds,
    check_split,
    check_statistics,
    check_unseen,
)
from insertion_vla_training.inspection.episode import measured_of
from insertion_vla_training.inspection.seen import look_at
from insertion_vla_training.stores.episode_index import Episode, Split
from insertion_vla_training.stores.store import Store
from inspect_rig import LIMITS, NS, good, make_store, without


def episodes(*groups, **about):
    """Episodes of groups (count, split, changes)."""
    found = []
    for count, split, changes in groups:
        for _ in range(count):
            number = len(found)
            values = {
                "name": f"e{number}", "index": number, "bag": "", "bag_sha256": str(number), "start_ns": 1,
                "duration_s": 4.0, "instruction": "red", "outcome": "success", "notes": "", "seed": number,
                "source": "test", "split": split, "bad": False, "reasons": (), "counts": {}, **about, **changes,
            }  # fmt: skip
            found.append(Episode(**values))
    return found


def test_a_split_by_lot_is_balanced_and_one_by_colour_is_not():
    even = episodes((40, "train", {}), (4, "val", {}), (38, "train", {"instruction": "blue"}),
                    (6, "val", {"instruction": "blue"}))  # fmt: skip
    assert check_balance("instruction", KEYS["instruction"], even).ok
    uneven = episodes((54, "train", {}), (34, "train", {"instruction": "blue"}), (14, "val", {"instruction": "blue"}))
    found = check_balance("instruction", KEYS["instruction"], uneven)
    assert not found.ok and "'red' with 54 episodes for training and 0 for validation" in found.sentence
    failures = episodes((60, "train", {}), (10, "val", {"outcome": "failure"}))
    assert not check_balance("outcome", KEYS["outcome"], failures).ok
    assert check_balance("outcome", KEYS["outcome"], failures[:60]).ok


@pytest.mark.parametrize("seed", range(20))
def test_the_split_of_a_store_is_never_called_uneven(seed):
    """200 episodes as `Split` splits them, instructions by lot: no false alarm in twenty data sets."""
    split, colours = Split(seed=seed), np.random.default_rng(seed).choice(["red", "green", "blue", "black"], 200)
    made = [
        episodes((1, split.of(f"episode_{i}"), {"instruction": colour, "seed": i}))[0]
        for i, colour in enumerate(colours.tolist())
    ]
    assert all(check_balance(name, key, made).ok for name, key in KEYS.items())
    assert check_split(made).ok and check_unseen(made).ok and check_seeds(made).ok


@given(st.integers(1, 6), st.integers(1, 6), st.data())
@settings(max_examples=40, deadline=None)
def test_the_chance_of_an_uneven_split_is_counted_right(of_value, others, data):
    """Against every way to draw, one by one."""
    total = of_value + others
    drawn = data.draw(st.integers(1, total - 1))
    taken = data.draw(st.integers(max(0, drawn - others), min(of_value, drawn)))
    counts = Counter(sum(i < of_value for i in draw) for draw in itertools.combinations(range(total), drawn))
    as_rare = sum(ways for ways in counts.values() if ways <= counts[taken])
    assert math.isclose(as_uneven(of_value, taken, total, drawn), as_rare / counts.total())


def test_worlds_in_both_splits_are_a_leak():
    leak = episodes((3, "train", {}), (1, "val", {"seed": 2}))
    found = check_seeds(leak)
    assert not found.ok and found.value == 1 and "2 (test)" in found.sentence and "seeds of their own" in found.sentence
    assert check_seeds(episodes((3, "train", {"seed": None}), (1, "val", {"seed": None}))).ok
    assert check_seeds(episodes((3, "train", {}), (1, "val", {"seed": 2, "source": "another world"}))).ok


def test_validation_must_not_ask_for_what_training_never_shows():
    found = check_unseen(episodes((3, "train", {}), (2, "val", {"instruction": "black"})))
    assert not found.ok and "never shows: black" in found.sentence


def test_both_splits_need_episodes_that_can_be_used():
    assert check_split(episodes((3, "train", {}))).ok
    assert not check_split(episodes((12, "train", {}))).ok
    assert not check_split(episodes((3, "train", {"bad": True}))).ok


def test_copies_and_overlapping_recordings_are_found(tmp_path):
    first, other = good("first", 1), good("other", 2)
    copy = good("copy", 1)  # the same numbers and pictures, stored again
    overlap = good("overlap", 9)  # began a little later beside the second one, and kept its pictures
    for view, columns in other.views.items():
        overlap.views[view]["blobs"][:8] = columns["blobs"][12:]
    store = Store.open(make_store(tmp_path / "store", [first, other, copy, overlap]))
    found = {e.name: measured_of(look_at(store, e, LIMITS), "", {}) for e in store.episodes()}
    check = check_duplicates(found)
    assert check.value == 2 and "first and copy (the very same numbers)" in check.sentence
    assert "other and overlap (24 pictures in common)" in check.sentence
    assert check_duplicates({name: found[name] for name in ("first", "other")}).ok


def test_old_statistics_and_constant_channels_are_told(tmp_path):
    dead = good("dead", 1)
    dead.streams["joints"]["values"][:, 2] = 0.5
    store = Store.open(make_store(tmp_path / "store", [dead], Split(val_share=0.0)))
    current, constant = check_statistics(store)
    assert current.ok and not constant.ok and "never change: joints.joint_3" in constant.sentence
    path = store.path / "statistics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "digest": "old"}))
    (old,) = check_statistics(store)
    assert not old.ok and "run preprocess once more" in old.sentence


def test_bounds_come_from_the_many_and_not_from_the_few():
    usual = np.random.default_rng(0).normal(100.0, 5.0, 200)
    low, high = around(np.concatenate([usual, [0.1] * 20, [9000.0] * 20]), 3.0)
    assert 20 < low < 40 and 250 < high < 500
    assert largest([[0.1, None, 0.2]] * 6 + [[30.0]], 0.05) == pytest.approx(0.4)
    assert largest([[0.1, 0.2]] * 3 + [[30.0]], 0.5) == 0.5 and largest([[], [None]], 0.5) == 0.5


def test_an_episode_without_commands_or_contact_is_no_fault(tmp_path):
    made = good("silent", 1)
    without(made.chunks, np.arange(len(made.chunks["stamps"])))
    store = Store.open(make_store(tmp_path / "store", [made]))
    seen = look_at(store, store.episodes()[0], LIMITS)
    measured = measured_of(seen, "", {})
    bad = {(check.name, check.subject) for check in measured.checks if not check.ok}
    assert bad == {("rate", "action"), ("gap", "action")}  # the contract promises commands
    assert "no second without contact" in next(c.sentence for c in measured.checks if c.name == "baseline")
    assert seen.span == (seen.episode.start_ns, seen.episode.start_ns + 4 * NS)
