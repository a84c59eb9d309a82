"""Commands of the Meca500 that configure supervision: work zone, tool sphere, joint limits, torque limits."""

from __future__ import annotations

import numpy as np

from insertion_vla_sim.controller import Refused, RobotController
from insertion_vla_sim.controller_config import ERROR, SILENT, WARNING, Vector
from insertion_vla_sim.meca500_codes import MUST_BE_DEACTIVATED

from .meca500_arguments import ArgumentError, Handler, Replies, flag, floats, within
from .meca500_monitoring import message, numbers


class Configuration:
    """Handlers of the configuration commands of one controller."""

    def __init__(self, controller: RobotController) -> None:
        self.controller = controller
        self._user_enabled = False
        self._model = np.column_stack([controller.arm.lower_rad, controller.arm.upper_rad])
        self._user = self._model.copy()

    def table(self) -> dict[str, Handler]:
        """Handlers by command name."""
        zone = self.controller.work_zone
        return {
            "SetWorkZoneCfg": self._set_zone_cfg,
            "GetWorkZoneCfg": lambda a: [message(2163, f"{zone.severity},{zone.mode}")],
            "SetWorkZoneLimits": self._set_zone_limits,
            "GetWorkZoneLimits": lambda a: [message(2165, numbers(np.concatenate([zone.lower, zone.upper]) * 1e3))],
            "SetToolSphere": self._set_sphere,
            "GetToolSphere": lambda a: [message(2167, numbers(zone.sphere * 1e3))],
            "SetJointLimits": self._set_joint_limits,
            "SetJointLimitsCfg": self._set_joint_limits_cfg,
            "GetJointLimitsCfg": lambda a: [message(2094, int(self._user_enabled))],
            "GetJointLimits": lambda a: [self._limits(a, 2090, self._user if self._user_enabled else self._model)],
            "GetModelJointLimits": lambda a: [self._limits(a, 2113, self._model)],
            "SetTorqueLimitsCfg": self._set_torque_cfg,
            "GetTorqueLimitsCfg": lambda a: [message(2160, self._torque_cfg())],
            "SetTorqueLimits": self._set_torque_limits,
            "GetTorqueLimits": lambda a: [message(2161, numbers(self.controller.settings.torque_limits * 100.0))],
        }

    def _deactivated(self) -> None:
        if self.controller.activated:
            raise Refused(MUST_BE_DEACTIVATED, "The robot must be deactivated to execute this command.")

    def _set_zone_cfg(self, arguments: list[str]) -> Replies:
        severity, mode = floats(arguments, 2)
        if severity not in (SILENT, WARNING, ERROR) or mode not in (1, 2, 3):
            raise ArgumentError(f"expected a severity of 0, 1 or 4 and a mode of 1, 2 or 3, got {severity:g}, {mode:g}")
        self._deactivated()
        zone = self.controller.work_zone
        zone.severity, zone.mode = int(severity), int(mode)
        return [message(2164, f"{zone.severity},{zone.mode}")]

    def _set_zone_limits(self, arguments: list[str]) -> Replies:
        limits = floats(arguments, 6).reshape(2, 3) * 1e-3
        if (np.abs(limits) > 10.0).any() or (limits[0] >= limits[1]).any():
            raise ArgumentError("expected x, y, z minima below their maxima, within 10000 mm")
        self._deactivated()
        self.controller.work_zone.lower, self.controller.work_zone.upper = limits
        return [message(2166, numbers(limits.ravel() * 1e3))]

    def _set_sphere(self, arguments: list[str]) -> Replies:
        sphere = floats(arguments, 4) * 1e-3
        within(float(sphere[3]), 0.0, 10.0, "a radius in m")
        self._deactivated()
        self.controller.work_zone.sphere = sphere
        return [message(2168, numbers(sphere * 1e3))]

    def _joint(self, value: float) -> int:
        within(value, 1, len(self._model), "a joint number")
        return int(value) - 1

    def _limits(self, arguments: list[str], code: int, limits: Vector) -> str:
        i = self._joint(float(floats(arguments, 1)[0]))
        return message(code, f"{i + 1},{numbers(np.rad2deg(limits[i]))}")

    def _set_joint_limits(self, arguments: list[str]) -> Replies:
        number, low, high = floats(arguments, 3)
        i = self._joint(float(number))
        wanted = self._model[i] if low == high == 0.0 else np.deg2rad([low, high])
        model_low, model_high = self._model[i] + np.array([-1e-9, 1e-9])
        if not model_low <= wanted[0] < wanted[1] <= model_high:
            raise ArgumentError(f"expected limits of joint {i + 1} within {numbers(np.rad2deg(self._model[i]))} deg")
        self._deactivated()
        self._user[i] = wanted
        self._apply_joint_limits()
        return [message(2092, i + 1)]

    def _set_joint_limits_cfg(self, arguments: list[str]) -> Replies:
        enabled = flag(arguments)
        self._deactivated()
        self._user_enabled = enabled
        self._apply_joint_limits()
        return [message(2093, int(enabled))]

    def _apply_joint_limits(self) -> None:
        limits = self._user if self._user_enabled else self._model
        self.controller.lower[:], self.controller.upper[:] = limits[:, 0], limits[:, 1]

    def _torque_cfg(self) -> str:
        return f"{self.controller.settings.torque_severity},{self.controller.settings.torque_mode}"

    def _set_torque_cfg(self, arguments: list[str]) -> Replies:
        severity, mode = floats(arguments, 2)
        if severity not in (0, 1, 2, 3, 4) or mode not in (0, 1, 2):
            raise ArgumentError(f"expected a severity of 0 to 4 and a mode of 0, 1 or 2, got {severity:g}, {mode:g}")

        self.controller.configure(lambda s: s.__dict__.update(torque_severity=int(severity), torque_mode=int(mode)))
        return []

    def _set_torque_limits(self, arguments: list[str]) -> Replies:
        limits = floats(arguments, len(self._model)) * 0.01
        if (limits < 0.001).any() or (limits > 1.0).any():
            raise ArgumentError("expected torque limits of 0.1 to 100 %")
        self.controller.configure(lambda settings: setattr(settings, "torque_limits", limits))
        return []
