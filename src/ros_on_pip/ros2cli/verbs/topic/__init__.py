"""`ros2 topic`."""

from argparse import ArgumentParser

from ros2cli.subverbs import add_subverbs, run_subverb
from ros2cli.verbs.topic import echo, hz, info, pub
from ros2cli.verbs.topic import list as list_

MODULES = {"echo": echo, "hz": hz, "info": info, "list": list_, "pub": pub}


def add_arguments(parser: ArgumentParser) -> None:
    add_subverbs(parser, MODULES)


main = run_subverb
