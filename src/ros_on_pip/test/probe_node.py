"""A node that says what it was started with, and ends; with `lifecycle` as argument a lifecycle node that stays."""

import json
import sys

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node

RCLPY_OWN = ("use_sim_time", "start_type_description_service")


def report():
    rclpy.init()
    node = Node("probe", automatically_declare_parameters_from_overrides=True)
    parameters = {name: p.value for name, p in node.get_parameters_by_prefix("").items() if name not in RCLPY_OWN}
    parameters = {name: list(value) if hasattr(value, "typecode") else value for name, value in parameters.items()}
    told = {
        "name": node.get_fully_qualified_name(),
        "chatter": node.resolve_topic_name("chatter"),
        "parameters": parameters,
        "arguments": sys.argv[1:][: sys.argv[1:].index("--ros-args")] if "--ros-args" in sys.argv else sys.argv[1:],
    }
    print("told " + json.dumps(told), flush=True)
    node.destroy_node()
    rclpy.shutdown()


def stay():
    rclpy.init()
    executor = SingleThreadedExecutor()
    executor.add_node(LifecycleNode("probe"))
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        return


if __name__ == "__main__":
    stay() if "lifecycle" in sys.argv else report()
