"""Texts of interface types from the installed packages, with everything they use."""

import re
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

from rosbag2_py._storage import MessageDefinition

SEPARATOR = "=" * 80
PRIMITIVES = {
    "bool", "byte", "char", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64",
    "uint64", "string", "wstring",
}  # fmt: skip
_FIELD_TYPE = re.compile(r"^\s*([A-Za-z][\w/]*)(?:<=\d+)?(?:\[[^\]]*\])?\s+[A-Za-z]\w*")


class LocalMessageDefinitionSource:
    """Looks definitions up in share/<package>/{msg,srv} of the ament index."""

    def __init__(self) -> None:
        self._texts: dict[str, str | None] = {}

    def get_full_text(self, root_topic_type: str) -> MessageDefinition:
        """The definition of a type followed by those it uses; encoding 'unknown' where a file is missing."""
        definition = MessageDefinition(topic_type=root_topic_type, encoding="unknown")
        parts = root_topic_type.split("/")
        if len(parts) not in (2, 3) or not all(parts):
            return definition
        package, kind, name = parts[0], parts[1] if len(parts) == 3 else "msg", parts[-1]
        root = self._text(package, kind, name)
        if root is None:
            return definition
        used: dict[str, str] = {}
        if not self._collect(package, root, used):
            return definition
        text = root if kind == "msg" else f"{SEPARATOR}\n{kind.upper()}: {package}/{kind}/{name}\n{root}"
        for type_name, content in used.items():
            text += f"\n{SEPARATOR}\nMSG: {type_name}\n{content}"
        definition.encoding = "ros2msg"
        definition.encoded_message_definition = text
        return definition

    def _collect(self, package: str, text: str, used: dict[str, str]) -> bool:
        """Add the types that `text` uses to `used`, depth first; False if one cannot be found."""
        for line in text.splitlines():
            match = _FIELD_TYPE.match(line.split("#", 1)[0])
            if match is None or match[1] in PRIMITIVES:
                continue
            *path, name = match[1].split("/")
            owner = path[0] if path else package
            full_name = f"{owner}/{name}"
            if full_name in used:
                continue
            content = self._text(owner, "msg", name)
            if content is None:
                return False
            used[full_name] = content
            if not self._collect(owner, content, used):
                return False
        return True

    def _text(self, package: str, kind: str, name: str) -> str | None:
        key = f"{package}/{kind}/{name}"
        if key not in self._texts:
            self._texts[key] = _read(package, kind, name)
        return self._texts[key]


def _read(package: str, kind: str, name: str) -> str | None:
    try:
        file = Path(get_package_share_directory(package)) / kind / f"{name}.{kind}"
    except (PackageNotFoundError, ValueError):
        return None
    return file.read_text(encoding="utf-8") if file.is_file() else None
