"""Contracts that say what imported recordings have, as YAML; everything that a recording may lack is optional."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from insertion_vla_training.importers import messages

JOINT_NAMES = tuple(f"joint_{number}" for number in range(1, 7))
POSE_CHANNELS = ("x", "y", "z", "qx", "qy", "qz", "qw")
POSE_UNIT = "m, quaternion xyzw"
MOTION_CHANNELS, MOTION_UNITS = ("dx", "dy", "dz", "rx", "ry", "rz"), ("m", "m", "m", "rad", "rad", "rad")
ROBOT_HZ, FORCE_HZ, IMAGE_HZ = 100.0, 650.0, 5.0  # of the lab's recorders
ROBOT_MAX_AGE_S, FORCE_MAX_AGE_S, IMAGE_MAX_AGE_S = 0.2, 0.2, 0.6
HEAD = "# What imported recordings have; written by: import\n"
Size = tuple[int, int]


def contract_text(
    name: str, observations: Sequence[dict[str, Any]], images: Sequence[dict[str, Any]], action: dict[str, Any]
) -> str:
    """The YAML of a contract."""
    values = {
        "version": 1,
        "name": name,
        "observations": list(observations),
        "images": list(images),
        "action": action,
    }
    return HEAD + yaml.safe_dump(values, sort_keys=False, default_flow_style=None)


def stream(
    name: str, topic: str, kind: str, field: str, channels: Sequence[str], unit: str, rate_hz: float, **more: Any
) -> dict[str, Any]:
    """An observation; without `more`, it sees one row that is at most one and a half periods old."""
    return {
        "name": name,
        "topic": topic,
        "type": kind,
        "field": field,
        "channels": list(channels),
        "shape": [len(channels)],
        "unit": unit,
        "rate_hz": rate_hz,
        "window_s": 1.0 / rate_hz,
        "max_age_s": 1.5 / rate_hz,
        **more,
    }


def joints(rate_hz: float, **more: Any) -> dict[str, Any]:
    """Joint angles."""
    return stream("joints", "joint_states", messages.JOINTS, "position", JOINT_NAMES, "rad", rate_hz, **more)


def tool_pose(rate_hz: float, **more: Any) -> dict[str, Any]:
    """The measured tool pose."""
    return stream("tool_pose", "tool_pose", messages.POSE, "pose", POSE_CHANNELS, POSE_UNIT, rate_hz, **more)


def force(in_newtons: bool) -> dict[str, Any]:
    """The force: in newtons where scale and zero are known, else in sensor units and under another name."""
    name, field, unit = ("force", "force", "N") if in_newtons else ("force_raw", "force_raw", "sensor units")
    return stream(
        name, "force/samples", messages.FORCE, field, ("axial",), unit, FORCE_HZ,
        window_s=1.0, max_age_s=FORCE_MAX_AGE_S, optional=True,
    )  # fmt: skip


def images(views: Mapping[str, Size], rate_hz: float, max_age_s: float) -> list[dict[str, Any]]:
    """Camera views with their sizes."""
    return [
        {
            "name": view,
            "topic": f"{view}/image_raw/compressed",
            "type": messages.IMAGE,
            "width": width,
            "height": height,
            "rate_hz": rate_hz,
            "max_age_s": max_age_s,
            "optional": True,
        }
        for view, (width, height) in sorted(views.items())
    ]


def action(channels: Sequence[str], units: Sequence[str], horizon: int, dt_s: float) -> dict[str, Any]:
    """Chunks of recorded commands; optional, for recordings that kept none."""
    return {
        "topic": "action_expert/chunk",
        "type": messages.CHUNK,
        "frame": "base",
        "horizon": horizon,
        "dt_s": dt_s,
        "channels": list(channels),
        "units": list(units),
        "optional": True,
    }


def lab_contract(views: Mapping[str, Size], in_newtons: bool) -> str:
    """The contract of the lab's folders (`recv_all_*`, `episode_*`), which kept no commands."""
    window = {"window_s": 0.1, "max_age_s": ROBOT_MAX_AGE_S}
    return contract_text(
        "lab_folders",
        [joints(ROBOT_HZ, **window), tool_pose(ROBOT_HZ, **window), force(in_newtons)],
        images(views, IMAGE_HZ, IMAGE_MAX_AGE_S),
        action(MOTION_CHANNELS, MOTION_UNITS, 8, 0.1),
    )
