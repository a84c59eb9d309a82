"""What all command-line verbs share: how they read flags, show progress, refuse and stop.

A verb's module is short at its end:

    def main(arguments: Sequence[str] | None = None) -> int:
        parser = Parser("preprocess", "Bags to a store.")
        parser.add_argument("bags", nargs="+", type=Path, help="bag folders")
        return run_verb(parser, work, arguments)

where `work(namespace)` does it and returns the exit code (None is 0). It refuses by raising ValueError or OSError
with a sentence: what was expected, what came, what to do.
"""

from __future__ import annotations

import argparse
import difflib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NoReturn

EXIT_REFUSED = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
EXIT_PIPE_CLOSED = 141

Work = Callable[[argparse.Namespace], int | None]


class Parser(argparse.ArgumentParser):
    """Arguments of one verb; flags must be written out and unknown ones are refused with the nearest known one."""

    def __init__(self, verb: str = "", description: str = "", **settings: Any) -> None:
        # Parsers of subcommands are made by argparse, which passes their name as `prog`.
        super().__init__(**{"prog": verb, "description": description, "allow_abbrev": False, **settings})

    def parse(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        """The arguments of this process, or those given; leaves with exit code 2 and one line if they are wrong."""
        words = list(sys.argv[1:] if arguments is None else arguments)
        # First, so that a misspelt flag is not answered with "--output is required".
        self._refuse_unknown_flags(words)
        given, unknown = self.parse_known_args(words)
        if unknown:
            self.error(f"got an argument too many: {' '.join(unknown)}")
        return given

    def error(self, message: str) -> NoReturn:
        """One sentence and exit code 2."""
        self.exit(EXIT_REFUSED, f"{self.prog}: {message}; see {self.prog} --help\n")

    def _refuse_unknown_flags(self, words: list[str]) -> None:
        known = _flags(self)
        end = words.index("--") if "--" in words else len(words)
        for word in words[:end]:
            flag = word.split("=")[0]
            if flag.startswith("--") and flag not in known:
                near = difflib.get_close_matches(flag, known, 1, 0.5)
                self.error(f"unknown flag {flag}" + (f", did you mean {near[0]}?" if near else ""))


def _flags(parser: argparse.ArgumentParser) -> list[str]:
    """The flags of a parser and of its subcommands."""
    flags = [flag for action in parser._actions for flag in action.option_strings]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            flags += [flag for inner in action.choices.values() for flag in _flags(inner)]
    return flags


class Terminated(BaseException):
    """SIGTERM came; a BaseException, so that no handler of errors holds it up."""


def run_verb(parser: Parser, work: Work, arguments: Sequence[str] | None = None) -> int:
    """Parse, work and turn what can go wrong into one line on stderr and an exit code.

    Returns:
        The exit code of `work`; 2 for refused, 130 for Ctrl-C, 143 for SIGTERM, 141 for a reader that went away.
        Any other exception is a defect of ours and keeps its traceback.
    """
    given = parser.parse(arguments)
    previous = _handle_sigterm()
    try:
        code = work(given) or 0
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _say(parser, "interrupted", EXIT_INTERRUPTED)
    except Terminated:
        return _say(parser, "terminated", EXIT_TERMINATED)
    except BrokenPipeError:
        # The interpreter flushes stdout once more at exit, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE_CLOSED
    except (ValueError, OSError) as error:
        return _say(parser, _sentence(error), EXIT_REFUSED)
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)


def _handle_sigterm() -> signal._HANDLER | None:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    try:
        return signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread, where no handler can be set
        return None


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        place = f" {error.filename}" if error.filename else ""
        return f"cannot use{place}: {error.strerror}" if place else error.strerror
    return str(error) or type(error).__name__


def _say(parser: Parser, text: str, code: int) -> int:
    print(f"{parser.prog}: {text}", file=sys.stderr, flush=True)
    return code
