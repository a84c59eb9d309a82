"""The recorder beside a running graph: one bag per episode, by services, by keys (record_keys) or with every goal."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch_ros.actions import Node

from insertion_vla import launch_arguments as check
from launch import LaunchDescription

SHARE = Path(get_package_share_directory("insertion_vla"))
ARGUMENTS = (
    ("folder", "recordings", "where bags go; made if it is not there"),
    ("auto", "false", "record every run_insertion goal by itself, labelled by its result: true or false"),
    ("namespace", "", "namespace of the graph"),
    ("params_file", str(SHARE / "config" / "params.yaml"), "parameters; the section is 'episode'"),
    ("use_respawn", "true", "restart the recorder if its process ends: true or false"),
    ("log_level", "info", "debug, info, warn, error or fatal"),
)


def generate_launch_description() -> LaunchDescription:
    declared = [DeclareLaunchArgument(name, default_value=value, description=text) for name, value, text in ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=recorder)])


def recorder(context) -> list:
    given = context.launch_configurations
    file = check.parameter_file(given["params_file"], check.NODES)
    chosen = {"folder": str(Path(given["folder"]).expanduser().absolute()), "auto": check.yes_no("auto", given["auto"])}
    return [
        Node(
            package="insertion_vla",
            executable="recorder",
            name="episode",
            namespace=check.namespace(given["namespace"]),
            parameters=[str(file), chosen],
            respawn=check.yes_no("use_respawn", given["use_respawn"]),
            respawn_delay=1.0,
            output="screen",
            ros_arguments=["--log-level", check.one_of("log_level", given["log_level"], check.LOG_LEVELS)],
        )
    ]
