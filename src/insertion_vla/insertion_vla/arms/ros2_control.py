"""Any arm behind ros2_control: joint states in, short joint trajectories out.

Every trajectory lasts at most 100 ms and ends at zero velocity, so an arm that hears nothing more comes to rest.
A twist of the tool tip becomes joint rates by core's kinematics. There is no error to read or reset on these topics: an
arm that does not follow is seen by the gate, which compares where the tip should be with where it is.
"""

import array
import math
import threading
import time

import numpy as np
from insertion_vla_core.geometry import Pose
from insertion_vla_core.kinematics import Arm, NoSolution, twist_to_joint_rates
from pydantic import Field
from rclpy.node import Node
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from insertion_vla import qos
from insertion_vla.arms.backend import OnState, OnTrouble, RobotState, Vector
from insertion_vla.messages import ns_from_time
from insertion_vla.parameters import ParameterModel

ANSWER_S = 3.0
LEASH_S = 0.1  # the commanded joints may be ahead of the measured ones by what they travel in this time
SLACK_RAD = 0.002
REST_CYCLES = 20  # trajectories that hold the arm after the last motion; then others may command it
REST_RAD_S = 1e-6


class Ros2ControlSettings(ParameterModel):
    """Parameters of the ros2_control back end."""

    state_topic: str = Field("/joint_states", min_length=1, description="JointState of the joint_state_broadcaster")
    trajectory_topic: str = Field(
        "/joint_trajectory_controller/joint_trajectory",
        min_length=1,
        description="JointTrajectory of the joint_trajectory_controller",
    )
    joints: list[str] = Field([], description="joint names, base to flange; empty: those of the arm's file")
    horizon_s: float = Field(0.08, ge=0.04, le=0.1, description="[s] length of each trajectory, ends at zero velocity")


class Ros2Control:
    """One arm; ``node`` carries the subscription and the publisher."""

    def __init__(
        self,
        settings: Ros2ControlSettings,
        arm: Arm,
        tool: Pose,
        node: Node,
        on_state: OnState,
        on_trouble: OnTrouble,
    ) -> None:
        self.settings, self.arm, self.tool, self.node = settings, arm, tool, node
        self.names = list(settings.joints or arm.joint_names)
        if len(self.names) != len(arm.joint_names):
            raise ValueError(
                f"expected {len(arm.joint_names)} names in 'ros2_control.joints' for {arm.name}, got {len(self.names)}"
            )
        self._on_state, self._on_trouble = on_state, on_trouble
        self._lock = threading.Lock()
        self._command: Vector | None = None  # joints at the end of the last command, None while at rest
        self._sent_s = 0.0
        self._rests = REST_CYCLES
        self._newest: RobotState | None = None
        self._problem = ""
        self._publisher = node.create_publisher(JointTrajectory, settings.trajectory_topic, qos.CHUNK)
        self._subscription = node.create_subscription(JointState, settings.state_topic, self._state, qos.ROBOT)

    def connect(self) -> None:
        """Nothing to do: topics connect by themselves."""

    def make_ready(self, reset: bool) -> None:
        if self._publisher.get_subscription_count() == 0:
            raise OSError(
                f"nobody listens to {self._publisher.topic_name}; start the joint_trajectory_controller, or correct "
                "the parameter 'ros2_control.trajectory_topic'"
            )

    def send(self, twist: Vector, q: Vector) -> None:
        with self._lock:
            try:
                rates = twist_to_joint_rates(self.arm, q, twist, self.tool)
            except NoSolution as error:
                self._problem = str(error)
                rates = np.zeros(len(q))
            else:
                self._problem = ""
            if np.abs(rates).max() < REST_RAD_S:
                self._rest(q)
            else:
                self._rests = 0
                self._publisher.publish(self._trajectory(self._reach(q, rates), rates))

    def halt(self) -> None:
        with self._lock:
            if self._newest is not None:
                self._rests = 0
                self._rest(self._newest.q)

    def _rest(self, q: Vector) -> None:
        """Hold the arm where it is for a while, then be silent."""
        self._command = None
        if self._rests < REST_CYCLES:
            self._rests += 1
            self._publisher.publish(self._trajectory(q, np.zeros(len(q))))

    def _reach(self, q: Vector, rates: Vector) -> Vector:
        """Where the joints should be now: carried on from the last command, on a short leash to the measured ones."""
        now_s = time.monotonic()
        step_s = min(now_s - self._sent_s, self.settings.horizon_s)
        self._sent_s = now_s
        if self._command is None:
            self._command = q
            return q
        leash = np.abs(rates) * LEASH_S + SLACK_RAD
        self._command = np.clip(self._command + rates * step_s, q - leash, q + leash)
        return self._command

    def _trajectory(self, start: Vector, rates: Vector) -> JointTrajectory:
        """Half of the horizon at the given rates, the other half to rest; inside the joint ranges."""
        half_s = 0.5 * self.settings.horizon_s
        middle = np.clip(start + rates * half_s, self.arm.lower_rad, self.arm.upper_rad)
        end = np.clip(middle + 0.5 * rates * half_s, self.arm.lower_rad, self.arm.upper_rad)
        message = JointTrajectory(joint_names=self.names)  # a zero stamp starts at once
        for positions, velocities, after_s in ((middle, rates, half_s), (end, np.zeros(len(rates)), 2.0 * half_s)):
            point = JointTrajectoryPoint()
            point.positions = array.array("d", positions.tobytes())
            point.velocities = array.array("d", velocities.tobytes())
            point.time_from_start.nanosec = round(after_s * 1e9)
            message.points.append(point)
        return message

    def _state(self, message: JointState) -> None:
        """Joints come in any order, with others between them."""
        index = {name: i for i, name in enumerate(message.name)}
        missing = [name for name in self.names if name not in index]
        if missing:
            self._problem = f"{self.settings.state_topic} has no joint {', '.join(missing)}"
            return
        picked = [index[name] for name in self.names]
        q = np.array([message.position[i] for i in picked])
        if not all(map(math.isfinite, q)):
            self._problem = f"{self.settings.state_topic} has joint positions that are not finite"
            return
        full = len(message.velocity) == len(message.name)
        dq = np.array([message.velocity[i] for i in picked]) if full else None
        self._newest = RobotState(ns_from_time(message.header.stamp), q, dq)
        self._on_state(self._newest)

    def idle(self) -> None:
        self.halt()

    def give_up(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        self.halt()

    def facts(self) -> dict[str, str]:
        return {
            "robot": f"{self.arm.name} through {self.settings.trajectory_topic}",
            "problem": self._problem or "none",
        }
