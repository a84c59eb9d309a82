"""Write a bag without ROS, in the layout of rosbag2: a folder with metadata.yaml and one MCAP file of zstd chunks."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from insertion_vla_training.bags.error import BagError
from insertion_vla_training.bags.local_types import local_definition, local_type
from insertion_vla_training.bags.mcap_out import McapOut
from insertion_vla_training.bags.metadata import BagTopic, qos_text, write_metadata


class BagWriter:
    """A new bag; use it as a context.

    The folder appears under its name when the bag is complete. After an error, or a kill, there is no bag: what was
    written lies in a hidden folder beside, which the next attempt replaces.

    Args:
        folder: of the bag; must not exist.
        custom_data: what the bag carries about itself (`to_custom_data` of its episode); `close` can give newer ones.

    Raises:
        BagError: the folder exists.
        OSError: it cannot be written.
    """

    def __init__(self, folder: str | Path, custom_data: Mapping[str, str]) -> None:
        self.folder = Path(folder)
        if self.folder.exists():
            raise BagError(f"expected a new folder for the bag, {self.folder} exists; choose another or remove it")
        self._custom_data = dict(custom_data)
        self._partial = self.folder.with_name(f".{self.folder.name}.part")
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        self._file_name = f"{self.folder.name}_0.mcap"
        self._file = McapOut(self._partial / self._file_name)
        self._types: dict[str, str] = {}
        self._open = True

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def add_topic(self, name: str, kind: str, latched: bool = False) -> None:
        """Describe a topic before its first message.

        Args:
            name: absolute ("/force/samples").
            kind: its type ("insertion_vla_interfaces/msg/ForceSamples").
            latched: a subscriber that comes late gets the newest message.

        Raises:
            BagError: the name is taken or not absolute, or the type is not known here.
        """
        if name in self._types or not name.startswith("/"):
            raise BagError(f"expected a new topic such as '/force/samples', got '{name}'")
        type_hash = local_type(kind).type_hash
        extras = {"offered_qos_profiles": qos_text(latched), "topic_type_hash": type_hash}
        topic = BagTopic(name, kind, latched=latched, type_hash=type_hash)
        self._file.add_topic(topic, "ros2msg", local_definition(kind), extras)
        self._types[name] = kind

    def write(self, topic: str, data: bytes, receive_ns: int, publish_ns: int | None = None) -> None:
        """One message, as the CDR bytes that `local_type(...).encode` gives.

        Args:
            topic: described before.
            data: CDR bytes.
            receive_ns: when it was received; readers sort by it.
            publish_ns: when it was published; `receive_ns` if not given.

        Raises:
            BagError: the topic is not described, or a time is not one.
            OSError: the disk took no more.
        """
        if topic not in self._types:
            raise BagError(f"expected a topic that was added ({', '.join(self._types) or 'none was'}), got '{topic}'")
        published_ns = receive_ns if publish_ns is None else publish_ns
        if not (0 <= receive_ns < 1 << 63 and 0 <= published_ns < 1 << 63):
            raise BagError(f"expected times in ns since 1970, got {receive_ns} and {published_ns} on {topic}")
        self._file.write(topic, data, receive_ns, published_ns)

    def close(self, custom_data: Mapping[str, str] | None = None) -> None:
        """Finish the bag, with `custom_data` in place of those given at the start; a second call does nothing."""
        if not self._open:
            return
        try:
            metadata = self._file.metadata(self._file_name, self._custom_data if custom_data is None else custom_data)
            self._file.close(metadata)
            write_metadata(self._partial, metadata)
            self._partial.rename(self.folder)
        except BaseException:
            self.discard()
            raise
        self._open = False

    def discard(self) -> None:
        """Give up: no bag."""
        if self._open:
            self._open = False
            self._file.abandon()
            shutil.rmtree(self._partial, ignore_errors=True)
