"""The force sensor at the wire: framings and faults, decoded by core's decoder."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import numpy as np
import pytest
from insertion_vla_core.wire.force_udp import FRAMINGS, ForceDecoder
from insertion_vla_sim.emulators.faults import check
from insertion_vla_sim.emulators.force import ForceEmulator

HOST = "127.0.31.20"
ALINE = np.arange(1025, dtype=np.float32)
END = b"end of test"


class Wire:
    """A sensor and its receiver; samples are sent back to back and read back from the socket."""

    def __init__(self, framing: str = "counted", clock_offset_s: float = 0.0) -> None:
        self.receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.receiver.bind((HOST, 9999))
        self.receiver.settimeout(5.0)
        self.marker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sensor = ForceEmulator(HOST, framing, clock_offset_s)
        self.decoder = ForceDecoder()
        self.senders: list[str] = []
        self.sent: list[tuple[float, float]] = []
        self.start_s = time.time()

    def fault(self, name: str, **parameters: object) -> None:
        self.sensor.set_fault(name, check(name, parameters))

    def run(self, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Send samples with force -3 + 0.01 k at 650 Hz stamps; returns received (stamps, forces)."""
        stamps, forces = [], []
        self.sent = []
        for _ in range(samples):
            k = len(self.sent)
            stamp_s, raw = self.start_s + k / 650.0, np.float32(-3.0 + 0.01 * k)
            self.sent.append((stamp_s, float(raw)))
            self.sensor.sample(raw, ALINE, stamp_s)
            if k % 20 == 19 or k == samples - 1:
                for received in self._drain():
                    stamps += received["timestamp"].tolist()
                    forces += received["force"].tolist()
        self.start_s += samples / 650.0
        return np.array(stamps), np.array(forces)

    def _drain(self) -> Iterator[np.ndarray]:
        # Loopback delivers within the call that sends, so a marker tells that everything before it is here.
        self.marker.sendto(END, (HOST, 9999))
        while True:
            datagram, (sender, _) = self.receiver.recvfrom(65536)
            if datagram == END:
                return
            self.senders.append(sender)
            yield self.decoder.feed(datagram).copy()

    def close(self) -> None:
        for part in (self.sensor, self.marker, self.receiver):
            part.close()


@pytest.fixture
def wire():
    wire = Wire()
    yield wire
    wire.close()


@pytest.mark.parametrize("framing", FRAMINGS)
def test_every_framing_arrives_whole(framing):
    wire = Wire(framing, clock_offset_s=7.5)
    try:
        stamps, forces = wire.run(650)
    finally:
        wire.close()
    assert len(stamps) == 650 and wire.decoder.counters["malformed"] == 0
    assert stamps == pytest.approx([s + 7.5 for s, _ in wire.sent], abs=1e-6)
    assert forces == pytest.approx([f for _, f in wire.sent], abs=1e-6)
    assert set(wire.senders) == {HOST}
    assert wire.sensor.records == 650


def test_silence_is_total_and_ends(wire):
    wire.run(10)
    last = wire.sensor.last_packet_s
    wire.fault("force_silent")
    assert len(wire.run(100)[0]) == 0
    assert wire.sensor.last_packet_s == last
    assert wire.sensor.stats()["faults"]["force_silent"] >= last
    wire.sensor.clear_faults()
    assert len(wire.run(10)[0]) == 10


def test_stuck_values_have_fresh_stamps(wire):
    wire.fault("force_stuck")
    stamps, forces = wire.run(50)
    assert len(set(forces)) == 1 and len(set(stamps)) == 50


def test_saturation_and_steps_are_in_sensor_units(wire):
    wire.fault("force_saturate", raw=42.0)
    assert set(wire.run(10)[1]) == {42.0}
    wire.sensor.clear_faults()
    wire.fault("force_step", newtons=2.0)
    _, forces = wire.run(10)
    assert forces - [f for _, f in wire.sent] == pytest.approx(2.4, abs=1e-5)


def test_a_spike_ends_by_itself(wire):
    wire.fault("force_spike", newtons=5.0, duration_s=0.02)
    _, forces = wire.run(1)
    assert forces[0] == pytest.approx(-3.0 + 6.0, abs=1e-5)
    deadline_s = time.monotonic() + 2.0
    while wire.run(1)[1][0] != pytest.approx(-3.0, abs=1e-5):
        assert time.monotonic() < deadline_s


def test_drift_grows(wire):
    wire.fault("force_drift", newtons_per_s=50.0)
    added = []
    for _ in range(5):
        _, forces = wire.run(50)
        added.append(np.mean(forces - [f for _, f in wire.sent]))
    assert (np.diff(added) > 0).all()


def test_loss_drops_about_a_fifth(wire):
    wire.fault("force_loss", fraction=0.2)
    stamps, _ = wire.run(1300)
    assert 0.75 < len(stamps) / 1300 < 0.85
    assert (np.diff(stamps) > 0).all()


def test_duplicates_arrive_twice(wire):
    wire.fault("force_duplicate", fraction=0.5)
    stamps, _ = wire.run(400)
    assert len(set(stamps)) == 400 and 550 < len(stamps) < 650


def test_reordering_loses_nothing(wire):
    wire.fault("force_reorder", fraction=0.3)
    stamps, _ = wire.run(401)
    assert (np.diff(stamps) < 0).sum() > 50
    assert len(set(stamps)) >= 400


@pytest.mark.parametrize("framing", FRAMINGS)
def test_bursts_send_whole_batches(framing):
    wire = Wire(framing)
    try:
        wire.fault("force_burst", records=6)
        sizes = [len(wire.run(1)[0]) for _ in range(24)]
    finally:
        wire.close()
    assert sizes == [0, 0, 0, 0, 0, 6] * 4
    assert wire.decoder.counters["malformed"] == 0


def test_malformed_datagrams_are_seen_by_the_decoder(wire):
    wire.fault("force_malformed", fraction=0.5)
    stamps, _ = wire.run(400)
    assert wire.decoder.counters["malformed"] > 100
    assert 150 < len(stamps) < 250


def test_nan_is_on_the_wire(wire):
    wire.fault("force_nan", fraction=0.5)
    stamps, forces = wire.run(400)
    assert np.isfinite(forces).all()
    assert wire.decoder.counters["malformed"] == 400 - len(stamps) > 100


def test_the_clock_steps_and_returns(wire):
    wire.fault("clock_step", seconds=-5.0)
    stamps, _ = wire.run(10)
    assert stamps == pytest.approx([s - 5.0 for s, _ in wire.sent], abs=1e-6)
    wire.sensor.clear_faults()
    stamps, _ = wire.run(10)
    assert stamps == pytest.approx([s for s, _ in wire.sent], abs=1e-6)


def test_the_clock_drifts(wire):
    wire.fault("clock_drift", ppm=100_000)
    ahead = []
    for _ in range(4):
        stamps, _ = wire.run(100)
        ahead.append(np.mean(stamps - [s for s, _ in wire.sent]))
    assert (np.diff(ahead) > 0).all()


def test_a_stranger_sends_from_another_address(wire):
    wire.fault("force_foreign")
    wire.run(20)
    assert wire.senders.count(HOST) == 20 and wire.senders.count("127.99.99.99") == 20
