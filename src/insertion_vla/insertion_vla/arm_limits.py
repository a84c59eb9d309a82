"""The limits in force as ROS parameters ``limits.*``: visible to everyone, changed only towards tighter."""

from collections.abc import Callable
from typing import Any

from insertion_vla_core.limits import Limits
from pydantic import ValidationError
from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

PREFIX = "limits."


class LimitParameters:
    """Declares one parameter per limit; ``tighten`` is called with the new table and may raise ValueError."""

    def __init__(self, node: Node, limits: Limits, tighten: Callable[[Limits], None]) -> None:
        self._node, self._limits, self._tighten = node, limits, tighten
        for name, field in Limits.model_fields.items():
            value = getattr(limits, name)
            descriptor = ParameterDescriptor(
                description=field.description or "", additional_constraints="can only be tightened while the node runs"
            )
            node.declare_parameter(
                PREFIX + name, list(value) if isinstance(value, tuple) else value, descriptor, ignore_override=True
            )
        node.add_on_set_parameters_callback(self._on_set)

    def remove(self) -> None:
        """Forget the parameters; the next configuration reads the file again."""
        self._node.remove_on_set_parameters_callback(self._on_set)
        for name in Limits.model_fields:
            self._node.undeclare_parameter(PREFIX + name)

    def _on_set(self, parameters: list[Parameter]) -> SetParametersResult:
        changes: dict[str, Any] = {}
        for parameter in parameters:
            if parameter.name.startswith(PREFIX):
                value = parameter.value
                changes[parameter.name.removeprefix(PREFIX)] = tuple(value) if hasattr(value, "__len__") else value
        if not changes:
            return SetParametersResult(successful=True)
        try:
            new = Limits.model_validate({**self._limits.model_dump(), **changes})
            self._tighten(new)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"])) or "limits"
            return SetParametersResult(successful=False, reason=f"{PREFIX}{name} = {first['input']}: {first['msg']}")
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._limits = new
        return SetParametersResult(successful=True)
