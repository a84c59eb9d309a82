"""Entry points of the executables: Ctrl-C ends them without a word from their first moment on.

The nodes handle signals themselves once they run; before that, importing takes a moment in which Python would answer
Ctrl-C with a traceback.
"""

import os
import signal
import sys
from functools import partial
from importlib import import_module


def _run(module: str) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    return import_module(f"insertion_vla.{module}").main()


def _leave(number: int, frame: object) -> None:
    sys.stdout.flush()
    os._exit(0)  # nothing runs yet that would have to be ended in order


camera = partial(_run, "nodes.camera")
force_sensor = partial(_run, "nodes.force_sensor")
arm = partial(_run, "nodes.arm")
vlm = partial(_run, "nodes.vlm")
action_expert = partial(_run, "nodes.action_expert")
scripted_expert = partial(_run, "nodes.scripted_expert")
task = partial(_run, "nodes.task")
lifecycle_manager = partial(_run, "nodes.lifecycle_manager")
recorder = partial(_run, "nodes.recorder")
status = partial(_run, "status")
insert = partial(_run, "insert")
demo = partial(_run, "demo")
trials = partial(_run, "trials")
collect_episodes = partial(_run, "collect_episodes")
record_keys = partial(_run, "record_keys")
preflight = partial(_run, "preflight")
