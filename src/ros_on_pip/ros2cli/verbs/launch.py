"""`ros2 launch PACKAGE FILE [name:=value ...]` or `ros2 launch PATH [name:=value ...]`"""

import argparse
import os
import sys

from ament_index_python.packages import get_packages_with_prefixes

from ros2cli.errors import CommandError
from ros2cli.packages import launch_file_path
from ros2cli.wheels import enter_wheels_environment

# Options may stand between and after `name:=value`.
INTERMIXED = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-n",
        "--noninteractive",
        action="store_true",
        default=not sys.stdin.isatty(),
        help="there is no terminal whose Ctrl-C reaches the launched processes (default if stdin is no terminal)",
    )
    parser.add_argument("-d", "--debug", action="store_true", help="more verbose output of the launch system")
    only = parser.add_mutually_exclusive_group()
    only.add_argument(
        "-p", "--print", "--print-description", action="store_true", help="print the launch description, do not run it"
    )
    only.add_argument(
        "-s",
        "--show-args",
        "--show-arguments",
        action="store_true",
        help="print the arguments that the launch file takes, do not run it",
    )
    parser.add_argument(
        "-a",
        "--show-all-subprocesses-output",
        action="store_true",
        help="show the output of all processes, whatever the launch file says",
    )
    parser.add_argument("package_name", help="name of the ROS package, or path of a launch file")
    parser.add_argument("launch_file_name", nargs="?", help="name of the launch file in the package")
    parser.add_argument("launch_arguments", nargs="*", help="arguments of the launch file: '<name>:=<value>'")


def main(args: argparse.Namespace) -> int:
    path, arguments = find_launch_file(args)
    pairs = parse_launch_arguments(arguments)
    if args.show_all_subprocesses_output:
        os.environ["OVERRIDE_LAUNCH_PROCESS_OUTPUT"] = "both"
    # Before anything is started: importing rclpy, as launch files may, restarts Python once.
    enter_wheels_environment()
    if args.show_args or args.print:
        print_launch_file(path, arguments_only=args.show_args)
        return 0
    return launch_file(path, pairs, arguments, debug=args.debug, noninteractive=args.noninteractive)


def find_launch_file(args: argparse.Namespace) -> tuple[str, list[str]]:
    """Path of the file, and the `name:=value` arguments."""
    first, second = args.package_name, args.launch_file_name
    if second is None or ":=" in second or (os.path.isfile(first) and first not in get_packages_with_prefixes()):
        if not os.path.isfile(first):
            what = "a package and the name of a launch file, or the path of a launch file"
            raise CommandError(f"expected {what}; there is no file '{first}'")
        return os.path.abspath(first), [second, *args.launch_arguments] if second else args.launch_arguments
    return launch_file_path(first, second), args.launch_arguments


def parse_launch_arguments(arguments: list[str]) -> dict[str, str]:
    """`name:=value` texts; the last one of a name wins."""
    pairs = {}
    for argument in arguments:
        name, separator, value = argument.partition(":=")
        if not separator or not name or not value:
            raise CommandError(f"malformed launch argument '{argument}', expected format '<name>:=<value>'")
        pairs[name] = value
    return pairs


def print_launch_file(path: str, *, arguments_only: bool) -> None:
    from launch.launch_description_sources import get_launch_description_from_any_launch_file

    from launch import LaunchIntrospector

    try:
        description = get_launch_description_from_any_launch_file(path)
    except Exception as error:
        raise CommandError(str(error)) from error
    if arguments_only:
        print("\n".join(format_arguments(description.get_launch_arguments())))
    else:
        print(LaunchIntrospector().format_launch_description(description))


def format_arguments(arguments: list) -> list[str]:
    """Lines that describe the arguments of a launch file."""
    lines = ["Arguments (pass arguments as '<name>:=<value>'):"]
    for argument in arguments:
        star = "*" if argument._conditionally_included else ""
        lines += ["", f"    '{argument.name}':{star}", f"        {argument.description}"]
        if argument.default_value is not None:
            default = " + ".join(token.describe() for token in argument.default_value)
            lines.append(f"        (default: {default})")
    if not arguments:
        lines += ["", "  No arguments."]
    if any(argument._conditionally_included for argument in arguments):
        lines += ["", "* argument(s) which are only used if specific conditions occur"]
    return lines


def launch_file(path: str, pairs: dict[str, str], argv: list[str], *, debug: bool, noninteractive: bool) -> int:
    """Run the launch file until it ends; 0, or 1 after an error."""
    from launch.actions import IncludeLaunchDescription
    from launch.launch_description_sources import AnyLaunchDescriptionSource

    from launch import LaunchDescription, LaunchService

    service = LaunchService(argv=argv, noninteractive=noninteractive, debug=debug)
    include = IncludeLaunchDescription(AnyLaunchDescriptionSource(path), launch_arguments=pairs.items())
    service.include_launch_description(LaunchDescription([include]))
    return service.run()
