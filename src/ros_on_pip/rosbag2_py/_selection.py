"""Which topics RecordOptions ask for."""

import re

from rclpy.topic_or_service_is_hidden import topic_or_service_is_hidden

from rosbag2_py._transport import RecordOptions

SERVICE_EVENT_SUFFIX = "/_service_event"


class Selection:
    """Which topics of the graph the options ask for."""

    def __init__(self, options: RecordOptions) -> None:
        if options.rmw_serialization_format not in ("", "cdr"):
            raise RuntimeError(f"expected serialization format 'cdr', got '{options.rmw_serialization_format}'")
        if not (options.all_topics or options.topics or options.topic_types or options.regex):
            raise RuntimeError("nothing to record: expected all topics, names, types or a regular expression")
        self._options = options
        self._include = _pattern(options.regex)
        self._exclude = _pattern(options.exclude_regex)

    def wants(self, topic: str, type_name: str, names: set[str], excluded: set[str]) -> bool:
        """Whether to record a topic; `names` and `excluded` are the options' names, fully qualified."""
        options = self._options
        if topic.endswith(SERVICE_EVENT_SUFFIX) or topic in excluded or type_name in options.exclude_topic_types:
            return False
        if self._exclude is not None and self._exclude.search(topic):
            return False
        if topic in names:
            return True
        if topic_or_service_is_hidden(topic) and not options.include_hidden_topics:
            return False
        if options.all_topics or type_name in options.topic_types:
            return True
        return self._include is not None and self._include.search(topic) is not None


def _pattern(text: str) -> "re.Pattern[str] | None":
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise RuntimeError(f"expected a regular expression, got '{text}': {error}") from error
