"""An arm under ros2_control: are its joint states there, and does its controller listen. Nothing is published."""

import time

import rclpy
from insertion_vla_core.kinematics import load_arm
from insertion_vla_core.limits import load_limits
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import JointState

from insertion_vla import qos
from insertion_vla.nodes.arm import Parameters
from insertion_vla.paths import config_file
from insertion_vla.preflight_checks.finding import Finding
from insertion_vla.preflight_checks.selection import Selection, prefix

FIND_S = 3.0
WATCH_S = 0.5


def check_ros2_control(selection: Selection) -> list[Finding]:
    """Joint states for half a second, and whether anyone subscribes to trajectories."""
    p: Parameters = selection.parameters("arm")
    settings = p.ros2_control
    arm = load_arm(p.arm if not p.arm.endswith((".yaml", ".yml")) else config_file(p.arm))
    names = set(settings.joints or arm.joint_names)
    limit_s = load_limits(config_file(p.limits_file)).robot_age
    context = Context()
    rclpy.init(args=[], context=context)
    try:
        node = Node("preflight_arm", context=context, namespace=prefix(selection.namespace) or None)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        came: list[tuple[float, JointState]] = []
        node.create_subscription(
            JointState, settings.state_topic, lambda m: came.append((time.monotonic(), m)), qos.ROBOT
        )
        until_s = time.monotonic() + FIND_S
        while time.monotonic() < until_s and not (came and came[-1][0] - came[0][0] > WATCH_S):
            executor.spin_once(timeout_sec=0.1)
        listeners = node.count_subscribers(settings.trajectory_topic)
        executor.shutdown()
        node.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)
    return [
        _states(settings.state_topic, came, names, limit_s),
        _controller(settings.trajectory_topic, listeners),
    ]


def _states(topic: str, came: list[tuple[float, JointState]], names: set[str], limit_s: float) -> Finding:
    if not came:
        fix = "start the robot's driver with its joint_state_broadcaster, in this ROS domain"
        return Finding("robot", "fix", f"no joint states on {topic} within {FIND_S:g} s", fix)
    if missing := sorted(names - set(came[-1][1].name)):
        fix = "correct arm.ros2_control.joints or the arm's file"
        return Finding("robot", "fix", f"{topic} has no joint {', '.join(missing)}", fix)
    rate_hz = (len(came) - 1) / max(1e-3, came[-1][0] - came[0][0])
    figures = f"{rate_hz:.0f} Hz of joint states on {topic}"
    if rate_hz * limit_s < 1.0:
        fix = f"raise the broadcaster's rate: the gate holds on states older than {limit_s * 1e3:g} ms"
        return Finding("robot", "fix", figures, fix)
    return Finding("robot", "ok", figures)


def _controller(topic: str, listeners: int) -> Finding:
    if not listeners:
        return Finding(
            "robot controller", "fix", f"nobody listens to {topic}", "activate the joint_trajectory_controller"
        )
    return Finding("robot controller", "ok", f"listens to {topic}")
