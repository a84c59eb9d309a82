"""The force sensor node on a real socket: every sample once, newtons only after scale and tare, nothing else let in."""

import itertools
import math
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from ros_graph import Graph, Inbox, open_graph  # isort: skip  (sets the environment before rclpy is imported)
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import WrenchStamped
from insertion_vla.force_receiver import Statistics
from insertion_vla.messages import ns_from_time
from insertion_vla.nodes.force_sensor import ForceSensorNode
from insertion_vla_core.wire.force_udp import RECORD, encode
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from insertion_vla import qos
from insertion_vla_interfaces.msg import ForceSamples

DOMAIN, HOST, PORT = 50, "127.0.41.10", 9999
RATE_HZ, SCALE = 650.0, 0.5


class Sender:
    """The sensor: records with stamps 1 / 650 s apart, on its own clock."""

    def __init__(self, host: str = HOST, clock_offset_s: float = 0.0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.start_s = time.time() + clock_offset_s
        self.clock_offset_s = clock_offset_s
        self.sent = 0

    def records(self, count: int, force: float = -3.0) -> np.ndarray:
        records = np.zeros(count, RECORD)
        index = self.sent + np.arange(count)
        records["timestamp"] = self.start_s + index / RATE_HZ
        records["send_timestamp"] = time.time() + self.clock_offset_s
        records["force"] = force + 0.01 * (index % 3 - 1)
        records["aline"] = index[:, None] % 100
        self.sent += count
        return records

    def send(self, records: np.ndarray, framing: str = "bare") -> None:
        for datagram in encode(framing, records):
            self.socket.sendto(datagram, (HOST, PORT))

    def stream(self, seconds: float, batch: int = 1, framing: str = "bare", force: float = -3.0) -> None:
        """At the true rate."""
        begin_s = time.monotonic()
        for k in range(1, round(seconds * RATE_HZ / batch) + 1):
            self.send(self.records(batch, force), framing)
            time.sleep(max(0.0, begin_s + k * batch / RATE_HZ - time.monotonic()))


@contextmanager
def streaming(forces: Sequence[float]) -> Iterator[None]:
    """A sensor that keeps sending; it dwells 40 ms at each of the forces in turn."""
    sender, stop = Sender(), threading.Event()

    def run() -> None:
        for force in itertools.cycle(forces):
            if stop.is_set():
                return
            sender.stream(0.04, force=force)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join()


class Lab:
    def __init__(self, graph: Graph, **parameters) -> None:
        self.graph = graph
        self.wrenches = Inbox(graph, WrenchStamped, "force/wrench", qos.WRENCH)
        self.samples = Inbox(graph, ForceSamples, "force/samples", qos.SAMPLES)
        self.slow = Inbox(graph, WrenchStamped, "force/wrench_slow", qos.STATE)
        self.diagnostics = Inbox(graph, DiagnosticArray, "/diagnostics", qos.reliable(100))
        self.tare_client = graph.node.create_client(Trigger, "force_sensor/tare")
        defaults = {"bind_address": HOST, "sender_address": HOST, "scale_n_per_unit": SCALE, "tare.window_s": 1.0}
        self.node = graph.add(ForceSensorNode, **defaults | {"diagnostic_updater.period": 0.1} | parameters)
        graph.call(self.node.trigger_configure)
        assert self.node.phase == "inactive", self.node.problem
        graph.call(self.node.trigger_activate)
        # A first sample on the wire proves that publisher and subscriptions have found each other.
        probe, self.warm = Sender(), 0
        while len(self.wrenches.messages) == 0 or len(self.samples.messages) == 0 or len(self.slow.messages) == 0:
            probe.send(probe.records(10))
            self.warm += 10
            time.sleep(0.02)
            assert self.warm < 5000
        self.wrenches.wait_count(1)

    def join(self, sender: Sender) -> Statistics:
        """Let the node take up this sender's stamps; returns its counts from there."""
        start = len(self.wrenches.messages)
        sender.send(sender.records(10))
        self.wrenches.wait_count(start + 10)
        return replace(self.node.receiver.statistics)

    def tare(self) -> Trigger.Response:
        """The answer once there are samples enough."""
        deadline_s = time.monotonic() + 10.0
        while "samples in" in (reply := self.graph.ask(self.tare_client, Trigger.Request())).message:
            assert time.monotonic() < deadline_s, reply.message
            self.wrenches.wait_count(len(self.wrenches.messages) + 50)
        return reply

    def values(self) -> dict[str, str]:
        """The next diagnostics of the node."""
        mine = lambda m: any("force_sensor" in s.name for s in m.status)  # noqa: E731
        message = self.diagnostics.wait(mine, start=len(self.diagnostics.messages))
        status = next(s for s in message.status if "force_sensor" in s.name)
        return {v.key: v.value for v in status.values} | {"level": status.level, "message": status.message}


@pytest.fixture
def lab() -> Iterator[Lab]:
    with open_graph(DOMAIN) as graph:
        yield Lab(graph)


def test_650_hz_arrive_complete_and_in_order(lab):
    sender = Sender()
    before = lab.join(sender)
    start = len(lab.wrenches.messages)
    sender.stream(2.0)
    count = sender.sent - 10
    received = lab.wrenches.wait_count(start + count)[start:]
    stamps = np.array([ns_from_time(m.header.stamp) for m in received])
    assert len(received) == count and (np.diff(stamps) > 0).all()
    assert lab.node.receiver.statistics.lost == before.lost
    last = lab.samples.wait(lambda m: m.received == before.received + count)
    samples = [m for m in lab.samples.messages if m.received > before.received]
    assert last is samples[-1] and last.lost == before.lost
    # Blocks of ten; a shorter one only where a starved machine left a gap of more than 50 ms.
    assert np.median([len(m.stamps) for m in samples]) == 10 and samples[0].aline_bins == 1025
    alines = np.concatenate([np.frombuffer(m.alines, np.float32).reshape(-1, 1025)[:, 0] for m in samples])
    assert (alines == (10 + np.arange(count)) % 100).all()
    unmeasured = received[0].wrench
    assert all(map(math.isnan, (unmeasured.force.x, unmeasured.force.y, unmeasured.torque.x, unmeasured.torque.z)))


@pytest.mark.parametrize("framing", ["counted", "bare", "split"])
def test_every_framing_is_understood(lab, framing):
    sender, start = Sender(), len(lab.wrenches.messages)
    sender.stream(0.2, batch=10, framing=framing)
    lab.wrenches.wait_count(start + sender.sent)
    assert lab.node.receiver.decoder.counters["malformed"] == 0


def test_newtons_only_after_a_tare(lab):
    with streaming([-3.0]):
        reply = lab.tare()
    assert reply.success, reply.message
    assert all(math.isnan(m.wrench.force.z) for m in lab.wrenches.messages[: lab.warm])
    sender = Sender()
    lab.join(sender)
    start = len(lab.wrenches.messages)
    sender.stream(0.1, force=-2.0)
    messages = lab.wrenches.wait_count(start + round(0.1 * RATE_HZ))[start:]
    assert np.mean([m.wrench.force.z for m in messages]) == pytest.approx(1.0 * SCALE, abs=0.01)
    raw = lab.samples.messages[-1]
    assert np.mean(raw.force_raw) == pytest.approx(-2.0, abs=0.02) and np.mean(raw.force) == pytest.approx(
        SCALE, abs=0.02
    )


def test_tare_is_refused_without_samples_in_contact_and_in_motion(lab):
    refused = lab.graph.ask(lab.tare_client, Trigger.Request())
    assert not refused.success and "samples" in refused.message
    for forces, word in (([-2.4], "contact"), ([-3.0, -2.8], "at rest")):
        with streaming(forces):
            lab.wrenches.wait_count(len(lab.wrenches.messages) + 700)  # what was sent before is out of the window
            refused = lab.tare()
        assert not refused.success and word in refused.message, refused.message
    assert math.isnan(lab.node.offset)


def test_without_a_scale_there_are_no_newtons():
    with open_graph(DOMAIN) as graph:
        lab = Lab(graph, scale_n_per_unit=0.0)
        with streaming([-3.0]):
            reply = lab.tare()
        assert reply.success and "scale_n_per_unit" in reply.message
        lab.join(Sender())
        assert math.isnan(lab.wrenches.messages[-1].wrench.force.z)


def test_malformed_and_foreign_packets_are_counted_and_dropped(lab):
    sender, stranger = Sender(), Sender("127.0.41.11")
    start = len(lab.wrenches.messages)
    random = np.random.default_rng(0)
    junk = [b"", b"\x00", b"x" * 4119, b"y" * 4121, random.bytes(60000), b"\xff\xff\xff\xff"]
    bad = sender.records(1).copy()
    bad["force"] = np.nan
    junk.append(bad.tobytes())
    for datagram in junk:
        sender.socket.sendto(datagram, (HOST, PORT))
        stranger.send(stranger.records(1, force=50.0))
        sender.send(sender.records(1))
    received = lab.wrenches.wait_count(start + len(junk))[start:]
    assert len(received) == len(junk)
    values = lab.values()
    assert int(values["datagrams from other addresses"]) == len(junk)
    assert int(values["malformed datagrams"]) >= len(junk) - 1
    assert lab.node.phase == "active" and not lab.node.crash


def test_gaps_duplicates_and_late_samples_are_counted_and_not_padded(lab):
    sender = Sender()
    before, start = lab.join(sender), len(lab.wrenches.messages)
    records = sender.records(100)
    kept = [0, 1, 2, 3, 7, 8, 8, 10, 9, *range(11, 100)]  # 4, 5, 6 never come, 8 comes twice, 9 after 10
    for k in kept:
        sender.send(records[k : k + 1])
    lab.wrenches.wait_count(start + len(kept) - 2)
    count = lab.node.receiver.statistics
    more = tuple(getattr(count, n) - getattr(before, n) for n in ("received", "late", "lost", "gaps"))
    assert more == (len(kept) - 2, 2, 4, 2)
    assert count.longest_gap_s >= 3.99 / RATE_HZ


@pytest.mark.parametrize("offset_s", [-5.0, 3600.0])
def test_stamps_are_moved_to_the_local_clock(lab, offset_s):
    sender, start = Sender(clock_offset_s=offset_s), len(lab.wrenches.messages)
    sender.stream(0.6)
    received = lab.wrenches.wait_count(start + sender.sent)
    assert abs(time.time() - ns_from_time(received[-1].header.stamp) * 1e-9) < 0.5


def test_a_step_of_the_senders_clock_is_no_loss(lab):
    sender = Sender()
    before, start = lab.join(sender), len(lab.wrenches.messages)
    sender.stream(0.2)
    sender.start_s += 5.0
    sender.clock_offset_s = 5.0
    sender.stream(0.5)
    received = lab.wrenches.wait_count(start + sender.sent - 10)
    assert lab.node.receiver.statistics.lost == before.lost
    assert lab.node.receiver.statistics.clock_steps == before.clock_steps + 1
    assert abs(time.time() - ns_from_time(received[-1].header.stamp) * 1e-9) < 0.5


def test_a_sensor_clock_set_back_a_little_costs_a_few_samples_only(lab):
    sender = Sender()
    before, start = lab.join(sender), len(lab.wrenches.messages)
    sender.start_s -= 0.2
    sender.send(sender.records(100))
    lab.wrenches.wait_count(start + 90)
    assert lab.node.receiver.statistics.late - before.late < 0.02 * RATE_HZ  # less than the gate's force gap


def test_silence_is_an_error_that_names_the_address(lab):
    lab.diagnostics.wait(
        lambda m: any(s.level == b"\x02" and HOST in s.message and "silent" in s.message for s in m.status)
    )


def test_a_taken_address_and_a_small_buffer_are_reported(lab):
    with open_graph(DOMAIN) as graph:
        other = graph.add(ForceSensorNode, bind_address=HOST)
        graph.call(other.trigger_configure)
        assert other.phase == "unconfigured" and f"{HOST}:{PORT}" in other.problem
    assert lab.node.receiver.granted_bytes > 0
    asked, granted = (int(v) for v in lab.values()["receive buffer asked / granted [bytes]"].split(" / "))
    assert asked == 1 << 22 and granted == lab.node.receiver.granted_bytes


def test_slow_rate_can_be_changed_while_running_and_the_port_cannot(lab):
    def set_one(name, value):
        return lab.graph.call(lambda: lab.node.set_parameters([Parameter(name, value=value)])[0])

    assert set_one("slow_rate_hz", 20.0).successful and lab.node.params.slow_rate_hz == 20.0
    refused = set_one("port", 9998)
    assert not refused.successful and "port" in refused.reason


def test_receiver_thread_ends_with_the_node(lab):
    lab.graph.call(lab.node.trigger_deactivate)
    assert not any(t.name == "force" for t in threading.enumerate())
    lab.graph.call(lab.node.trigger_cleanup)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((HOST, PORT))
