"""Does this machine's network carry what ROS sends: loopback, and multicast for finding each other."""

import os
import socket
import struct
import uuid

from insertion_vla.preflight_checks.finding import Finding
from insertion_vla.preflight_checks.selection import Selection

GROUP = "239.255.0.1"  # of DDS discovery (RTPS 2.2, 9.6.1)
WAIT_S = 1.0
LARGE = 60_000  # [bytes] about the largest datagram of the force sensor
RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"


def check_network(selection: Selection) -> list[Finding]:
    """Sends a datagram to ourselves, over loopback and over the multicast group of DDS."""
    problem = _round_trip("127.0.0.1", LARGE)
    if problem:
        fix = "bring the loopback interface up: sudo ip link set lo up"
        return [Finding("network", "fix", f"loopback does not carry datagrams: {problem}", fix)]
    if discovery_range() == "LOCALHOST" and not selection.split:
        return [Finding("network", "ok", f"loopback; {RANGE}=LOCALHOST needs no multicast")]
    problem = _round_trip(GROUP, 64)
    if problem:
        fix = "allow multicast (route 224.0.0.0/4, firewall)"
        if not selection.split:
            fix += f", or export {RANGE}=LOCALHOST: all parts run on this machine"
        return [Finding("network", "fix", f"multicast to {GROUP} does not come back: {problem}", fix)]
    return [Finding("network", "ok", "loopback, and multicast comes back on this machine")]


def discovery_range() -> str:
    """How far ROS looks for others; SUBNET unless told."""
    return os.environ.get(RANGE, "").upper() or "SUBNET"


def _round_trip(address: str, size: int) -> str:
    """Why a datagram to this address does not come back; empty if it does."""
    token = uuid.uuid4().bytes
    group = address == GROUP
    try:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        ):
            receiver.bind((address, 0))
            if group:
                member = struct.pack("4sl", socket.inet_aton(GROUP), socket.INADDR_ANY)
                receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)  # nobody else is to hear it
            receiver.settimeout(WAIT_S)
            sender.sendto(token.ljust(size, b"\0"), (address, receiver.getsockname()[1]))
            while receiver.recv(1 << 16)[: len(token)] != token:
                pass
    except TimeoutError:
        return f"nothing came within {WAIT_S:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return ""
