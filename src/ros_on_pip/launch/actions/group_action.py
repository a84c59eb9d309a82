"""Actions as a group, with a scope of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..action import Action
from ..launch_description_entity import LaunchDescriptionEntity
from .pop_environment import PopEnvironment
from .pop_launch_configurations import PopLaunchConfigurations
from .push_environment import PushEnvironment
from .push_launch_configurations import PushLaunchConfigurations
from .reset_environment import ResetEnvironment
from .reset_launch_configurations import ResetLaunchConfigurations
from .set_launch_configuration import SetLaunchConfiguration

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class GroupAction(Action):
    """Yields its actions, in a scope unless `scoped=False`.

    Args:
        actions: what to do.
        scoped: launch configurations and environment are restored after the group.
        forwarding: the group sees the outer configurations and environment; otherwise only
            `launch_configurations` and the environment of the launch's start.
        launch_configurations: set within the group (outside of a scope they stay set).
    """

    def __init__(
        self,
        actions: Iterable[LaunchDescriptionEntity],
        *,
        scoped: bool = True,
        forwarding: bool = True,
        launch_configurations: dict[Any, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.__actions = list(actions)
        self.__scoped = scoped
        self.__forwarding = forwarding
        self.__launch_configurations = dict(launch_configurations or {})
        self.__actions_to_return: list[LaunchDescriptionEntity] | None = None

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        if self.__actions_to_return is None:
            settings: list[LaunchDescriptionEntity] = [
                SetLaunchConfiguration(name, value) for name, value in self.__launch_configurations.items()
            ]
            before: list[LaunchDescriptionEntity] = settings
            after: list[LaunchDescriptionEntity] = []
            if self.__scoped:
                before = [PushLaunchConfigurations(), PushEnvironment()]
                if self.__forwarding:
                    before += settings
                else:
                    before += [ResetEnvironment(), ResetLaunchConfigurations(self.__launch_configurations)]
                after = [PopEnvironment(), PopLaunchConfigurations()]
            self.__actions_to_return = [*before, *self.__actions, *after]
        return self.__actions_to_return

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        return self.get_sub_entities()
