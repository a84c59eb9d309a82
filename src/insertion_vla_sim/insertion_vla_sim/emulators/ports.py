"""Ports of the emulators, all at one loopback address, and the type of the option that names it."""

from __future__ import annotations

import argparse
import ipaddress

MECA500_CONTROL = 10000
MECA500_MONITORING = 10001
ADMIN = 10500
FORCE = 9999
ROBOT_STATE = 5556
FIRST_CAMERA = 5561


def loopback(text: str) -> str:
    """An IPv4 loopback address from the command line.

    Raises:
        argparse.ArgumentTypeError: anything else.
    """
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected an address 127.x.y.z, got {text!r}") from error
    if not address.is_loopback:
        raise argparse.ArgumentTypeError(f"expected a loopback address 127.x.y.z, got {text}")
    return text
