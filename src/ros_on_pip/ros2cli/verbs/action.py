"""`ros2 action`."""

import time
from argparse import ArgumentParser, Namespace
from typing import Any

from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient, get_action_names_and_types
from rosidl_runtime_py import message_to_yaml

from ros2cli.errors import CommandError
from ros2cli.graph import CliNode, add_discovery_arguments, cli_node, is_hidden, not_found
from ros2cli.interfaces import fill, load_type
from ros2cli.subverbs import add_subverbs, run_subverb

CANCEL_TIMEOUT_S = 5.0
STATUS_NAMES = {
    getattr(GoalStatus, f"STATUS_{name}"): name
    for name in ("UNKNOWN", "ACCEPTED", "EXECUTING", "CANCELING", "SUCCEEDED", "CANCELED", "ABORTED")
}


def action_types(cli: CliNode) -> dict[str, list[str]]:
    return dict(get_action_names_and_types(cli.node))


class List:
    """List the actions that there are."""

    @staticmethod
    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("-t", "--show-types", action="store_true", help="show the type of each action")
        parser.add_argument("-c", "--count-actions", action="store_true", help="show only their number")
        add_discovery_arguments(parser)

    @staticmethod
    def main(args: Namespace) -> int:
        with cli_node(args.spin_time) as cli:
            cli.settle()
            actions = action_types(cli)
        names = sorted(name for name in actions if not is_hidden(name))
        if args.count_actions:
            print(len(names))
            return 0
        for name in names:
            print(f"{name} [{', '.join(actions[name])}]" if args.show_types else name)
        return 0


class SendGoal:
    """Send a goal, wait for its result; Ctrl-C cancels it. The exit code is 0 only if the goal succeeded."""

    @staticmethod
    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("action_name")
        parser.add_argument("action_type", help="for example example_interfaces/action/Fibonacci")
        parser.add_argument("goal", help='YAML such as "{order: 5}"')
        parser.add_argument("-f", "--feedback", action="store_true", help="print feedback while the goal runs")
        parser.add_argument("-t", "--timeout", type=float, metavar="S", help="cancel the goal after this time")
        add_discovery_arguments(parser)

    @staticmethod
    def main(args: Namespace) -> int:
        action_type = load_type("action", args.action_type)
        goal = action_type.Goal()
        fill(goal, args.goal)
        with cli_node(args.spin_time) as cli:
            client = ActionClient(cli.node, action_type, cli.full_name(args.action_name))
            try:
                return send_goal(cli, client, goal, args)
            finally:
                client.destroy()


def send_goal(cli: CliNode, client: ActionClient, goal: Any, args: Namespace) -> int:
    name = cli.full_name(args.action_name)
    print("Waiting for an action server to become available...", flush=True)
    if not cli.find(lambda: True if client.server_is_ready() else None):
        raise not_found("action", name, action_types(cli))
    print(f"Sending goal:\n{indented(goal)}", flush=True)
    accepted = None
    deadline = None if args.timeout is None else time.monotonic() + args.timeout
    try:
        accepted = client.send_goal_async(goal, feedback_callback=print_feedback if args.feedback else None)
        cli.spin_until(accepted)
        handle = accepted.result()
        if not handle.accepted:
            raise CommandError("Goal was rejected.")
        print(f"Goal accepted with ID: {bytes(handle.goal_id.uuid).hex()}\n", flush=True)
        result = handle.get_result_async()
        if not cli.spin_until(result, None if deadline is None else max(0.0, deadline - time.monotonic())):
            print(f"No result within {args.timeout} s: canceling goal...", flush=True)
            cancel(cli, handle)
            return 1
        response = result.result()
        print(f"Result:\n{indented(response.result)}", flush=True)
        print(f"Goal finished with status: {STATUS_NAMES.get(response.status, response.status)}", flush=True)
        return 0 if response.status == GoalStatus.STATUS_SUCCEEDED else 1
    except KeyboardInterrupt:
        # The goal may be on its way to the server: it must not run on without anyone who waits for it.
        if accepted is not None and cli.spin_until(accepted, CANCEL_TIMEOUT_S) and accepted.result().accepted:
            print("Canceling goal...", flush=True)
            cancel(cli, accepted.result())
        raise


def cancel(cli: CliNode, handle: Any) -> None:
    """Ask for the goal's cancellation and wait until the server has ended it."""
    answer = handle.cancel_goal_async()
    if not cli.spin_until(answer, CANCEL_TIMEOUT_S) or not answer.result().goals_canceling:
        raise CommandError("the action server did not accept the cancellation; the goal may still run")
    result = handle.get_result_async()
    if not cli.spin_until(result, CANCEL_TIMEOUT_S):
        raise CommandError("the action server accepted the cancellation but has not ended the goal yet")
    print(f"Goal finished with status: {STATUS_NAMES.get(result.result().status, '?')}", flush=True)


def print_feedback(message: Any) -> None:
    print(f"Feedback:\n{indented(message.feedback)}", flush=True)


def indented(message: Any) -> str:
    return "".join(f"    {line}\n" for line in message_to_yaml(message).splitlines())


def add_arguments(parser: ArgumentParser) -> None:
    add_subverbs(parser, {"list": List, "send_goal": SendGoal})


main = run_subverb
