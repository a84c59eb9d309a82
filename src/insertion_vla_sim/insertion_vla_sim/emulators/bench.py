"""The simulated lab as one thing to tick: world, robot controller and sensor, and the faults they have."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from insertion_vla_core.geometry import Pose
from insertion_vla_core.kinematics import jacobian, load_arm
from insertion_vla_core.wire.force_udp import Framing

from insertion_vla_sim import meca500_codes as codes
from insertion_vla_sim.controller import STANDSTILL_RAD_S, RobotController
from insertion_vla_sim.controller_config import Machine
from insertion_vla_sim.randomise import Randomisation
from insertion_vla_sim.scene import SAMPLE_RATE_HZ, TOOL_LENGTH_M, VIEWS
from insertion_vla_sim.sensors import ForceSensor
from insertion_vla_sim.world import World

from . import device_clock
from .cameras import PERIOD_S
from .faults import FAULTS
from .force import ForceEmulator
from .io_loop import IoLoop, Mailbox
from .meca500 import Meca500Emulator
from .shared_state import FROZEN, KILLED, NORMAL, SharedState

TICK_S = 1.0 / SAMPLE_RATE_HZ
SHARE_EVERY = 5
LOAD_FROM_N = 0.5


@dataclass
class ArmTimes:
    """When the simulated arm moved; monotonic seconds, None before the first time.

    Attributes:
        moving: a joint is faster than STANDSTILL_RAD_S.
        moved_s: last tick in motion.
        standstill_s: first tick at rest after it.
        tip_speed_m_s: of the needle tip, now.
    """

    moving: bool = False
    moved_s: float | None = None
    standstill_s: float | None = None
    tip_speed_m_s: float = 0.0


class Bench:
    """Everything that happens in one physics tick.

    Attributes:
        mailbox: calls from the I/O thread, run at the start of the next tick.
        ticks: done so far; simulation time is ticks / 650 s.
        stamp_s: device time of the newest tick.
    """

    def __init__(
        self, loop: IoLoop, host: str, seed: int, framing: Framing, clock_offset_s: float, shared: SharedState
    ) -> None:
        """Build the world of `seed` and bind the robot's and the sensor's sockets at `host`.

        Raises:
            OSError: an address is taken.
        """
        self.mailbox = Mailbox()
        self.ticks = 0
        self.stamp_s = device_clock.stamp()
        self.world = World(seed)
        self.controller = RobotController(load_arm("meca500"), machine=Machine(activation_s=0.2, homing_s=0.3))
        self.controller.teleport(self.world.q)
        self.force = ForceEmulator(host, framing, clock_offset_s)
        self.robot = Meca500Emulator(loop, self.mailbox, host, self.controller)
        self.arm = ArmTimes()
        self._needle = Pose(np.array([0.0, 0.0, TOOL_LENGTH_M]), np.eye(3))
        self._rated = np.array(self.controller.machine.rated_torque_nm)
        self._sensor = ForceSensor(self.world, seed)
        self._tip = self.world.tool_pose.position
        self._shared = shared
        self._active: dict[str, dict[str, Any]] = {}

    def tick(self, stamp_s: float) -> None:
        """Advance 1/650 s; `stamp_s` is the device time this tick stands for."""
        self.mailbox.run()
        self.ticks += 1
        self.stamp_s = stamp_s
        world, controller = self.world, self.controller
        rates = controller.update(self.ticks * TICK_S, world.q, world.dq)
        world.step(rates)
        self.force.sample(*self._sensor.read(), stamp_s)
        self._watch_arm()
        self.robot.after_tick()
        if self.ticks % SHARE_EVERY == 0:
            self._shared.write(int(stamp_s * 1e9), world.render_state())

    def close(self) -> None:
        """Close the sockets."""
        self.force.close()
        self.robot.close()

    # ---- what the admin socket asks for, run between ticks --------------------------------------------------

    def reset(self, seed: int, randomisation: Randomisation | None = None) -> dict[str, Any]:
        """Start the episode of `seed`; the arm jumps to its start, the robot stays activated."""
        self.world.randomisation = randomisation or self.world.randomisation
        self.world.reset(seed)
        self._sensor = ForceSensor(self.world, seed)
        self.controller.teleport(self.world.q)
        self._tip = self.world.tool_pose.position
        return {"seed": seed, "randomisation": self.world.randomisation, "target": self.world.layout.target}

    def truth(self, target: str | None) -> dict[str, Any]:
        """Privileged state of the world."""
        return {"truth": self.world.truth(target).as_dict(), "seed": self.world.layout.seed, "stamp_s": self.stamp_s}

    def set_fault(self, name: str, parameters: dict[str, Any]) -> None:
        """Have a fault; name and parameters as faults.check() returned them."""
        self._active[name] = parameters
        device = FAULTS[name].device
        if device == "force":
            self.force.set_fault(name, parameters)
        elif device == "camera":
            mode = {"camera_kill": KILLED, "camera_freeze": FROZEN}.get(name, NORMAL)
            for i, view in enumerate(VIEWS):
                if parameters["view"] in ("all", view):
                    self._shared.set_camera(i, mode, parameters.get("period_s", PERIOD_S))
        elif name == "robot_tcp_drop":
            self.robot.refuse_connections(parameters["after"] == "refuse")
            self.robot.drop_connections()
        elif name == "robot_silent":
            self.robot.silent = True
        elif name == "robot_estop":
            self.controller.emergency_stop(True)
        elif name == "robot_motion_error":
            self.controller.fail(codes.MOTION_ERROR, "Motion error: a joint does not follow its command.")

    def clear_faults(self) -> list[str]:
        """Take every fault back; what the controller latched stays latched. Returns the names."""
        cleared = list(self._active)
        self._active.clear()
        self.force.clear_faults()
        for i in range(len(VIEWS)):
            self._shared.set_camera(i, NORMAL, PERIOD_S)
        self.robot.refuse_connections(False)
        self.robot.silent = False
        self.controller.emergency_stop(False)
        return cleared

    def stats(self) -> dict[str, Any]:
        """Times and counters; times are monotonic seconds of this machine."""
        controller = self.controller
        return {
            "monotonic_s": time.monotonic(),
            "ticks": self.ticks,
            "force": self.force.stats(),
            "arm": asdict(self.arm),
            "robot": {
                **self.robot.stats(),
                "activated": controller.activated,
                "homed": controller.homed,
                "paused": controller.paused,
                "error_code": controller.error_code,
                "estop": controller.estop_state,
                "watchdog": controller.watchdog_enabled,
            },
            "faults": self._active,
        }

    def _watch_arm(self) -> None:
        world, arm = self.world, self.arm
        tip = world.tool_pose
        arm.tip_speed_m_s = float(np.linalg.norm(tip.position - self._tip)) / TICK_S
        self._tip = tip.position
        if float(np.abs(world.dq).max()) > STANDSTILL_RAD_S:
            arm.moving, arm.moved_s, arm.standstill_s = True, time.monotonic(), None
        elif arm.moving:
            arm.moving, arm.standstill_s = False, time.monotonic()
        if world.axial_force_n > LOAD_FROM_N:
            push = tip.rotation[:, 2] * -world.axial_force_n
            self.controller.load = jacobian(self.controller.arm, world.q, self._needle)[:3].T @ push / self._rated
        elif self.controller.load.any():
            self.controller.load = np.zeros(len(self._rated))
