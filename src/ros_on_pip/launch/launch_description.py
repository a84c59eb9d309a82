"""The list of entities that a launch file returns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .action import Action
from .launch_description_entity import LaunchDescriptionEntity

if TYPE_CHECKING:
    from .actions.declare_launch_argument import DeclareLaunchArgument
    from .launch_context import LaunchContext


class LaunchDescription(LaunchDescriptionEntity):
    """What `generate_launch_description()` of a launch file returns."""

    def __init__(
        self,
        initial_entities: Iterable[LaunchDescriptionEntity] | None = None,
        *,
        deprecated_reason: str | None = None,
    ) -> None:
        self.__entities = list(initial_entities) if initial_entities is not None else []
        self.__deprecated_reason = deprecated_reason

    @property
    def entities(self) -> list[LaunchDescriptionEntity]:
        return self.__entities

    @property
    def deprecated(self) -> bool:
        return self.__deprecated_reason is not None

    @property
    def deprecated_reason(self) -> str | None:
        return self.__deprecated_reason

    def add_entity(self, entity: LaunchDescriptionEntity) -> None:
        self.__entities.append(entity)

    def add_action(self, action: Action) -> None:
        self.add_entity(action)

    def visit(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        if self.__deprecated_reason is not None:
            from .logging import get_logger

            where = context.get_locals_as_dict().get("current_launch_file_path")
            file = f" [{where}]" if where else ""
            reason = f": {self.__deprecated_reason}" if self.__deprecated_reason else ""
            get_logger("launch").warning(f"launch description{file} is deprecated{reason}")
        return self.__entities

    def describe_sub_entities(self) -> list[LaunchDescriptionEntity]:
        return self.__entities

    def get_launch_arguments(self, conditional_inclusion: bool = False) -> list[DeclareLaunchArgument]:
        """The declared arguments of this description and of what it includes, the first of each name.

        Each has `_conditionally_included` set if it counts only under some condition. Included files are loaded for
        it where their path can be known before the launch.
        """
        first: dict[str, DeclareLaunchArgument] = {}
        for argument, _ in self.get_launch_arguments_with_include_launch_description_actions(conditional_inclusion):
            first.setdefault(argument.name, argument)
        return list(first.values())

    def get_launch_arguments_with_include_launch_description_actions(
        self, conditional_inclusion: bool = False
    ) -> list[tuple[DeclareLaunchArgument, list | None]]:
        """All declarations, each with the chain of include actions that leads to it, if any.

        What follows a ResetLaunchConfigurations is left out: it cannot be set from outside.
        """
        from .actions.declare_launch_argument import DeclareLaunchArgument
        from .actions.include_launch_description import IncludeLaunchDescription
        from .actions.reset_launch_configurations import ResetLaunchConfigurations

        found: list[tuple[DeclareLaunchArgument, list | None]] = []

        def collect(entities: Iterable, conditional: bool, includes: list) -> None:
            for entity in entities:
                under_condition = conditional or getattr(entity, "condition", None) is not None
                if isinstance(entity, DeclareLaunchArgument):
                    entity._conditionally_included = under_condition
                    found.append((entity, list(includes) or None))
                    continue
                if isinstance(entity, ResetLaunchConfigurations):
                    return
                nested = [*includes, entity] if isinstance(entity, IncludeLaunchDescription) else includes
                collect(entity.describe_sub_entities(), under_condition, nested)
                for _, sub_entities in entity.describe_conditional_sub_entities():
                    collect(sub_entities, True, nested)

        collect(self.entities, conditional_inclusion, [])
        return found
