"""What is going to be launched, chosen as for inference.launch.py, with the parameters that its nodes will have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insertion_vla_core.contract import Contract, load_contract
from insertion_vla_policy.registry import policy_names

from insertion_vla import launch_arguments as check
from insertion_vla.nodes import action_expert, arm, camera, force_sensor, lifecycle_manager, recorder, task, vlm
from insertion_vla.nodes import scripted_expert as scripted
from insertion_vla.parameters import ParameterModel
from insertion_vla.paths import config_file
from insertion_vla.preflight_checks.finding import Finding, NotDone
from insertion_vla.preflight_checks.parameter_file import read_parameters


@dataclass(frozen=True)
class Selection:
    """Launch arguments, checked.

    Attributes:
        hardware, policy, parts, views, namespace, host: as of the launch.
        params_file: parameters of every node.
        record: folder of recordings, empty for that of the parameters.
        models: parameters by node name; nodes whose parameters are wrong are missing.
        wrong: what is wrong with the parameters, one sentence each.
    """

    hardware: str
    policy: str
    parts: tuple[str, ...]
    views: tuple[str, ...]
    namespace: str
    host: str
    params_file: Path
    record: str
    models: Mapping[str, Any]
    wrong: tuple[str, ...]

    @property
    def simulated(self) -> bool:
        """Whether the launch starts the simulation."""
        return self.hardware == "sim"

    @property
    def scripted(self) -> bool:
        """Whether the simulation's expert acts, without vlm."""
        return self.policy == check.SCRIPTED

    @property
    def split(self) -> bool:
        """Whether other machines run the other parts; the simulation serves this machine alone."""
        return not self.simulated and set(self.parts) != set(check.PARTS)

    def parameters(self, node: str) -> Any:
        """Parameters of a node; raises NotDone where they are wrong."""
        if node not in self.models:
            raise NotDone(f"not checked: the parameters of '{node}' are wrong", "see the row 'parameters'")
        return self.models[node]

    def contract(self) -> Contract:
        """The contract of the graph; raises ValueError."""
        node = "scripted_expert" if self.scripted else "action_expert"
        return load_contract(config_file(self.parameters(node).contract_file))

    def nodes(self) -> list[str]:
        """Fully qualified names of the nodes that this launch starts here."""
        expert = ["scripted_expert"] if self.scripted else ["vlm", "action_expert"]
        of = {
            "robot": ["arm"],
            "sensor": ["force_sensor"],
            "cameras": [f"camera_{view}" for view in self.views],
            "inference": [*expert, "task", "lifecycle_manager"],
        }
        names = [name for part in self.parts for name in of[part]] + (["episode"] if self.record else [])
        return [f"{prefix(self.namespace)}/{name}" for name in names]


def select(given: Mapping[str, str]) -> Selection:
    """Checks the arguments as the launch does, and reads the parameters.

    Raises:
        ValueError: one sentence that names the wrong argument.
    """
    hardware = check.one_of("hardware", given["hardware"], check.HARDWARE)
    policy = check.policy_on(hardware, given["policy"], policy_names())
    parts = check.some_of("hosts", given["hosts"], check.PARTS)
    views = check.some_of("cameras", given["cameras"], check.VIEWS)
    namespace = check.namespace(given["namespace"])
    host = check.loopback(given["host"])
    file = check.parameter_file(given["params_file"] or str(config_file("params.yaml")), check.NODES)
    models: dict[str, Any] = {}
    wrong: list[str] = []
    for name, (model, launched) in _nodes(hardware, policy, views, host).items():
        try:
            models[name] = read_parameters(file, f"{prefix(namespace)}/{name}", model, launched)
        except ValueError as error:
            wrong += str(error).split("\n")
    return Selection(
        hardware, policy, tuple(parts), tuple(views), namespace, host, file, given["record"], models, tuple(wrong)
    )


def check_parameters(selection: Selection) -> list[Finding]:
    """Whether every node will take its parameters."""
    if selection.wrong:
        fix = f"correct {selection.params_file}"
        return [Finding("parameters", "fix", sentence, fix) for sentence in selection.wrong]
    return [Finding("parameters", "ok", f"{selection.params_file} fits all {len(selection.models)} nodes")]


def prefix(namespace: str) -> str:
    """The namespace with its slash in front and none behind; empty for the root."""
    return f"/{namespace.strip('/')}" if namespace.strip("/") else ""


def _nodes(
    hardware: str, policy: str, views: Sequence[str], host: str
) -> dict[str, tuple[type[ParameterModel], dict[str, Any]]]:
    """Model of each node's parameters, and those that the launch sets itself."""
    sim = hardware == "sim"
    devices = {
        view: {"driver": "zmq", "device": f"tcp://{host}:{check.CAMERA_PORTS[view]}"} if sim else {} for view in views
    }
    learned = {} if policy == check.SCRIPTED else {"policy": policy}
    return {
        "arm": (arm.Parameters, {"backend": "meca500", "meca500.address": host} if sim else {"backend": hardware}),
        "force_sensor": (force_sensor.Parameters, {"bind_address": host, "sender_address": host} if sim else {}),
        **{f"camera_{view}": (camera.Parameters, {"view": view, **devices[view]}) for view in views},
        "vlm": (vlm.Parameters, {**learned, "views": list(views)}),
        "action_expert": (action_expert.Parameters, learned),
        "scripted_expert": (scripted.Parameters, {"host": host} if sim else {}),
        "task": (task.Parameters, {}),
        "lifecycle_manager": (lifecycle_manager.Parameters, {}),
        "episode": (recorder.Parameters, {}),
    }
