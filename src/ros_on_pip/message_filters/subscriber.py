"""A ROS subscription as the source of a filter chain."""

from typing import Any

from message_filters.simple_filter import SimpleFilter

DEFAULT_DEPTH = 10


class Subscriber(SimpleFilter):
    """Takes the arguments of `Node.create_subscription`, the node first and no callback.

    Everything that an rclpy subscription offers is reachable on this object too.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.node, message_type, self.topic, *rest = args
        if not rest:
            kwargs.setdefault("qos_profile", DEFAULT_DEPTH)
        self.sub = self.node.create_subscription(message_type, self.topic, self.callback, *rest, **kwargs)

    def callback(self, msg: Any) -> None:
        self.signalMessage(msg)

    def getTopic(self) -> str:
        return self.topic

    def __getattr__(self, name: str) -> Any:
        # Only reached for names this class lacks; "sub" itself is missing while __init__ runs.
        if name == "sub":
            raise AttributeError(name)
        return getattr(self.sub, name)
