"""A command line typed by a settings model: `--config FILE.yaml` first, flags over it, every mistake one sentence."""

from __future__ import annotations

import contextlib
import difflib
import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import tyro
from insertion_vla_core.strict_yaml import StrictModel, load_strict

from insertion_vla_training.cli.verb import Parser

Settings = TypeVar("Settings", bound=StrictModel)
CONFIG = "--config"
FRAME = re.compile(r"[─━│╭╮╰╯]+")
# What tyro and pydantic say around the point.
PADDING = re.compile(
    r"For (further information visit \S+|full helptext,? (see|run):? \S+ --help)|\[type=.*?\]|Argument helptext.*"
    r"|\b(Value error,?|Invalid choice|Parsing error|Error parsing|\d+ validation errors? for \w+)"
)


class TypedParser(Parser, Generic[Settings]):
    """Flags of a settings model whose fields all have defaults."""

    def __init__(self, verb: str, description: str, kind: type[Settings]) -> None:
        super().__init__(verb, description)
        self._kind = kind

    def parse(self, arguments: Sequence[str] | None = None) -> Any:
        """The settings; leaves with exit code 2 and one sentence if they are wrong."""
        words = list(sys.argv[1:] if arguments is None else arguments)
        try:
            words, default = self._from_file(words)
        except (ValueError, OSError) as error:
            self.error(str(error))
        self._refuse_unknown(words)
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                return tyro.cli(self._kind, prog=self.prog, description=self._help(), args=words, default=default)
        except SystemExit as leaving:
            if leaving.code in (0, None):
                raise
        text = " ".join(FRAME.sub(" ", said.getvalue()).split())
        self.error(" ".join(PADDING.sub("", text).split()).rstrip("."))

    def _help(self) -> str:
        return f"{self.description} {CONFIG} FILE.yaml gives defaults for all flags."

    def _from_file(self, words: list[str]) -> tuple[list[str], Settings]:
        if CONFIG not in words:
            return words, self._kind()
        at = words.index(CONFIG)
        if at + 1 == len(words):
            raise ValueError(f"expected a file after {CONFIG}, got none")
        return words[:at] + words[at + 2 :], load_strict(Path(words[at + 1]), self._kind, f"settings of {self.prog}")

    def _refuse_unknown(self, words: list[str]) -> None:
        known = flags_of(self._kind)
        for word in words:
            flag = word.split("=")[0].replace("_", "-")
            if flag.startswith("--") and flag not in known:
                near = difflib.get_close_matches(flag, known, 1, 0.5)
                self.error(f"unknown flag {word.split('=')[0]}" + (f", did you mean {near[0]}?" if near else ""))


def flags_of(kind: type[StrictModel], prefix: str = "") -> list[str]:
    """All flags of a settings model, as tyro names them."""
    flags = [] if prefix else ["--help"]
    for name, field in kind.model_fields.items():
        flag = prefix + name.replace("_", "-")
        if isinstance(field.annotation, type) and issubclass(field.annotation, StrictModel):
            flags += flags_of(field.annotation, f"{flag}.")
        else:
            flags.append(f"--{flag}")
            if field.annotation is bool:
                flags.append(f"--{prefix}no-{name.replace('_', '-')}")
    return flags
