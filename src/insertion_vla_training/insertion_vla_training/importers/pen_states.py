"""The 25 numbers of the state-diffusion data: joints, their speeds, tool pose, and the pen to be grasped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from insertion_vla_training.importers import contracts, messages
from insertion_vla_training.importers.clock import to_ns
from insertion_vla_training.importers.episode import Entry

SPEED_NAMES = tuple(f"{name}_speed" for name in contracts.JOINT_NAMES)
XYZ = ("x", "y", "z")
STATE_NAMES = (
    *contracts.JOINT_NAMES,
    *SPEED_NAMES,
    *(f"tool_{name}" for name in contracts.POSE_CHANNELS),
    *(f"pen_position_{name}" for name in XYZ),
    *(f"pen_axis_{name}" for name in XYZ),
)
QUATERNION_TOLERANCE = 0.05


@dataclass(frozen=True, eq=False)
class PenStates:
    """Rows of one episode.

    Attributes:
        times_s: (T,).
        joints, speeds: (T, 6) rad and rad/s.
        poses: (T, 7) m, quaternion xyzw.
        pen_positions, pen_axes: (T, 3) m and unit vectors.
    """

    times_s: NDArray[np.float64]
    joints: NDArray[np.float64]
    speeds: NDArray[np.float64]
    poses: NDArray[np.float64]
    pen_positions: NDArray[np.float64]
    pen_axes: NDArray[np.float64]


def states_of(rows: NDArray[np.float64], times_s: NDArray[np.float64]) -> PenStates:
    """Rows (T, 25) in the order of STATE_NAMES, taken apart."""
    return PenStates(times_s, rows[:, :6], rows[:, 6:12], rows[:, 12:19], rows[:, 19:22], rows[:, 22:25])


def pen_contract(rate_hz: float, action_names: Sequence[str], action_units: Sequence[str] = ()) -> str:
    """The contract of such data; without action names, that of plans without commands."""
    names = action_names or contracts.JOINT_NAMES
    units = action_units or ("rad",) * len(names)
    speeds = contracts.stream(
        "joint_speeds", "joint_states", messages.JOINTS, "velocity", contracts.JOINT_NAMES, "rad/s", rate_hz,
        optional=True,
    )  # fmt: skip
    position = contracts.stream(
        "pen_position", "pen/position", messages.POINT, "point", XYZ, "m", rate_hz, optional=True
    )
    axis = contracts.stream("pen_axis", "pen/axis", messages.VECTOR, "vector", XYZ, "1", rate_hz, optional=True)
    return contracts.contract_text(
        "pen_states",
        [contracts.joints(rate_hz), speeds, contracts.tool_pose(rate_hz), position, axis],
        [],
        contracts.action(names, units, 1, 1.0 / rate_hz),
    )


def pen_entries(place: str, states: PenStates) -> tuple[list[Entry], list[str]]:
    """Messages of the rows; numbers that are no numbers stay missing, and a row whose robot is missing is left out.

    Raises:
        ValueError: quaternions are none.
    """
    known = np.isfinite(np.concatenate([states.joints, states.poses], axis=1)).all(axis=1)
    problems = []
    if not known.all():
        problems.append(
            f"{place}: {int((~known).sum())} of {len(known)} rows hold no finite numbers; they are left out"
        )
    lengths = np.asarray(np.linalg.norm(states.poses[known, 3:], axis=1))
    if len(lengths) and np.abs(lengths - 1.0).max() > QUATERNION_TOLERANCE:
        raise ValueError(
            f"{place}: expected unit quaternions x, y, z, w, got one of length "
            f"{lengths[np.argmax(np.abs(lengths - 1.0))]:.3g}; is the order of the columns another?"
        )
    entries = []
    stamps = to_ns(states.times_s)
    for row in np.flatnonzero(known).tolist():
        stamp = int(stamps[row])
        encode = partial(messages.joint_state, stamp, contracts.JOINT_NAMES, states.joints[row], states.speeds[row])
        entries.append(Entry(stamp, "joint_states", encode))
        entries.append(Entry(stamp, "tool_pose", partial(messages.pose, stamp, states.poses[row])))
        if np.isfinite(states.pen_positions[row]).all():
            entries.append(Entry(stamp, "pen/position", partial(messages.point, stamp, states.pen_positions[row])))
        if np.isfinite(states.pen_axes[row]).all():
            entries.append(Entry(stamp, "pen/axis", partial(messages.vector, stamp, states.pen_axes[row])))
    return entries, problems
