"""Include another launch file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..action import Action
from ..launch_description_entity import LaunchDescriptionEntity
from ..launch_description_source import LaunchDescriptionSource
from ..some_substitutions_type import SomeSubstitutionsType
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from .opaque_function import OpaqueFunction
from .set_launch_configuration import SetLaunchConfiguration

if TYPE_CHECKING:
    from ..launch_context import LaunchContext
    from ..launch_description import LaunchDescription

LaunchArguments = Iterable[tuple[SomeSubstitutionsType, SomeSubstitutionsType]]


class IncludeLaunchDescription(Action):
    """Loads a launch description and yields it, after setting the launch arguments given.

    The arguments are launch configurations of the enclosing scope: they stay set after the include, as upstream.
    """

    def __init__(
        self,
        launch_description_source: LaunchDescriptionSource | SomeSubstitutionsType,
        *,
        launch_arguments: LaunchArguments | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(launch_description_source, LaunchDescriptionSource):
            from ..launch_description_sources.any_launch_description_source import AnyLaunchDescriptionSource

            launch_description_source = AnyLaunchDescriptionSource(launch_description_source)
        self.__launch_description_source = launch_description_source
        self.__launch_arguments = tuple(launch_arguments or ())

    @property
    def launch_description_source(self) -> LaunchDescriptionSource:
        return self.__launch_description_source

    @property
    def launch_arguments(self) -> tuple[tuple[SomeSubstitutionsType, SomeSubstitutionsType], ...]:
        return self.__launch_arguments

    def describe(self) -> str:
        return f"IncludeLaunchDescription({self.__launch_description_source.location})"

    def _try_get_arguments_names_without_context(self) -> list[str]:
        """Names of the arguments given, as far as they are plain text."""
        from ..launch_context import LaunchContext
        from ..substitutions import SubstitutionFailure

        names = []
        for name, _ in self.launch_arguments:
            try:
                names.append(perform_substitutions(LaunchContext(), normalize_to_list_of_substitutions(name)))
            except (SubstitutionFailure, AttributeError):
                continue  # known only while launching
        return names

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        description = self.__launch_description_source.try_get_launch_description_without_context()
        return [] if description is None else [description]

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        description = self.__launch_description_source.get_launch_description(context)
        self._set_launch_file_location_locals(context)
        self._check_required_arguments(context, description)
        settings = [SetLaunchConfiguration(name, value) for name, value in self.launch_arguments]
        return [*settings, description, OpaqueFunction(function=self._restore_launch_file_location_locals)]

    def _check_required_arguments(self, context: LaunchContext, description: LaunchDescription) -> None:
        given = [
            perform_substitutions(context, normalize_to_list_of_substitutions(n)) for n, _ in self.launch_arguments
        ]
        pairs = description.get_launch_arguments_with_include_launch_description_actions()
        for argument, includes in pairs:
            if argument._conditionally_included or argument.default_value is not None:
                continue
            known = [*given, *(n for i in includes or () for n in i._try_get_arguments_names_without_context())]
            if argument.name not in known:
                raise RuntimeError(
                    f"Included launch description missing required argument '{argument.name}' "
                    f"(description: '{argument.description}'), given: [{', '.join(known)}]"
                )

    def _set_launch_file_location_locals(self, context: LaunchContext) -> None:
        outer = context.get_locals_as_dict()
        self._outer_path = outer.get("current_launch_file_path")
        self._outer_directory = outer.get("current_launch_file_directory")
        path = self.__launch_description_source.location
        # A description made within a script, not from a file, has the file's stand-in as its folder too.
        directory = os.path.dirname(os.path.abspath(path)) if os.path.exists(path) else path
        context.extend_locals({"current_launch_file_path": path, "current_launch_file_directory": directory})

    def _restore_launch_file_location_locals(self, context: LaunchContext) -> None:
        """Back to the including file; None where there is none."""
        context.extend_locals(
            {"current_launch_file_path": self._outer_path, "current_launch_file_directory": self._outer_directory}
        )
