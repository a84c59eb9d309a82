"""The addresses that this launch will bind must be free, and be this machine's."""

import errno
import ipaddress
import os
import re
import socket
from collections.abc import Iterator

import psutil

from insertion_vla.free_addresses import TCP_PORTS, bind_error
from insertion_vla.launch_arguments import CAMERA_PORTS
from insertion_vla.preflight_checks.finding import Finding
from insertion_vla.preflight_checks.selection import Selection

CAMERAS = tuple(CAMERA_PORTS.values())  # in TCP_PORTS too, where the camera nodes bind them
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
_ADDRESS = re.compile(r"tcp://([^:]+):(\d+)")


def check_ports(selection: Selection) -> list[Finding]:
    """Every port of the launch, and the process that is in the way."""
    wanted = list(_wanted(selection))
    rows = []
    for host, port, kind, user in wanted:
        code = bind_error(host, port, kind)
        if not code:
            continue
        name = f"{'TCP' if kind == TCP else 'UDP'} {host}:{port} for {user}"
        if code == errno.EADDRNOTAVAIL:
            fix = "name an address of this machine (`ip addr`) in the parameters, or plug the network in"
            rows.append(Finding("ports", "fix", f"{name}: {host} is no address of this machine", fix))
        elif code == errno.EADDRINUSE:
            holder = _holder(host, port, kind)
            fix = f"end {holder or 'that program'}, or choose another {'host:=' if selection.simulated else 'port'}"
            rows.append(Finding("ports", "fix", f"{name} is in use{f' by {holder}' if holder else ''}", fix))
        else:
            rows.append(Finding("ports", "fix", f"{name}: {os.strerror(code)}", "choose another port"))
    if rows:
        return rows
    if not wanted:
        return [Finding("ports", "skipped", "none is bound on this machine")]
    listed = [
        f"{name} {', '.join(str(port) for _, port, k, _ in wanted if k == kind)}"
        for name, kind in (("UDP", UDP), ("TCP", TCP))
        if any(k == kind for _, _, k, _ in wanted)
    ]
    return [Finding("ports", "ok", f"free: {'; '.join(listed)}")]


def _wanted(selection: Selection) -> Iterator[tuple[str, int, socket.SocketKind, str]]:
    """(host, port, kind, whose) of what the launch binds; unreadable parameters are the business of another check."""
    if "sensor" in selection.parts and (force := selection.models.get("force_sensor")):
        yield force.bind_address, force.port, UDP, "force_sensor"
    if "cameras" in selection.parts:
        for view in selection.views:
            camera = selection.models.get(f"camera_{view}")
            if camera and camera.driver == "zmq" and (match := _ADDRESS.fullmatch(camera.device)):
                yield _literal(match[1]), int(match[2]), TCP, f"camera_{view}"
    if "robot" in selection.parts and selection.simulated:
        for port in sorted(set(TCP_PORTS) - set(CAMERAS)):
            yield selection.host, port, TCP, "the simulation"


def _literal(host: str) -> str:
    """ZMQ also takes * and the name of an interface, which are this machine's in any case."""
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        return "0.0.0.0"


def _holder(host: str, port: int, kind: socket.SocketKind) -> str:
    """Name and number of the process at this port; empty where this user may not know."""
    everywhere = "0.0.0.0"
    try:
        for entry in psutil.net_connections("tcp4" if kind == TCP else "udp4"):
            waits = kind == UDP or entry.status == psutil.CONN_LISTEN
            if not (waits and entry.pid and entry.laddr and entry.laddr.port == port):
                continue
            if everywhere in (host, entry.laddr.ip) or entry.laddr.ip == host:
                return f"{psutil.Process(entry.pid).name()} (process {entry.pid})"
    except psutil.Error:
        return ""
    return ""
