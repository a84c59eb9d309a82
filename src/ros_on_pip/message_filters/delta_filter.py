"""Filters that let a message pass only where it differs from the last one that passed."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from message_filters.simple_filter import SimpleFilter

__all__ = [
    "CachedComparisonHandler",
    "ComparisonFilter",
    "ComparisonHandler",
    "DeltaCompare",
    "DeltaFilter",
    "PathDeltaFilter",
    "SimpleFilter",
]

FieldGetter = Callable[[Any], Any]
COMPARABLE = (bool, int, float, str)


class ComparisonHandler(ABC):
    """Decides whether a message passes."""

    @abstractmethod
    def message_fits(self, message: Any) -> bool:
        """True if `message` passes."""


class CachedComparisonHandler(ComparisonHandler):
    """Compares fields of a message with those of the last message that passed; the first one always passes.

    A subclass sets `_field_getters` and says in `do_fields_fit` when a pair of values lets the message pass.
    """

    def __init__(self) -> None:
        self._field_getters: Sequence[FieldGetter] = ()
        self._message_cache: Any = None

    def message_fits(self, message: Any) -> bool:
        last = self._message_cache
        fits = last is None or any(self.do_fields_fit(get(last), get(message)) for get in self._field_getters)
        if fits:
            self._message_cache = message
        return fits

    def do_fields_fit(self, field_a: Any, field_b: Any) -> bool:
        raise NotImplementedError(f"{type(self).__name__} must say in do_fields_fit when two values let a message pass")


class DeltaCompare(CachedComparisonHandler):
    """Lets a message pass when any of its fields changed.

    Args:
        field_getters: Functions from message to a bool, number or string.
    """

    def __init__(self, field_getters: Sequence[FieldGetter]) -> None:
        super().__init__()
        self._field_getters = field_getters

    def do_fields_fit(self, field_a: Any, field_b: Any) -> bool:
        if not isinstance(field_a, COMPARABLE) or not isinstance(field_b, COMPARABLE):
            raise TypeError(
                f"expected fields of type bool, int, float or str, "
                f"got {type(field_a).__name__} and {type(field_b).__name__}"
            )
        return field_a != field_b


class ComparisonFilter(SimpleFilter):
    """Passes on the messages that a comparison handler accepts."""

    def __init__(self, comparison_handler: ComparisonHandler, message_filter: SimpleFilter | None = None) -> None:
        super().__init__()
        self._comparison_handler = comparison_handler
        self.incoming_connection: int | None = None
        if message_filter is not None:
            self.connectInput(message_filter)

    def connectInput(self, message_filter: SimpleFilter) -> None:
        """Take messages from `message_filter`; only once."""
        if self.incoming_connection is not None:
            raise RuntimeError("this filter is connected to an input already")
        self.incoming_connection = message_filter.registerCallback(self.add)

    def add(self, message: Any) -> None:
        if self.message_fits(message):
            self.signalMessage(message)

    def message_fits(self, message: Any) -> bool:
        return self._comparison_handler.message_fits(message)


class DeltaFilter(ComparisonFilter):
    """Passes on messages in which any of the fields given by `field_getters` changed."""

    def __init__(self, field_getters: Sequence[FieldGetter], message_filter: SimpleFilter | None = None) -> None:
        super().__init__(DeltaCompare(field_getters), message_filter)


class PathDeltaFilter(DeltaFilter):
    """A DeltaFilter over fields named by dotted paths, such as `header.frame_id`."""

    def __init__(self, field_path_list: Sequence[str], message_filter: SimpleFilter | None = None) -> None:
        super().__init__([partial(self.get_field_by_path, field_path=path) for path in field_path_list], message_filter)

    @staticmethod
    def get_field_by_path(message: Any, field_path: str) -> Any:
        value = message
        for name in field_path.split("."):
            if not hasattr(value, name):
                raise RuntimeError(f"{type(value).__name__} has no field '{name}' (path '{field_path}')")
            value = getattr(value, name)
        return value
