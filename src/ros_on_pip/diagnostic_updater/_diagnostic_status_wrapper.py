"""A DiagnosticStatus message that is easy to fill."""

from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue


class DiagnosticStatusWrapper(DiagnosticStatus):
    """A DiagnosticStatus with a summary (level and message) and key-value pairs."""

    def summary(self, *args: Any) -> None:
        """Set the summary: `summary(level, message)`, or `summary(status)` to take over another one's."""
        self.level, self.message = _level_and_message(args)

    def clearSummary(self) -> None:
        """Level OK and no message."""
        self.summary(DiagnosticStatus.OK, "")

    def mergeSummary(self, *args: Any) -> None:
        """Merge in `mergeSummary(level, message)` or `mergeSummary(status)`.

        The higher level wins. Messages of two summaries that are both OK or both not OK are joined by '; ';
        otherwise only the message of the one that is not OK stays.
        """
        level, message = _level_and_message(args)
        if (level > DiagnosticStatus.OK) == (self.level > DiagnosticStatus.OK):
            self.message = f"{self.message}; {message}" if self.message else message
        elif level > self.level:
            self.message = message
        self.level = max(self.level, level)

    def add(self, key: str, val: Any) -> None:
        """Append a key-value pair; `val` is turned into text."""
        self.values.append(KeyValue(key=key, value=str(val)))


def _level_and_message(args: tuple[Any, ...]) -> tuple[bytes, str]:
    if len(args) == 1:
        return args[0].level, args[0].message
    if len(args) == 2:
        level, message = args
        return level, str(message)
    raise TypeError(f"expected (level, message) or one status, got {len(args)} arguments")
