"""Nested entities as one flat list."""

from collections.abc import Iterable

from ..launch_description_entity import LaunchDescriptionEntity
from ..some_entities_type import SomeEntitiesType


def normalize_to_list_of_entities(entities: SomeEntitiesType | Iterable) -> list[LaunchDescriptionEntity]:
    """Flatten; an entity alone becomes a list of one."""
    if isinstance(entities, LaunchDescriptionEntity):
        return [entities]
    if not isinstance(entities, Iterable) or isinstance(entities, str):
        raise TypeError(f"expected launch entities (actions or launch descriptions), got '{entities!r}'")
    return [flat for entity in entities for flat in normalize_to_list_of_entities(entity)]
