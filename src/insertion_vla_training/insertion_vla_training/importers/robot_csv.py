"""Robot states of the lab's CSV files: mm and degrees, Rx(a) Ry(b) Rz(r), to SI and quaternions."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from insertion_vla_core.geometry import pose_from_mm_deg, quaternion_from_matrix
from numpy.typing import NDArray

from insertion_vla_training.importers import messages
from insertion_vla_training.importers.clock import check_rising, on_receiver_clock, to_ns
from insertion_vla_training.importers.contracts import JOINT_NAMES
from insertion_vla_training.importers.episode import Entry
from insertion_vla_training.importers.safe_files import refuse_pickle

TIMES = ("recv_timestamp", "origin_timestamp", "send_timestamp")
POSE_NAMES = ("pose_x", "pose_y", "pose_z", "pose_a", "pose_b", "pose_r")
COLUMNS = (*TIMES, *JOINT_NAMES, *POSE_NAMES)
PLACEHOLDERS = ("force_placeholder", "force")  # the robot has no force sensor: zeros that nobody measured
JOINT_LIMIT_DEG = 720.0
METRES_MM = 2.0  # a pose this close to the base is in metres


@dataclass(frozen=True, eq=False)
class RobotRows:
    """Robot states on the receiver's clock.

    Attributes:
        stamps_s, receive_s: (n,) when measured and when received.
        joints: (n, 6) rad.
        poses: (n, 7) m, quaternion xyzw.
        offset_s: receiver's minus sender's clock.
        problems: rows that could not be used.
    """

    stamps_s: NDArray[np.float64]
    receive_s: NDArray[np.float64]
    joints: NDArray[np.float64]
    poses: NDArray[np.float64]
    offset_s: float
    problems: list[str]

    def entries(self) -> list[Entry]:
        """Messages of joints and tool pose."""
        found = []
        rows = zip(to_ns(self.stamps_s).tolist(), to_ns(self.receive_s).tolist(), self.joints, self.poses, strict=True)
        for stamp, receive, joints, pose in rows:
            found.append(Entry(receive, "joint_states", partial(messages.joint_state, stamp, JOINT_NAMES, joints)))
            found.append(Entry(receive, "tool_pose", partial(messages.pose, stamp, pose)))
        return found


def read_robot_csv(path: Path) -> RobotRows:
    """Read a robot_state CSV file.

    Raises:
        ValueError: it is no such file, has no usable row, other units, or a clock was set while it was written.
    """
    refuse_pickle(path)
    rows, problems = _numbers(path)
    measured = np.any(rows[:, 9:] != 0.0, axis=1)
    if not measured.all():
        problems.append(
            f"{path}: {int((~measured).sum())} rows hold zeros for a pose that was never read; they are left out"
        )
    rows = rows[measured]
    if len(rows) == 0:
        raise ValueError(f"{path}: expected robot states, got none that can be used; remove the episode")
    receive_s, origin_s, send_s = rows[:, 0], rows[:, 1], rows[:, 2]
    joints_deg, poses = rows[:, 3:9], rows[:, 9:]
    if np.abs(joints_deg).max() > JOINT_LIMIT_DEG:
        raise ValueError(
            f"{path}: expected joints in degrees, got {np.abs(joints_deg).max():.0f}; is it another robot?"
        )
    if np.linalg.norm(poses[:, :3], axis=1).max() < METRES_MM:
        raise ValueError(
            f"{path}: expected positions in mm, all are within {METRES_MM:g} of the base: are they metres?"
        )
    check_rising(f"{path}, recv_timestamp", receive_s)
    check_rising(f"{path}, origin_timestamp", origin_s)
    try:
        stamps_s, offset_s = on_receiver_clock(origin_s, send_s, receive_s)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return RobotRows(stamps_s, receive_s, np.radians(joints_deg), poses_from_mm_deg(poses), offset_s, problems)


def poses_from_mm_deg(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Poses (n, 7) [m, quaternion xyzw] of the robot's six-tuples (n, 6) [mm, deg]."""
    result = np.empty((len(rows), 7))
    for row, six in zip(result, rows, strict=True):
        pose = pose_from_mm_deg(six)
        row[:3], row[3:] = pose.position, quaternion_from_matrix(pose.rotation)
    return result


def _numbers(path: Path) -> tuple[NDArray[np.float64], list[str]]:
    """The rows (n, 15) in the order of COLUMNS, and what was wrong with others."""
    kept: list[list[float]] = []
    wrong: list[int] = []
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.reader(stream)
            head = next(reader, [])
            missing = [name for name in COLUMNS if name not in head]
            if missing:
                raise ValueError(
                    f"{path}: expected columns {', '.join(COLUMNS)}; missing are {', '.join(missing)}; is it a file of "
                    "another recorder?"
                )
            unknown = [name for name in head if name not in (*COLUMNS, *PLACEHOLDERS)]
            places = [head.index(name) for name in COLUMNS]
            for line in reader:
                row = _row(line, len(head), places)
                if row is None:
                    wrong.append(reader.line_num)
                else:
                    kept.append(row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: expected a CSV file, got other bytes ({error}); copy it again") from error
    problems = []
    if wrong:
        problems.append(
            f"{path}: {len(wrong)} rows are cut off or hold no finite numbers (the first in line {wrong[0]}); they are "
            "left out"
        )
    if unknown:
        problems.append(f"{path}: columns {', '.join(unknown)} are not known and left out")
    return np.array(kept, np.float64).reshape(-1, len(COLUMNS)), problems


def _row(line: list[str], width: int, places: list[int]) -> list[float] | None:
    if len(line) != width:
        return None
    try:
        row = [float(line[place]) for place in places]
    except ValueError:
        return None
    return row if np.isfinite(row).all() else None
