"""Start a ROS node."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import launch.logging
from launch.actions.execute_process import ExecuteProcess
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitutions.local_substitution import LocalSubstitution
from launch.utilities import ensure_argument_type, normalize_to_list_of_substitutions, perform_substitutions

from ..parameter_descriptions import Parameter, write_temporary_file
from ..parameters_type import SomeParameters
from ..ros_names import validate_namespace, validate_node_name
from ..substitutions.executable_in_package import ExecutableInPackage
from ..utilities import (
    add_node_name,
    evaluate_parameters,
    get_node_name_count,
    make_namespace_absolute,
    normalize_parameters,
    normalize_remap_rules,
    prefix_namespace,
)

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext


class Node(ExecuteProcess):
    """Starts an executable with its node name, namespace, parameters and remappings as ROS arguments.

    Args:
        executable: name of the executable in the package, or a path if there is no package.
        package: name of the package.
        name: node name; the executable's own one if not given.
        namespace: relative to the pushed namespace (PushROSNamespace), or absolute.
        exec_name: name of the process in the log; the executable's if not given.
        parameters: files (path, text or substitutions; ParameterFile) and dictionaries in any order, the last value
            of a parameter counts. Dictionaries are written to a temporary YAML file. Texts from substitutions are
            read as YAML; ParameterValue names a type.
        remappings: pairs (from, to).
        ros_arguments: further ROS arguments.
        arguments: arguments before the ROS arguments.
        **kwargs: see launch.actions.ExecuteProcess, such as output, respawn, on_exit, additional_env, prefix.
    """

    UNSPECIFIED_NODE_NAME = "<node_name_unspecified>"
    UNSPECIFIED_NODE_NAMESPACE = "<node_namespace_unspecified>"

    def __init__(
        self,
        *,
        executable: SomeSubstitutionsType,
        package: SomeSubstitutionsType | None = None,
        name: SomeSubstitutionsType | None = None,
        namespace: SomeSubstitutionsType | None = None,
        exec_name: SomeSubstitutionsType | None = None,
        parameters: SomeParameters | None = None,
        remappings: Iterable[tuple[SomeSubstitutionsType, SomeSubstitutionsType]] | None = None,
        ros_arguments: Iterable[SomeSubstitutionsType] | None = None,
        arguments: Iterable[SomeSubstitutionsType] | None = None,
        **kwargs: Any,
    ) -> None:
        command: Any = executable if package is None else ExecutableInPackage(package=package, executable=executable)
        cmd: list[Any] = [command, *(arguments or ()), "--ros-args", *(ros_arguments or ())]
        if name is not None:
            cmd += ["-r", LocalSubstitution("ros_specific_arguments['name']", description="node name")]
        if parameters is not None:
            ensure_argument_type(parameters, (list,), "parameters", "Node")
        if exec_name is not None:
            kwargs["name"] = exec_name
        super().__init__(cmd=cmd, **kwargs)
        self.__package = package
        self.__node_executable = executable
        self.__node_name = name
        self.__node_namespace = namespace
        self.__parameters = normalize_parameters(parameters or [])
        self.__remappings = normalize_remap_rules(remappings or [])

        self.__expanded_node_name = self.UNSPECIFIED_NODE_NAME
        self.__expanded_node_namespace = self.UNSPECIFIED_NODE_NAMESPACE
        self.__expanded_parameter_arguments: list[tuple[str, bool]] = []
        self.__expanded_remappings: list[tuple[str, str]] = []
        self.__substitutions_performed = False
        self.__logger = launch.logging.get_logger(__name__)

    @property
    def node_package(self) -> SomeSubstitutionsType | None:
        return self.__package

    @property
    def node_executable(self) -> SomeSubstitutionsType:
        return self.__node_executable

    @property
    def node_name(self) -> str:
        """Fully qualified name, with stand-ins for what is not specified; known once the action executes."""
        if not self.__substitutions_performed:
            raise RuntimeError("cannot access 'node_name' before executing action")
        return f"{self.__expanded_node_namespace.rstrip('/')}/{self.__expanded_node_name}"

    @property
    def expanded_node_namespace(self) -> str:
        return self.__expanded_node_namespace

    @property
    def expanded_remapping_rules(self) -> list[tuple[str, str]]:
        return self.__expanded_remappings

    def is_node_name_fully_specified(self) -> bool:
        """True if both name and namespace are known to the launch."""
        return (
            self.UNSPECIFIED_NODE_NAME not in self.node_name and self.UNSPECIFIED_NODE_NAMESPACE not in self.node_name
        )

    def _perform_substitutions(self, context: LaunchContext) -> None:
        """Evaluate the ROS arguments and add them to the command; once."""
        if self.__substitutions_performed:
            return
        self.__evaluate_names(context)
        self.__substitutions_performed = True
        if self.__expanded_node_namespace != self.UNSPECIFIED_NODE_NAMESPACE:
            self.__extend_cmd("-r", LocalSubstitution("ros_specific_arguments['ns']", description="node namespace"))
        self.__add_global_parameters(context)
        self.__add_parameters(context)
        self.__add_remappings(context)

    def __extend_cmd(self, *parts: Any) -> None:
        self.process_description.cmd.extend(normalize_to_list_of_substitutions(part) for part in parts)

    def __evaluate_names(self, context: LaunchContext) -> None:
        if self.__node_name is not None:
            name = perform_substitutions(context, normalize_to_list_of_substitutions(self.__node_name))
            validate_node_name(name)
            self.__expanded_node_name = name
        own = None
        if self.__node_namespace is not None:
            own = perform_substitutions(context, normalize_to_list_of_substitutions(self.__node_namespace))
        pushed = context.launch_configurations.get("ros_namespace")
        namespace = make_namespace_absolute(prefix_namespace(pushed, own))
        if namespace is not None:
            validate_namespace(namespace)
            self.__expanded_node_namespace = namespace

    def __add_global_parameters(self, context: LaunchContext) -> None:
        """Those of SetParameter and SetParametersFromFile, in the order in which they were set."""
        for entry in context.launch_configurations.get("global_params", []):
            if isinstance(entry, tuple):
                self.__extend_cmd("-p", parameter_rule(*entry))
            elif Path(entry).is_file():
                self.__extend_cmd("--params-file", str(Path(entry).absolute()))
            else:
                self.__logger.warning(f"Parameter file path is not a file: {entry}")

    def __add_parameters(self, context: LaunchContext) -> None:
        for parameters in evaluate_parameters(context, self.__parameters):
            if isinstance(parameters, Parameter):
                argument, is_file = parameter_rule(*parameters.evaluate(context)), False
            elif isinstance(parameters, Path):
                argument, is_file = str(parameters), True
                if not parameters.is_file():
                    self.__logger.warning(f"Parameter file path is not a file: {argument}")
                    continue
            else:
                argument, is_file = self._create_params_file_from_dict(parameters), True
            self.__expanded_parameter_arguments.append((argument, is_file))
            self.__extend_cmd("--params-file" if is_file else "-p", argument)

    def _create_params_file_from_dict(self, parameters: dict[str, Any]) -> str:
        """Path of a temporary file with the parameters, for this node (for any, if its name is not known)."""
        import yaml

        key = self.node_name if self.is_node_name_fully_specified() else "/**"
        text = yaml.dump({key: {"ros__parameters": parameters}}, default_flow_style=False)
        return str(write_temporary_file("launch_params_", text))

    def __add_remappings(self, context: LaunchContext) -> None:
        """Those of SetRemap, then the node's own."""
        own = [
            (perform_substitutions(context, list(source)), perform_substitutions(context, list(target)))
            for source, target in self.__remappings
        ]
        self.__expanded_remappings = [*context.launch_configurations.get("ros_remaps", []), *own]
        for source, target in self.__expanded_remappings:
            self.__extend_cmd("-r", f"{source}:={target}")

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        self._perform_substitutions(context)
        context.extend_locals(
            {
                "ros_specific_arguments": {
                    "name": f"__node:={self.__expanded_node_name}",
                    "ns": f"__ns:={self.__expanded_node_namespace}",
                }
            }
        )
        entities = super().execute(context)
        if self.is_node_name_fully_specified():
            add_node_name(context, self.node_name)
            count = get_node_name_count(context, self.node_name)
            if count > 1:
                launch.logging.get_logger(self.process_description.final_name).warning(
                    f"there are now at least {count} nodes with the name {self.node_name} created within this launch "
                    "context"
                )
        return entities


def parameter_rule(name: str, value: Any) -> str:
    """`name:=value` as rcl reads it: the value in YAML, on one line."""
    import yaml

    value = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"))
    return f"{name}:={text.removesuffix('...' + chr(10)).strip()}"
