"""The device emulators alone: physics, force sensor, robot controller and cameras of the simulation. No ROS nodes."""

from pathlib import Path

from ament_index_python.packages import get_package_prefix
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction

from insertion_vla import launch_arguments as check
from launch import LaunchDescription

SIM = "insertion_vla_sim"


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            DeclareLaunchArgument("seed", default_value="0", description="which scene: a whole number"),
            DeclareLaunchArgument("host", default_value="127.0.0.1", description="loopback address of every device"),
            DeclareLaunchArgument("video", default_value="", description="save a video here: FILE.gif or FILE.mp4"),
            DeclareLaunchArgument("viewer", default_value="false", description="open a window: true or false"),
            OpaqueFunction(function=emulators),
        ]
    )


def emulators(context) -> list:
    given = context.launch_configurations
    arguments = ["--host", check.loopback(given["host"]), "--seed", str(check.seed(given["seed"]))]
    if given["video"]:
        arguments += ["--video", str(check.video(given["video"]))]
    if check.yes_no("viewer", given["viewer"]):
        arguments += ["--viewer"]
    # Not a Node: an emulator is no ROS process and takes no --ros-args. It starts its renderer itself.
    executable = Path(get_package_prefix(SIM), "lib", SIM, "sim")
    return [ExecuteProcess(cmd=[str(executable), *arguments], name="sim", output="screen")]
