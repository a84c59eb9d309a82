"""Bags without ROS: read, write, make whole again. The parts are in the modules named here."""

from insertion_vla_training.bags.error import BagError
from insertion_vla_training.bags.local_types import local_definition, local_type
from insertion_vla_training.bags.message_types import MessageType
from insertion_vla_training.bags.metadata import BagTopic, replace_custom_data
from insertion_vla_training.bags.reader import BagReader, Message
from insertion_vla_training.bags.recovery import Recovery, recover
from insertion_vla_training.bags.writer import BagWriter

__all__ = [
    "BagError",
    "BagReader",
    "BagTopic",
    "BagWriter",
    "Message",
    "MessageType",
    "Recovery",
    "local_definition",
    "local_type",
    "recover",
    "replace_custom_data",
]
