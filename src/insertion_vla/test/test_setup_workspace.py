"""What a newcomer reads when a machine lacks something that the set-up needs."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files that the set-up reads, in a folder of their own whose path has a space."""
    folder = tmp_path / "a clone"
    for name in ("tools", "requirements"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "src" / "ros_on_pip").mkdir(parents=True)
    (folder / "src" / "ros_on_pip" / "pyproject.toml").write_text("")
    return folder


@pytest.fixture
def setup(clone: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The set-up script of the clone, imported, without a ROS 2 distribution around it."""
    spec = importlib.util.spec_from_file_location("setup_workspace", clone / "tools" / "setup_workspace.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    return module


def folder_with(tmp_path: Path, **programs: str) -> str:
    """A folder to stand as the whole PATH, holding only these shell scripts."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in programs.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    return str(folder)


def test_no_compiler_is_named_with_the_command_that_installs_one(clone: Path, tmp_path: Path) -> None:
    env = {"PATH": folder_with(tmp_path), "HOME": str(tmp_path)}
    script = clone / "tools" / "setup_workspace.py"
    done = subprocess.run([sys.executable, script], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "expected a C++ compiler" in done.stderr and "sudo apt install g++" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (clone / ".venv").exists()


def test_a_python_of_another_version_is_refused_by_number(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "PYTHONS", ((3, 98), (3, 99)))
    with pytest.raises(setup.StepFailed, match=r"expected Python 3\.98 or 3\.99; found 3\.\d+(.|\n)*make PYTHON="):
        setup.find_python(None)


def test_a_full_disk_is_told_before_anything_is_written(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(setup.shutil, "disk_usage", lambda _: usage._replace(free=100_000_000))
    with pytest.raises(setup.StepFailed, match=r"expected 2\.7 GB of free disk(.|\n)*found 0\.1 GB(.|\n)*free some"):
        setup.check_machine(None, "demo")
    assert not setup.VENV.exists()


def test_a_missing_venv_module_is_named_with_its_package(setup: ModuleType, tmp_path: Path) -> None:
    python = folder_with(
        tmp_path,
        python3=f'case "$*" in *venv*) echo "No module named venv" >&2; exit 1;; esac; exec "{sys.executable}" "$@"',
    )
    with pytest.raises(setup.StepFailed, match=r"No module named venv(.|\n)*sudo apt install python3\.\d+-venv"):
        setup.make_venv(f"{python}/python3", None)


def test_offline_says_to_check_the_network(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    setup.make_venv(sys.executable, None)
    with pytest.raises(setup.StepFailed, match="expected pip to install(.|\n)*check the network connection"):
        setup.install_packages(None, "everything")
    assert not (setup.VENV / ".packages").exists(), "a failed step must run again"


def test_the_packages_of_everything_serve_the_demo_but_not_the_other_way(setup: ModuleType) -> None:
    assert "training" not in setup.packages(None, "demo"), "a newcomer must not wait for what is not run"
    setup.make_venv(sys.executable, None)
    installed: list[list[str]] = []
    setup.run = lambda command, *_, **__: installed.append([str(word) for word in command])
    setup.install_packages(None, "demo")
    setup.install_packages(None, "demo")
    assert len(installed) == 1
    setup.install_packages(None, "everything")
    setup.install_packages(None, "demo")
    assert len(installed) == 2 and any(word.endswith("policy.txt") for word in installed[1])


def test_the_wheels_cmake_files_name_this_python(setup: ModuleType) -> None:
    setup.make_venv(sys.executable, None)
    cmake = setup.VENV / "share" / "some_msgs" / "cmake" / "export.cmake"
    cmake.parent.mkdir(parents=True)
    built_with = "/opt/python/cp311-cp311"
    cmake.write_text(f'"{built_with}/include/python3.11;{built_with}/lib/python3.11/site-packages/numpy/_core/include"')
    setup.fix_wheel_paths()
    include, numpy = cmake.read_text().strip('"').split(";")
    assert (Path(include) / "Python.h").exists()
    assert numpy.startswith(str(setup.VENV)) and numpy.endswith("/numpy/_core/include")


def test_a_distributions_own_python_finds_the_virtual_environment(tmp_path: Path) -> None:
    """`ros2` of a distribution starts with the system's Python: PYTHONPATH must lead it to the packages."""
    folder = tmp_path / "a clone"
    site = folder / ".venv" / "lib" / "python3.12" / "site-packages"
    for part in (site, folder / ".venv" / "bin", folder / "install"):
        part.mkdir(parents=True)
    (folder / ".venv" / ".ros").write_text("distribution")
    (folder / ".venv" / "bin" / "activate").write_text("")
    (folder / "install" / "local_setup.bash").write_text("")
    shutil.copy(ROOT / "setup.bash", folder)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": "/opt/of/the/distribution"}
    script = f'source "{folder}/setup.bash" && source "{folder}/setup.bash" && echo "$PYTHONPATH"'
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == f"{site}:/opt/of/the/distribution", done.stderr
