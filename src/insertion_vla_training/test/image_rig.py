"""Episodes with true pictures and the features that a live vlm node would have made of them; stores and caches."""

import functools
from pathlib import Path

import cv2
import numpy as np
from episode_rig import INSTRUCTION, NS, TYPES, VIEWS, header, messages, time, write_episode
from insertion_vla_policy.backbones.color_keypoints import ColorKeypoints
from insertion_vla_policy.images import decode_jpeg
from insertion_vla_policy.protocol import Features, Image
from insertion_vla_training.bags import local_type
from insertion_vla_training.caching.build import build, plan
from insertion_vla_training.caching.features import FeatureCache
from insertion_vla_training.caching.index import FEATURES, cache_root
from insertion_vla_training.caching.key import make_key, write_key
from insertion_vla_training.datasets.episodes import usable_episodes
from insertion_vla_training.preprocess import preprocess
from insertion_vla_training.stores.store import Store

SIZE = (180, 320)
LATENCY_S, PERIOD_S = 0.09, 0.3846


@functools.cache
def jpeg(seed):
    """A green tube with a dark mouth on a grey ground."""
    rng = np.random.default_rng(seed)
    picture = np.full((*SIZE, 3), 120, np.uint8) + rng.integers(0, 20, (*SIZE, 1), dtype=np.uint8)
    centre = tuple(int(v) for v in rng.integers((60, 50), (260, 130)))
    cv2.circle(picture, centre, int(rng.integers(14, 30)), (40, 200, 30), -1)
    cv2.circle(picture, centre, 5, (10, 10, 10), -1)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def stamp_of(message):
    return message.header.stamp.sec * NS + message.header.stamp.nanosec


def with_pictures(seconds=2.5, seed=0, live=True, replace=None, **options):
    """As `episode_rig.messages`, with pictures and, if `live`, features of a vlm node that looks at them.

    `replace` gives other bytes for the picture of a number.
    """
    found, number = [], 0
    for topic, receive_ns, data in messages(seconds, seed, **options):
        kind = local_type(TYPES[topic])
        if topic == "/vlm/features":
            continue
        if topic.endswith("compressed"):
            message = kind.decode(data)
            picture = np.frombuffer((replace or {}).get(number) or jpeg(1000 * seed + number), np.uint8)
            data = kind.encode(type(message)(**{**vars(message), "data": picture}))
            number += 1
        found.append((topic, receive_ns, data))
    return sorted(found + (live_features(found) if live else []), key=lambda entry: entry[1])


def live_features(found):
    """What the vlm node sends: it takes the newest images of all views every PERIOD_S and needs LATENCY_S."""
    images = [(receive, topic.split("/")[1], data) for topic, receive, data in found if topic.endswith("compressed")]
    kind, backbone, sent = local_type(TYPES["/vlm/features"]), ColorKeypoints(), []
    decode = local_type(TYPES["/front/image_raw/compressed"]).decode
    start, end = images[0][0] + round(0.1 * NS), images[-1][0]
    # Not in the few milliseconds while the views of one picture come in, where the node would mix two pictures.
    for taken in range(start, end, round(PERIOD_S * NS)):
        newest = {view: data for receive, view, data in images if receive <= taken}
        newest = {view: decode(data) for view, data in newest.items()}
        pictures = [Image(view, stamp_of(newest[view]), decode_jpeg(newest[view].data)) for view in VIEWS]
        features = backbone.encode(pictures, INSTRUCTION)
        message = kind.new(
            header=header(kind, features.stamp_ns), view_names=list(VIEWS), instruction=INSTRUCTION,
            view_stamps=[time(kind, stamp) for stamp in features.view_stamps_ns], model_id=features.model_id,
            model_hash=features.model_hash, shape=np.array(features.tokens.shape, np.uint32), dtype="float32",
            data=np.frombuffer(features.tokens.tobytes(), np.uint8), inference_time=LATENCY_S,
        )  # fmt: skip
        sent.append(("/vlm/features", taken + round(LATENCY_S * NS), kind.encode(message)))
    return sent


def stored(folder, episodes, **metadata):
    """A store of such messages by name of the episode."""
    bags = [write_episode(folder / "bags" / name, found, **metadata) for name, found in episodes.items()]
    tally = preprocess(bags, folder / "store", 1)
    assert tally.problems == []
    return Store.open(folder / "store")


class Plain:
    """A backbone without surprises: tokens of the brightness of each view, and of its weights.

    Args:
        weights: a file; another content is another model.
        shape: of the tokens.
    """

    model_id = "lab/plain"

    def __init__(self, weights: Path, shape=(2, 4)):
        text = weights.read_bytes()
        self.model_hash, self.shape = text.hex()[:16], shape
        self.scale = float(text[0])

    def encode(self, images, instruction):
        means = [image.rgb.mean() for image in images]
        tokens = np.full(self.shape, self.scale * np.mean(means) + len(instruction), np.float32)
        names, stamps = tuple(i.view for i in images), tuple(i.stamp_ns for i in images)
        return Features(tokens, instruction, names, stamps, self.model_id, self.model_hash, 0.001)


def cached(store, make=ColorKeypoints, views=VIEWS, dtype="f32"):
    """The features of a store, computed here; gives the cache."""
    root = cache_root(store.path)
    folder = write_key(root / FEATURES, make_key(make(), store.contract, views, dtype))
    todo = plan(store, usable_episodes(store), root, FeatureCache(folder))
    list(build(store.path, folder, todo.jobs, make, 1))
    return FeatureCache(folder)
