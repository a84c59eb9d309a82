"""Entry point of `ros2`.

A verb is a module `ros2cli/verbs/<name>.py` with `add_arguments(parser)` and `main(args) -> int`, named in VERBS;
with `INTERMIXED = True` its options may stand between its other arguments.
Only the module of the verb that was asked for is imported, so that `ros2 run` does not pay for rclpy.
"""

import argparse
import difflib
import importlib
import signal
import sys
from collections.abc import Sequence

from ros2cli.errors import CommandError

VERBS = {
    "action": "list actions and send goals",
    "bag": "record, inspect and play MCAP bags",
    "launch": "run a launch file",
    "lifecycle": "inspect and change the state of lifecycle nodes",
    "node": "list nodes",
    "param": "read and set parameters",
    "run": "run an executable of a package",
    "service": "list and call services",
    "topic": "list, measure and print topics",
}
EXIT_USAGE = 2


def usage() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {name:<{width}}  {text}" for name, text in VERBS.items()]
    return "usage: ros2 VERB ...\n\nverbs:\n" + "\n".join(lines) + "\n\n`ros2 VERB --help` describes one of them."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; its exit code, 2 on wrong usage, the signal's number after Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    verb, *rest = arguments
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"expected one of {', '.join(VERBS)}"
        print(f"ros2: unknown verb '{verb}'; {hint}", file=sys.stderr)
        return EXIT_USAGE
    module = importlib.import_module(f"ros2cli.verbs.{verb}")
    parser = argparse.ArgumentParser(prog=f"ros2 {verb}", description=VERBS[verb])
    module.add_arguments(parser)
    try:
        parse = parser.parse_intermixed_args if getattr(module, "INTERMIXED", False) else parser.parse_args
        return module.main(parse(rest)) or 0
    except KeyboardInterrupt:
        return int(signal.SIGINT)
    except CommandError as error:
        print(f"ros2 {verb}: {error}", file=sys.stderr)
        return error.code
