"""Older names of the entity types, still used by launch files in the wild."""

from .some_entities_type import SomeEntitiesType as SomeActionsType
from .some_entities_type import SomeEntitiesType_types_tuple as SomeActionsType_types_tuple

__all__ = ["SomeActionsType", "SomeActionsType_types_tuple"]
