"""Matchers of actions; those of processes are in `launch.events.process`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..action import Action


def matches_action(target_action: Action) -> Callable[[Action], bool]:
    """Matches that very action."""
    return lambda action: action is target_action
