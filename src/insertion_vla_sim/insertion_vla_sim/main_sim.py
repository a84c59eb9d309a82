"""`sim`: the simulated lab in real time, speaking the lab's wire protocols. Starts its renderer itself.

Publishes (at --host): force and A-line UDP 650 Hz to port 9999; robot state ZMQ PUB 5556, 100 Hz; camera frames ZMQ
PUSH to ports 5561 to 5563, 5 Hz (by the renderer). Serves: Meca500 TCP 10000 and 10001; admin TCP 10500.
On failure: an address that is taken or a renderer that cannot start end it with a sentence and exit code 1; a renderer
that is killed leaves the rest running. SIGINT, SIGTERM and the admin's shutdown end it with code 0.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from insertion_vla_core.realtime import take_realtime_priority
from insertion_vla_core.wire.force_udp import FRAMINGS

from .emulators.admin import AdminServer
from .emulators.bench import TICK_S, Bench
from .emulators.cameras import PERIOD_S
from .emulators.io_loop import IoLoop
from .emulators.options import loopback, seed
from .emulators.pacing import Pace
from .emulators.robot_state import RobotStatePublisher
from .emulators.shared_state import SharedState

# The I/O thread may hold the interpreter this long before a physics tick that is due takes it back.
SWITCH_INTERVAL_S = 0.0005
CHECK_RENDERER_EVERY = 65
LINGER_S = 2.0
# A renderer that records has its file to finish.
END_S = 30.0


class Failed(Exception):
    """The simulation cannot start or go on; the sentence says why."""


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of `sim`."""
    parser = argparse.ArgumentParser(prog="sim", description="The simulated lab, in real time, on the lab's protocols.")
    parser.add_argument("--host", type=loopback, default="127.0.0.1", help="loopback address of all sockets")
    parser.add_argument("--seed", type=seed, default=0, help="episode to start with")
    parser.add_argument("--framing", choices=FRAMINGS, default="counted", help="framing of the force datagrams")
    parser.add_argument("--clock-offset", type=float, default=0.0, help="the force sensor's clock is ahead by this [s]")
    parser.add_argument("--video", metavar="FILE", help="record all views to FILE.gif or FILE.mp4")
    parser.add_argument("--viewer", action="store_true", help="show all views in a window")
    return parser.parse_args(arguments)


def start_renderer(args: argparse.Namespace, state: str) -> subprocess.Popen[bytes]:
    """The renderer as a child process that ends with this one."""
    command = [sys.executable, "-m", "insertion_vla_sim.main_render", "--host", args.host, "--state", state]
    command += ["--child", str(os.getpid())]
    if args.video:
        command += ["--video", args.video]
    if args.viewer:
        command.append("--viewer")
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def check_renderer(renderer: subprocess.Popen[bytes], told: bool) -> bool:
    """Whether the renderer is gone; says so once.

    Raises:
        Failed: it ended by itself with an error.
    """
    code = renderer.poll()
    if code is None or told:
        return told
    if code > 0:
        raise Failed(f"the renderer ended with code {code}; its message is above")
    print(f"sim: the renderer ended ({code}), the cameras are silent", file=sys.stderr, flush=True)
    return True


class Simulation:
    """All parts of one running simulation."""

    def __init__(self, args: argparse.Namespace, stop: threading.Event) -> None:
        """Bind every socket and start the renderer; the simulation runs until `stop` is set.

        Raises:
            OSError: an address is taken.
        """
        self.stop = stop
        self.loop = IoLoop(stop.set)
        self.shared = SharedState.create(PERIOD_S)
        self.bench = Bench(self.loop, args.host, args.seed, args.framing, args.clock_offset, self.shared)
        self.states = RobotStatePublisher(self.loop, args.host, self.bench.controller, lambda: self.bench.stamp_s)
        self.pace = Pace(TICK_S)
        figures = lambda: self.pace.figures()  # noqa: E731
        self.admin = AdminServer(self.loop, args.host, self.bench, figures, self.shared.path, stop.set)
        self.renderer = start_renderer(args, self.shared.path)
        self._last_s: float | None = None

    def run(self) -> None:
        """Tick until asked to stop.

        Raises:
            Failed: the renderer or the I/O thread ended with an error.
        """
        self.loop.start()
        gc.collect()
        gc.freeze()
        self.pace = Pace(TICK_S)
        told = False
        while not self._ended():
            self.bench.tick(self.pace.wait())
            if self.bench.ticks % CHECK_RENDERER_EVERY == 0:
                told = check_renderer(self.renderer, told)
        if self.loop.error is not None:
            raise Failed("the I/O thread ended with an error") from self.loop.error

    def _ended(self) -> bool:
        """Whether to stop: a robot does not vanish under a client that is just stopping it; that hangs up first."""
        if not self.stop.is_set():
            return False
        if self._last_s is None:
            self._last_s = time.monotonic() + LINGER_S
        robot = self.bench.robot.stats()
        return time.monotonic() > self._last_s or not (robot["controlled_by"] or robot["monitors"])

    def close(self) -> None:
        """Answer what was asked, close every socket, end the renderer."""
        self.bench.mailbox.run()
        for part in (self.admin, self.states, self.bench):
            self.loop.post(part.close)
        self.loop.stop()
        if self.renderer.poll() is None:
            self.renderer.terminate()
        try:
            self.renderer.wait(timeout=END_S)
        except subprocess.TimeoutExpired:
            self.renderer.kill()
            self.renderer.wait()
        self.shared.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `sim`; returns the exit code."""
    args = options(arguments)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    take_realtime_priority()  # it stands in for hardware, which is never late
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        simulation = Simulation(args, stop)
    except OSError as error:
        print(f"sim: {error.args[-1]}", file=sys.stderr)
        return 1
    print(f"sim: ready on {args.host}, seed {args.seed}, target {simulation.bench.world.layout.target}", flush=True)
    try:
        simulation.run()
    except Failed as failure:
        print(f"sim: {failure}: {failure.__cause__!r}" if failure.__cause__ else f"sim: {failure}", file=sys.stderr)
        return 1
    finally:
        figures = simulation.pace.figures()
        simulation.close()
    print(
        f"sim: ended after {figures['elapsed_s']:.1f} s, real-time factor {figures['real_time_factor']:.4f}, "
        f"{figures['late_ticks']} late and {figures['skipped_ticks']} skipped ticks, "
        f"{simulation.bench.force.records} force records",
        flush=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
