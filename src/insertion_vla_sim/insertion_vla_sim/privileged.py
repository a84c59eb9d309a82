"""The scripted expert in the shape of a policy: force and A-line from the observation, the tube from the truth."""

from __future__ import annotations

import numpy as np
from insertion_vla_core.geometry import Pose, matrix_from_quaternion
from insertion_vla_core.observation import Observation

from insertion_vla_sim.expert import Plan, ScriptedExpert, Senses
from insertion_vla_sim.world import World

FORCE_WINDOW_NS = 40_000_000


class PrivilegedPolicy:
    """Acts on the target's true pose; what it feels comes through the sensors like any policy's."""

    def __init__(self, world: World, colour: str, seed: int, aim_error_m: float = 0.0) -> None:
        self._world, self._colour, self._seed = world, colour, seed
        self.expert = ScriptedExpert(aim_error_m, seed)
        self.policy_id = self.expert.policy_id

    def reset(self, goal: str, instruction: str) -> None:
        """Start a new goal; the colour was chosen when the policy was made."""
        self.expert.reset(self._seed)

    def act(self, observation: Observation) -> Plan:
        """Plan the next 0.8 s."""
        return self.expert.act(self.senses(observation))

    def senses(self, observation: Observation) -> Senses:
        """What the expert is given at this tick."""
        trocar = self._world.truth(self._colour).aim
        row = observation.streams["tool_pose"].values[-1]
        surface = _recent(observation, "surface_distance")
        return Senses(
            tool=Pose(row[:3].copy(), matrix_from_quaternion(row[3:7])),
            mouth=np.array(trocar.mouth),
            axis=np.array(trocar.axis),
            force_n=float(np.mean(_recent(observation, "force"))),
            surface_m=float(np.median(surface)) if len(surface) else float("nan"),
        )


def _recent(observation: Observation, stream: str) -> np.ndarray:
    """Values (n,) of a stream with one channel over the last FORCE_WINDOW_NS before the newest force sample."""
    stamps, values = observation.streams[stream].valid()
    return values[stamps > observation.newest_ns["force"] - FORCE_WINDOW_NS, 0]
