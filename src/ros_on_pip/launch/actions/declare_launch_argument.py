"""Argument of a launch file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..action import Action
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class DeclareLaunchArgument(Action):
    """Makes a launch configuration an argument: settable from outside, listed by `--show-args`.

    Without a default the argument must be given. With `choices` any other value is an error.
    """

    def __init__(
        self,
        name: str,
        *,
        default_value: SomeSubstitutionsType | None = None,
        description: str | None = None,
        choices: Iterable[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.__name = name
        self.__default_value = None if default_value is None else normalize_to_list_of_substitutions(default_value)
        self.__description = "no description given" if description is None else description
        self.__choices = None if choices is None else list(choices)
        if self.__choices is not None:
            if isinstance(default_value, str) and default_value not in self.__choices:
                raise RuntimeError(
                    f"Provided default_value '{default_value}' is not in provided choices {self.__choices}."
                )
            self.__description = (
                f"{self.__description}. Valid choices are: {self.__choices}"
                if description
                else (f"one of: {self.__choices}")
            )
        # Set by LaunchDescription.get_launch_arguments().
        self._conditionally_included = False

    @property
    def name(self) -> str:
        return self.__name

    @property
    def default_value(self) -> list[Substitution] | None:
        return self.__default_value

    @property
    def description(self) -> str:
        return self.__description

    @property
    def choices(self) -> list[str] | None:
        return self.__choices

    def execute(self, context: LaunchContext) -> None:
        if self.name not in context.launch_configurations:
            if self.default_value is None:
                raise RuntimeError(
                    f"Required launch argument '{self.name}' (description: '{self.description}') was not provided"
                )
            context.launch_configurations[self.name] = perform_substitutions(context, self.default_value)
        value = context.launch_configurations[self.name]
        if self.choices is not None and value not in self.choices:
            raise RuntimeError(
                f"Argument '{self.name}' provided value '{value}' is not valid. Valid options are: {self.choices}"
            )
