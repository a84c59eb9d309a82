"""Types of the command-line options that the executables share."""

from __future__ import annotations

import argparse
import ipaddress

MAX_SEED = 2**53 - 1


def seed(text: str) -> int:
    """The number of an episode from the command line.

    Raises:
        argparse.ArgumentTypeError: not a whole number from 0 to MAX_SEED.
    """
    if not text.isdecimal() or int(text) > MAX_SEED:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to {MAX_SEED}, got {text!r}")
    return int(text)


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
