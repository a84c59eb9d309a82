"""The one exception with which a verb ends in a sentence instead of a traceback."""


class CommandError(Exception):
    """What was expected, what came and what to do, in one sentence; `ros2` prints it and exits with `code`."""

    def __init__(self, sentence: str, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code
