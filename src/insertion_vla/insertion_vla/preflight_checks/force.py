"""The force sensor over its own protocol: rate and losses, noise at rest, and the buffer that the kernel grants."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from insertion_vla_core.limits import load_limits
from numpy.typing import NDArray

from insertion_vla.force_receiver import ForceReceiver
from insertion_vla.nodes.force_sensor import Parameters
from insertion_vla.paths import config_file
from insertion_vla.preflight_checks.finding import Finding, NotDone
from insertion_vla.preflight_checks.selection import Selection

MEASURE_S = 2.0
FIRST_S = 1.0  # to wait for the first sample
RATE_SHARE = 0.03  # a rate farther off than this is another rate
LOSS_SHARE = 0.01  # as the recorder: more makes an episode bad


class _Tap:
    """Collects samples as the force_sensor node receives them."""

    def __init__(self, p: Parameters) -> None:
        self.forces: list[float] = []
        self.alines: list[np.ndarray] = []
        self.stamps_s: list[float] = []
        self.first = threading.Event()
        self.crash = ""
        self.receiver = ForceReceiver(
            (p.bind_address, p.port),
            p.sender_address,
            p.receive_buffer_bytes,
            p.rate_hz,
            self._take,
            lambda: None,
            self._crashed,
        )

    def _take(self, stamp_ns: int, receive_ns: int, record: np.void) -> None:
        self.forces.append(float(record["force"]))
        self.stamps_s.append(float(record["timestamp"]))
        if len(self.alines) < 2:
            self.alines.append(record["aline"].copy())
        self.first.set()

    def _crashed(self, why: str) -> None:
        self.crash = why


@contextmanager
def _tapped(p: Parameters) -> Iterator[_Tap]:
    tap = _Tap(p)
    tap.receiver.open()
    try:
        tap.receiver.start()
        yield tap
    finally:
        tap.receiver.stop()
        tap.receiver.close()


def check_force(selection: Selection) -> list[Finding]:
    """Listens for two seconds; needs the sensor on and the needle free."""
    p: Parameters = selection.parameters("force_sensor")
    gap_s = load_limits(config_file(selection.parameters("arm").limits_file)).force_gap
    with _tapped(p) as tap:
        if not tap.first.wait(FIRST_S):
            return [_silent(p, tap.receiver)]
        time.sleep(MEASURE_S)
    if tap.crash:
        raise NotDone(tap.crash.splitlines()[0], "report this; read the sensor with another tool meanwhile")
    return [
        _rate(p, tap, gap_s),
        judge_noise(p, np.array(tap.forces), np.array(tap.alines)),
        _buffer(p, tap.receiver.granted_bytes),
    ]


def _silent(p: Parameters, receiver: ForceReceiver) -> Finding:
    place = f"UDP {p.bind_address}:{p.port}"
    foreign, malformed = receiver.statistics.foreign, receiver.decoder.counters["malformed"]
    if foreign:
        fix = f"set force_sensor.sender_address to the sensor's address (now {p.sender_address})"
        return Finding("force rate", "fix", f"{foreign} datagrams at {place}, all from other addresses", fix)
    if malformed:
        fix = "check the sensor's packet format: records of 4120 bytes"
        return Finding("force rate", "fix", f"{malformed} datagrams at {place}, none with samples", fix)
    fix = f"switch the sensor on, let it send to this machine, port {p.port}; check cable, firewall and bind_address"
    return Finding("force rate", "fix", f"silent: no datagram at {place} within {FIRST_S:g} s", fix)


def _rate(p: Parameters, tap: _Tap, gap_s: float) -> Finding:
    """By the sensor's own stamps, so that a busy moment of this machine does not count against it."""
    count = tap.receiver.statistics
    span_s = tap.stamps_s[-1] - tap.stamps_s[0]
    rate_hz = (count.received + count.lost - 1) / span_s if span_s > 0.0 else 0.0
    share = count.lost / (count.lost + count.received)
    malformed = tap.receiver.decoder.counters["malformed"]
    figures = (
        f"{rate_hz:.1f} Hz over {span_s:.1f} s, {count.lost} of {count.lost + count.received} samples lost "
        f"({share:.1%}), longest gap {max(count.longest_gap_s, span_s / max(1, count.received)) * 1e3:.1f} ms"
    )
    figures += f", {count.late} late or twice" if count.late else ""
    figures += f", {malformed} malformed" if malformed else ""
    figures += f", {count.foreign} datagrams from other addresses" if count.foreign else ""
    if abs(rate_hz / p.rate_hz - 1.0) > RATE_SHARE:
        fix = f"set the sensor to {p.rate_hz:g} Hz, or force_sensor.rate_hz and the contract to what it sends"
        return Finding("force rate", "fix", figures, fix)
    if count.longest_gap_s > gap_s or share > LOSS_SHARE:
        fix = (
            f"use a cable of its own (no switch under load, no WLAN) and see `nstat -az UdpRcvbufErrors`: "
            f"the arm stops at a gap of {gap_s * 1e3:g} ms"
        )
        return Finding("force rate", "fix", figures, fix)
    if count.lost or malformed or count.foreign:
        return Finding("force rate", "warning", figures, "look at the cable, and at what else is sent to this port")
    return Finding("force rate", "ok", figures)


def judge_noise(p: Parameters, forces: NDArray[np.float64], alines: NDArray[np.float32]) -> Finding:
    """The one axis that is measured, at rest, by the bounds of the tare.

    Args:
        p: of the node.
        forces: (n,) sensor units.
        alines: (m, 1025) the first A-lines.
    """
    mean, std = float(forces.mean()), float(forces.std())
    newtons = f" = {std * abs(p.scale_n_per_unit) * 1e3:.1f} mN" if p.scale_n_per_unit else ""
    figures = f"axial: mean {mean:.3f}, std {std:.4f} sensor units{newtons} (bound {p.tare.max_std:g})"
    if std == 0.0:
        return Finding("force noise", "fix", f"{figures}: the value never changes", "restart the sensor: it is stuck")
    if std > p.tare.max_std:
        fix = "let the arm stand still with the needle free; check shielding, fibre and mount, or raise tare.max_std"
        return Finding("force noise", "fix", figures, fix)
    if abs(mean - p.tare.baseline) > p.tare.tolerance:
        away = f"{figures}: the free sensor should read {p.tare.baseline:g} +- {p.tare.tolerance:g}"
        fix = f"free the needle; if it is free, set force_sensor.tare.baseline to {mean:.2f}"
        return Finding("force noise", "fix", away, fix)
    if not p.scale_n_per_unit:
        fix = "calibrate the sensor and set force_sensor.scale_n_per_unit: without newtons nothing moves"
        return Finding("force noise", "fix", f"{figures}, no scale", fix)
    if np.ptp(alines) == 0.0:
        fix = "switch the sensor's light source on: the distance to the surface comes from the A-lines"
        return Finding("force noise", "warning", f"{figures}; the A-lines are flat", fix)
    return Finding("force noise", "ok", figures)


def _buffer(p: Parameters, granted: int) -> Finding:
    asked = p.receive_buffer_bytes
    figures = f"{granted / 1024:.0f} of {asked / 1024:.0f} KiB granted"
    if granted < asked:
        fix = f"sudo sysctl -w net.core.rmem_max={asked}"
        return Finding("force buffer", "warning", figures, fix)
    return Finding("force buffer", "ok", figures)
