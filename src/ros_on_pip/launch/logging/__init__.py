"""Launch's loggers: to the screen and to `launch.log` under ~/.ros/log, and the loggers of processes' output.

`launch_config` holds the settings of this process. Formats may be replaced by the environment variables
OVERRIDE_LAUNCH_SCREEN_FORMAT and OVERRIDE_LAUNCH_LOG_FORMAT (Python `{}` style; keys of a log record).
"""

from __future__ import annotations

import datetime
import logging
import os
import pathlib
import socket
import string
from collections.abc import Callable
from logging import CRITICAL, DEBUG, ERROR, FATAL, INFO, WARN, WARNING
from typing import Any

from . import handlers

__all__ = [
    "CRITICAL",
    "DEBUG",
    "ERROR",
    "FATAL",
    "INFO",
    "WARN",
    "WARNING",
    "LaunchConfig",
    "LaunchLogger",
    "get_logger",
    "get_output_loggers",
    "handlers",
    "launch_config",
    "log_launch_config",
    "reset",
]

DEFAULT_FORMAT = "[{levelname}] [{name}]: {message}"
TIMESTAMPED_FORMAT = "{created:.7f} " + DEFAULT_FORMAT
SCREEN_FORMATS = {"default": DEFAULT_FORMAT, "default_with_timestamp": TIMESTAMPED_FORMAT}
OUTPUT_ALIASES: dict[str, dict[str, set[str]]] = {
    "screen": {"stdout": {"screen"}, "stderr": {"screen"}},
    "log": {"stdout": {"log"}, "stderr": {"log", "screen"}},
    "both": {"both": {"log", "screen"}},
    "own_log": {"stdout": {"own_log"}, "stderr": {"own_log"}, "both": {"own_log"}},
    "full": {"stdout": {"log", "own_log", "screen"}, "stderr": {"log", "own_log", "screen"}, "both": {"own_log"}},
}
OUTPUT_SOURCES = ("stdout", "stderr", "both")
OUTPUT_SINKS = ("screen", "log", "own_log")


class LaunchLogger(logging.Logger):
    """A logger with its own handlers; records do not travel to its parents."""

    all_loggers: dict[str, LaunchLogger] = {}

    def __init__(self, name: str, level: int = logging.NOTSET) -> None:
        super().__init__(name, level)
        self.propagate = False
        self.all_loggers[name] = self


def _named_logger(name: str | None) -> logging.Logger:
    """A LaunchLogger of that name, whatever logger class the application has set for its own."""
    if name in LaunchLogger.all_loggers:
        return LaunchLogger.all_loggers[name]
    former = logging.getLoggerClass()
    logging.setLoggerClass(LaunchLogger)
    try:
        logger = logging.getLogger(name)
    finally:
        logging.setLoggerClass(former)
    logger.propagate = False
    if name is not None and name not in LaunchLogger.all_loggers:  # made before launch was imported
        LaunchLogger.all_loggers[name] = logger  # type: ignore[assignment]
    return logger


def _get_logging_directory() -> str:
    """ROS_LOG_DIR, else ROS_HOME/log, else ~/.ros/log."""
    directory = os.environ.get("ROS_LOG_DIR") or os.path.join(
        os.environ.get("ROS_HOME") or os.path.join("~", ".ros"), "log"
    )
    return str(pathlib.Path(directory).expanduser())


def _make_unique_log_dir(*, base_path: str) -> str:
    """A new folder named by time, host and process."""
    while True:
        now = datetime.datetime.now().strftime("%Y-%m-%d-%H-%M-%S-%f")
        path = os.path.join(base_path, f"{now}-{socket.gethostname()}-{os.getpid()}")
        try:
            os.makedirs(path)
            return path
        except FileExistsError:
            continue
        except OSError as error:
            raise RuntimeError(
                f"expected to create the log folder '{path}', got: {error}; set ROS_LOG_DIR to a writable folder"
            ) from error


class LaunchConfig:
    """Level, folder, formats and handlers that launch's loggers share."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._log_dir: str | None = None
        self._file_handlers: dict[str, logging.Handler] = {}
        self._screen_handler: handlers.ScreenHandler | None = None
        self._log_handler_factory: Callable[..., logging.Handler] | None = None
        self.level = logging.INFO
        self.set_screen_format(os.environ.get("OVERRIDE_LAUNCH_SCREEN_FORMAT") or "default")
        self.set_log_format(os.environ.get("OVERRIDE_LAUNCH_LOG_FORMAT") or "default")

    @property
    def level(self) -> int:
        """Lowest level that launch's loggers show."""
        return self._level

    @level.setter
    def level(self, level: int) -> None:
        self._level = level
        logging.root.setLevel(level)

    @property
    def log_dir(self) -> str:
        """Folder of this launch's log files, made on first use."""
        if self._log_dir is None:
            self._log_dir = _make_unique_log_dir(base_path=_get_logging_directory())
        return self._log_dir

    @log_dir.setter
    def log_dir(self, directory: str | None) -> None:
        if directory is not None and not os.path.isdir(directory):
            raise ValueError(f"expected an existing log folder, '{directory}' is not a directory")
        self._log_dir = directory

    @property
    def log_handler_factory(self) -> Callable[..., logging.Handler]:
        """Makes the handler of a log file from its path; `encoding` is a keyword argument."""
        if self._log_handler_factory is None:
            return lambda path, encoding=None: handlers.FileHandler(path, encoding=encoding, delay=True)
        return self._log_handler_factory

    @log_handler_factory.setter
    def log_handler_factory(self, factory: Callable[..., logging.Handler]) -> None:
        self._log_handler_factory = factory

    def set_screen_format(self, screen_format: str | None, *, screen_style: str | None = None) -> None:
        """'default', 'default_with_timestamp' or a format of your own (with its style, '{' if not given)."""
        self._screen_formatter = self._make_formatter(screen_format, screen_style, SCREEN_FORMATS, "screen")
        timestamped = screen_format == "default_with_timestamp"
        self._screen_output_format = "{created:.7f} {message}" if timestamped else "{message}"
        if self._screen_handler is not None:
            self._screen_handler.setFormatter(self._screen_formatter)

    def set_log_format(self, log_format: str | None, *, log_style: str | None = None) -> None:
        """'default' or a format of your own (with its style, '{' if not given) for the log file."""
        self._log_formatter = self._make_formatter(log_format, log_style, {"default": TIMESTAMPED_FORMAT}, "log")
        if (main_log := self._file_handlers.get("launch.log")) is not None:
            main_log.setFormatter(self._log_formatter)

    @staticmethod
    def _make_formatter(fmt: str | None, style: Any, known: dict[str, str], kind: str) -> logging.Formatter:
        if fmt is None or fmt in known:
            if style is not None:
                raise ValueError(f"Cannot set a custom format style for the '{fmt}' {kind} format.")
            return logging.Formatter(known[fmt or "default"], style="{")
        # `msg` is the bare text of a record; `message`, what the reader expects, has its arguments filled in.
        if style in (None, "{") and "msg" in {name for _, name, _, _ in string.Formatter().parse(fmt)}:
            fmt = fmt.replace("{msg", "{message")
        return logging.Formatter(fmt, style=style or "{")

    def get_screen_handler(self) -> handlers.ScreenHandler:
        if self._screen_handler is None:
            self._screen_handler = handlers.ScreenHandler()
            self._screen_handler.setFormatter(self._screen_formatter)
        return self._screen_handler

    def get_log_file_path(self, file_name: str = "launch.log") -> str:
        return os.path.join(self.log_dir, file_name)

    def get_log_file_handler(self, file_name: str = "launch.log") -> Any:
        if file_name not in self._file_handlers:
            handler = self.log_handler_factory(self.get_log_file_path(file_name), encoding="utf-8")
            handler.setFormatter(self._log_formatter)
            self._file_handlers[file_name] = handler
        return self._file_handlers[file_name]

    def screen_output_formatter(self) -> logging.Formatter:
        """Of a process's lines on the screen."""
        return logging.Formatter(self._screen_output_format, style="{")


launch_config = LaunchConfig()


def log_launch_config(*, logger: logging.Logger | None = None) -> None:
    """Say where the log files are and what is logged."""
    logger = logger or get_logger("launch")
    logger.info(f"All log files can be found below {launch_config.log_dir}")
    logger.info(f"Default logging verbosity is set to {logging.getLevelName(launch_config.level)}")


def get_logger(name: str | None = None) -> logging.Logger:
    """The logger of that name, to the screen and to the main log file."""
    logger = _named_logger(name)
    for handler in (launch_config.get_screen_handler(), launch_config.get_log_file_handler()):
        if handler not in logger.handlers:
            logger.addHandler(handler)
    return logger


def _normalize_output_config(output_config: str | dict) -> dict[str, set[str]]:
    if isinstance(output_config, str):
        if output_config not in OUTPUT_ALIASES:
            raise ValueError(f"'{output_config}' is not a valid output: expected one of {', '.join(OUTPUT_ALIASES)}")
        return OUTPUT_ALIASES[output_config]
    if unknown := set(output_config) - set(OUTPUT_SOURCES):
        raise ValueError(f"{sorted(unknown)} are not valid output sources: expected {', '.join(OUTPUT_SOURCES)}")
    config = {}
    for source, sinks in output_config.items():
        config[source] = {sinks} if isinstance(sinks, str) else set(sinks)
        if unknown := config[source] - set(OUTPUT_SINKS):
            raise ValueError(f"{sorted(unknown)} are not valid outputs: expected {', '.join(OUTPUT_SINKS)}")
    return config


def get_output_loggers(
    process_name: str, output_config: str | dict, main_log_file_name: str = "launch.log"
) -> tuple[logging.Logger, logging.Logger]:
    """Loggers of a process's standard output and standard error.

    Args:
        process_name: names the loggers and the process's own log files.
        output_config: 'screen', 'log', 'both', 'own_log' or 'full', or a dictionary from 'stdout', 'stderr' and
            'both' to one or several of 'screen', 'log' and 'own_log'.
        main_log_file_name: file of the 'log' output.
    """
    config = _normalize_output_config(output_config)
    loggers = []
    for source in ("stdout", "stderr"):
        logger = _named_logger(f"{process_name}-{source}")
        logger.setLevel(logging.DEBUG)  # a process's output is shown whatever the level of launch's own messages
        logger.handlers.clear()
        sinks = config.get(source, set()) | config.get("both", set())
        if "screen" in sinks:
            screen = launch_config.get_screen_handler()
            screen.setFormatterFor(logger, launch_config.screen_output_formatter())
            logger.addHandler(screen)
        if "log" in sinks:
            main_log = launch_config.get_log_file_handler(main_log_file_name)
            if hasattr(main_log, "setFormatterFor"):
                main_log.setFormatterFor(logger, logging.Formatter("{created:.7f} {message}", style="{"))
            logger.addHandler(main_log)
        if "own_log" in config.get(source, set()):
            logger.addHandler(_own_log(f"{process_name}-{source}.log"))
        if "own_log" in config.get("both", set()):
            logger.addHandler(_own_log(f"{process_name}.log"))
        loggers.append(logger)
    return loggers[0], loggers[1]


def _own_log(file_name: str) -> logging.Handler:
    handler = launch_config.get_log_file_handler(file_name)
    handler.setFormatter(logging.Formatter("{message}", style="{"))
    return handler


def reset(*args: Any, **kwargs: Any) -> None:
    """Forget the settings, the handlers of all loggers and the log folder."""
    for logger in LaunchLogger.all_loggers.values():
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.close()
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
    launch_config.reset()
