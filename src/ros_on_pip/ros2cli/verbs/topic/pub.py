"""Publish a message on a topic, once or again and again."""

import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace

from ros2cli.errors import CommandError
from ros2cli.graph import add_discovery_arguments, cli_node
from ros2cli.interfaces import fill, load_type
from ros2cli.qos import add_qos_arguments, publisher_qos

MATCH_TIMEOUT_S = 10.0


def positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise ArgumentTypeError(f"expected a number, got '{text}'") from error
    if not value > 0:
        raise ArgumentTypeError(f"expected a number above 0, got '{text}'")
    return value


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("topic_name")
    parser.add_argument("message_type", help="for example std_msgs/msg/String")
    parser.add_argument("values", nargs="?", default="{}", help='YAML such as "{data: hello}"; header: auto stamps it')
    parser.add_argument("-r", "--rate", type=positive, default=1.0, metavar="HZ", help="messages per second (1)")
    parser.add_argument("-p", "--print", type=int, default=1, metavar="N", help="print every N-th message")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("-1", "--once", action="store_true", help="publish one message, then end")
    group.add_argument("-t", "--times", type=int, default=0, metavar="N", help="publish N messages, then end")
    parser.add_argument(
        "-w", "--wait-matching-subscriptions", type=int, metavar="N",
        help="subscriptions to wait for; 1 with --once and --times, else 0",
    )  # fmt: skip
    parser.add_argument("--keep-alive", type=float, default=0.1, metavar="S", help="stay after the last message (0.1)")
    parser.add_argument("-n", "--node-name", help="accepted: the node is hidden")
    add_qos_arguments(parser)
    add_discovery_arguments(parser)


def main(args: Namespace) -> int:
    message = load_type("message", args.message_type)()
    setters = fill(message, args.values, stamps=True)
    times = 1 if args.once else args.times
    wanted = args.wait_matching_subscriptions
    if wanted is None:
        wanted = 1 if times else 0
    with cli_node(args.spin_time) as cli:
        publisher = cli.node.create_publisher(type(message), cli.full_name(args.topic_name), publisher_qos(args))
        matched = cli.find(
            lambda: True if publisher.get_subscription_count() >= wanted else None, timeout_s=MATCH_TIMEOUT_S
        )
        if not matched:
            raise CommandError(
                f"expected {wanted} subscription(s) of '{publisher.topic_name}', found "
                f"{publisher.get_subscription_count()} in {MATCH_TIMEOUT_S:.0f} s; -w 0 publishes anyway"
            )
        print("publisher: beginning loop", flush=True)
        begin_s, count = time.monotonic(), 0
        while not times or count < times:
            stamp = cli.node.get_clock().now().to_msg()
            for setter in setters:
                setter(stamp)
            publisher.publish(message)
            count += 1
            if args.print and count % args.print == 0:
                print(f"publishing #{count}: {message!r}\n", flush=True)
            if not times or count < times:
                cli.sleep(begin_s + count / args.rate - time.monotonic())
        cli.sleep(args.keep_alive)
    return 0
