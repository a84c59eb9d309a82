"""Matchers of processes, for events that are meant for some of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...actions.execute_local import ExecuteLocal

ProcessMatcher = Callable[["ExecuteLocal"], bool]


def matches_pid(pid: int) -> ProcessMatcher:
    """Matches the process with that number."""
    return lambda action: action.process_details is not None and action.process_details.get("pid") == pid


def matches_name(name: str) -> ProcessMatcher:
    """Matches processes with that final name."""
    return lambda action: action.process_details is not None and action.process_details["name"] == name


def matches_executable(executable: str) -> ProcessMatcher:
    """Matches processes whose command starts with that executable."""
    return lambda action: action.process_details is not None and action.process_details["cmd"][0] == executable
