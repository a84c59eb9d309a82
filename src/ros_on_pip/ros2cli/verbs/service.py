"""`ros2 service`."""

from argparse import ArgumentParser, Namespace

from ros2cli.errors import CommandError
from ros2cli.graph import CliNode, add_discovery_arguments, cli_node, is_hidden, not_found
from ros2cli.interfaces import fill, load_type
from ros2cli.subverbs import add_subverbs, run_subverb


def service_types(cli: CliNode) -> dict[str, list[str]]:
    return dict(cli.node.get_service_names_and_types())


class List:
    """List the services that there are."""

    @staticmethod
    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("-t", "--show-types", action="store_true", help="show the type of each service")
        parser.add_argument("-c", "--count-services", action="store_true", help="show only their number")
        parser.add_argument("--include-hidden-services", action="store_true", help="list hidden names too")
        add_discovery_arguments(parser)

    @staticmethod
    def main(args: Namespace) -> int:
        with cli_node(args.spin_time) as cli:
            cli.settle()
            services = service_types(cli)
        names = sorted(name for name in services if args.include_hidden_services or not is_hidden(name))
        if args.count_services:
            print(len(names))
            return 0
        for name in names:
            print(f"{name} [{', '.join(services[name])}]" if args.show_types else name)
        return 0


class Call:
    """Call a service and print its response."""

    @staticmethod
    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("service_name")
        parser.add_argument("service_type", nargs="?", help="for example std_srvs/srv/Trigger; found out if not given")
        parser.add_argument("values", nargs="?", default="{}", help='the request as YAML, for example "{data: true}"')
        parser.add_argument("--timeout", type=float, metavar="S", help="give up on the response after this time")
        add_discovery_arguments(parser)

    @staticmethod
    def main(args: Namespace) -> int:
        with cli_node(args.spin_time) as cli:
            name = cli.full_name(args.service_name)
            type_name = args.service_type
            if type_name is None:
                types = cli.find(lambda: service_types(cli).get(name))
                if types is None:
                    raise not_found("service", name, service_types(cli))
                type_name = types[0]
            service_type = load_type("service", type_name)
            request = service_type.Request()
            fill(request, args.values, stamps=False)
            client = cli.node.create_client(service_type, name)
            if not cli.find(lambda: True if client.service_is_ready() else None):
                raise not_found("service", name, service_types(cli))
            print(f"requester: making request: {request!r}\n", flush=True)
            future = client.call_async(request)
            if not cli.spin_until(future, args.timeout):
                raise CommandError(f"service '{name}' did not respond within {args.timeout} s")
            print(f"response:\n{future.result()!r}\n")
        return 0


def add_arguments(parser: ArgumentParser) -> None:
    add_subverbs(parser, {"call": Call, "list": List})


main = run_subverb
