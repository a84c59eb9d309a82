"""Base class of what happens during a launch."""


class Event:
    """Something that happened; event handlers match it by class."""

    name = "launch.Event"
