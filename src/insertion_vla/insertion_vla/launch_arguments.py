"""Launch arguments checked before anything starts; a wrong one is one sentence.

Pure: used by the launch files and by the command-line tools that start them.
"""

import difflib
import ipaddress
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

PARTS = ("robot", "cameras", "sensor", "inference")
HARDWARE = ("sim", "meca500", "ros2_control")
CAMERA_PORTS = {"front": 5561, "side": 5562, "hand": 5563}  # of the simulation
VIEWS = tuple(CAMERA_PORTS)
SCRIPTED = "scripted"  # the simulation's expert with privileged state, to collect data
NODES = (
    *(f"camera_{view}" for view in VIEWS),
    *("force_sensor", "arm", "vlm", "action_expert", "scripted_expert", "task", "episode", "lifecycle_manager"),
)
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")
MAX_SEED = 2**31 - 1


def one_of(name: str, value: str, choices: Sequence[str]) -> str:
    """The value, when it is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got '{value}'{_near(value, choices)}")
    return value


def policy(value: str, names: Sequence[str]) -> str:
    """The name of a policy, or the absolute path of its folder."""
    path = Path(value).expanduser().absolute()
    if value not in names and path.is_dir():
        return str(path)
    if "/" in value:
        raise ValueError(f"policy: expected the folder of a checkpoint, there is none at {path}: check the path")
    return one_of("policy", value, names)


def policy_on(hardware: str, value: str, names: Sequence[str]) -> str:
    """As `policy`, or SCRIPTED, which only the simulation has."""
    chosen = policy(value, (*names, SCRIPTED))
    if chosen == SCRIPTED and hardware != "sim":
        raise ValueError("policy: 'scripted' reads the simulation's ground truth, so it needs hardware:=sim")
    return chosen


def some_of(name: str, value: str, choices: Sequence[str]) -> list[str]:
    """A comma-separated selection in the order of the choices; no choice twice."""
    given = [item.strip() for item in value.split(",") if item.strip()]
    for item in given:
        if item not in choices:
            raise ValueError(
                f"{name}: expected a selection of {', '.join(choices)}, got '{item}'{_near(item, choices)}"
            )
    if not given or len(set(given)) != len(given):
        raise ValueError(f"{name}: expected at least one of {', '.join(choices)}, each once, got '{value}'")
    return [choice for choice in choices if choice in given]


def yes_no(name: str, value: str) -> bool:
    """true or false."""
    if value.lower() not in ("true", "false"):
        raise ValueError(f"{name}: expected true or false, got '{value}'")
    return value.lower() == "true"


def assignments(given: Sequence[str], known: Mapping[str, str]) -> dict[str, str]:
    """Arguments in launch style (name:=value) over their defaults; an unknown name is refused."""
    result = dict(known)
    for argument in given:
        name, assign, value = argument.partition(":=")
        if not assign:
            raise ValueError(f"expected name:=value, got '{argument}'")
        if name not in known:
            raise ValueError(f"unknown argument '{name}'; known are {', '.join(known)}{_near(name, list(known))}")
        result[name] = value
    return result


def seconds(name: str, value: str) -> float:
    """A time from 0 up."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0.0):
        raise ValueError(f"{name}: expected seconds from 0 up, got '{value}'")
    return number


def count(name: str, value: str) -> int:
    """A whole number from 1 up."""
    if not re.fullmatch(r"[1-9]\d{0,6}", value):
        raise ValueError(f"{name}: expected a whole number from 1 up, got '{value}'")
    return int(value)


def seed(value: str) -> int:
    """A seed of the simulation."""
    if not re.fullmatch(r"\d+", value) or int(value) > MAX_SEED:
        raise ValueError(f"seed: expected a whole number from 0 to {MAX_SEED}, got '{value}'")
    return int(value)


def loopback(value: str) -> str:
    """An address of this machine for the simulation: 127.x.y.z."""
    try:
        address = ipaddress.IPv4Address(value)
    except ValueError:
        raise ValueError(f"host: expected a loopback address such as 127.0.0.1, got '{value}'") from None
    if not address.is_loopback:
        raise ValueError(
            f"host: expected a loopback address (127.x.y.z), got '{value}': the simulation serves this machine"
        )
    return value


def video(value: str) -> Path:
    """A video file that can be written."""
    path = Path(value).expanduser().absolute()
    if path.suffix not in (".gif", ".mp4"):
        raise ValueError(f"video: expected FILE.gif or FILE.mp4, got '{value}'")
    if not path.parent.is_dir():
        raise ValueError(f"video: expected an existing folder for the video, there is none at {path.parent}")
    return path


def namespace(value: str) -> str:
    """A ROS namespace, or empty."""
    if value.strip("/") and not re.fullmatch(r"/?[A-Za-z]\w*(/[A-Za-z]\w*)*", value):
        raise ValueError(f"namespace: expected names of letters, digits and _ joined by /, got '{value}'")
    return value


def parameter_file(value: str, nodes: Sequence[str]) -> Path:
    """An existing parameter file whose keys name nodes of this launch.

    ROS itself ignores a misspelt node key, and with it everything written below it.
    """
    path = Path(value).expanduser()
    if not path.is_file():
        raise ValueError(f"params_file: expected a parameter file, found none at {path}")
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"params_file: {path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ValueError(f"params_file: expected node names with 'ros__parameters' in {path}, got none")
    for key, section in content.items():
        node = str(key).rstrip("/").split("/")[-1]
        if node not in (*nodes, "**", "*"):
            raise ValueError(f"params_file: {path} has a section for '{key}', but no such node{_near(node, nodes)}")
        if not isinstance(section, dict) or "ros__parameters" not in section:
            raise ValueError(f"params_file: expected 'ros__parameters:' below '{key}' in {path}")
    return path


def _near(value: str, choices: Sequence[str]) -> str:
    near = difflib.get_close_matches(value, choices, n=1)
    return f": did you mean '{near[0]}'?" if near else ""
