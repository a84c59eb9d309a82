"""`sim_render`: renders the views of a running `sim` in a process of its own.

Reads the render state from shared memory of `sim`. Started by `sim` it is the cameras: it pushes ZMQ two-part messages
to ports 5561 to 5563, 5 Hz per view, the views spread evenly over the period. Started by hand it only records a video
or shows a window of a running simulation, for a view must not have two cameras.
On failure: no simulation, no display or a video file of the wrong kind end it with a sentence and exit code 1.
It ends with code 0 on SIGINT, SIGTERM and when the simulation is gone.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence

import numpy as np
from insertion_vla_core.realtime import leave_realtime_priority
from numpy.typing import NDArray

from .camera_noise import CameraNoise
from .emulators import ports
from .emulators.cameras import PERIOD_S, CameraEmulator, jpeg
from .emulators.options import loopback
from .emulators.shared_state import FROZEN, KILLED, RenderInput, SharedState
from .emulators.window import Window
from .render import make_renderer
from .scene import VIEWS
from .video import VideoWriter, side_by_side

# A simulation that is not this process's parent counts as gone when its state stands still this long.
GONE_S = 5.0


class Failed(Exception):
    """The renderer cannot start; the sentence says why."""


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of `sim_render`."""
    parser = argparse.ArgumentParser(prog="sim_render", description="Cameras, video and window of a running `sim`.")
    parser.add_argument("--host", type=loopback, default="127.0.0.1", help="loopback address of the simulation")
    parser.add_argument("--video", metavar="FILE", help="record all views to FILE.gif or FILE.mp4")
    parser.add_argument("--viewer", action="store_true", help="show all views in a window")
    parser.add_argument("--state", metavar="PATH", help="shared render state; by default the simulation is asked")
    parser.add_argument("--child", type=int, metavar="PID", help="be the cameras of the `sim` with this process id")
    return parser.parse_args(arguments)


def ask_for_state(host: str) -> str:
    """Path of the render state of the simulation at `host`.

    Raises:
        Failed: nothing answers there.
    """
    try:
        with socket.create_connection((host, ports.ADMIN), timeout=5.0) as admin:
            admin.sendall(b'{"cmd": "render_state"}\n')
            return str(json.loads(admin.makefile().readline())["path"])
    except (OSError, ValueError, KeyError) as error:
        raise Failed(f"no simulation answers at {host}:{ports.ADMIN} ({error}); start `sim --host {host}`") from error


class Views:
    """The three cameras: what each sent last, and when it sends next."""

    def __init__(self, cameras: CameraEmulator | None) -> None:
        """Push to `cameras`, or only render."""
        self.cameras = cameras
        self.renderer = make_renderer()
        self.images: dict[str, NDArray[np.uint8]] = {}
        self._jpegs: dict[str, bytes] = {}
        self._noise = CameraNoise(0)

    def take(self, index: int, now: RenderInput) -> None:
        """Render and push one view, unless its fault says otherwise."""
        view, mode = VIEWS[index], now.mode[index]
        if mode == KILLED:
            return
        if mode != FROZEN or view not in self._jpegs:
            self.images[view] = self._noise.add(self.renderer.render(view, now.state))
            self._jpegs[view] = jpeg(self.images[view])
        if self.cameras is not None:
            self.cameras.push(view, now.stamp_ns * 1e-9, self._jpegs[view])

    def side_by_side(self) -> NDArray[np.uint8] | None:
        """All views in one image (H, 3 W, 3), None until each has one."""
        return side_by_side({view: self.images[view] for view in VIEWS}) if len(self.images) == len(VIEWS) else None

    def close(self) -> None:
        """Close sockets and graphics."""
        if self.cameras is not None:
            self.cameras.close()
        self.renderer.close()


def record(recorder: VideoWriter, picture: NDArray[np.uint8]) -> None:
    """Add a picture to the video.

    Raises:
        Failed: it cannot be written.
    """
    try:
        recorder.add(picture)
    except ValueError as error:
        raise Failed(str(error)) from error


def run(args: argparse.Namespace, stop: threading.Event) -> None:
    """Render until told to stop or until the simulation is gone.

    Raises:
        Failed: the renderer cannot start.
    """
    if not (args.child or args.video or args.viewer):
        raise Failed("expected --video or --viewer; the cameras are rendered by `sim` itself")
    try:
        shared = SharedState.attach(args.state or ask_for_state(args.host))
        window = Window(f"insertion_vla simulation at {args.host}") if args.viewer else None
        recorder = VideoWriter(args.video, fps=1.0 / PERIOD_S) if args.video else None
    except (OSError, ValueError) as error:
        raise Failed(str(error)) from error
    views = Views(CameraEmulator(args.host) if args.child else None)
    newest_ns, moved_s = 0, time.monotonic()
    due_s = [time.monotonic() + PERIOD_S * i / len(VIEWS) for i in range(len(VIEWS))]
    try:
        while not stop.is_set() and (not args.child or os.getppid() == args.child):
            index = int(np.argmin(due_s))
            if stop.wait(max(due_s[index] - time.monotonic(), 0.0)):
                break
            now = shared.read()
            period_s = float(now.period_s[index]) if now is not None else PERIOD_S
            due_s[index] += period_s * (1 + int((time.monotonic() - due_s[index]) / period_s))
            if now is None:
                continue
            if now.stamp_ns != newest_ns:
                newest_ns, moved_s = now.stamp_ns, time.monotonic()
            elif not args.child and time.monotonic() - moved_s > GONE_S:
                print(f"sim_render: the simulation has not moved for {GONE_S:g} s, ending", file=sys.stderr)
                break
            views.take(index, now)
            if index == len(VIEWS) - 1 and (picture := views.side_by_side()) is not None:
                if recorder is not None:
                    record(recorder, picture)
                if window is not None:
                    window.show(picture)
    finally:
        views.close()
        if recorder is not None:
            recorder.close()
        if window is not None:
            window.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `sim_render`; returns the exit code."""
    args = options(arguments)
    leave_realtime_priority()
    os.nice(5)  # pictures may be late, force samples must not
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        run(args, stop)
    except Failed as failure:
        print(f"sim_render: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
