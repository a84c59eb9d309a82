"""A store of made-up episodes with real pictures, for tests of exports."""

import numpy as np
from episode_rig import TYPES, messages, write_episode
from insertion_vla_training.bags import local_type
from insertion_vla_training.stores.store import Store
from legacy_rig import jpeg

from insertion_vla_training import preprocess

SECONDS = 1.6


def with_pictures(found, seed, size=(64, 48)):
    """The messages, with real JPEG pictures in their images."""
    result = []
    for number, (topic, receive_ns, data) in enumerate(found):
        if topic.endswith("compressed"):
            kind = local_type(TYPES[topic])
            message = kind.decode(data)
            picture = np.frombuffer(jpeg(seed * 10_000 + number, *size), np.uint8)
            data = kind.encode(type(message)(**{**vars(message), "data": picture}))
        result.append((topic, receive_ns, data))
    return result


def without(found, topic, start_s, stop_s):
    """The messages without those of a topic within a stretch of time."""
    first = found[0][1]
    return [entry for entry in found if entry[0] != topic or not start_s <= (entry[1] - first) / 1e9 < stop_s]


def make_store(folder, episodes):
    """The store of episodes, given as {name: messages}."""
    for name, found in episodes.items():
        write_episode(folder / "bags" / name, found, outcome="success")
    assert preprocess.main([str(folder / "bags"), "--store", str(folder / "store"), "--jobs", "1"]) == 0
    return Store.open(folder / "store")


def two_episodes(seconds=SECONDS, **changes):
    return {f"episode_{i}": with_pictures(messages(seconds, seed=i, **changes), i) for i in range(2)}
