"""Every command in the README and the docs names things that exist: targets, launch arguments, executables, types."""

import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from ament_index_python.packages import get_package_prefix
from launch.actions import DeclareLaunchArgument
from launch.launch_context import LaunchContext
from launch.launch_description_sources import PythonLaunchDescriptionSource

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands() -> Iterator[tuple[str, str]]:
    """(page, command line) of every bash block, without comments, here-documents and continued commands."""
    for page in PAGES:
        for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL):
            block = re.sub(r"<<'EOF'\n.*?\nEOF", "", block, flags=re.DOTALL)
            for line in block.splitlines():
                for command in line.split("#")[0].split("&&"):
                    if command.strip():
                        yield page.name, command.strip()


COMMANDS = sorted(set(commands()))


def of(*start: str) -> list[tuple[str, list[str]]]:
    """The commands that begin with these words, split into words."""
    split = [(page, shlex.split(command)) for page, command in COMMANDS]
    return [(page, words) for page, words in split if words[: len(start)] == list(start)]


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) > 15
    assert of("make") and of("ros2", "launch") and of("ros2", "run") and of("ros2", "service", "call")


@pytest.mark.parametrize(("page", "words"), of("make"))
def test_make_targets_exist(page: str, words: list[str]) -> None:
    targets = " ".join(re.findall(r"^([a-z -]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)).split()
    assert words[1] in targets


@pytest.mark.parametrize(("page", "words"), of("ros2", "launch"))
def test_launch_arguments_exist(page: str, words: list[str]) -> None:
    source = PythonLaunchDescriptionSource(str(ROOT / "launch" / words[3]))
    description = source.get_launch_description(LaunchContext())
    known = {entity.name for entity in description.entities if isinstance(entity, DeclareLaunchArgument)}
    given = {word.split(":=")[0] for word in words[4:] if ":=" in word}
    assert given <= known, f"{page}: unknown {sorted(given - known)}"
    assert all(":=" in word or word == "--show-args" for word in words[4:])


@pytest.mark.parametrize(("page", "words"), of("ros2", "run"))
def test_executables_exist(page: str, words: list[str]) -> None:
    assert (Path(get_package_prefix(words[2])) / "lib" / words[2] / words[3]).exists()


@pytest.mark.parametrize(("page", "words"), of("ros2", "service", "call"))
def test_services_have_that_type_and_those_fields(page: str, words: list[str]) -> None:
    package, kind, name = words[4].split("/")
    request = getattr(import_module(f"{package}.{kind}"), name).Request()
    for field in yaml.safe_load(words[5]) if len(words) > 5 else {}:
        assert hasattr(request, field)


def test_links_lead_somewhere() -> None:
    broken = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken, broken
