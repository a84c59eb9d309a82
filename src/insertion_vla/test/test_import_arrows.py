"""The layers of the workspace are told by its imports: they only go down, and some never meet.

Ground floor: core. First floor: policy and sim, side by side. Top: training (core, policy, sim) and the nodes (core,
policy). Only the nodes know rclpy; driver nodes never know torch.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2]
ROS = {"rclpy", "rosbag2_py", "launch", "launch_ros", "cv_bridge", "message_filters", "diagnostic_updater"}
FORBIDDEN = {
    "insertion_vla_core": {"insertion_vla", "insertion_vla_policy", "insertion_vla_sim", "torch", *ROS},
    "insertion_vla_policy": {"insertion_vla", "insertion_vla_sim", *ROS},
    "insertion_vla_sim": {"insertion_vla", "insertion_vla_policy", "torch", *ROS},
    "insertion_vla_training": {"insertion_vla", *ROS},
    "insertion_vla": {"insertion_vla_sim", "insertion_vla_training"},
}
DRIVERS = ("nodes/camera.py", "nodes/force_sensor.py", "nodes/arm.py", "arms", "cameras")


def imported(path: Path) -> Iterator[str]:
    """Top-level names of every module that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def python_files(package: str) -> list[Path]:
    files = sorted((SOURCE / package / package).rglob("*.py"))
    assert files, f"no Python file found for {package} under {SOURCE}"
    return files


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_only_go_down(package: str) -> None:
    wrong = [
        f"{path.relative_to(SOURCE)} imports {name}"
        for path in python_files(package)
        for name in imported(path)
        if name in FORBIDDEN[package] or name == f"{package}_interfaces" and package != "insertion_vla"
    ]
    assert not wrong, "\n".join(wrong)


def test_core_knows_numpy_pydantic_and_yaml_only() -> None:
    allowed = {"insertion_vla_core", "numpy", "pydantic", "yaml"}
    foreign = {
        f"{path.name}: {name}"
        for path in python_files("insertion_vla_core")
        for name in imported(path)
        if name not in allowed and name not in sys.stdlib_module_names
    }
    assert not foreign


def reachable(start: list[Path], package: str) -> set[str]:
    """Names imported by some files of a package and, transitively, by the package's modules that they import."""
    root = SOURCE / package / package
    todo, seen, names = list(start), set(), set()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        names.update(imported(path))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == package:
                inner = root.joinpath(*node.module.split(".")[1:])
                candidates = [inner.with_suffix(".py"), *(inner / f"{a.name}.py" for a in node.names)]
                todo += [c for c in candidates if c.is_file()]
    return names


def test_drivers_never_reach_torch_or_the_policy() -> None:
    root = SOURCE / "insertion_vla" / "insertion_vla"
    starts = [f for d in DRIVERS for f in ([root / d] if d.endswith(".py") else sorted((root / d).glob("*.py")))]
    assert len(starts) >= len(DRIVERS)
    assert not reachable(starts, "insertion_vla") & {"torch", "insertion_vla_policy", "transformers"}


def test_nothing_unpickles() -> None:
    wrong = [
        f"{path.relative_to(SOURCE)} imports {name}"
        for package in FORBIDDEN
        for path in python_files(package)
        for name in imported(path)
        if name in {"pickle", "dill", "joblib", "shelve", "cloudpickle"}
    ]
    assert not wrong
