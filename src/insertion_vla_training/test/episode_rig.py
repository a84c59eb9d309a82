"""Bags of whole episodes of a made-up graph: every topic of the contract, at the demo's rates."""

from pathlib import Path

import numpy as np
from bag_rig import CONTRACT, START_NS, episode
from insertion_vla_core.episode_metadata import to_custom_data
from insertion_vla_training.bags import BagWriter, local_type

INTERFACES = "insertion_vla_interfaces/msg/"
VIEWS = ("front", "side", "hand")
INSTRUCTION = "insert the needle into the green trocar"
TYPES = {
    "/joint_states": "sensor_msgs/msg/JointState",
    "/tool_pose": "geometry_msgs/msg/PoseStamped",
    "/force/samples": INTERFACES + "ForceSamples",
    "/vlm/features": INTERFACES + "VLFeatures",
    "/action_expert/chunk": INTERFACES + "ActionChunk",
    "/arm/state": INTERFACES + "ArmState",
    "/task/state": INTERFACES + "TaskState",
    **{f"/{view}/image_raw/compressed": "sensor_msgs/msg/CompressedImage" for view in VIEWS},
}
NS = 1_000_000_000


def time(kind, stamp_ns):
    return kind.of("builtin_interfaces/msg/Time", sec=stamp_ns // NS, nanosec=stamp_ns % NS)


def header(kind, stamp_ns):
    return kind.of("std_msgs/msg/Header", stamp=time(kind, stamp_ns), frame_id="base")


def pose_of(kind, numbers):
    point = kind.of("geometry_msgs/msg/Point", **dict(zip("xyz", numbers[:3], strict=True)))
    turn = kind.of("geometry_msgs/msg/Quaternion", **dict(zip("xyzw", numbers[3:], strict=True)))
    return kind.of("geometry_msgs/msg/Pose", position=point, orientation=turn)


def features(stamp_ns, tokens, instruction=INSTRUCTION):
    kind = local_type(TYPES["/vlm/features"])
    views = VIEWS if tokens.size else ()
    return kind.encode(
        kind.new(
            header=header(kind, stamp_ns),
            view_names=list(views),
            view_stamps=[time(kind, stamp_ns + i * 1_000_000) for i in range(len(views))],
            instruction=instruction,
            model_id="test",
            model_hash="abc",
            shape=np.array(tokens.shape, np.uint32),
            dtype="float32",
            data=np.frombuffer(np.asarray(tokens, np.float32).tobytes(), np.uint8),
            inference_time=0.05,
        )
    )


def chunk(stamp_ns, sequence, data):
    kind = local_type(TYPES["/action_expert/chunk"])
    return kind.encode(
        kind.new(
            header=header(kind, stamp_ns), session_id="s", sequence=sequence, dt=0.1, horizon=8, dim=7,
            anchor=pose_of(kind, [0.2, 0.0, 0.1, 0.0, 0.0, 0.0, 1.0]), data=np.asarray(data, np.float32).ravel(),
            policy_id="test", goal_id="g", status="approach", features_stamp=time(kind, stamp_ns - NS // 2),
            force_stamp=time(kind, stamp_ns), inference_time=0.01,
        )
    )  # fmt: skip


def messages(seconds=3.0, seed=0, aline_bins=1025, start_ns=START_NS):
    """[(topic, receive_ns, cdr)] in the order of receipt."""
    rng = np.random.default_rng(seed)
    found = []

    def put(topic, stamp_ns, delay_s, **fields):
        kind = local_type(TYPES[topic])
        data = kind.encode(kind.new(header=header(kind, stamp_ns), **fields))
        found.append((topic, stamp_ns + round((delay_s + rng.random() * 0.004) * NS), data))

    def put_raw(topic, stamp_ns, delay_s, data):
        found.append((topic, stamp_ns + round((delay_s + rng.random() * 0.01) * NS), data))

    kind = local_type(TYPES["/tool_pose"])
    names = [f"joint_{i}" for i in range(6, 0, -1)]  # drivers differ in the order of joints
    for k in range(round(seconds * 100)):
        t = start_ns + k * 10_000_000
        put("/joint_states", t, 0.0003, name=names, position=rng.normal(size=6), velocity=rng.normal(size=6), effort=[])
        q = rng.normal(size=4)
        put("/tool_pose", t, 0.0003, pose=pose_of(kind, [*rng.normal(size=3), *(q / np.linalg.norm(q))]))
    for k in range(round(seconds * 65)):
        last = start_ns + k * 15_384_615
        stamps = last - np.arange(10)[::-1] * 1_538_461
        alines = (50 + 45 * rng.normal(size=(10, aline_bins))).astype(np.float32) if aline_bins else np.zeros(0)
        if aline_bins:
            alines[:, 400:412] += 200
        put(
            "/force/samples", last, 0.0005, stamps=stamps, receive_stamps=stamps + 200_000,
            force=rng.normal(size=10).astype(np.float32), force_raw=np.zeros(10, np.float32), aline_bins=aline_bins,
            alines=alines.ravel().astype(np.float32), received=10 * (k + 1), lost=0,
        )  # fmt: skip
    for k in range(round(seconds * 5)):
        t = start_ns + k * 200_000_000
        for view in VIEWS:
            jpeg = b"\xff\xd8" + rng.bytes(9000) + b"\xff\xd9"
            put(f"/{view}/image_raw/compressed", t, 0.04, format="jpeg", data=np.frombuffer(jpeg, np.uint8))
    for k in range(round(seconds * 2.6)):
        t = start_ns + k * 384_000_000
        put_raw("/vlm/features", t, 0.3, features(t, rng.normal(size=(6, 8))))
    for k in range(round(seconds * 10)):
        t = start_ns + k * 100_000_000
        put_raw("/action_expert/chunk", t, 0.01, chunk(t, k, rng.normal(size=(8, 7)) * 0.01))
    for k in range(round(seconds * 20)):
        t = start_ns + k * 50_000_000
        put(
            "/arm/state", t, 0.0003, state=2, reason="", speed_scale=1.0, twist=rng.normal(size=6), force=0.1,
            force_age=0.0, robot_age=0.0, chunk_age=0.1, session_id="s", chunks_accepted=k, chunks_rejected=0,
            last_rejection="", missed_deadlines=0,
        )  # fmt: skip
        put("/task/state", t, 0.0003, phase=1, permit=True, goal_id="g", instruction=INSTRUCTION, depth=float("nan"),
            elapsed=k * 0.05, status="")  # fmt: skip
    return sorted(found, key=lambda entry: entry[1])


def write_episode(folder, found, leave_out=(), types=None, **changes):
    """A bag of such messages; `changes` go into its metadata."""
    metadata = episode(**{"name": Path(folder).name, "instruction": INSTRUCTION, "contract": CONTRACT, **changes})
    with BagWriter(folder, to_custom_data(metadata)) as writer:
        for topic, kind in {**TYPES, **(types or {})}.items():
            if topic not in leave_out:
                writer.add_topic(topic, kind, latched=topic == "/vlm/features")
        for topic, receive_ns, data in found:
            if topic not in leave_out:
                writer.write(topic, data, receive_ns)
    return Path(folder)
