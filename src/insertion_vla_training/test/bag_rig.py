"""A small bag of the graph's messages for tests."""

from pathlib import Path

import numpy as np
from insertion_vla_core.episode_metadata import EpisodeMetadata, to_custom_data
from insertion_vla_training.bags import BagWriter, local_type

CONTRACT = (Path(__file__).parents[3] / "config" / "contracts" / "insertion.yaml").read_text()
START_NS = 1_790_000_000_000_000_000
JOINTS, POSE, FORCE = "/joint_states", "/tool_pose", "/force/samples"
FEATURES, IMAGE = "/vlm/features", "/front/image_raw/compressed"
TYPES = {
    JOINTS: "sensor_msgs/msg/JointState",
    POSE: "geometry_msgs/msg/PoseStamped",
    FORCE: "insertion_vla_interfaces/msg/ForceSamples",
    FEATURES: "insertion_vla_interfaces/msg/VLFeatures",
    IMAGE: "sensor_msgs/msg/CompressedImage",
}


def episode(**changes) -> EpisodeMetadata:
    return EpisodeMetadata(**{"name": "episode_0001", "source": "test", "contract": CONTRACT, "seed": 7, **changes})


def header(kind, stamp_ns, frame="base"):
    stamp = kind.of("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return kind.of("std_msgs/msg/Header", stamp=stamp, frame_id=frame)


def joints(stamp_ns, position):
    kind = local_type(TYPES[JOINTS])
    names = [f"joint_{i}" for i in range(1, 7)]
    return kind.encode(
        kind.new(header=header(kind, stamp_ns), name=names, position=position, velocity=np.zeros(6), effort=[])
    )


def pose(stamp_ns, position):
    kind = local_type(TYPES[POSE])
    point = kind.of("geometry_msgs/msg/Point", **dict(zip("xyz", position, strict=True)))
    turn = kind.of("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)
    return kind.encode(
        kind.new(
            header=header(kind, stamp_ns), pose=kind.of("geometry_msgs/msg/Pose", position=point, orientation=turn)
        )
    )


def force(stamp_ns, forces, alines):
    kind = local_type(TYPES[FORCE])
    count = len(forces)
    stamps = stamp_ns - np.arange(count)[::-1] * 1_538_461
    return kind.encode(
        kind.new(
            header=header(kind, stamp_ns, "tool"),
            stamps=stamps,
            receive_stamps=stamps + 200_000,
            force=np.asarray(forces, np.float32),
            force_raw=np.asarray(forces, np.float32) - np.float32(3.0),
            aline_bins=alines.shape[1],
            alines=alines.ravel(),
            received=count,
            lost=0,
        )
    )


def image(stamp_ns, data):
    kind = local_type(TYPES[IMAGE])
    return kind.encode(kind.new(header=header(kind, stamp_ns), format="jpeg", data=np.frombuffer(data, np.uint8)))


def graph_messages(seconds=2.0, bins=64, seed=0, image_bytes=3000):
    """(topic, receive_ns, publish_ns, bytes) of a made-up graph at the demo's rates, in the order of receipt."""
    rng = np.random.default_rng(seed)
    streams = []
    for k in range(round(seconds * 100)):
        t = START_NS + k * 10_000_000
        streams.append((JOINTS, t + 300_000, t + 100_000, joints(t, rng.normal(size=6))))
        streams.append((POSE, t + 300_000, t + 100_000, pose(t, rng.normal(size=3))))
    for k in range(round(seconds * 65)):
        t = START_NS + k * 15_384_615
        alines = (50 + 45 * rng.normal(size=(10, bins))).astype(np.float32)
        streams.append((FORCE, t + 500_000, t + 400_000, force(t, rng.normal(size=10), alines)))
    for k in range(round(seconds * 5)):
        t = START_NS + k * 200_000_000
        streams.append((IMAGE, t + 40_000_000, t + 30_000_000, image(t, rng.bytes(image_bytes))))
    return sorted(streams, key=lambda entry: entry[1])


def write_bag(folder, messages, **changes):
    """A bag of such messages; VLFeatures are described but none comes."""
    with BagWriter(folder, to_custom_data(episode(name=Path(folder).name, **changes))) as writer:
        for topic, kind in TYPES.items():
            writer.add_topic(topic, kind, latched=topic == FEATURES)
        for topic, receive_ns, publish_ns, data in messages:
            writer.write(topic, data, receive_ns, publish_ns)
    return Path(folder)
