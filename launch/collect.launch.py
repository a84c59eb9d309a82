"""Records episodes of the scripted expert in simulation through the real graph; ends by itself with a summary.

Exit code 0 when every episode was recorded and is fit for training. `collect --fast` writes the same bags in lock-step,
without ROS and faster than real time.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

from insertion_vla import launch_arguments as check
from launch import LaunchDescription

SHARE = Path(get_package_share_directory("insertion_vla"))
ARGUMENTS = (
    ("episodes", "10", "how many"),
    ("seed", "0", "of the first episode; the others count up"),
    ("randomisation", "train", "set of scenes: train or heldout"),
    ("folder", "recordings", "where bags go; made if it is not there"),
    ("timeout", "60", "[s] time limit of each insertion"),
    ("host", "127.0.0.1", "loopback address of the simulation"),
    ("log_level", "warn", "debug, info, warn, error or fatal"),
)


def generate_launch_description() -> LaunchDescription:
    declared = [DeclareLaunchArgument(name, default_value=value, description=text) for name, value, text in ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=collection)])


def collection(context) -> list:
    given = context.launch_configurations
    folder = str(Path(given["folder"]).expanduser().absolute())
    host, level = check.loopback(given["host"]), check.one_of("log_level", given["log_level"], check.LOG_LEVELS)
    words = {
        "episodes": str(check.count("episodes", given["episodes"])),
        "seed": str(check.seed(given["seed"])),
        "randomisation": check.one_of("randomisation", given["randomisation"], ("train", "heldout")),
        "timeout": str(check.seconds("timeout", given["timeout"])),
        "host": host,
        "folder": folder,
    }
    stack = {"policy": "scripted", "status": "false", "record": folder, "host": host, "log_level": level}
    source = PythonLaunchDescriptionSource(str(SHARE / "launch" / "inference.launch.py"))
    client = Node(
        package="insertion_vla",
        executable="collect_episodes",
        arguments=[part for name, value in words.items() for part in (f"--{name}", value)],
        output="screen",
        on_exit=_end,
    )
    return [IncludeLaunchDescription(source, launch_arguments=list((stack | {"seed": words["seed"]}).items())), client]


def _end(event, context) -> list:
    """The client has ended, and so does the launch; what is raised here is its exit code 1."""
    if event.returncode and not context.is_shutdown:
        raise RuntimeError(f"collect_episodes ended with code {event.returncode}; its words are above")
    return [Shutdown(reason="all episodes are collected")]
