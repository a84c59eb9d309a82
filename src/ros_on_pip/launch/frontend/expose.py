"""Registers of the names under which actions and substitutions are known outside of Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Exposed = TypeVar("Exposed", bound=Callable[..., Any])

action_parse_methods: dict[str, Callable[..., Any]] = {}
substitution_parse_methods: dict[str, Callable[..., Any]] = {}


def _expose(name: str, methods: dict[str, Callable[..., Any]], kind: str) -> Callable[[Exposed], Exposed]:
    def decorate(exposed: Exposed) -> Exposed:
        method = exposed.parse if isinstance(exposed, type) else exposed  # type: ignore[attr-defined]
        known = methods.get(name)
        if known is not None and known != method:
            raise RuntimeError(f"expected one parse method of the {kind} '{name}', got a second one: {exposed!r}")
        methods[name] = method
        return exposed

    return decorate


def expose_substitution(name: str) -> Callable[[Exposed], Exposed]:
    """Make `$(name arguments)` stand for the substitution, in parameter files and in `parse_substitution`."""
    return _expose(name, substitution_parse_methods, "substitution")


def expose_action(name: str) -> Callable[[Exposed], Exposed]:
    """Register an action's tag of XML and YAML launch files; kept for launch files that use the decorator."""
    return _expose(name, action_parse_methods, "action")
