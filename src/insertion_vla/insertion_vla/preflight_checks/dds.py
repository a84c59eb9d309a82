"""The ROS domain: its number, who carries it, and whether nodes of these names are in it already (by discovery)."""

import os
import time

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.utilities import get_rmw_implementation_identifier

from insertion_vla.preflight_checks.finding import Finding, NotDone
from insertion_vla.preflight_checks.network import RANGE, discovery_range
from insertion_vla.preflight_checks.selection import Selection

DISCOVER_S = 1.5
LOOK_S = 0.1
HIGHEST = 232  # by the mapping of domains to UDP ports (RTPS 2.2, 9.6.1)
SAFE = 101  # above it Linux hands the domain's ports to clients


def check_dds(selection: Selection) -> list[Finding]:
    """Takes part in the domain for a moment under a name of its own."""
    return [_domain(selection), _names(selection, _seen())]


def _domain(selection: Selection) -> Finding:
    given = os.environ.get("ROS_DOMAIN_ID", "")
    number = "0" if not given else given
    choose = f"export ROS_DOMAIN_ID=<1 to {SAFE}>, the same on every machine of this robot and nowhere else"
    if not number.isdecimal() or int(number) > HIGHEST:
        raise NotDone(f"ROS_DOMAIN_ID={given} is no whole number from 0 to {HIGHEST}", choose)
    reach = discovery_range()
    figures = f"domain {number}, {get_rmw_implementation_identifier()}, discovery {reach}"
    if selection.split and reach in ("LOCALHOST", "OFF"):
        fix = f"export {RANGE}=SUBNET on every machine"
        return Finding("DDS domain", "fix", f"{figures}: hosts on other machines will not be found", fix)
    if int(number) > SAFE:
        return Finding("DDS domain", "warning", f"{figures}: its ports may be taken by other programs", choose)
    if not given and reach != "LOCALHOST":
        return Finding("DDS domain", "warning", f"{figures}: ROS_DOMAIN_ID is not set, others share domain 0", choose)
    return Finding("DDS domain", "ok", figures)


def _seen() -> set[str]:
    """Fully qualified names of all nodes that are discovered."""
    context = Context()
    rclpy.init(args=[], context=context)  # not our own arguments: name:=value would be remap rules
    try:
        node = Node(f"preflight_{os.getpid()}", context=context)
        names: set[str] = set()
        until_s = time.monotonic() + DISCOVER_S
        while time.monotonic() < until_s:
            pairs = node.get_node_names_and_namespaces()
            names = {f"{space.rstrip('/')}/{name}" for name, space in pairs} - {f"/{node.get_name()}"}
            time.sleep(LOOK_S)
        node.destroy_node()
        return names
    finally:
        rclpy.try_shutdown(context=context)


def _names(selection: Selection, seen: set[str]) -> Finding:
    ours = selection.nodes()
    if twice := [name for name in ours if name in seen]:
        fix = "end the other launch, or choose another ROS_DOMAIN_ID or namespace:="
        return Finding("DDS names", "fix", f"already in this domain: {', '.join(twice)}", fix)
    others = sorted(name for name in seen if not name.startswith("/preflight"))
    beside = (
        f", beside {len(others)} other nodes ({', '.join(others[:3])}{', ...' if others[3:] else ''})"
        if others
        else ", nobody else is there"
    )
    return Finding("DDS names", "ok", f"the {len(ours)} names of this launch are free{beside}")
