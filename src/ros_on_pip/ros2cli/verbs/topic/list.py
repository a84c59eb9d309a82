"""List the topics that there are."""

from argparse import ArgumentParser, Namespace

from ros2cli.graph import add_discovery_arguments, cli_node, is_hidden
from ros2cli.verbs.topic._find import topic_types


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("-t", "--show-types", action="store_true", help="show the type of each topic")
    parser.add_argument("-c", "--count-topics", action="store_true", help="show only their number")
    parser.add_argument("--include-hidden-topics", action="store_true", help="list names with a leading underscore too")
    add_discovery_arguments(parser)


def main(args: Namespace) -> int:
    with cli_node(args.spin_time) as cli:
        cli.settle()
        topics = topic_types(cli)
    names = sorted(name for name in topics if args.include_hidden_topics or not is_hidden(name))
    if args.count_topics:
        print(len(names))
        return 0
    for name in names:
        print(f"{name} [{', '.join(topics[name])}]" if args.show_types else name)
    return 0
