"""Type check with a sentence that names the argument."""

import collections.abc
from typing import Any


def ensure_argument_type(argument: Any, types: Any, argument_name: str, caller: str | None = None) -> None:
    """Raise TypeError unless the argument is of one of the types."""
    wanted = (types,) if isinstance(types, type) else types
    is_iterable = isinstance(wanted, collections.abc.Iterable) and not isinstance(wanted, str)
    wanted = tuple(wanted) if is_iterable else wanted
    if not is_iterable or not all(isinstance(t, type) for t in wanted):
        raise TypeError(
            f"'ensure_argument_type()' expected 'types' to be one of [type, collections.abc.Iterable of type], "
            f"but got '{types}' of type '{type(types)}'"
        )
    if not isinstance(argument, wanted):
        names = ", ".join(str(t) for t in wanted)
        owner = f"'{caller}' " if caller else ""
        raise TypeError(
            f"{owner}expected '{argument_name}' to be one of [{names}], but got '{argument}' of type '{type(argument)}'"
        )
