"""`ros2 run PACKAGE EXECUTABLE [ARGUMENTS...]`"""

import argparse
import os
import shlex
import sys

from ros2cli.errors import CommandError
from ros2cli.packages import executable_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prefix", help="command line to put before the executable, such as 'gdb --args'")
    parser.add_argument("package_name", help="name of the ROS package")
    parser.add_argument("executable_name", help="name of the executable in lib/PACKAGE")
    parser.add_argument("argv", nargs=argparse.REMAINDER, help="arguments for the executable")


def main(args: argparse.Namespace) -> int:
    """Become the executable: signals reach it and its exit code is the command's, without a process in between."""
    path = executable_path(args.package_name, args.executable_name)
    command = [*shlex.split(args.prefix or ""), path, *args.argv]
    sys.stdout.flush()
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise CommandError(f"cannot run '{command[0]}': {error.strerror}") from error
