"""Image sets are what the live vlm node encodes."""

import itertools

import numpy as np
import pytest
from bag_rig import CONTRACT, START_NS, episode
from episode_rig import NS, VIEWS
from insertion_vla_training.caching.sets import image_sets
from insertion_vla_training.stores.episode_data import EpisodeData
from insertion_vla_training.stores.layout import Rows, image_path
from insertion_vla_training.stores.store import Store

MS = NS // 1000
NUMBER = itertools.count()


@pytest.fixture(scope="module")
def sets_of(tmp_path_factory):
    """[(ready, stamps of the views)] in ms since the start, of (view, stamp, receipt) in ms: images in a store."""
    store = Store.create(tmp_path_factory.mktemp("sets") / "store", CONTRACT)

    def stored(images, views=VIEWS):
        tables = {}
        for view in VIEWS:
            times = sorted((receive, stamp) for name, stamp, receive in images if name == view)
            receive, stamps = (START_NS + np.array(column, np.int64) * MS for column in zip(*times, strict=True))
            sizes, blobs = np.full(len(times), 2), np.zeros(2 * len(times), np.uint8)
            tables[image_path(view)] = Rows({"stamps": stamps, "receive": receive}, sizes, blobs)
        name = f"episode_{next(NUMBER)}"
        made = store.append_episode(EpisodeData(episode(name=name), name, name, START_NS, 3.0, (), tables))
        sets = image_sets(store, made, views)
        assert sets.stamps.shape == sets.frames.shape == (len(sets), len(views))
        for column, view in enumerate(views):
            assert (store.images(view, made).stamps[sets.frames[:, column]] == sets.stamps[:, column]).all()
        ready = ((sets.ready - START_NS) // MS).tolist()
        return list(zip(ready, ((sets.stamps - START_NS) // MS).tolist(), strict=True))

    yield stored
    store.close()


def cameras(count, delays=(40, 45, 52), period=200):
    return [(v, k * period, k * period + d) for k in range(count) for v, d in zip(VIEWS, delays, strict=True)]


def test_of_views_that_come_one_after_another_the_whole_combination_is_kept(sets_of):
    found = sets_of(cameras(6))
    assert found == [(k * 200 + 52, [k * 200] * 3) for k in range(6)]


def test_the_order_of_the_views_is_that_asked_for(sets_of):
    images = [entry if entry[0] != "side" else (entry[0], entry[1] + 7, entry[2]) for entry in cameras(4)]
    assert sets_of(images, ("side", "front"))[1] == (245, [207, 200])


def test_a_set_is_what_the_node_would_take_at_any_moment_between_two_bursts(sets_of):
    rng = np.random.default_rng(3)
    images = [(v, s, s + int(rng.integers(30, 70))) for v, s, _ in cameras(14)]
    found = sets_of(images)
    asked = 0
    for moment in range(80, 2700, 13):
        if moment % 200 < 75:
            continue  # while the views of one picture come in
        newest = [
            max((r, s) for v, s, r in images if v == view and r <= moment)[1] for view in ("front", "side", "hand")
        ]
        ready, stamps = max(entry for entry in found if entry[0] <= moment)
        assert stamps == newest
        asked += 1
    assert asked > 100


def test_there_is_one_set_per_image_of_the_slowest_view(sets_of):
    fast = [(view, k * 40, k * 40 + 10) for k in range(60) for view in ("front", "side")]
    slow = [("hand", k * 200, k * 200 + 90) for k in range(12)]
    found = sets_of(fast + slow)
    assert [stamps[2] for _, stamps in found] == [k * 200 for k in range(12)]
    for ready, (front, side, hand) in found:
        assert front == side and 0 <= ready - front - 10 < 40 and ready >= hand + 90


def test_an_image_that_comes_again_is_no_new_one(sets_of):
    repeated = [("side", 400, 500), ("side", 400, 560)]
    assert sets_of(cameras(6) + repeated) == sets_of(cameras(6))


def test_there_is_no_set_while_a_view_is_silent(sets_of):
    images = [e for e in cameras(14) if not (e[0] == "hand" and 600 <= e[1] < 1800)]
    images = [e for e in images if not (e[0] == "side" and e[1] % 400)]  # the slowest one
    found = {stamps[1]: (ready, stamps[2]) for ready, stamps in sets_of(images)}
    # The contract's 5 Hz: silent 600 ms after 452. Until then its last image is used, as live.
    assert list(found) == [0, 400, 800, 1600, 2000, 2400]
    assert found[800] == (845, 400) and found[1600] == (1852, 1800)


@pytest.mark.parametrize("views", [(), ("front", "front"), ("front", "top")])
def test_views_that_the_contract_does_not_have_are_refused(sets_of, views):
    with pytest.raises(ValueError, match=r"different views of the contract \(front, side, hand\)"):
        sets_of(cameras(2), views)
