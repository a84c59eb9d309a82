"""Parameters of a node as it will have them: its sections of a ROS parameter file, and what a launch sets over them."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic_core import PydanticUndefined

from insertion_vla.parameters import ParameterModel, build, check, specs

_FOREIGN = ("qos_overrides.", "diagnostic_updater.", "start_type_description_service", "use_sim_time")  # of ROS itself
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def read_parameters(path: Path, node: str, model: type[ParameterModel], launched: Mapping[str, Any]) -> ParameterModel:
    """The model filled from a file, as the node itself will fill it.

    Args:
        path: parameter file.
        node: fully qualified name.
        model: of the node's parameters.
        launched: parameters that the launch sets, stronger than the file.

    Raises:
        ValueError: a line for each parameter that is wrong or unknown.
    """
    known = specs(model)
    values = {name: spec.default for name, spec in known.items() if spec.default is not PydanticUndefined}
    wrong = []
    for name, given in {**sections(path, node), **launched}.items():
        if name not in known:
            if not name.startswith(_FOREIGN):
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
                hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(sorted(known))}"
                wrong.append(f"parameter '{name}' is unknown to {node}; {hint}")
            continue
        value, problem = check(known[name], given)
        if problem:
            wrong.append(f"{node}: {problem}")
        else:
            values[name] = value
    if not wrong:
        try:
            result: ParameterModel = build(model, values)
            return result
        except ValueError as error:
            wrong = [f"{node}: {error}"]
    raise ValueError("\n".join(wrong))


def sections(path: Path, node: str) -> dict[str, Any]:
    """Parameters by dotted name of every section that is for the node, a later one over an earlier one."""
    found: dict[str, Any] = {}
    for key, section in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        if _pattern(str(key)).fullmatch(node):
            found.update(_flat(section["ros__parameters"] or {}))
    return found


def _pattern(key: str) -> re.Pattern[str]:
    """`**` stands for any number of names, `*` for one; a leading slash may be left out."""
    words = {"**": r"(/\w+)*", "*": r"/\w+"}
    return re.compile("".join(words.get(word, "/" + re.escape(word)) for word in key.strip("/").split("/")))


def _flat(section: Mapping[str, Any], start: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in section.items():
        result |= _flat(value, f"{start}{key}.") if isinstance(value, dict) else {f"{start}{key}": _number(value)}
    return result


def _number(value: Any) -> Any:
    """ROS reads 6e2 as a number, PyYAML as a text."""
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value
