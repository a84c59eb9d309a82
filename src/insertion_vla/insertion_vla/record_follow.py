"""What the recorder reads in the messages that pass: goals, and faults of the arm."""

from collections.abc import Callable
from dataclasses import dataclass

from rclpy.serialization import deserialize_message

from insertion_vla.record_reception import Received
from insertion_vla_interfaces.msg import ArmState, TaskState

OUTCOMES = {TaskState.SUCCEEDED: "success", TaskState.FAILED: "failure"}


@dataclass(frozen=True)
class Watched:
    """Absolute topics that are followed."""

    task: str
    arm: str


class Follower:
    """Calls back on every change.

    Args:
        watched: the topics.
        goal_began: with the instruction.
        goal_ended: with the outcome.
        fault: with the reason, when the arm goes to FAULT.
    """

    def __init__(
        self,
        watched: Watched,
        goal_began: Callable[[str], None],
        goal_ended: Callable[[str], None],
        fault: Callable[[str], None],
    ) -> None:
        self._goal_began, self._goal_ended, self._fault = goal_began, goal_ended, fault
        self._goal_id: str | None = None
        self._arm_state: int | None = None
        self._readers = {watched.task: self._on_task, watched.arm: self._on_arm}

    def take(self, messages: list[Received]) -> None:
        """Read those messages that are of interest."""
        for message in messages:
            reader = self._readers.get(message.topic)
            if reader is not None:
                reader(message.data)

    def _on_task(self, data: bytes) -> None:
        message = deserialize_message(data, TaskState)
        before, self._goal_id = self._goal_id, message.goal_id
        if message.goal_id == before:
            return
        if message.goal_id:
            self._goal_began(message.instruction)
        elif before:
            self._goal_ended(OUTCOMES.get(message.phase, "unknown"))

    def _on_arm(self, data: bytes) -> None:
        message = deserialize_message(data, ArmState)
        before, self._arm_state = self._arm_state, message.state
        if message.state == ArmState.FAULT and before not in (None, ArmState.FAULT):
            self._fault(message.reason)
