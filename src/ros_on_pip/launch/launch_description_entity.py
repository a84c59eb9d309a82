"""Base class of what a launch description is made of."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .launch_context import LaunchContext


class LaunchDescriptionEntity:
    """Something that the launch service visits: an action or a launch description."""

    def visit(self, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        """Do the entity's work; the entities returned are visited next."""
        return None

    def describe(self) -> str:
        return self.__repr__()

    def describe_sub_entities(self) -> list[LaunchDescriptionEntity]:
        """Entities that are always visited after this one."""
        return []

    def describe_conditional_sub_entities(self) -> list[tuple[str, list[LaunchDescriptionEntity]]]:
        """Entities that may be visited, each list with the condition in words."""
        return []

    def get_asyncio_future(self) -> asyncio.Future | None:
        """Future that is done when the entity's work is; None if it was done within `visit`."""
        return None
