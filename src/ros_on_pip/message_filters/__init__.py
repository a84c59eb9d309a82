"""Filters over streams of messages: subscribe, remember, pair by time, chain."""

from message_filters.cache import Cache
from message_filters.chain import Chain
from message_filters.simple_filter import SimpleFilter
from message_filters.subscriber import Subscriber
from message_filters.synchronizers import ApproximateTimeSynchronizer, TimeSynchronizer

__all__ = [
    "ApproximateTimeSynchronizer",
    "Cache",
    "Chain",
    "SimpleFilter",
    "Subscriber",
    "TimeSynchronizer",
]
