"""Depth-first visit of an entity and of everything it yields."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..launch_description_entity import LaunchDescriptionEntity

if TYPE_CHECKING:
    from ..launch_context import LaunchContext

EntityFuture = tuple[LaunchDescriptionEntity, asyncio.Future]


def visit_into(entity: LaunchDescriptionEntity, context: LaunchContext, futures: list[EntityFuture]) -> None:
    """Visit and append (entity, future) pairs as they come, so that an exception loses none of the earlier ones."""
    sub_entities = entity.visit(context)
    future = entity.get_asyncio_future()
    if future is not None:
        futures.append((entity, future))
    for sub_entity in sub_entities or ():
        visit_into(sub_entity, context, futures)


def visit_all_entities_and_collect_futures(
    entity: LaunchDescriptionEntity, context: LaunchContext
) -> list[EntityFuture]:
    """Visit the entity and, in order, all that it yields; the futures of those that go on working."""
    futures: list[EntityFuture] = []
    visit_into(entity, context, futures)
    return futures
