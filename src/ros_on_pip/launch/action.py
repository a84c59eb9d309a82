"""Base class of actions: entities that do something, if their condition holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .condition import Condition
from .launch_description_entity import LaunchDescriptionEntity

if TYPE_CHECKING:
    from .launch_context import LaunchContext


class Action(LaunchDescriptionEntity):
    """What a launch file is a list of. Subclasses override `execute`."""

    def __init__(self, *, condition: Condition | None = None) -> None:
        self.__condition = condition

    @staticmethod
    def parse(entity: Any, parser: Any) -> tuple[type[Action], dict[str, Any]]:
        """Keyword arguments from an XML or YAML file: not supported here."""
        raise NotImplementedError(
            "expected a Python launch file: XML and YAML launch files need the real 'launch' package; "
            "src/ros_on_pip reads Python only"
        )

    @property
    def condition(self) -> Condition | None:
        return self.__condition

    def describe(self) -> str:
        return self.__repr__()

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        return []

    def describe_sub_entities(self) -> list[LaunchDescriptionEntity]:
        return self.get_sub_entities() if self.condition is None else []

    def describe_conditional_sub_entities(self) -> list[tuple[str, list[LaunchDescriptionEntity]]]:
        if self.condition is None:
            return []
        return [("Conditionally included by " + self.describe(), self.get_sub_entities())]

    def visit(self, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        """Execute if the condition holds, and tell those who asked when the execution is complete."""
        if self.__condition is not None and not self.__condition.evaluate(context):
            return None
        try:
            return self.execute(context)
        finally:
            self.__announce_completion(context)

    def __announce_completion(self, context: LaunchContext) -> None:
        from .events.execution_complete import ExecutionComplete

        event = ExecutionComplete(action=self)
        if not context.would_handle_event(event):
            return
        future = self.get_asyncio_future()
        if future is None:
            context.emit_event_sync(event)
        else:
            future.add_done_callback(lambda _: context.emit_event_sync(event))

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        """Do the action's work; the entities returned are visited next."""
        return None
