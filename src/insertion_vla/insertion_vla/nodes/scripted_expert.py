"""The simulation's expert in the slot of the action expert, to collect data: it knows where the trocar is.

Its logic and its privileged knowledge stay in the simulation; this node sends what the robot senses over the admin
socket and publishes the answer as chunks. Needs no features.

subscribes: the topics of the contract except vlm/features, task/state
publishes:  action_expert/chunk at 10 Hz while task/state permits motion for a goal
parameters: see Parameters
on failure: as action_expert; a simulation that does not answer or refuses deactivates this node with the cause.
"""

import sys

import numpy as np
from insertion_vla_core.chunk import HORIZON
from insertion_vla_core.observation import Observation
from insertion_vla_core.realtime import PLAN_PRIORITY, take_realtime_priority
from insertion_vla_policy.protocol import Action, Expert
from pydantic import Field

from insertion_vla.managed_node import run
from insertion_vla.nodes.action_expert import FORCE, TOOL, ActionExpert
from insertion_vla.parameters import ParameterModel
from insertion_vla.sim_admin import AdminError, SimAdmin, named_target

SURFACE = "surface_distance"
RECENT_NS = 40_000_000  # force and surface are averaged over this long


class Parameters(ParameterModel):
    """Parameters of the scripted expert."""

    host: str = Field(default="127.0.0.1", description="loopback address of the simulation")
    contract_file: str = Field(default="contracts/insertion.yaml", description="contract of the observations")


class RemoteExpert(Expert):
    """The expert in the simulation's process."""

    policy_id = "scripted_expert"

    def __init__(self, admin: SimAdmin) -> None:
        self._admin = admin

    def reset(self, goal: str, instruction: str) -> None:
        """Starts an episode towards the trocar that the instruction names."""
        self._admin.ask("expert_reset", target=named_target(instruction))

    def act(self, observation: Observation) -> Action:
        """Plans from the measured tool pose, the recent force and the surface ahead."""
        force_n, surface_m = recent(observation, FORCE), recent(observation, SURFACE)
        tool = observation.streams[TOOL].values[-1].tolist()
        plan = self._admin.ask("expert", tool=tool, force_n=force_n, surface_m=surface_m)
        return Action(np.array(plan["deltas"]).reshape(HORIZON, 6), np.array(plan["aux"]), plan["status"])


class ScriptedExpert(ActionExpert):
    """As the action expert, with the expert in another process and without features."""

    NAME = "scripted_expert"
    Parameters = Parameters
    _admin: SimAdmin | None = None

    def setup(self) -> None:
        """Loads the contract without its payloads and connects to the simulation."""
        super().setup()
        seen = tuple(stream for stream in self._contract.observations if not stream.payload)
        self._contract = self._contract.model_copy(update={"observations": seen})

    def make_expert(self) -> Expert:
        """Connects to the simulation."""
        try:
            self._admin = SimAdmin(self.params.host)
        except AdminError as error:
            raise ValueError(str(error)) from None
        return RemoteExpert(self._admin)

    def teardown(self) -> None:
        """Closes the connection."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None


def recent(observation: Observation, stream: str) -> float | None:
    """Median of a stream's rows of the time before the newest force sample, None when there are none."""
    stamps, values = observation.streams[stream].valid()
    # As in lock-step: a block of force that is a little late is no reason to have no force at all.
    values = values[stamps > observation.newest_ns[FORCE] - RECENT_NS]
    return float(np.median(values)) if len(values) else None


def main() -> int:
    """Runs the node."""
    take_realtime_priority(PLAN_PRIORITY)
    return run(ScriptedExpert)


if __name__ == "__main__":
    sys.exit(main())
