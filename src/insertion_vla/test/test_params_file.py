"""config/params.yaml fits the driver nodes, in any namespace, and says for each name what the node says."""

import pytest
import yaml

from ros_graph import Graph, open_graph  # isort: skip  (sets the environment before rclpy is imported)
from insertion_vla.managed_node import ManagedNode
from insertion_vla.nodes.arm import ArmNode
from insertion_vla.nodes.camera import CameraNode
from insertion_vla.nodes.force_sensor import ForceSensorNode
from insertion_vla.parameters import specs
from insertion_vla.paths import config_file

DOMAIN = 54
NODES = {
    "camera_front": CameraNode,
    "camera_side": CameraNode,
    "camera_hand": CameraNode,
    "force_sensor": ForceSensorNode,
    "arm": ArmNode,
}


@pytest.mark.parametrize("name", NODES)
def test_every_value_is_accepted_and_arrives(name):
    path = config_file("params.yaml")
    section = yaml.safe_load(path.read_text())[f"/**/{name}"]["ros__parameters"]
    with open_graph(DOMAIN) as graph:
        params = made(graph, name, str(path))._parameter_set.load()
    arrived = flat(params.model_dump())
    assert {key: arrived[key] for key in flat(section)} == flat(section)


@pytest.mark.parametrize("name", ["camera_front", "force_sensor", "arm"])
def test_every_parameter_is_shown_with_its_unit(name):
    section = yaml.safe_load(config_file("params.yaml").read_text())[f"/**/{name}"]["ros__parameters"]
    known = specs(NODES[name].Parameters)
    assert set(known) - set(flat(section)) <= {"ros2_control.joints"}  # an empty list has no type in YAML
    unitless = {"port", "width", "height", "jpeg_quality"}
    for key, spec in known.items():
        if spec.kind is float:
            assert spec.description.startswith("[") or key in unitless, key


def made(graph: Graph, name: str, path: str) -> ManagedNode:
    arguments = ["--ros-args", "-r", f"__node:={name}", "--params-file", path]
    node = graph.call(
        lambda: NODES[name](context=graph.context, namespace=f"{graph.namespace}/lab", cli_args=arguments)
    )
    graph._nodes.append(node)
    graph.executor.add_node(node)
    assert node.get_name() == name
    return node


def flat(section: dict, prefix: str = "") -> dict:
    """Nested YAML as dotted names."""
    result = {}
    for key, value in section.items():
        result |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return result
