"""A process is to end."""

from .process_targeted_event import ProcessTargetedEvent


class ShutdownProcess(ProcessTargetedEvent):
    """Asks processes to end: SIGINT, and SIGTERM and SIGKILL if that does not help."""

    name = "launch.events.process.ShutdownProcess"
