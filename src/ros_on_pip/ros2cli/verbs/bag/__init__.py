"""`ros2 bag`."""

from argparse import ArgumentParser

from ros2cli.subverbs import add_subverbs, run_subverb
from ros2cli.verbs.bag import info, play, record

MODULES = {"info": info, "play": play, "record": record}


def add_arguments(parser: ArgumentParser) -> None:
    add_subverbs(parser, MODULES)


main = run_subverb
