"""Where a launch description comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .some_substitutions_type import SomeSubstitutionsType
from .substitution import Substitution

if TYPE_CHECKING:
    from .launch_context import LaunchContext
    from .launch_description import LaunchDescription


class LaunchDescriptionSource:
    """A launch description, loaded on first use.

    Args:
        launch_description: the description, if there is one already.
        location: path of the file, or any text that says where the description comes from.
        method: how it is loaded, in words.
    """

    def __init__(
        self,
        launch_description: LaunchDescription | None = None,
        location: SomeSubstitutionsType | None = None,
        method: str = "unspecified mechanism from a script",
    ) -> None:
        from .utilities import normalize_to_list_of_substitutions

        self.__launch_description = launch_description
        self.__location: list[Substitution] = normalize_to_list_of_substitutions(
            location if location is not None else "<script>"
        )
        self.__expanded_location: str | None = None
        self.__method = method

    @property
    def method(self) -> str:
        return self.__method

    @property
    def location(self) -> str:
        """The path, once the description has been loaded; until then a description of it."""
        if self.__expanded_location is not None:
            return self.__expanded_location
        return " + ".join(str(sub) for sub in self.__location)

    def try_get_launch_description_without_context(self) -> LaunchDescription | None:
        """The description, if it can be loaded before the launch: None if its path depends on the launch."""
        from .launch_context import LaunchContext
        from .substitutions import SubstitutionFailure

        if self.__launch_description is not None:
            return self.__launch_description
        try:
            return self.get_launch_description(LaunchContext())
        except (SubstitutionFailure, LookupError, AttributeError, OSError):
            return None

    def get_launch_description(self, context: LaunchContext) -> LaunchDescription:
        from .utilities import perform_substitutions

        if self.__expanded_location is None:
            self.__expanded_location = perform_substitutions(context, self.__location)
        if self.__launch_description is None:
            self.__launch_description = self._get_launch_description(self.__expanded_location)
        return self.__launch_description

    def _get_launch_description(self, location: str) -> LaunchDescription:
        """Load the description; subclasses know how."""
        raise RuntimeError("LaunchDescriptionSource._get_launch_description(): called without being overridden")
