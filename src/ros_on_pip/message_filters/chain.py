"""Several filters in a row, seen as one."""

from typing import Any

from message_filters.simple_filter import SimpleFilter


class Chain(SimpleFilter):
    """Feeds messages to its first filter, each filter to the next, and passes on what the last one gives.

    A filter in a chain needs an `add(message)` method.
    """

    def __init__(self, message_filter: SimpleFilter | None = None) -> None:
        super().__init__()
        self.incoming_connection: int | None = None
        self._filters: list[Any] = []
        self._output: int | None = None
        if message_filter is not None:
            self.connectInput(message_filter)

    def connectInput(self, message_filter: SimpleFilter) -> None:
        """Take messages from `message_filter`; only once."""
        if self.incoming_connection is not None:
            raise RuntimeError("this chain is connected to an input already")
        self.incoming_connection = message_filter.registerCallback(self.add)

    def add(self, message: Any) -> None:
        """Put one message into the chain."""
        if self._filters:
            self._filters[0].add(message)
        else:
            self.signalMessage(message)

    def addFilter(self, message_filter: Any) -> int:
        """Append a filter; returns its index."""
        if self._filters:
            last = self._filters[-1]
            last.callbacks.pop(self._output)
            last.registerCallback(message_filter.add)
        self._output = message_filter.registerCallback(self.signalMessage)
        self._filters.append(message_filter)
        return len(self._filters) - 1

    def getFilter(self, index: int) -> Any:
        """The filter at `index`; raises KeyError where there is none."""
        if not 0 <= index < len(self._filters):
            raise KeyError(index)
        return self._filters[index]
