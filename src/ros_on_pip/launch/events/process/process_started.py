"""A process has started."""

from .running_process_event import RunningProcessEvent


class ProcessStarted(RunningProcessEvent):
    """The process is running."""

    name = "launch.events.process.ProcessStarted"
