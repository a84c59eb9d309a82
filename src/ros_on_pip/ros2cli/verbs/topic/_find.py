"""Topics by name."""

from ros2cli.errors import CommandError
from ros2cli.graph import CliNode, not_found


def topic_types(cli: CliNode) -> dict[str, list[str]]:
    return dict(cli.node.get_topic_names_and_types())


def find_type(cli: CliNode, topic: str) -> str:
    """The type of a topic; raises CommandError if it does not appear or has several."""
    types = cli.find(lambda: topic_types(cli).get(topic))
    if types is None:
        raise not_found("topic", topic, topic_types(cli))
    if len(types) > 1:
        raise CommandError(f"topic '{topic}' has several types, name one: {', '.join(types)}")
    return types[0]
