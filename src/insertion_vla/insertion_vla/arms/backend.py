"""What the arm node asks of a robot back end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from insertion_vla_core.geometry import Pose
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RobotState:
    """One measurement of the robot.

    Attributes:
        stamp_ns: acquisition time on the local wall clock.
        q: (n,) joint positions [rad].
        dq: (n,) joint velocities [rad/s], None where the robot sends none.
        tip: tool pose in the base frame as the robot itself reports it, None where it reports none.
    """

    stamp_ns: int
    q: Vector
    dq: Vector | None = None
    tip: Pose | None = None


OnState = Callable[[RobotState], None]  # called in the back end's thread for every measurement
OnTrouble = Callable[[str], None]  # the robot cannot move any more, and its reason; called in any thread


class Backend(Protocol):
    """One kind of robot controller. Its I/O runs in its own threads; ``send`` and ``halt`` never block."""

    def connect(self) -> None:
        """Reach the robot and begin to receive its state; raises OSError with a sentence."""

    def make_ready(self, reset: bool) -> None:
        """Bring the robot to where it accepts velocities, standing still.

        Args:
            reset: a person asked to clear the robot's error or safety stop; without it they are reasons to refuse.

        Raises:
            OSError: the robot's reason.
        """

    def send(self, twist: Vector, q: Vector) -> None:
        """Ask for a twist (6,) [m/s, rad/s] of the tool tip in base axes, with the newest joints q (n,)."""

    def halt(self) -> None:
        """Zero velocity at once; may be called from any thread, in any state."""

    def idle(self) -> None:
        """Stand still and expect no commands until the next ``make_ready``."""

    def give_up(self) -> None:
        """The process is to end: leave off waiting for the robot to answer; may be called from any thread."""

    def close(self) -> None:
        """Stand still and let go of the robot; may be called twice."""

    def facts(self) -> dict[str, str]:
        """What the diagnostics should show."""
