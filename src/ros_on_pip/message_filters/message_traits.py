"""The time of a message."""

from collections.abc import Callable
from typing import Any

from rclpy.clock import ROSClock
from rclpy.logging import get_logger
from rclpy.time import Time

TimeGetter = Callable[[Any], Time | None]


def get_time_from_message_header(message: Any) -> Time | None:
    """`message.header.stamp` as an rclpy Time, None where a message has none."""
    stamp = getattr(getattr(message, "header", None), "stamp", None)
    if stamp is None:
        return None
    return stamp if hasattr(stamp, "nanoseconds") else Time.from_msg(stamp)


def stamp_of(message: Any, time_getter: TimeGetter, allow_headerless: bool, logger_name: str) -> Time | None:
    """The message's time; without one the arrival time if `allow_headerless`, else a warning and None."""
    stamp = time_getter(message)
    if stamp is not None:
        return stamp
    if allow_headerless:
        return ROSClock().now()
    get_logger(logger_name).warning(
        f"a {type(message).__name__} without header.stamp was dropped; "
        "pass allow_headerless=True to give such messages their arrival time"
    )
    return None
