"""The error of a launch file that could not be loaded."""

import traceback


class InvalidLaunchFileError(Exception):
    """A launch file failed to load; says with which errors."""

    def __init__(
        self, extension: str = "", *, likely_errors: list[BaseException] | None = None, launch_file_path: str = ""
    ) -> None:
        super().__init__()
        self._extension = extension
        self._likely_errors = likely_errors or []
        self._launch_file_path = launch_file_path

    def __str__(self) -> str:
        file = f" [{self._launch_file_path}]" if self._launch_file_path else f" [{self._extension}]"
        if self._extension and not self._likely_errors:
            return f"The launch file{file} may have a syntax error, or its format is unknown"
        causes = "".join(
            "\n - " + "".join(traceback.format_exception_only(type(error), error)).strip()
            for error in self._likely_errors
        )
        several = "multiple exceptions" if len(self._likely_errors) > 1 else "exception"
        return f"Caught {several} when trying to load file{file}:{causes}"
