"""`ros2 lifecycle`."""

from argparse import ArgumentParser, Namespace
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions, GetState

from ros2cli.errors import CommandError
from ros2cli.graph import CliNode, add_discovery_arguments, cli_node, is_hidden, not_found
from ros2cli.subverbs import add_subverbs, run_subverb

RESPONSE_TIMEOUT_S = 5.0
# A node may load models or home a robot in a transition.
TRANSITION_TIMEOUT_S = 120.0
GET_STATE = "lifecycle_msgs/srv/GetState"


def lifecycle_nodes(cli: CliNode) -> list[str]:
    """Fully qualified names of the nodes that serve ~/get_state."""
    return sorted(
        name.removesuffix("/get_state")
        for name, types in cli.node.get_service_names_and_types()
        if GET_STATE in types and name.endswith("/get_state")
    )


def call(cli: CliNode, service_type: Any, service: str, request: Any, timeout_s: float = RESPONSE_TIMEOUT_S) -> Any:
    client = cli.node.create_client(service_type, service)
    if not cli.find(lambda: True if client.service_is_ready() else None):
        raise not_found("lifecycle node", service.rpartition("/")[0], lifecycle_nodes(cli))
    future = client.call_async(request)
    if not cli.spin_until(future, timeout_s):
        raise CommandError(f"service '{service}' did not respond within {timeout_s:.0f} s")
    return future.result()


def find_lifecycle_node(cli: CliNode, name: str) -> str:
    full = cli.full_name(name)
    if cli.find(lambda: full if full in lifecycle_nodes(cli) else None) is None:
        if full in cli.node_names():
            raise CommandError(f"node '{full}' is not a lifecycle node")
        error = not_found("node", full, lifecycle_nodes(cli))
        raise CommandError(str(error).replace("ros2 node list", "ros2 lifecycle nodes"))
    return full


def state_text(cli: CliNode, node: str) -> str:
    state = call(cli, GetState, f"{node}/get_state", GetState.Request()).current_state
    return f"{state.label} [{state.id}]"


class Nodes:
    """List the lifecycle nodes that there are."""

    @staticmethod
    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("-a", "--all", action="store_true", help="list hidden names too")
        parser.add_argument("-c", "--count-nodes", action="store_true", help="show only their number")
        add_discovery_arguments(parser)

    @staticmethod
    def main(args: Namespace) -> int:
        with cli_node(args.spin_time) as cli:
            cli.settle()
            names = [name for name in lifecycle_nodes(cli) if args.all or not is_hidden(name)]
        print(len(names) if args.count_nodes else "\n".join(names))
        return 0


class Get:
    """Show the state of one lifecycle node, or of all."""

    @staticmethod
    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("node_name", nargs="?")
        add_discovery_arguments(parser)

    @staticmethod
    def main(args: Namespace) -> int:
        with cli_node(args.spin_time) as cli:
            if args.node_name:
                print(state_text(cli, find_lifecycle_node(cli, args.node_name)))
                return 0
            cli.settle()
            for name in lifecycle_nodes(cli):
                print(f"{name}: {state_text(cli, name)}")
        return 0


class List:
    """List the transitions that a lifecycle node can make now."""

    @staticmethod
    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("node_name")
        parser.add_argument("-a", "--all", action="store_true", help="list all transitions of the node")
        add_discovery_arguments(parser)

    @staticmethod
    def main(args: Namespace) -> int:
        with cli_node(args.spin_time) as cli:
            node = find_lifecycle_node(cli, args.node_name)
            service = "get_transition_graph" if args.all else "get_available_transitions"
            response = call(cli, GetAvailableTransitions, f"{node}/{service}", GetAvailableTransitions.Request())
        for entry in response.available_transitions:
            print(f"- {entry.transition.label} [{entry.transition.id}]")
            print(f"\tStart: {entry.start_state.label}")
            print(f"\tGoal: {entry.goal_state.label}")
        return 0


class Set:
    """Make a lifecycle node change its state."""

    @staticmethod
    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("node_name")
        parser.add_argument("transition", help="configure, activate, deactivate, cleanup, shutdown, or a number")
        add_discovery_arguments(parser)

    @staticmethod
    def main(args: Namespace) -> int:
        with cli_node(args.spin_time) as cli:
            node = find_lifecycle_node(cli, args.node_name)
            request = GetAvailableTransitions.Request()
            available = call(cli, GetAvailableTransitions, f"{node}/get_available_transitions", request)
            transition = choose([entry.transition for entry in available.available_transitions], args.transition)
            if transition is None:
                names = ", ".join(entry.transition.label for entry in available.available_transitions) or "nothing"
                raise CommandError(
                    f"'{args.transition}' is no transition of '{node}' in state {state_text(cli, node)}; "
                    f"possible: {names}"
                )
            change = ChangeState.Request(transition=transition)
            done = call(cli, ChangeState, f"{node}/change_state", change, TRANSITION_TIMEOUT_S).success
        if not done:
            raise CommandError("Transitioning failed")
        print("Transitioning successful")
        return 0


def choose(transitions: list[Transition], wanted: str) -> Transition | None:
    """The transition of that label or number."""
    return next((t for t in transitions if wanted in (t.label, str(t.id))), None)


def add_arguments(parser: ArgumentParser) -> None:
    add_subverbs(parser, {"get": Get, "list": List, "nodes": Nodes, "set": Set})


main = run_subverb
