"""Message types without ROS: CDR to objects and back, from the definitions that bags carry (encoding 'ros2msg').

Objects are plain classes with the fields of the message. Arrays of numbers are numpy views into the given bytes: they
cannot be written to and cost nothing. Texts are str, arrays of messages are lists.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.typesys import get_types_from_msg
from rosbags.typesys.store import Typestore

from insertion_vla_training.bags.error import BagError

_TYPE = re.compile(r"[A-Za-z]\w*/(msg|srv|action)/[A-Za-z]\w*", re.ASCII)
_FIELD = re.compile(r"[A-Za-z]\w*", re.ASCII)
_BIG_ENDIAN, _LITTLE_ENDIAN = b"\x00\x00", b"\x00\x01"
_ENCAPSULATION_BYTES = 4
_SURPLUS_BYTES = 256  # rclpy's serialize_message makes room for paddings that it then does not need
_ARRAY, _SEQUENCE = int(Nodetype.ARRAY), int(Nodetype.SEQUENCE)
_DTYPES = {"bool": np.bool_, "byte": np.uint8, "char": np.uint8, "octet": np.uint8}


class MessageType:
    """One type and the types it uses.

    Raises:
        BagError: the definition is not one of a ROS 2 message.
    """

    def __init__(self, name: str, definition: str) -> None:
        self.name = name
        self._store = _store(name, definition)
        self._kind = self._store.get_msgdef(name)
        self._array_fields: dict[str, dict[str, np.dtype[Any]]] = {}

    def decode(self, data: bytes | memoryview) -> Any:
        """The message behind its CDR bytes.

        Raises:
            BagError: the bytes are not a message of this type.
        """
        order = bytes(data[:2])
        if order not in (_BIG_ENDIAN, _LITTLE_ENDIAN):
            raise BagError(f"expected CDR bytes of {self.name}, got bytes that begin with {bytes(data[:4]).hex(' ')}")
        read = self._kind.deserialize_cdr_le if order == _LITTLE_ENDIAN else self._kind.deserialize_cdr_be
        try:
            message, end = read(memoryview(data)[_ENCAPSULATION_BYTES:], 0, self._kind.cls, self._store)
        except Exception as error:  # the library tells no list of what damaged bytes can raise
            raise BagError(f"expected a message of type {self.name}, got other bytes: {error}") from error
        surplus = len(data) - _ENCAPSULATION_BYTES - end
        if surplus < 0 or surplus > _SURPLUS_BYTES:
            raise BagError(f"expected a message of type {self.name}, got {abs(surplus)} bytes too many or too few")
        return message

    def encode(self, message: Any) -> bytes:
        """The CDR bytes of a message made by `new` or `decode`.

        Raises:
            BagError: a field has a value that its type cannot hold.
        """
        try:
            return bytes(self._store.serialize_cdr(message, self.name))
        except Exception as error:  # as above, for values
            raise BagError(f"expected values that {self.name} can hold: {type(error).__name__} {error}") from error

    def new(self, /, **fields: Any) -> Any:
        """A message of this type; every field must be given.

        Raises:
            BagError: a field is missing or unknown, or its numbers do not fit its type.
        """
        return self.of(self.name, **fields)

    def of(self, name: str, /, **fields: Any) -> Any:
        """A message of one of the types that this type uses ('std_msgs/msg/Header')."""
        try:
            arrays = self._arrays(name)
            values = {
                key: value if key not in arrays else np.asarray(value).astype(arrays[key], casting="same_kind")
                for key, value in fields.items()
            }
            return self._store.types[name](**values)
        except (KeyError, TypeError, ValueError) as error:
            raise BagError(f"expected the fields of {name}: {error}") from error

    def _arrays(self, name: str) -> dict[str, np.dtype[Any]]:
        """Fields that are arrays of numbers; bytes of another type of number would be written as they are."""
        if name not in self._array_fields:
            found = {}
            for key, (kind, inner) in self._store.fielddefs[name][1]:
                if kind in (_ARRAY, _SEQUENCE) and inner[0][0] == int(Nodetype.BASE) and inner[0][1][0] != "string":
                    base = inner[0][1][0]
                    found[key] = np.dtype(_DTYPES.get(base, base))
            self._array_fields[name] = found
        return self._array_fields[name]

    @property
    def type_hash(self) -> str:
        """The hash that ROS 2 gives the type ('RIHS01_...')."""
        return str(self._store.hash_rihs01(self.name))


@lru_cache(maxsize=256)
def message_type(name: str, encoding: str, definition: str) -> MessageType:
    """The type of a bag's schema; the same schema in the next bag costs nothing.

    Raises:
        BagError: there is no definition, or none that can be read.
    """
    if encoding != "ros2msg" or not definition.strip():
        got = f"one in '{encoding}'" if encoding and definition.strip() else "none"
        raise BagError(
            f"expected the definition of {name} in the bag as 'ros2msg', got {got}; "
            "record on a machine where the type's package is installed"
        )
    return MessageType(name, definition)


def _store(name: str, definition: str) -> Typestore:
    # The library makes Python source of these names, and they come from a file of anybody.
    _check(_TYPE, name, "a message type")
    try:
        types = get_types_from_msg(definition, name)
        for type_name, (constants, fields) in types.items():
            _check(_TYPE, type_name, "a message type")
            for field in [*(entry[0] for entry in constants), *(entry[0] for entry in fields)]:
                _check(_FIELD, field, f"a field of {type_name}")
        store = Typestore()
        store.register(types)
        store.get_msgdef(name)  # compiles it
    except BagError:
        raise
    except Exception as error:  # the parser tells no list either
        raise BagError(f"expected the definition of {name} as ROS 2 writes it, could not read it: {error}") from error
    return store


def _check(pattern: re.Pattern[str], text: str, what: str) -> None:
    if not pattern.fullmatch(text):
        raise BagError(f"expected the name of {what}, got {text[:80]!r}")
