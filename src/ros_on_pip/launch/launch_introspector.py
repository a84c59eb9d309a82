"""Launch descriptions as text, for `ros2 launch --print`."""

from __future__ import annotations

from .launch_description import LaunchDescription
from .launch_description_entity import LaunchDescriptionEntity
from .substitution import Substitution
from .utilities.type_utils import is_substitution

INDENT = "    "


def _text(substitutions: list[Substitution]) -> str:
    return " + ".join(sub.describe() for sub in substitutions)


def _detail(value: object) -> str:
    if isinstance(value, Substitution):
        return value.describe()
    if isinstance(value, list) and is_substitution(value):
        return _text(value)
    return repr(value)


class LaunchIntrospector:
    """Formats entities, indented by what leads to them."""

    def format_launch_description(self, launch_description: LaunchDescription) -> str:
        """The description and all it contains; included files are loaded where their path is known."""
        count = len(launch_description.entities)
        lines = [f"LaunchDescription({count} entit{'y' if count == 1 else 'ies'})"]
        return "\n".join(lines + self.format_entities(launch_description.entities, INDENT))

    def format_entities(self, entities: list[LaunchDescriptionEntity], indent: str) -> list[str]:
        lines: list[str] = []
        for entity in entities:
            lines += self.__format_entity(entity, indent)
        return lines

    def __format_entity(self, entity: LaunchDescriptionEntity, indent: str) -> list[str]:
        if isinstance(entity, LaunchDescription):
            return [indent + line for line in self.format_launch_description(entity).splitlines()]
        lines = [indent + self.__describe(entity)]
        lines += self.format_entities(entity.describe_sub_entities(), indent + INDENT)
        for condition, sub_entities in entity.describe_conditional_sub_entities():
            lines.append(f"{indent}{INDENT}{condition}:")
            lines += self.format_entities(sub_entities, indent + 2 * INDENT)
        return lines

    def __describe(self, entity: LaunchDescriptionEntity) -> str:
        """Class and settings; an entity that describes itself in its own words keeps them."""
        from .actions import DeclareLaunchArgument, ExecuteLocal

        if isinstance(entity, DeclareLaunchArgument):
            default = "" if entity.default_value is None else f", default={_text(entity.default_value)}"
            return f"DeclareLaunchArgument('{entity.name}'{default}, description='{entity.description}')"
        if isinstance(entity, ExecuteLocal):
            cmd = entity.process_description.cmd
            return f"{type(entity).__name__}(cmd=[{', '.join(_text(part) for part in cmd)}])"
        own = entity.describe()
        if " object at 0x" not in own:
            return own
        names = [n for n in ("name", "value", "msg", "period") if hasattr(type(entity), n)]
        return f"{type(entity).__name__}({', '.join(f'{n}={_detail(getattr(entity, n))}' for n in names)})"
