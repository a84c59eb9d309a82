"""The project as pip sees it, and the list of names in its README."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text()
MODULES = [
    "launch",
    "launch.actions",
    "launch.conditions",
    "launch.descriptions",
    "launch.event_handlers",
    "launch.events",
    "launch.events.process",
    "launch.frontend",
    "launch.launch_description_sources",
    "launch.substitutions",
    "launch.utilities",
    "launch_ros.actions",
    "launch_ros.descriptions",
    "launch_ros.event_handlers",
    "launch_ros.events.lifecycle",
    "launch_ros.substitutions",
    "launch_ros.utilities",
    "message_filters",
    "diagnostic_updater",
    "cv_bridge",
    "rosbag2_py",
    "rosidl_runtime_py",
]


@pytest.mark.parametrize("module", MODULES)
def test_readme_lists_every_name(module):
    names = importlib.import_module(module).__all__
    missing = [name for name in names if f"`{name}`" not in README and f"launch.{name}" not in README]
    assert names and not missing


def test_readme_lists_every_command():
    from ros2cli.main import VERBS

    assert not [verb for verb in VERBS if f"`ros2 {verb}`" not in README]


def test_names_in_the_readme_exist():
    bullets = re.findall(r"\*\*`(launch[\w.]*)`\*\*:(.*?)(?=^- |\*\*|^$|\Z)", README, flags=re.M | re.S)
    assert len(bullets) > 12
    for module, text in bullets:
        supported = re.sub(r"\([^()]*\)", "", text).split(";")[0]
        for name in re.findall(r"`(\w+)`", supported):
            assert hasattr(importlib.import_module(module), name) or name == "type_utils", (module, name)


def build(tmp_path, **environment):
    """What setup.py says when the project is to be built."""
    return subprocess.run(
        [sys.executable, "setup.py", "--version"],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_it_refuses_beside_the_real_packages(tmp_path):
    markers = tmp_path / "share" / "ament_index" / "resource_index" / "packages"
    markers.mkdir(parents=True)
    (markers / "insertion_vla").touch()
    assert build(tmp_path, AMENT_PREFIX_PATH=str(tmp_path)).returncode == 0
    (markers / "launch_ros").touch()
    refused = build(tmp_path, AMENT_PREFIX_PATH=f"/nowhere{os.pathsep}{tmp_path}")
    assert refused.returncode == 1 and f"found launch_ros in {tmp_path}" in refused.stderr


def test_a_distribution_on_the_path_comes_first(tmp_path):
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch" / "__init__.py").write_text("")
    command = [sys.executable, "-c", "import launch; print(launch.__file__)"]
    found = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, cwd="/"
    )
    assert found.stdout.strip() == str(tmp_path / "launch" / "__init__.py")
