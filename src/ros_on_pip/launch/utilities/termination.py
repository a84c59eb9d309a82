"""The end of a process: SIGINT, then SIGTERM, then SIGKILL; its children that are left behind get the same."""

from __future__ import annotations

import asyncio
import logging
import signal

from .process_tree import ProcessId, descendants, send_signal, still_running

POLL_S = 0.05
KILL_S = 1.0


class Termination:
    """Signals for one running process.

    Args:
        transport: the process.
        name: of the process, for the log.
        logger: says what is sent.
        timeouts_s: from SIGINT to SIGTERM, from SIGTERM to SIGKILL.
    """

    def __init__(
        self,
        transport: asyncio.SubprocessTransport,
        name: str,
        logger: logging.Logger,
        timeouts_s: tuple[float, float],
    ) -> None:
        self._transport = transport
        self._name = name
        self._logger = logger
        self._timeouts_s = timeouts_s
        self._timers: list[asyncio.TimerHandle] = []
        self._descendants: list[ProcessId] = []

    def send(self, signum: signal.Signals) -> None:
        """Send one signal; nothing if the process has ended."""
        if self._transport.get_returncode() is not None:
            self._logger.debug(f"signal '{signum.name}' not sent to '{self._name}': it has ended already")
            return
        self._logger.info(f"sending signal '{signum.name}' to process[{self._name}]")
        try:
            self._transport.send_signal(signum)
        except ProcessLookupError:
            self._logger.debug(f"signal '{signum.name}' not sent to '{self._name}': it has ended already")

    def begin(self, loop: asyncio.AbstractEventLoop, *, send_sigint: bool) -> None:
        """Ask the process to end, and arrange for more forceful signals."""
        # Once the process has ended its children are no longer its own, and could not be found.
        self._descendants = descendants(self._transport.get_pid())
        if send_sigint:
            self.send(signal.SIGINT)
        sigterm_s, sigkill_s = self._timeouts_s
        self._timers = [
            loop.call_later(sigterm_s, self._escalate, signal.SIGINT, signal.SIGTERM, sigterm_s),
            loop.call_later(sigterm_s + sigkill_s, self._escalate, signal.SIGTERM, signal.SIGKILL, sigkill_s),
        ]

    def _escalate(self, last: signal.Signals, following: signal.Signals, timeout_s: float) -> None:
        self._logger.error(
            f"process[{self._name}] failed to terminate '{timeout_s:g}' seconds after receiving '{last.name}', "
            f"escalating to '{following.name}'"
        )
        self.send(following)

    def cancel(self) -> None:
        """The process has ended: no further signals."""
        for timer in self._timers:
            timer.cancel()

    def kill(self) -> None:
        """End the process and its children at once."""
        if self._transport.get_returncode() is None:
            self._descendants = descendants(self._transport.get_pid())
            self._transport.kill()
        send_signal(self._descendants, signal.SIGKILL)

    async def end_children(self) -> None:
        """After the end of the process: escalating signals to those of its children that are left."""
        loop = asyncio.get_running_loop()
        waits_s = (*self._timeouts_s, KILL_S)
        for signum, wait_s in zip((signal.SIGINT, signal.SIGTERM, signal.SIGKILL), waits_s, strict=True):
            if not (alive := still_running(self._descendants)):
                return
            numbers = ", ".join(str(pid) for pid, _ in alive)
            self._logger.info(f"sending signal '{signum.name}' to the processes left behind [{numbers}]")
            send_signal(alive, signum)
            deadline = loop.time() + wait_s
            while still_running(alive) and loop.time() < deadline:
                await asyncio.sleep(POLL_S)
