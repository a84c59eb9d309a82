"""The scripted expert behind the admin socket: a client sends what the robot senses, the answer is a plan.

What the expert may not sense (where the mouth and the axis are) stays in this process.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from insertion_vla_core.geometry import Pose, matrix_from_quaternion

from insertion_vla_sim.expert import ScriptedExpert, Senses
from insertion_vla_sim.scene import COLOURS
from insertion_vla_sim.world import World


class ExpertService:
    """One expert for one episode at a time."""

    def __init__(self) -> None:
        self._expert = ScriptedExpert()
        self._target = ""

    def reset(self, world: World, target: Any) -> dict[str, Any]:
        """Start a new episode towards one trocar.

        Raises:
            ValueError: there is no such trocar.
        """
        if target not in COLOURS:
            raise ValueError(f"expert_reset needs a target of {', '.join(COLOURS)}, got {target!r}")
        self._expert = ScriptedExpert(seed=world.layout.seed)
        self._target = target
        return {"policy_id": self._expert.policy_id, "target": target}

    def act(self, world: World, tool: Any, force_n: Any, surface_m: Any) -> dict[str, Any]:
        """Plan from the measured tool pose (x y z, quaternion x y z w), the force and the surface ahead (null: none).

        Raises:
            ValueError: no episode was started, or a number is missing or not finite.
        """
        if not self._target:
            raise ValueError("expected expert_reset before the first expert")
        numbers = [*tool, force_n] if isinstance(tool, list) else []
        if len(numbers) != 8 or not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers):
            raise ValueError(f"expert needs a tool of 7 finite numbers and a finite force_n, got {tool!r}, {force_n!r}")
        aim = world.truth(self._target).aim
        senses = Senses(
            tool=Pose(np.array(tool[:3], float), matrix_from_quaternion(np.array(tool[3:], float))),
            mouth=np.array(aim.mouth),
            axis=np.array(aim.axis),
            force_n=float(force_n),
            surface_m=math.nan if surface_m is None else float(surface_m),
        )
        plan = self._expert.act(senses)
        return {"deltas": plan.deltas.tolist(), "aux": plan.aux.tolist(), "status": plan.status}
