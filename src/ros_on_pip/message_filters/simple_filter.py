"""The base of all filters: a list of callbacks to signal."""

from collections.abc import Callable
from typing import Any


class SimpleFilter:
    """Calls every registered callback when it has output.

    Attributes:
        callbacks: Connection number to (callback, extra arguments), in order of registration.
    """

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[Callable[..., Any], tuple[Any, ...]]] = {}

    def registerCallback(self, cb: Callable[..., Any], *args: Any) -> int:
        """Call `cb(*messages, *args)` with every output from now on; returns the connection's number."""
        connection = max(self.callbacks, default=-1) + 1
        self.callbacks[connection] = (cb, args)
        return connection

    def unregisterCallback(self, connection: int) -> None:
        """Stop calling a registered callback; an unknown number changes nothing."""
        self.callbacks.pop(connection, None)

    def signalMessage(self, *msg: Any) -> None:
        """Hand one output to all callbacks."""
        # A copy: a callback may connect or disconnect another one.
        for callback, args in list(self.callbacks.values()):
            callback(*msg, *args)
