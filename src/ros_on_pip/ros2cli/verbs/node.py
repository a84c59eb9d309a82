"""`ros2 node`."""

import sys
from argparse import ArgumentParser, Namespace

from ros2cli.graph import CliNode, add_discovery_arguments, cli_node, is_hidden
from ros2cli.subverbs import add_subverbs, run_subverb


class List:
    """List the nodes that there are."""

    @staticmethod
    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("-a", "--all", action="store_true", help="list names with a leading underscore too")
        parser.add_argument("-c", "--count-nodes", action="store_true", help="show only their number")
        add_discovery_arguments(parser)

    @staticmethod
    def main(args: Namespace) -> int:
        with cli_node(args.spin_time) as cli:
            cli.settle()
            names = [name for name in cli.node_names() if args.all or not is_hidden(name)]
        if args.count_nodes:
            print(len(names))
            return 0
        if len(set(names)) < len(names):
            print("WARNING: there are nodes that share an exact name", file=sys.stderr)
        for name in names:
            print(name)
        return 0


class Info:
    """Show what a node publishes, subscribes to and serves."""

    @staticmethod
    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("node_name")
        parser.add_argument("--include-hidden", action="store_true", help="show names with a leading underscore too")
        add_discovery_arguments(parser)

    @staticmethod
    def main(args: Namespace) -> int:
        with cli_node(args.spin_time) as cli:
            name = cli.find_node(args.node_name)
            cli.settle()
            sections = endpoints(cli, name)
        print(name)
        for label, rows in sections.items():
            print(f"  {label}:")
            for topic, types in rows:
                if args.include_hidden or not is_hidden(topic):
                    print(f"    {topic}: {', '.join(types)}")
            if label.startswith(("Service Clients", "Action")):
                print()
        return 0


def endpoints(cli: CliNode, full_name: str) -> dict[str, list[tuple[str, list[str]]]]:
    """Names and types of everything a node offers and uses, by kind."""
    from rclpy.action import get_action_client_names_and_types_by_node, get_action_server_names_and_types_by_node

    namespace, _, name = full_name.rpartition("/")
    node, key = cli.node, (name, namespace or "/")
    return {
        "Subscribers": sorted(node.get_subscriber_names_and_types_by_node(*key)),
        "Publishers": sorted(node.get_publisher_names_and_types_by_node(*key)),
        "Service Servers": sorted(node.get_service_names_and_types_by_node(*key)),
        "Service Clients": sorted(node.get_client_names_and_types_by_node(*key)),
        "Action Servers": sorted(get_action_server_names_and_types_by_node(node, *key)),
        "Action Clients": sorted(get_action_client_names_and_types_by_node(node, *key)),
    }


def add_arguments(parser: ArgumentParser) -> None:
    add_subverbs(parser, {"info": Info, "list": List})


main = run_subverb
