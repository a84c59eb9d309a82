"""Print the messages of a topic as YAML or CSV."""

import re
from argparse import ArgumentParser, Namespace
from typing import Any

from rosidl_runtime_py import message_to_csv, message_to_yaml
from rosidl_runtime_py.convert import plain_value

from ros2cli.errors import CommandError
from ros2cli.graph import add_discovery_arguments, cli_node
from ros2cli.interfaces import load_type
from ros2cli.qos import add_qos_arguments, subscription_qos
from ros2cli.verbs.topic._find import find_type

DEFAULT_TRUNCATE_LENGTH = 128
_FIELD_PART = re.compile(r"(\w+)((?:\[-?\d+\])*)")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("topic_name")
    parser.add_argument("message_type", nargs="?", help="for example std_msgs/msg/String; found out if not given")
    parser.add_argument("--once", action="store_true", help="print the first message, then end")
    parser.add_argument("--field", metavar="FIELD", help="print only this field, for example wrench.force.z or data[0]")
    parser.add_argument("--csv", action="store_true", help="one line of comma-separated values per message")
    parser.add_argument("-f", "--full-length", action="store_true", help="print all of long arrays and strings")
    parser.add_argument(
        "-l", "--truncate-length", type=int, default=DEFAULT_TRUNCATE_LENGTH, help="elements shown of them (128)"
    )
    parser.add_argument("--no-arr", action="store_true", help="print only the length of arrays")
    parser.add_argument("--no-str", action="store_true", help="print only the length of strings")
    parser.add_argument("--flow-style", action="store_true", help="print arrays and messages on one line")
    parser.add_argument("--raw", action="store_true", help="print the serialized bytes")
    parser.add_argument("--no-lost-messages", action="store_true", help="accepted: losses are not reported")
    add_qos_arguments(parser)
    add_discovery_arguments(parser)


def select_field(message: Any, path: str) -> Any:
    """The value at a dotted path with optional indices; raises CommandError if there is none."""
    value = message
    for part in path.split("."):
        match = _FIELD_PART.fullmatch(part)
        if match is None or not hasattr(value, "get_fields_and_field_types") or not hasattr(value, match[1]):
            raise CommandError(f"invalid field '{path}': {type(value).__name__} has no field '{part}'")
        value = getattr(value, match[1])
        for index in re.findall(r"-?\d+", match[2]):
            try:
                value = value[int(index)]
            except (IndexError, TypeError) as error:
                raise CommandError(f"invalid field '{path}': no element [{index}]") from error
    return value


def render(message: Any, args: Namespace) -> str:
    """A message or field as upstream prints it."""
    if args.raw:
        return f"{bytes(message)!r}\n---"
    value = select_field(message, args.field) if args.field else message
    limits = {
        "truncate_length": None if args.full_length else args.truncate_length,
        "no_arr": args.no_arr,
        "no_str": args.no_str,
    }
    is_message = hasattr(value, "get_fields_and_field_types")
    if args.csv:
        if is_message:
            return message_to_csv(value, **limits)
        plain = plain_value(value, **limits)
        return ",".join(map(str, plain)) if isinstance(plain, list) else str(plain)
    if is_message:
        return f"{message_to_yaml(value, flow_style=args.flow_style, **limits)}---"
    return f"{plain_value(value, **limits)}\n---"


def main(args: Namespace) -> int:
    with cli_node(args.spin_time) as cli:
        topic = cli.full_name(args.topic_name)
        message_type = load_type("message", args.message_type or find_type(cli, topic))
        if args.field and not args.raw:
            select_static(message_type, args.field)
        if args.message_type:
            # QoS follows the publishers: give the ones that are there a moment to appear.
            cli.find(lambda: cli.node.get_publishers_info_by_topic(topic) or None, timeout_s=0.5)
            check_type(cli, topic, args.message_type)
        offered = [info.qos_profile for info in cli.node.get_publishers_info_by_topic(topic)]
        done = []
        failures = []

        def on_message(message: Any) -> None:
            if args.once and done:
                return
            try:
                print(render(message, args), flush=True)
            except (CommandError, BrokenPipeError) as error:
                failures.append(error)
            done.append(True)

        cli.node.create_subscription(message_type, topic, on_message, subscription_qos(args, offered), raw=args.raw)
        while not (failures or (args.once and done)):
            cli.spin_once()
            if args.message_type and not done:
                check_type(cli, topic, args.message_type)  # its publishers may have become known only now
        if failures:
            raise failures[0]
        return 0


def check_type(cli: Any, topic: str, wanted: str) -> None:
    """Refuse a type that none of the topic's publishers has: no message would ever come."""
    types = {info.topic_type for info in cli.node.get_publishers_info_by_topic(topic)}
    if types and wanted not in types:
        raise CommandError(f"topic '{topic}' has type {', '.join(sorted(types))}, not {wanted}")


def select_static(message_type: Any, path: str) -> None:
    """Refuse a misspelt first field at once, not at the first message."""
    first = _FIELD_PART.match(path)
    fields = message_type.get_fields_and_field_types()
    if first is None or first[1] not in fields:
        raise CommandError(f"invalid field '{path}': {message_type.__name__} has {', '.join(fields)}")
