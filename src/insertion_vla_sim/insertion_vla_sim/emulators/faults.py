"""The faults that the emulators can be told to have, each with its parameters, bounds and defaults."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from insertion_vla_sim.scene import VIEWS


class FaultError(ValueError):
    """An unknown fault or a parameter it cannot take; the sentence names what is known."""


@dataclass(frozen=True)
class Number:
    """A numeric parameter with its default and bounds."""

    default: float
    low: float
    high: float

    def check(self, name: str, value: Any) -> float:
        """The value as float, if it is a number in bounds."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise FaultError(f"{name} must be a finite number, got {value!r}")
        if not self.low <= value <= self.high:
            raise FaultError(f"{name} must be from {self.low:g} to {self.high:g}, got {value:g}")
        return float(value)


@dataclass(frozen=True)
class Choice:
    """A parameter that takes one of some words; the first is the default."""

    words: tuple[str, ...]

    @property
    def default(self) -> str:
        """The word taken when none is given."""
        return self.words[0]

    def check(self, name: str, value: Any) -> str:
        """The value, if it is one of the words."""
        if value not in self.words:
            raise FaultError(f"{name} must be one of {', '.join(self.words)}, got {value!r}")
        return str(value)


@dataclass(frozen=True)
class Fault:
    """One kind of fault: the device that has it, what it does, what can be chosen."""

    device: str
    does: str
    parameters: Mapping[str, Number | Choice] = field(default_factory=dict)


_FRACTION = {"fraction": Number(0.2, 0.0, 1.0)}
_VIEW = {"view": Choice(("all", *VIEWS))}

FAULTS: dict[str, Fault] = {
    "force_silent": Fault("force", "sends nothing"),
    "force_stuck": Fault("force", "repeats the values of the moment it started, with fresh stamps"),
    "force_saturate": Fault("force", "sends one raw force value", {"raw": Number(10.0, -1e4, 1e4)}),
    "force_step": Fault("force", "adds a force at once and for good", {"newtons": Number(1.0, -100.0, 100.0)}),
    "force_spike": Fault(
        "force",
        "adds a force for a moment",
        {"newtons": Number(5.0, -100.0, 100.0), "duration_s": Number(0.005, 0.001, 60.0)},
    ),
    "force_drift": Fault("force", "adds a growing force", {"newtons_per_s": Number(0.1, -100.0, 100.0)}),
    "force_nan": Fault("force", "sends NaN as force in a share of the records", _FRACTION),
    "force_loss": Fault("force", "loses a share of the datagrams", _FRACTION),
    "force_duplicate": Fault("force", "sends a share of the datagrams twice", _FRACTION),
    "force_reorder": Fault("force", "sends a share of the datagrams after their successor", _FRACTION),
    "force_burst": Fault("force", "saves records up and sends them together", {"records": Number(6, 2, 15)}),
    "force_malformed": Fault("force", "replaces a share of the datagrams by cut, grown or random ones", _FRACTION),
    "force_foreign": Fault("force", "a stranger at 127.99.99.99 sends records with +50 raw as well"),
    "clock_step": Fault("force", "the sensor's clock jumps", {"seconds": Number(5.0, -1e6, 1e6)}),
    "clock_drift": Fault("force", "the sensor's clock runs fast", {"ppm": Number(200.0, -1e5, 1e5)}),
    "camera_kill": Fault("camera", "sends no more frames", _VIEW),
    "camera_freeze": Fault("camera", "repeats its last image with fresh stamps", _VIEW),
    "camera_slow": Fault("camera", "sends at another period", _VIEW | {"period_s": Number(1.0, 0.05, 60.0)}),
    "robot_tcp_drop": Fault(
        "robot",
        "cuts its TCP connections; 'refuse' keeps them out until cleared",
        {"after": Choice(("accept", "refuse"))},
    ),
    "robot_silent": Fault("robot", "stops its monitoring data and keeps its sockets open"),
    "robot_estop": Fault("robot", "the emergency stop is pressed until cleared"),
    "robot_motion_error": Fault("robot", "a motion error, latched by the controller until reset by its client"),
}


def check(name: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of a fault, defaults filled in.

    Raises:
        FaultError: unknown fault or parameter, or a value out of bounds.
    """
    fault = FAULTS.get(name) if isinstance(name, str) else None
    if fault is None:
        near = difflib.get_close_matches(str(name), FAULTS, 1)
        hint = f", did you mean {near[0]}" if near else ""
        raise FaultError(f"unknown fault {name!r}{hint}; known: {', '.join(FAULTS)}")
    unknown = [key for key in given if key not in fault.parameters]
    if unknown:
        known = ", ".join(fault.parameters) or "none"
        raise FaultError(f"fault {name} has no parameter {unknown[0]!r}; its parameters: {known}")
    return {
        key: parameter.check(key, given[key]) if key in given else parameter.default
        for key, parameter in fault.parameters.items()
    }
