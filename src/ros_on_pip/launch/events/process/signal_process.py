"""A process is to get a signal."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from .process_targeted_event import ProcessTargetedEvent

if TYPE_CHECKING:
    from ...actions.execute_local import ExecuteLocal


class SignalProcess(ProcessTargetedEvent):
    """Asks for a signal to be sent to processes; by number or by name such as 'SIGTERM'."""

    name = "launch.events.process.SignalProcess"

    def __init__(
        self, *, signal_number: str | int | signal.Signals, process_matcher: Callable[[ExecuteLocal], bool]
    ) -> None:
        super().__init__(process_matcher=process_matcher)
        if isinstance(signal_number, str):
            self.__signal = signal.Signals[signal_number if signal_number.startswith("SIG") else f"SIG{signal_number}"]
        else:
            self.__signal = signal.Signals(signal_number)

    @property
    def signal(self) -> signal.Signals:
        return self.__signal

    @property
    def signal_name(self) -> str:
        return self.__signal.name
