"""ROS parameters declared from a pydantic model, and refused by name, value and bound.

A node describes its parameters once, as a frozen pydantic model: type, default, bounds and a description that begins
with the unit in brackets. Nested models become dotted names. Marks in ``json_schema_extra`` say what may happen after
the node was configured:

* nothing: the value is fixed until the node is cleaned up;
* ``RUNTIME``: it may be changed while the node runs;
* ``TIGHTEN_DOWN`` / ``TIGHTEN_UP``: a safety value; while the node runs it may only become smaller / larger;
* ``READ_ONLY``: it is set once, when the process starts.
"""

import difflib
import math
import typing
from dataclasses import dataclass
from typing import Any, Literal

import annotated_types
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticUndefined
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import ParameterUninitializedException
from rclpy.node import Node
from rclpy.parameter import Parameter

RUNTIME: dict[str, Any] = {"runtime": True}
READ_ONLY: dict[str, Any] = {"read_only": True}
TIGHTEN_DOWN: dict[str, Any] = {"tighten": "down"}
TIGHTEN_UP: dict[str, Any] = {"tighten": "up"}

_FOREIGN = ("qos_overrides.", "diagnostic_updater.", "start_type_description_service")  # declared by ROS itself
_TYPES: dict[Any, Parameter.Type] = {
    bool: Parameter.Type.BOOL,
    int: Parameter.Type.INTEGER,
    float: Parameter.Type.DOUBLE,
    str: Parameter.Type.STRING,
    list[bool]: Parameter.Type.BOOL_ARRAY,
    list[int]: Parameter.Type.INTEGER_ARRAY,
    list[float]: Parameter.Type.DOUBLE_ARRAY,
    list[str]: Parameter.Type.STRING_ARRAY,
}
_WORDS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text"}


class ParameterModel(BaseModel):
    """Base of the models that describe parameters: frozen, strict, finite, no unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Spec:
    """What one ROS parameter may hold."""

    name: str
    kind: Any
    default: Any  # PydanticUndefined when the parameter must be given
    description: str
    low: float | None
    high: float | None
    low_open: bool
    high_open: bool
    choices: tuple[Any, ...]
    marks: dict[str, Any]

    @property
    def expects(self) -> str:
        """What a valid value is, in words, with bounds and unit."""
        if self.choices:
            return "one of " + ", ".join(map(str, self.choices))
        is_list = typing.get_origin(self.kind) is list
        item = typing.get_args(self.kind)[0] if is_list else self.kind
        words = ("a list, each " if is_list else "") + _WORDS[item]
        if self.low is not None:
            words += f" {'above' if self.low_open else 'at least'} {self.low:g}"
        if self.high is not None:
            words += (" and" if self.low is not None else "") + (" below" if self.high_open else " at most")
            words += f" {self.high:g}"
        unit = self.description.split("]")[0] + "]" if self.description.startswith("[") else ""
        return f"{words} {unit}".rstrip()

    def descriptor(self) -> ParameterDescriptor:
        """The parameter's description for ``ros2 param describe``."""
        descriptor = ParameterDescriptor(name=self.name, description=self.description, type=_TYPES[self.kind].value)
        descriptor.read_only = bool(self.marks.get("read_only"))
        if self.choices:
            descriptor.additional_constraints = self.expects
        elif self.marks.get("tighten"):
            descriptor.additional_constraints = f"while the node runs it may only go {self.marks['tighten']}"
        if self.low is not None or self.high is not None:
            low, high = self.low, self.high
            if self.kind is float:
                bounds = (-math.inf if low is None else float(low), math.inf if high is None else float(high))
                descriptor.floating_point_range = [FloatingPointRange(from_value=bounds[0], to_value=bounds[1])]
            elif self.kind is int:
                limits = (-(2**63) if low is None else int(low), 2**63 - 1 if high is None else int(high))
                descriptor.integer_range = [IntegerRange(from_value=limits[0], to_value=limits[1], step=1)]
        return descriptor


def specs(model: type[BaseModel], prefix: str = "") -> dict[str, Spec]:
    """Flatten a model into one Spec per parameter, keyed by dotted name.

    Raises:
        TypeError: a field has a type that a ROS parameter cannot hold.
    """
    found: dict[str, Spec] = {}
    for name, field in model.model_fields.items():
        dotted = prefix + name
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found.update(specs(kind, dotted + "."))
            continue
        choices: tuple[Any, ...] = ()
        if typing.get_origin(kind) is Literal:
            choices = typing.get_args(kind)
            kind = type(choices[0])
        if kind not in _TYPES:
            raise TypeError(f"parameter '{dotted}': a ROS parameter cannot hold {kind}; use one of {list(_TYPES)}")
        bounds: dict[str, float] = {}
        for mark in field.metadata:
            for key in ("ge", "gt", "le", "lt"):
                if isinstance(mark, annotated_types.BaseMetadata) and hasattr(mark, key):
                    bounds[key] = getattr(mark, key)
        found[dotted] = Spec(
            name=dotted,
            kind=kind,
            default=field.get_default(call_default_factory=True),
            description=field.description or "",
            low=bounds.get("ge", bounds.get("gt")),
            high=bounds.get("le", bounds.get("lt")),
            low_open="gt" in bounds,
            high_open="lt" in bounds,
            choices=choices,
            marks=field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {},
        )
    return found


def build(model: type[BaseModel], values: dict[str, Any]) -> Any:
    """Build the model from dotted names.

    Raises:
        ValueError: one sentence per wrong value, each naming the parameter, the value and the bound.
    """
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        level = nested
        for part in path:
            level = level.setdefault(part, {})
        level[last] = value
    try:
        return model.model_validate(nested)
    except ValidationError as error:
        raise ValueError("; ".join(_sentences(error, specs(model)))) from None


def _sentences(error: ValidationError, known: dict[str, Spec]) -> list[str]:
    result = []
    for problem in error.errors():
        path = [str(part) for part in problem["loc"] if isinstance(part, str)]
        name = ".".join(path)
        if name not in known:  # a rule over several parameters
            group = f" {name}.*" if name else ""
            result.append(f"parameters{group}: {problem['msg'].removeprefix('Value error, ')}")
        elif problem["type"] == "missing":
            result.append(f"parameter '{name}' is missing: expected {known[name].expects}; set it in the file")
        elif problem["type"] == "value_error":
            result.append(f"parameter '{name}' = {problem['input']!r}: {problem['msg'].removeprefix('Value error, ')}")
        else:
            result.append(f"parameter '{name}' = {problem['input']!r}: expected {known[name].expects}")
    return result


def check(spec: Spec, value: Any) -> tuple[Any, str]:
    """Convert one value (YAML writes 2 for 2.0) and check it alone; the text is empty when it is right."""
    if hasattr(value, "tolist"):  # rclpy hands numeric lists over as arrays
        value = value.tolist()
    is_list = typing.get_origin(spec.kind) is list
    item = typing.get_args(spec.kind)[0] if is_list else spec.kind
    items = list(value) if is_list and isinstance(value, list | tuple) else [value]
    if item is float:
        items = [float(v) if type(v) is int else v for v in items]
    right = is_list == isinstance(value, list | tuple) and all(type(v) is item and _within(spec, v) for v in items)
    result = items if is_list else items[0]
    return result, "" if right else f"parameter '{spec.name}' = {value!r}: expected {spec.expects}"


def _within(spec: Spec, value: Any) -> bool:
    if spec.choices:
        return value in spec.choices
    if isinstance(value, float) and not math.isfinite(value):
        return False
    above = spec.low is None or value > spec.low or (value == spec.low and not spec.low_open)
    below = spec.high is None or value < spec.high or (value == spec.high and not spec.high_open)
    return above and below


class ParameterSet:
    """The declared parameters of one node."""

    def __init__(self, node: Node, model: type[BaseModel]) -> None:
        """Declare every parameter with its override where that is valid, else with its default.

        Nothing is refused here: ``load`` does it, so that a node with a wrong parameter starts, refuses to configure
        and says why.
        """
        self.node = node
        self.model = model
        self.specs = specs(model)
        self.configured = False
        self._wrong: dict[str, str] = {}
        overrides = {name: p.value for name, p in node._parameter_overrides.items()}
        for spec in self.specs.values():
            given = overrides.get(spec.name)
            value = spec.default
            if given is not None:
                value, problem = check(spec, given)
                if problem:
                    self._wrong[spec.name] = problem
                    value = spec.default
            if value is PydanticUndefined:
                descriptor = spec.descriptor()
                node.declare_parameter(spec.name, _TYPES[spec.kind], descriptor, ignore_override=True)
            else:
                self._declare(spec, value)
        for name in overrides:
            if not node.has_parameter(name) and not name.startswith(_FOREIGN):
                self._wrong[name] = self._unknown(name)
        node.add_on_set_parameters_callback(self._on_set)

    def load(self) -> Any:
        """The model with the present values.

        Raises:
            ValueError: every wrong, missing or unknown parameter, one sentence each.
        """
        sentences = list(self._wrong.values())
        values = self._values()
        try:
            params = build(self.model, values)
        except ValueError as error:
            sentences += [s for s in str(error).split("; ") if not any(f"'{n}'" in s for n in self._wrong)]
        if sentences:
            raise ValueError("; ".join(sentences))
        return params

    def _declare(self, spec: Spec, value: Any) -> None:
        descriptor = spec.descriptor()
        if isinstance(value, list):  # rclpy cannot infer the type of an empty list
            descriptor.dynamic_typing = True
            descriptor.type = 0
        self.node.declare_parameter(spec.name, value, descriptor, ignore_override=True)

    def _values(self) -> dict[str, Any]:
        values = {}
        for name in self.specs:
            try:
                value = self.node.get_parameter(name).value
            except ParameterUninitializedException:
                continue
            values[name] = value if isinstance(value, bool | int | float | str) else list(value)
        return values

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.specs, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(sorted(self.specs))}"
        return f"parameter '{name}' is unknown to {self.node.get_name()}; {hint}"

    def _on_set(self, parameters: list[Parameter]) -> SetParametersResult:
        """Refuse what is wrong, fixed, or looser than the present safety value."""
        values = self._values()
        for parameter in parameters:
            spec = self.specs.get(parameter.name)
            if spec is None:
                continue
            value, problem = check(spec, parameter.value)
            if not problem and self.configured:
                problem = self._not_now(spec, values.get(spec.name), value)
            if problem:
                return SetParametersResult(successful=False, reason=problem)
            values[spec.name] = value
        if self.configured:
            try:
                build(self.model, values)
            except ValueError as error:
                return SetParametersResult(successful=False, reason=str(error))
        for parameter in parameters:
            self._wrong.pop(parameter.name, None)
        return SetParametersResult(successful=True)

    def _not_now(self, spec: Spec, old: Any, new: Any) -> str:
        tighten = spec.marks.get("tighten")
        if new == old or spec.marks.get("runtime"):
            return ""
        if tighten:
            if (new < old) == (tighten == "down"):
                return ""
            word = "lowered" if tighten == "down" else "raised"
            return f"parameter '{spec.name}': a safety value may only be {word} while it runs; it is {old}, got {new}"
        return f"parameter '{spec.name}' cannot change while the node is configured; deactivate and clean it up first"
