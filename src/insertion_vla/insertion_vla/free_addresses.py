"""A loopback address and a ROS domain that nothing else here uses, so that several demos run side by side."""

import errno
import os
import socket
from collections.abc import Iterator

TCP_PORTS = (5556, 5561, 5562, 5563, 10000, 10001, 10500)
UDP_PORTS = (9999,)
# Below 102 the ports of a domain stay clear of the ports that Linux hands out to clients.
DOMAINS = range(1, 102)


def free_host() -> str:
    """127.0.0.1 when the simulation's ports are free there, else another loopback address where they are.

    Raises:
        OSError: none was found.
    """
    for host in _hosts():
        if all(_free(host, port, socket.SOCK_STREAM) for port in TCP_PORTS) and all(
            _free(host, port, socket.SOCK_DGRAM) for port in UDP_PORTS
        ):
            return host
    raise OSError("expected a loopback address with free ports, found none: end other simulations first")


def free_domain() -> int:
    """A ROS domain without participants on this machine.

    Raises:
        OSError: none was found.
    """
    start = os.getpid() % len(DOMAINS)
    for domain in (*DOMAINS[start:], *DOMAINS[:start]):
        first_participant = 7400 + 250 * domain + 10  # DDS port mapping (RTPS 2.2, 9.6.1)
        if _free("0.0.0.0", first_participant, socket.SOCK_DGRAM):
            return domain
    raise OSError("expected a free ROS domain, found none: set ROS_DOMAIN_ID yourself")


def _hosts() -> Iterator[str]:
    yield "127.0.0.1"
    seed = os.getpid()
    for step in range(50):
        number = (seed * 131 + step * 7919) % 65000 + 300
        yield f"127.77.{number // 256}.{number % 256}"


def bind_error(host: str, port: int, kind: socket.SocketKind) -> int:
    """The errno that binding this address gives; 0 when it is free."""
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: TIME_WAIT is no user
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno or errno.EINVAL
    return 0


def _free(host: str, port: int, kind: socket.SocketKind) -> bool:
    return not bind_error(host, port, kind)
