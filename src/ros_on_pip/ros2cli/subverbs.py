"""Verbs of a verb, such as `list` of `ros2 topic list`; each has `add_arguments(parser)` and `main(args) -> int`."""

import argparse
import os
import sys
from collections.abc import Mapping
from typing import Any

BROKEN_PIPE_CODE = 141  # 128 + SIGPIPE, what a shell gives for a program that SIGPIPE ended


def add_subverbs(parser: argparse.ArgumentParser, modules: Mapping[str, Any]) -> None:
    """One subparser per module; the module's docstring is its help."""
    subparsers = parser.add_subparsers(dest="subverb", required=True, metavar="VERB")
    for name, module in modules.items():
        text = (module.__doc__ or "").strip()
        child = subparsers.add_parser(name, help=text.splitlines()[0], description=text)
        module.add_arguments(child)
        child.set_defaults(run=module.main)


def run_subverb(args: argparse.Namespace) -> int:
    """Run what was parsed; a closed pipe ends it without a word."""
    try:
        return args.run(args)
    except BrokenPipeError:
        # Nobody reads on (`| head`); the interpreter must not try to flush again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE_CODE
