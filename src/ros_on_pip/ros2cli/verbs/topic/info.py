"""Show a topic's type and the nodes at its ends."""

from argparse import ArgumentParser, Namespace

from ros2cli.graph import add_discovery_arguments, cli_node
from ros2cli.verbs.topic._find import find_type, topic_types


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("topic_name")
    parser.add_argument("-v", "--verbose", action="store_true", help="show nodes, QoS and type hashes")
    add_discovery_arguments(parser)


def main(args: Namespace) -> int:
    with cli_node(args.spin_time) as cli:
        topic = cli.full_name(args.topic_name)
        find_type(cli, topic)
        cli.settle()
        types = topic_types(cli).get(topic, [])
        publishers = cli.node.get_publishers_info_by_topic(topic)
        subscriptions = cli.node.get_subscriptions_info_by_topic(topic)
    end = "\n\n" if args.verbose else "\n"
    print(f"Type: {types[0] if len(types) == 1 else types}", end=end)
    for label, endpoints in (("Publisher", publishers), ("Subscription", subscriptions)):
        print(f"{label} count: {len(endpoints)}", end=end)
        for endpoint in endpoints if args.verbose else ():
            print(endpoint, end=end)
    return 0
