"""The limits that the gate enforces: one table, checked when it is read, and only ever tightened afterwards."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from insertion_vla_core.strict_yaml import StrictModel, load_strict

Vector3 = tuple[float, float, float]

# Which entry must stay below which other one.
ORDERED = (
    ("contact_speed", "free_speed"),
    ("contact_angular_speed", "free_angular_speed"),
    ("force_contact", "force_soft"),
    ("force_soft", "force_hard"),
    ("force_hard", "force_saturation"),
    ("force_drift", "force_hard"),
    ("chunk_jump", "deviation"),
    ("chunk_turn", "angular_deviation"),
)


class Limits(StrictModel):
    """What the arm may do. Every entry is required: a missing limit is an error, never a default.

    Smaller is tighter everywhere except in `workspace_min`.
    """

    free_speed: float = Field(gt=0.0, le=0.25, description="Tip speed away from contact [m/s]")
    contact_speed: float = Field(gt=0.0, le=0.05, description="Tip speed near contact (auxiliary channel, force) [m/s]")
    free_angular_speed: float = Field(gt=0.0, le=2.0, description="Turn rate away from contact [rad/s]")
    contact_angular_speed: float = Field(gt=0.0, le=1.0, description="Turn rate near contact [rad/s]")
    linear_acceleration: float = Field(ge=0.05, le=5.0, description="Of the commanded tip speed [m/s^2]")
    angular_acceleration: float = Field(ge=0.5, le=50.0, description="Of the commanded turn rate [rad/s^2]")
    joint_speed: float = Field(gt=0.0, le=5.0, description="Of every joint; slows the tip near singularities [rad/s]")
    workspace_min: Vector3 = Field(strict=False, description="Lower corner of the box for the tip, base frame [m]")
    workspace_max: Vector3 = Field(strict=False, description="Upper corner of the box for the tip, base frame [m]")
    chunk_age: float = Field(gt=0.0, le=0.8, description="A chunk is followed this long after its observation [s]")
    chunk_jump: float = Field(gt=0.0, le=0.05, description="From the measured tip to where a new chunk sets in [m]")
    chunk_turn: float = Field(gt=0.0, le=1.0, description="The same for the orientation [rad]")
    deviation: float = Field(gt=0.0, le=0.05, description="Between commanded and measured tip; beyond: FAULT [m]")
    angular_deviation: float = Field(gt=0.0, le=1.0, description="The same for the orientation [rad]")
    robot_age: float = Field(gt=0.0, le=0.5, description="Age of the newest robot state [s]")
    heartbeat_age: float = Field(gt=0.0, le=1.0, description="Age of the newest permission to move [s]")
    force_contact: float = Field(gt=0.0, le=20.0, description="Above it the contact speeds apply [N]")
    force_soft: float = Field(gt=0.0, le=20.0, description="Above it slower still, down to a tenth [N]")
    force_hard: float = Field(gt=0.0, le=20.0, description="Above it FAULT [N]")
    force_saturation: float = Field(gt=0.0, le=100.0, description="The sensor's end of range [N]")
    force_rate: float = Field(gt=0.0, le=1000.0, description="Rise of force within 10 ms; beyond: FAULT [N/s]")
    force_gap: float = Field(gt=0.0, le=0.1, description="Without a sample for longer: FAULT in motion [s]")
    force_stuck: float = Field(ge=0.05, le=5.0, description="The very same value for longer: FAULT [s]")
    force_drift: float = Field(gt=0.0, le=20.0, description="Mean force that is implausible without contact [N]")
    retract_speed: float = Field(gt=0.0, le=0.02, description="Operator retract [m/s]")
    retract_distance: float = Field(ge=0.001, le=0.1, description="Longest operator retract [m]")
    retract_force_rise: float = Field(gt=0.0, le=2.0, description="Rise above the least force so far ends it [N]")

    @model_validator(mode="after")
    def _in_order(self) -> Limits:
        for lower, upper in ORDERED:
            low, high = getattr(self, lower), getattr(self, upper)
            if not low < high:
                raise ValueError(f"expected {lower} below {upper}, got {low:g} and {high:g}")
        for axis, low, high in zip("xyz", self.workspace_min, self.workspace_max, strict=True):
            if not low < high:
                raise ValueError(f"expected workspace_min below workspace_max in {axis}, got {low:g} and {high:g}")
        return self

    def tightened(self, new: Limits) -> Limits:
        """`new`, if nothing in it is looser than here.

        Raises:
            ValueError: naming every entry that would be looser.
        """
        looser = []
        for name in type(self).model_fields:
            old_value, new_value = getattr(self, name), getattr(new, name)
            if name == "workspace_min":
                loose = any(n < o for n, o in zip(new_value, old_value, strict=True))
            elif name == "workspace_max":
                loose = any(n > o for n, o in zip(new_value, old_value, strict=True))
            else:
                loose = new_value > old_value
            if loose:
                looser.append(f"{name} from {old_value} to {new_value}")
        if looser:
            raise ValueError(
                f"limits can only be tightened while the gate runs, got looser {'; '.join(looser)}: "
                "change the file and configure again"
            )
        return new


def load_limits(path: str | Path) -> Limits:
    """Read a table of limits from YAML.

    Raises:
        ValueError: naming every missing, unknown, non-finite or out-of-bounds entry.
    """
    return load_strict(path, Limits, "a table of limits")
