"""Message types for writing bags on a machine without ROS: ours from their .msg files, the common ones from rosbags."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from insertion_vla_training.bags.error import BagError
from insertion_vla_training.bags.message_types import MessageType, message_type

INTERFACES = "insertion_vla_interfaces"
# Seen from one of the folders above this file: an installation's share, or the sources.
PLACES = ("share/insertion_vla_training/msg", f"{INTERFACES}/msg")


def local_definition(name: str) -> str:
    """The text of a type and of everything it uses, as bags carry it ('ros2msg').

    Raises:
        BagError: the type is not known here.
    """
    try:
        return _known().generate_msgdef(name, ros_version=2)[0]
    except Exception as error:
        raise BagError(
            f"expected a type of {INTERFACES} or of ROS 2's common interfaces ('sensor_msgs/msg/JointState'), "
            f"got '{name}'"
        ) from error


@lru_cache(maxsize=256)
def local_type(name: str) -> MessageType:
    """The type of that name; raises BagError if it is not known here."""
    return message_type(name, "ros2msg", local_definition(name))


@lru_cache(maxsize=1)
def _known() -> Typestore:
    store = get_typestore(Stores.ROS2_JAZZY)
    types = {}
    for file in sorted(_folder().glob("*.msg")):
        types.update(get_types_from_msg(file.read_text(encoding="utf-8"), f"{INTERFACES}/msg/{file.stem}"))
    store.register(types)
    return store


def _folder() -> Path:
    for parent in Path(__file__).resolve().parents:
        for place in PLACES:
            if any((parent / place).glob("*.msg")):
                return parent / place
    raise BagError(f"expected the .msg files of {INTERFACES} beside this installation, found none; install it again")
