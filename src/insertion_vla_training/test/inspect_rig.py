"""Stores of made-up episodes that are good, and what can be done to them."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from bag_rig import CONTRACT, START_NS
from episode_rig import INSTRUCTION, VIEWS
from insertion_vla_core.contract import parse_contract
from insertion_vla_core.episode_metadata import EpisodeMetadata
from insertion_vla_core.limits import load_limits
from insertion_vla_policy.protocol import Features
from insertion_vla_training.stores import layout
from insertion_vla_training.stores.episode_data import EpisodeData
from insertion_vla_training.stores.episode_index import Split
from insertion_vla_training.stores.feature_blob import encode_features
from insertion_vla_training.stores.layout import Rows
from insertion_vla_training.stores.statistics import update_statistics
from insertion_vla_training.stores.store import Store

CONFIG = Path(__file__).parents[3] / "config"
LIMITS = load_limits(CONFIG / "limits.yaml")
SPEC = layout.tables(parse_contract(CONTRACT, "the test's contract"), "f16")
SECONDS = 4.0
CONTACT_S = 2.6  # from here on the commands announce contact
SIZE = (160, 90)
NS = 10**9


@dataclass
class MadeUp:
    """An episode that a test may change before it goes into a store.

    Attributes:
        streams, views, chunks: columns by name; views and features also have `blobs`.
        alines: with the rows of the force.
    """

    name: str
    streams: dict[str, dict]
    views: dict[str, dict]
    features: dict
    chunks: dict
    alines: np.ndarray
    duration_s: float = SECONDS
    about: dict = field(default_factory=dict)


def stamped(rate_hz, delay_s, rng, seconds=SECONDS):
    stamps = START_NS + (np.arange(round(seconds * rate_hz)) * (NS / rate_hz)).astype(np.int64)
    jitter = (rng.random(len(stamps)) * 0.001 * NS).astype(np.int64)
    return {"stamps": stamps, "receive": stamps + round(delay_s * NS) + jitter}


def good(name, seed=0, instruction=INSTRUCTION, **about):
    """An episode with nothing wrong in it."""
    rng = np.random.default_rng(seed)
    joints, pose = stamped(100, 0.001, rng), stamped(100, 0.001, rng)
    t = (pose["stamps"] - START_NS) / NS
    joints["values"] = 0.3 * np.sin(t[:, None] * 0.3 + np.arange(6) + rng.random(6))
    position = np.array([0.2, 0.0, 0.15]) + np.stack([0.004 * t, 0.003 * t, -0.01 * t], axis=1)
    position += 1e-5 * rng.normal(size=position.shape)
    turn = np.stack([0.02 * t, 0.01 * np.sin(t), 0.01 * np.cos(t), np.ones_like(t)], axis=1)
    pose["values"] = np.concatenate([position, turn / np.linalg.norm(turn, axis=1, keepdims=True)], axis=1)
    force = stamped(650, 0.001, rng)
    # Blocks of ten arrive together.
    force["receive"] = np.repeat(force["receive"][9::10], 10)
    ft = (force["stamps"] - START_NS) / NS
    force["values"] = (0.02 * rng.normal(size=len(ft)) + np.where(ft > CONTACT_S, 0.3, 0.0))[:, None]
    surface = {key: force[key][9::10] for key in ("stamps", "receive")}
    st = (surface["stamps"] - START_NS) / NS
    surface["values"] = np.where(st > 2.0, 0.004 - 0.001 * st + 1e-5 * rng.normal(size=len(st)), np.nan)[:, None]
    alines = np.broadcast_to(rng.normal(50, 45, 1025), (len(ft), 1025)).astype("<f2").copy()
    views = {}
    for number, view in enumerate(VIEWS):
        views[view] = stamped(5, 0.02, rng)
        views[view]["blobs"] = pictures(len(views[view]["stamps"]), 10 * seed + number)
    features = stamped(2.6, 0.3, rng)
    features["blobs"] = [feature(stamp, instruction, rng) for stamp in features["stamps"].tolist()]
    about = {"seed": seed, "outcome": "success", "instruction": instruction, **about}
    streams = {"joints": joints, "tool_pose": pose, "force": force, "surface_distance": surface}
    return MadeUp(name, streams, views, features, commands(rng), alines, about=about)


def commands(rng):
    chunks = stamped(10, 0.01, rng)
    for key in chunks:
        chunks[key] = chunks[key][5:]  # the policy begins after half a second
    t = (chunks["stamps"] - START_NS) / NS
    count = len(t)
    path = np.arange(1, 9) * 0.1
    data = np.zeros((count, 8, 7), "<f4")
    data[:, :, :3] = path[None, :, None] * np.array([0.004, 0.003, -0.01])
    data[:, :, 3] = path * 0.04
    data[:, :, 4:6] = 1e-4 * rng.normal(size=(count, 8, 2))
    data[:, :, 6] = np.where(t > CONTACT_S, 1.0, 0.0)[:, None]
    anchor = np.zeros((count, 7))
    anchor[:, :3] = np.array([0.2, 0.0, 0.15]) + np.stack([0.004 * t, 0.003 * t, -0.01 * t], axis=1)
    anchor[:, 3], anchor[:, 6] = np.sin(0.02 * t), np.cos(0.02 * t)
    zeros = np.zeros(count, np.int64)
    return {**chunks, "data": data, "anchor": anchor, "features_stamp": zeros, "force_stamp": zeros,
            "sequence": np.arange(count), "inference_s": np.full(count, 0.01, "<f4")}  # fmt: skip


def pictures(count, seed):
    """JPEGs of a scene with edges, through a camera with noise."""
    rng = np.random.default_rng(seed)
    scene = cv2.resize(rng.integers(30, 220, (9, 16, 3), np.uint8), SIZE, interpolation=cv2.INTER_NEAREST)
    return [jpeg(np.clip(scene + rng.normal(0, 2, scene.shape), 0, 255).astype(np.uint8)) for _ in range(count)]


def jpeg(picture):
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def blurred(data):
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return jpeg(cv2.GaussianBlur(picture, (0, 0), 2.0))


def feature(stamp_ns, instruction, rng):
    tokens = rng.normal(size=(4, 8)).astype(np.float32)
    return encode_features(Features(tokens, instruction, VIEWS, (stamp_ns,) * 3, "test", "abc", 0.05))


def without(columns, drop):
    """Takes rows (indexes) out of columns and blobs, in place."""
    keep = np.setdiff1d(np.arange(len(columns["stamps"])), drop)
    for key, values in columns.items():
        columns[key] = [values[i] for i in keep] if key == "blobs" else values[keep]


def make_store(path, episodes, split=None):
    """A store of such episodes."""
    with Store.create(path, CONTRACT, split=split or Split()) as store:
        for number, made in enumerate(episodes):
            store.append_episode(data_of(made, number))
        update_statistics(store)
    return path


def data_of(made, number=0):
    tables = {layout.stream_path(name): rows(layout.stream_path(name), of) for name, of in made.streams.items()}
    tables |= {layout.image_path(view): rows(layout.image_path(view), of) for view, of in made.views.items()}
    tables[layout.stream_path("features")] = rows(layout.stream_path("features"), made.features)
    texts = [json.dumps({"status": "test"}).encode()] * len(made.chunks["stamps"])
    tables[layout.CHUNKS] = rows(layout.CHUNKS, {**made.chunks, "blobs": texts})
    tables[layout.ALINES] = Rows({"values": made.alines})
    return EpisodeData(
        metadata=EpisodeMetadata(name=made.name, source="test", contract=CONTRACT, **made.about),
        bag=f"bags/{made.name}", bag_sha256=f"{number:064d}", start_ns=START_NS, duration_s=made.duration_s,
        reasons=(), tables=tables,
    )  # fmt: skip


def rows(path, columns):
    spec = SPEC[path]
    found = {name: np.asarray(columns[name]).astype(column.dtype) for name, column in spec.columns.items()}
    if not spec.blobs:
        return Rows(found)
    blobs = columns["blobs"]
    return Rows(found, np.array([len(blob) for blob in blobs], np.int64), np.frombuffer(b"".join(blobs), np.uint8))
