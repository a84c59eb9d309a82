"""`ros2 param`."""

from argparse import ArgumentParser, Namespace
from typing import Any

import yaml
from rcl_interfaces.msg import Parameter as ParameterMessage
from rclpy.parameter import Parameter, get_parameter_value, parameter_value_to_python
from rclpy.parameter_client import AsyncParameterClient

from ros2cli.errors import CommandError
from ros2cli.graph import CliNode, add_discovery_arguments, cli_node, is_hidden
from ros2cli.subverbs import add_subverbs, run_subverb

RESPONSE_TIMEOUT_S = 5.0
TYPE_NAMES = {
    Parameter.Type.BOOL: "Boolean value is:",
    Parameter.Type.INTEGER: "Integer value is:",
    Parameter.Type.DOUBLE: "Double value is:",
    Parameter.Type.STRING: "String value is:",
    Parameter.Type.BYTE_ARRAY: "Byte values are:",
    Parameter.Type.BOOL_ARRAY: "Boolean values are:",
    Parameter.Type.INTEGER_ARRAY: "Integer values are:",
    Parameter.Type.DOUBLE_ARRAY: "Double values are:",
    Parameter.Type.STRING_ARRAY: "String values are:",
}


class Parameters:
    """The parameter services of one node."""

    def __init__(self, cli: CliNode, node_name: str) -> None:
        self._cli = cli
        self.node_name = node_name
        self._client = AsyncParameterClient(cli.node, node_name)
        if not cli.find(lambda: True if self._client.services_are_ready() else None):
            raise CommandError(f"node '{node_name}' has no parameter services")

    def _await(self, future: Any) -> Any:
        if not self._cli.spin_until(future, RESPONSE_TIMEOUT_S):
            raise CommandError(f"node '{self.node_name}' did not respond within {RESPONSE_TIMEOUT_S:.0f} s")
        return future.result()

    def names(self) -> list[str]:
        return sorted(self._await(self._client.list_parameters()).result.names)

    def values(self, names: list[str]) -> list[Any]:
        """Parameter values as messages, in the order of `names`."""
        return list(self._await(self._client.get_parameters(names)).values)

    def set(self, name: str, value: Any) -> Any:
        return self._await(self._client.set_parameters([ParameterMessage(name=name, value=value)])).results[0]


def is_set(value: Any) -> bool:
    return value.type != Parameter.Type.NOT_SET.value


class List:
    """List the parameters of one node, or of all."""

    @staticmethod
    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("node_name", nargs="?")
        add_discovery_arguments(parser)

    @staticmethod
    def main(args: Namespace) -> int:
        with cli_node(args.spin_time) as cli:
            if args.node_name:
                for name in Parameters(cli, cli.find_node(args.node_name)).names():
                    print(f"  {name}")
                return 0
            cli.settle()
            for node_name in cli.node_names():
                if is_hidden(node_name):
                    continue
                print(f"{node_name}:")
                for name in Parameters(cli, node_name).names():
                    print(f"  {name}")
        return 0


class Get:
    """Show a parameter's value."""

    @staticmethod
    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("node_name")
        parser.add_argument("parameter_name")
        parser.add_argument("--hide-type", action="store_true", help="print only the value")
        add_discovery_arguments(parser)

    @staticmethod
    def main(args: Namespace) -> int:
        with cli_node(args.spin_time) as cli:
            parameters = Parameters(cli, cli.find_node(args.node_name))
            values = parameters.values([args.parameter_name])
            if not values or not is_set(values[0]):
                raise CommandError(f"Parameter not set: '{parameters.node_name}' has no '{args.parameter_name}'")
        shown = parameter_value_to_python(values[0])
        label = TYPE_NAMES[Parameter.Type(values[0].type)]
        print(shown if args.hide_type else f"{label} {shown}")
        return 0


class Set:
    """Set a parameter."""

    @staticmethod
    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("node_name")
        parser.add_argument("parameter_name")
        parser.add_argument("value", help="YAML, so that 1 is an integer, 1.0 a double and [a, b] an array")
        add_discovery_arguments(parser)

    @staticmethod
    def main(args: Namespace) -> int:
        with cli_node(args.spin_time) as cli:
            parameters = Parameters(cli, cli.find_node(args.node_name))
            result = parameters.set(args.parameter_name, get_parameter_value(args.value))
        if not result.successful:
            raise CommandError(f"Setting parameter failed: {result.reason}")
        print("Set parameter successful")
        return 0


class Dump:
    """Print all parameters of a node as a parameter file."""

    @staticmethod
    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("node_name")
        add_discovery_arguments(parser)

    @staticmethod
    def main(args: Namespace) -> int:
        with cli_node(args.spin_time) as cli:
            parameters = Parameters(cli, cli.find_node(args.node_name))
            names = parameters.names()
            values = parameters.values(names)
        tree: dict[str, Any] = {}
        for name, value in zip(names, values, strict=True):
            if is_set(value):
                insert(tree, name.split("."), plain(parameter_value_to_python(value)))
        content = {parameters.node_name: {"ros__parameters": tree}}
        print(yaml.safe_dump(content, default_flow_style=False, allow_unicode=True), end="")
        return 0


def insert(tree: dict[str, Any], path: list[str], value: Any) -> None:
    """Put a dotted name into nested mappings; a name that is both a value and a group keeps its dots."""
    for depth, part in enumerate(path[:-1]):
        child = tree.setdefault(part, {})
        if not isinstance(child, dict):
            tree[".".join(path[depth:])] = value
            return
        tree = child
    tree[path[-1]] = value


def plain(value: Any) -> Any:
    """Arrays as lists."""
    return value if isinstance(value, (bool, int, float, str)) else list(value)


def add_arguments(parser: ArgumentParser) -> None:
    add_subverbs(parser, {"dump": Dump, "get": Get, "list": List, "set": Set})


main = run_subverb
