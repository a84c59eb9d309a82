"""The force and A-line sensor on the wire: one UDP record per physics tick, in any of the three framings."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from insertion_vla_core.wire.force_udp import RECORD, Framing, encode
from numpy.typing import NDArray

from insertion_vla_sim.sensors import RAW_PER_NEWTON

from . import device_clock
from .ports import FORCE

STRANGER = "127.99.99.99"


@dataclass
class Active:
    """A fault that this sensor has now.

    Attributes:
        parameters: checked by faults.check.
        started_s: monotonic time of the first tick it touched, None before.
        held: values it keeps (stuck), or nothing.
    """

    parameters: dict[str, Any]
    started_s: float | None = None
    held: tuple[np.float32, NDArray[np.float32]] | None = None


class ForceEmulator:
    """Sender of force records; lives in the physics thread.

    Attributes:
        datagrams, records: sent so far.
        last_packet_s: monotonic time of the newest datagram, None before the first.
        last_packet_wall_s: the same on the wall clock.
        unsent: datagrams the socket did not take.
    """

    def __init__(self, host: str, framing: Framing, clock_offset_s: float = 0.0) -> None:
        """Send to host:9999 from `host`; `clock_offset_s` is how far the sensor's clock is ahead."""
        self.framing = framing
        self.datagrams = self.records = self.unsent = 0
        self.last_packet_s: float | None = None
        self.last_packet_wall_s: float | None = None
        self._target = (host, FORCE)
        self._socket = _sender(host)
        self._stranger: socket.socket | None = None
        self._base_offset_s = self._offset_s = clock_offset_s
        self._record = np.zeros(1, RECORD)
        self._active: dict[str, Active] = {}
        self._saved: list[NDArray[np.void]] = []
        self._late: list[bytes] = []
        self._rng = np.random.default_rng(9999)

    def close(self) -> None:
        """Close the sockets."""
        self._socket.close()
        if self._stranger is not None:
            self._stranger.close()

    def set_fault(self, name: str, parameters: dict[str, Any]) -> None:
        """Have a fault from the next sample on; the same fault again replaces its parameters."""
        if name == "clock_step":
            self._offset_s += parameters["seconds"]
        if name == "force_foreign" and self._stranger is None:
            self._stranger = _sender(STRANGER)
        self._active[name] = Active(parameters)

    def clear_faults(self) -> None:
        """Be healthy again; the clock returns to its first offset."""
        self._active.clear()
        self._saved.clear()
        self._late.clear()
        self._offset_s = self._base_offset_s

    def stats(self) -> dict[str, object]:
        """Counters and times, for the admin socket."""
        return {
            "framing": self.framing,
            "datagrams": self.datagrams,
            "records": self.records,
            "unsent": self.unsent,
            "last_packet_s": self.last_packet_s,
            "last_packet_wall_s": self.last_packet_wall_s,
            "faults": {name: active.started_s for name, active in self._active.items()},
        }

    def sample(self, raw: np.float32, aline: NDArray[np.float32], stamp_s: float) -> None:
        """Send one sample.

        Args:
            raw: force in sensor units.
            aline: (1025,) A-line.
            stamp_s: when it was taken, device time.
        """
        if self._active:
            self._faulty_sample(raw, aline, stamp_s)
            return
        self._fill(raw, aline, stamp_s + self._offset_s, self._offset_s)
        self.records += 1
        for datagram in encode(self.framing, self._record):
            self._send(datagram)

    def _fill(self, raw: np.float32, aline: NDArray[np.float32], stamp_s: float, offset_s: float) -> None:
        record = self._record[0]
        record["timestamp"], record["send_timestamp"] = stamp_s, device_clock.stamp() + offset_s
        record["force"], record["aline"] = raw, aline

    def _send(self, datagram: bytes) -> None:
        try:
            self._socket.sendto(datagram, self._target)
        except BlockingIOError:
            self.unsent += 1
            return
        self.datagrams += 1
        self.last_packet_s, self.last_packet_wall_s = time.monotonic(), time.time()

    # ---- faults ---------------------------------------------------------------------------------------------

    def _faulty_sample(self, raw: np.float32, aline: NDArray[np.float32], stamp_s: float) -> None:
        now_s = time.monotonic()
        for active in self._active.values():
            if active.started_s is None:
                active.started_s = now_s
        if "force_silent" in self._active:
            return
        offset_s = self._offset_s
        if drift := self._active.get("clock_drift"):
            offset_s += drift.parameters["ppm"] * 1e-6 * _since(drift, now_s)
        raw, aline = self._wrong_values(raw, aline, now_s)
        self._fill(raw, aline, stamp_s + offset_s, offset_s)
        self._saved.append(self._record.copy())
        if self._stranger is not None and "force_foreign" in self._active:
            foreign = self._record.copy()
            foreign["force"] += 50.0
            for datagram in encode(self.framing, foreign):
                self._stranger.sendto(datagram, self._target)
        burst = self._active.get("force_burst")
        if len(self._saved) >= (burst.parameters["records"] if burst else 1):
            saved, self._saved = np.concatenate(self._saved), []
            self.records += len(saved)
            for datagram in encode(self.framing, saved):
                self._on_a_bad_line(datagram)

    def _wrong_values(
        self, raw: np.float32, aline: NDArray[np.float32], now_s: float
    ) -> tuple[np.float32, NDArray[np.float32]]:
        if stuck := self._active.get("force_stuck"):
            stuck.held = stuck.held or (raw, aline)
            raw, aline = stuck.held
        newtons = 0.0
        if step := self._active.get("force_step"):
            newtons += step.parameters["newtons"]
        if (spike := self._active.get("force_spike")) and _since(spike, now_s) < spike.parameters["duration_s"]:
            newtons += spike.parameters["newtons"]
        if drift := self._active.get("force_drift"):
            newtons += drift.parameters["newtons_per_s"] * _since(drift, now_s)
        raw = np.float32(raw + RAW_PER_NEWTON * newtons)
        if saturate := self._active.get("force_saturate"):
            raw = np.float32(saturate.parameters["raw"])
        return (np.float32(np.nan) if self._chance("force_nan") else raw), aline

    def _on_a_bad_line(self, datagram: bytes) -> None:
        if self._chance("force_loss"):
            return
        if self._chance("force_malformed"):
            datagram = self._malform(datagram)
        late, self._late = self._late, []
        if not late and self._chance("force_reorder"):
            self._late = [datagram]
            return
        for one in (datagram, *late):
            self._send(one)
            if self._chance("force_duplicate"):
                self._send(one)

    def _malform(self, datagram: bytes) -> bytes:
        kinds: tuple[Callable[[], bytes], ...] = (
            lambda: datagram[: max(len(datagram) // 2 - 1, 1)],
            lambda: datagram + b"\x55" * 7,
            lambda: self._rng.bytes(int(self._rng.integers(1, 4000))),
        )
        return kinds[int(self._rng.integers(len(kinds)))]()

    def _chance(self, name: str) -> bool:
        active = self._active.get(name)
        return active is not None and bool(self._rng.random() < active.parameters["fraction"])


def _since(active: Active, now_s: float) -> float:
    return 0.0 if active.started_s is None else now_s - active.started_s


def _sender(host: str) -> socket.socket:
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    sender.bind((host, 0))
    sender.setblocking(False)
    return sender
