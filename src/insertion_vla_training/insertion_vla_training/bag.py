"""Bags without ROS: read, write, make whole again. The parts are in the modules named here."""

from insertion_vla_training.bag_error import BagError
from insertion_vla_training.bag_metadata import BagTopic, replace_custom_data
from insertion_vla_training.bag_reader import BagReader, Message
from insertion_vla_training.bag_recovery import Recovery, recover
from insertion_vla_training.bag_writer import BagWriter
from insertion_vla_training.local_types import local_definition, local_type
from insertion_vla_training.message_types import MessageType

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
