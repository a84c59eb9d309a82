"""Write launch files and run launch descriptions in tests."""

import textwrap

from launch import LaunchDescription, LaunchService

HEADER = """
import sys
from launch import *
from launch.actions import *
from launch.conditions import *
from launch.substitutions import *
from launch_ros.actions import *

def python(code, **kwargs):
    return ExecuteProcess(cmd=[sys.executable, "-c", code], **{"output": "screen", **kwargs})
"""


def write_launch_file(path, entities, extra=""):
    """A launch file of the entities, given as Python source."""
    body = textwrap.indent(textwrap.dedent(entities).strip(), " " * 8)
    path.write_text(
        f"{HEADER}\n{textwrap.dedent(extra)}\n"
        f"def generate_launch_description():\n    return LaunchDescription([\n{body}\n    ])\n"
    )
    return path


def run_launch(*entities, service=None):
    """Run entities to their end; (return code, context)."""
    service = service or LaunchService()
    service.include_launch_description(LaunchDescription(list(entities)))
    return service.run(), service.context
