"""Ground truth of an episode: depths, overshoot and what counts as success. Never shown to a policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from insertion_vla_core.geometry import Pose

from insertion_vla_sim import scene
from insertion_vla_sim.randomise import Layout

MAX_OVERSHOOT_M = 0.0005
MAX_SHORT_M = 0.0005  # a tip farther before the membrane has been drawn back and is not at depth
MAX_FORCE_N = 2.0
CONTACT_FORCE_N = 0.02


@dataclass
class TouchedTube:
    """What the needle did to one membrane since the reset."""

    touched: bool = False
    peak_overshoot_m: float = 0.0

    def update(self, overshoot_m: float) -> None:
        self.touched = True
        self.peak_overshoot_m = max(self.peak_overshoot_m, overshoot_m)


@dataclass(frozen=True)
class Trocar:
    """One tube as it stands now. `axis` points into the tube; depths are along it, from the mouth [m]."""

    colour: str
    mouth: tuple[float, float, float]
    axis: tuple[float, float, float]
    membrane_depth_m: float
    tip_depth_m: float
    lateral_m: float
    overshoot_m: float
    touched: bool
    peak_overshoot_m: float

    @property
    def inside(self) -> bool:
        """Whether the tip is within the bore."""
        return 0.0 < self.tip_depth_m and self.lateral_m < scene.HOLE_RADIUS_M


@dataclass(frozen=True)
class Truth:
    """Privileged state at one instant."""

    time_s: float
    target: str
    trocars: dict[str, Trocar]
    force_n: float
    peak_force_n: float
    contact: bool

    @staticmethod
    def measure(
        layout: Layout,
        tubes: Sequence[Pose],
        tip: np.ndarray,
        touched: Sequence[TouchedTube],
        *,
        target: str,
        time_s: float,
        force_n: float,
        peak_force_n: float,
    ) -> Truth:
        """Build the truth from the tubes' poses (mouth, +z outwards) and the needle tip (3,)."""
        if target not in layout.colours:
            raise ValueError(f"target must be one of {', '.join(sorted(layout.colours))}, got {target!r}")
        trocars = {}
        for i, (colour, tube) in enumerate(zip(layout.colours, tubes, strict=True)):
            local = tube.inverse().apply(tip)
            depth = -float(local[2])
            membrane = float(layout.membrane_depth_m[i])
            trocars[colour] = Trocar(
                colour=colour,
                mouth=_triple(tube.position),
                axis=_triple(-tube.rotation[:, 2]),
                membrane_depth_m=membrane,
                tip_depth_m=depth,
                lateral_m=float(np.hypot(local[0], local[1])),
                overshoot_m=depth - membrane,
                touched=touched[i].touched,
                peak_overshoot_m=touched[i].peak_overshoot_m,
            )
        return Truth(time_s, target, trocars, force_n, peak_force_n, force_n > CONTACT_FORCE_N)

    @property
    def aim(self) -> Trocar:
        """The target trocar."""
        return self.trocars[self.target]

    @property
    def tip_depth_m(self) -> float:
        return self.aim.tip_depth_m

    @property
    def lateral_m(self) -> float:
        return self.aim.lateral_m

    @property
    def overshoot_m(self) -> float:
        return self.aim.overshoot_m

    def wrong_trocar(self, colour: str | None = None) -> str | None:
        """The colour of another tube than the named one whose membrane was touched or that the tip is in, or None."""
        others = (trocar for trocar in self.trocars.values() if trocar.colour != (colour or self.target))
        return next((trocar.colour for trocar in others if trocar.touched or trocar.inside), None)

    def success(self, colour: str | None = None) -> bool:
        """Whether the needle is where it should be, and has done no harm on its way there.

        The tip is inside the named tube and has touched its membrane; it stands within 0.5 mm of it and was never more
        than 0.5 mm past it; no other tube's membrane was touched; the force never rose above 2 N.
        """
        trocar = self.trocars[colour or self.target]
        return (
            trocar.inside
            and trocar.touched
            and -MAX_SHORT_M <= trocar.overshoot_m <= MAX_OVERSHOOT_M
            and trocar.peak_overshoot_m <= MAX_OVERSHOOT_M
            and self.wrong_trocar(colour) is None
            and self.peak_force_n <= MAX_FORCE_N
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and booleans, ready for JSON."""
        return {
            **asdict(self),
            "tip_depth_m": self.tip_depth_m,
            "lateral_m": self.lateral_m,
            "overshoot_m": self.overshoot_m,
            "success": self.success(),
        }


def _triple(vector: np.ndarray) -> tuple[float, float, float]:
    x, y, z = vector.tolist()
    return x, y, z
