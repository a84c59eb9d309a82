"""Image sets are what the live vlm node encodes."""

import numpy as np
import pytest
from bag_rig import START_NS
from episode_rig import NS, TYPES, VIEWS, header, messages
from image_rig import stored
from insertion_vla_training.bag import local_type
from insertion_vla_training.cache_sets import image_sets

MS = NS // 1000
BASE = [entry for entry in messages(3.0, aline_bins=0) if not entry[0].endswith("compressed")]


def image(view, stamp_ms, receive_ms):
    kind = local_type(TYPES["/front/image_raw/compressed"])
    data = b"\xff\xd8" + f"{view} {stamp_ms} {receive_ms}".encode() * 20
    message = kind.new(header=header(kind, START_NS + stamp_ms * MS), format="jpeg", data=np.frombuffer(data, np.uint8))
    return f"/{view}/image_raw/compressed", START_NS + receive_ms * MS, kind.encode(message)


def sets_of(tmp_path, images, views=VIEWS):
    """[(ready, stamps of the views)] in ms since the start."""
    found = sorted(BASE + [image(*entry) for entry in images], key=lambda entry: entry[1])
    store = stored(tmp_path, {"a": found})
    sets = image_sets(store, store.episodes()[0], views)
    assert sets.stamps.shape == sets.frames.shape == (len(sets), len(views))
    for column, view in enumerate(views):
        table = store.images(view, store.episodes()[0])
        assert (table.stamps[sets.frames[:, column]] == sets.stamps[:, column]).all()
    ready = ((sets.ready - START_NS) // MS).tolist()
    return list(zip(ready, ((sets.stamps - START_NS) // MS).tolist(), strict=True))


def cameras(count, delays=(40, 45, 52), period=200):
    return [(v, k * period, k * period + d) for k in range(count) for v, d in zip(VIEWS, delays, strict=True)]


def test_of_views_that_come_one_after_another_the_whole_combination_is_kept(tmp_path):
    found = sets_of(tmp_path, cameras(6))
    assert found == [(k * 200 + 52, [k * 200] * 3) for k in range(6)]


def test_the_order_of_the_views_is_that_asked_for(tmp_path):
    images = [entry if entry[0] != "side" else (entry[0], entry[1] + 7, entry[2]) for entry in cameras(4)]
    assert sets_of(tmp_path, images, ("side", "front"))[1] == (245, [207, 200])


def test_a_set_is_what_the_node_would_take_at_any_moment_between_two_bursts(tmp_path):
    rng = np.random.default_rng(3)
    images = [(v, s, s + int(rng.integers(30, 70))) for v, s, _ in cameras(14)]
    found = sets_of(tmp_path, images)
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


def test_there_is_one_set_per_image_of_the_slowest_view(tmp_path):
    fast = [(view, k * 40, k * 40 + 10) for k in range(60) for view in ("front", "side")]
    slow = [("hand", k * 200, k * 200 + 90) for k in range(12)]
    found = sets_of(tmp_path, fast + slow)
    assert [stamps[2] for _, stamps in found] == [k * 200 for k in range(12)]
    for ready, (front, side, hand) in found:
        assert front == side and 0 <= ready - front - 10 < 40 and ready >= hand + 90


def test_an_image_that_comes_again_is_no_new_one(tmp_path):
    repeated = [("side", 400, 500), ("side", 400, 560)]
    assert sets_of(tmp_path, cameras(6) + repeated) == sets_of(tmp_path / "plain", cameras(6))


def test_there_is_no_set_while_a_view_is_silent(tmp_path):
    images = [e for e in cameras(14) if not (e[0] == "hand" and 600 <= e[1] < 1800)]
    images = [e for e in images if not (e[0] == "side" and e[1] % 400)]  # the slowest one
    found = {stamps[1]: (ready, stamps[2]) for ready, stamps in sets_of(tmp_path, images)}
    # The contract's 5 Hz: silent 600 ms after 452. Until then its last image is used, as live.
    assert list(found) == [0, 400, 800, 1600, 2000, 2400]
    assert found[800] == (845, 400) and found[1600] == (1852, 1800)


@pytest.mark.parametrize("views", [(), ("front", "front"), ("front", "top")])
def test_views_that_the_contract_does_not_have_are_refused(tmp_path, views):
    with pytest.raises(ValueError, match=r"different views of the contract \(front, side, hand\)"):
        sets_of(tmp_path, cameras(2), views)
