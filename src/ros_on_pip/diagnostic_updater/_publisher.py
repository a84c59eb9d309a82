"""Diagnostics of a topic: its rate, and the age of its stamps."""

from typing import Any

from rclpy.time import Time

from diagnostic_updater._diagnostic_updater import CompositeDiagnosticTask, DiagnosticTaskVector
from diagnostic_updater._update_functions import (
    FrequencyStatus,
    FrequencyStatusParam,
    TimeStampStatus,
    TimeStampStatusParam,
)


class HeaderlessTopicDiagnostic(CompositeDiagnosticTask):
    """Rate of a topic; adds itself to the updater `diag`. Call `tick()` with every message."""

    def __init__(self, name: str, diag: DiagnosticTaskVector, freq: FrequencyStatusParam) -> None:
        super().__init__(f"{name} topic status")
        self.diag = diag
        self.freq = FrequencyStatus(freq)
        self.addTask(self.freq)
        self.diag.add(self)

    def tick(self) -> None:
        """Count one message."""
        self.freq.tick()

    def clear_window(self) -> None:
        """Forget the messages counted so far."""
        self.freq.clear()


class TopicDiagnostic(HeaderlessTopicDiagnostic):
    """Rate and stamp age of a topic. Call `tick(stamp)` with every message."""

    def __init__(
        self, name: str, diag: DiagnosticTaskVector, freq: FrequencyStatusParam, stamp: TimeStampStatusParam
    ) -> None:
        super().__init__(name, diag, freq)
        self.stamp = TimeStampStatus(stamp)
        self.addTask(self.stamp)

    def tick(self, stamp: Any) -> None:
        """Count one message with this stamp: seconds as a float, or an rclpy Time."""
        self.stamp.tick(stamp)
        super().tick()


class DiagnosedPublisher(TopicDiagnostic):
    """A publisher whose messages are counted and whose header stamps are watched."""

    def __init__(
        self, pub: Any, diag: DiagnosticTaskVector, freq: FrequencyStatusParam, stamp: TimeStampStatusParam
    ) -> None:
        super().__init__(pub.topic_name, diag, freq, stamp)
        self.publisher = pub

    def publish(self, message: Any) -> None:
        self.tick(Time.from_msg(message.header.stamp))
        self.publisher.publish(message)
