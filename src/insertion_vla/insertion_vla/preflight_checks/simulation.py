"""The simulation for the time of the checks, as the launch will start it: hardware:=sim has no devices of its own."""

import os
import selectors
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ament_index_python.packages import get_package_prefix

from insertion_vla.preflight_checks.finding import NotDone
from insertion_vla.stack_process import end_with_parent

SIM = "insertion_vla_sim"
START_S = 20.0
END_S = 10.0


@contextmanager
def simulation(host: str) -> Iterator[None]:
    """Runs `sim` at a loopback address; raises NotDone with its own words when it does not start."""
    process = subprocess.Popen(
        [str(Path(get_package_prefix(SIM), "lib", SIM, "sim")), "--host", host],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=end_with_parent,
    )
    try:
        _await_ready(process, host)
        yield
    finally:
        process.terminate()
        try:
            process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _await_ready(process: subprocess.Popen[bytes], host: str) -> None:
    assert process.stdout is not None
    said = b""
    deadline_s = time.monotonic() + START_S
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        while b"ready on" not in said and ready.select(max(0.0, deadline_s - time.monotonic())):
            data = os.read(process.stdout.fileno(), 4096)
            if not data:
                break
            said += data
    if b"ready on" not in said:
        words = said.decode("utf-8", "replace").strip() or f"silent for {START_S:g} s"
        raise NotDone(f"the simulation did not start: {words}", f"see what `ros2 run {SIM} sim --host {host}` says")
