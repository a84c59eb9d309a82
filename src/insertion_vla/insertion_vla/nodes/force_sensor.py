"""The force sensor: UDP in, wrench and sample blocks out.

Publishes:
    force/wrench (geometry_msgs/WrenchStamped): every sample, 650 Hz; force.z is the axial force [N], positive when the
        tip is pushed; NaN until a scale is configured and a tare was done. The axes that nothing measures are NaN.
    force/samples (insertion_vla_interfaces/ForceSamples): blocks of 10 samples with their stamps and A-lines, 65 Hz.
    force/wrench_slow (geometry_msgs/WrenchStamped): the newest sample at ``slow_rate_hz``, for plots.
Services:
    force_sensor/tare (std_srvs/Trigger): makes the mean of the last ``tare.window_s`` zero; refused with too few or too
        noisy samples, and when the mean is not what the free sensor reads (in contact).
Parameters: class Parameters below.
On failure: it publishes nothing rather than something stale. Silence, loss, foreign and malformed packets are counted
on /diagnostics; packets of other senders than ``sender_address`` are dropped.
"""

import array
import math
import sys
import time

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import DiagnosticStatusWrapper
from geometry_msgs.msg import WrenchStamped
from insertion_vla_core.realtime import take_realtime_priority
from insertion_vla_core.ring import Ring
from insertion_vla_core.wire.force_udp import ALINE_BINS as BINS
from insertion_vla_core.wire.force_udp import RECORD_BYTES
from pydantic import Field
from std_srvs.srv import Trigger

from insertion_vla import qos
from insertion_vla.force_receiver import ForceReceiver
from insertion_vla.managed_node import ManagedNode, run
from insertion_vla.messages import set_time
from insertion_vla.parameters import RUNTIME, ParameterModel
from insertion_vla_interfaces.msg import ForceSamples

BLOCK = 10
SWITCH_INTERVAL_S = 0.001  # callbacks give way to the receiving thread this soon
SILENCE_S = 0.5  # for the diagnostics only; the gate in the arm node has its own, much shorter limit


class Tare(ParameterModel):
    window_s: float = Field(1.0, ge=0.1, le=5.0, description="[s] samples averaged")
    baseline: float = Field(-3.0, description="[sensor units] what the free sensor reads")
    tolerance: float = Field(
        0.25, gt=0.0, description="[sensor units] farther than this from the baseline counts as contact"
    )
    max_std: float = Field(0.05, gt=0.0, description="[sensor units] standard deviation above which it is not at rest")


class Parameters(ParameterModel):
    bind_address: str = Field("127.0.0.1", min_length=7, description="address of this machine to receive on")
    port: int = Field(9999, ge=1, le=65535, description="UDP port")
    sender_address: str = Field("127.0.0.1", min_length=7, description="the only address that samples are taken from")
    receive_buffer_bytes: int = Field(
        1 << 22, ge=65536, le=1 << 28, description="[bytes] socket receive buffer to ask for; 4 MiB hold over 0.3 s"
    )
    rate_hz: float = Field(
        650.0, ge=10.0, le=5000.0, description="[Hz] nominal sample rate; gaps are counted against it"
    )
    scale_n_per_unit: float = Field(
        0.0, ge=-1000.0, le=1000.0, description="[N per sensor unit]; 0: unknown, no newtons are published"
    )
    frame_id: str = Field("tool", min_length=1, description="frame of the wrench: needle tip, z along the needle")
    slow_rate_hz: float = Field(
        10.0, ge=0.1, le=100.0, description="[Hz] of force/wrench_slow", json_schema_extra=RUNTIME
    )
    tare: Tare = Field(default_factory=Tare)


class ForceSensorNode(ManagedNode):
    NAME = "force_sensor"
    Parameters = Parameters
    receiver: ForceReceiver | None = None

    def setup(self) -> None:
        p = self.params
        nan = math.nan
        self.offset = nan  # [sensor units] what the tare found
        self.crash = ""
        self._block = BlockMessage(p.frame_id)
        self._wrench = WrenchStamped()
        self._wrench.header.frame_id = p.frame_id
        for vector in (self._wrench.wrench.force, self._wrench.wrench.torque):
            vector.x = vector.y = vector.z = nan
        self._slow_due_s = 0.0
        self._history = Ring(int(p.rate_hz * p.tare.window_s * 2), 1)  # raw samples for the tare, by receive time
        self._counted, self._counted_s = 0, time.monotonic()
        self._wrenches = self.create_publisher(WrenchStamped, "force/wrench", qos.WRENCH)
        self._slow = self.create_publisher(WrenchStamped, "force/wrench_slow", qos.STATE)
        self._samples = self.create_publisher(ForceSamples, "force/samples", qos.SAMPLES)
        self.create_service(Trigger, "force_sensor/tare", self._tare)
        self.receiver = ForceReceiver(
            (p.bind_address, p.port),
            p.sender_address,
            p.receive_buffer_bytes,
            p.rate_hz,
            self._on_sample,
            self._flush,
            self._on_crash,
        )
        self.receiver.open()
        if self.receiver.granted_bytes < p.receive_buffer_bytes:
            self.get_logger().warning(self._buffer_sentence())

    def start(self) -> None:
        self.receiver.start()

    def stop(self) -> None:
        if self.receiver is not None:
            self.receiver.stop()

    def teardown(self) -> None:
        if self.receiver is not None:
            self.receiver.close()
        self.receiver = None

    # The receiver's thread.

    def _on_sample(self, stamp_ns: int, receive_ns: int, record: np.void) -> None:
        raw = float(record["force"])
        force_n = (raw - self.offset) * self.params.scale_n_per_unit if self.params.scale_n_per_unit else math.nan
        message = self._wrench
        set_time(message.header.stamp, stamp_ns)
        message.wrench.force.z = force_n
        self._wrenches.publish(message)
        if self._block.add(stamp_ns, receive_ns, force_n, raw, record["aline"]):
            self._flush()
        now_s = time.monotonic()
        if now_s >= self._slow_due_s:
            self._slow_due_s = max(self._slow_due_s + 1.0 / self.params.slow_rate_hz, now_s)
            self._slow.publish(message)

    def _flush(self) -> None:
        if self._block.count:
            count = self.receiver.statistics
            message = self._block.take(count.received, count.lost)
            self._samples.publish(message)
            times = np.frombuffer(message.receive_stamps, np.int64)
            self._history.extend(times, times, np.frombuffer(message.force_raw, np.float32)[:, None])

    def _on_crash(self, what: str) -> None:
        self.crash = what.split("\n")[0]
        self.get_logger().error(what)

    # Tare.

    def _tare(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        now_ns = time.time_ns()
        _, rows = self._history.window(now_ns - int(self.params.tare.window_s * 1e9), now_ns)
        refusal = refuse_tare(rows[:, 0], self.params)
        response.success = not refusal
        if refusal:
            response.message = f"no tare: {refusal}"
            self.get_logger().info(response.message)  # the caller has the sentence, and may just ask again
            return response
        self.offset = float(np.mean(rows, dtype=np.float64))
        response.message = f"zero is {self.offset:.4f} sensor units (mean of {len(rows)} samples)"
        if not self.params.scale_n_per_unit:
            response.message += "; but the parameter 'scale_n_per_unit' is 0, so no newtons are published"
        self.get_logger().info(response.message)
        return response

    def _buffer_sentence(self) -> str:
        granted, wanted = self.receiver.granted_bytes, self.params.receive_buffer_bytes
        slack_s = granted / (RECORD_BYTES * 1.7) / self.params.rate_hz  # three fragments cost 1.7 times their bytes
        return (
            f"asked for a receive buffer of {wanted} bytes, granted {granted}: it holds {slack_s * 1e3:.0f} ms of "
            f"samples; allow more with: sudo sysctl -w net.core.rmem_max={wanted}"
        )

    def diagnose(self, stat: DiagnosticStatusWrapper) -> None:
        p, receiver, now_s = self.params, self.receiver, time.monotonic()
        count, wire = receiver.statistics, receiver.decoder
        rate_hz = (count.received - self._counted) / max(1e-3, now_s - self._counted_s)
        self._counted, self._counted_s = count.received, now_s
        age_s = now_s - receiver.newest_s
        if self.crash:
            stat.summary(DiagnosticStatus.ERROR, self.crash)
        elif not age_s <= SILENCE_S:
            hint = f"; {count.foreign} datagrams came from other addresses" if count.foreign else ""
            stat.summary(
                DiagnosticStatus.ERROR,
                f"silent: no sample from {p.sender_address} on {p.bind_address}:{p.port}"
                + (f" for {age_s:.1f} s" if age_s == age_s else " yet")
                + hint,
            )
        elif not p.scale_n_per_unit or math.isnan(self.offset):
            missing = "a tare (force_sensor/tare)" if p.scale_n_per_unit else "the parameter 'scale_n_per_unit'"
            stat.summary(DiagnosticStatus.WARN, f"no newtons yet: {missing} is missing")
        elif rate_hz < 0.95 * p.rate_hz:
            stat.summary(DiagnosticStatus.WARN, f"{rate_hz:.0f} Hz, expected {p.rate_hz:g} Hz")
        elif receiver.granted_bytes < p.receive_buffer_bytes:
            stat.summary(DiagnosticStatus.WARN, self._buffer_sentence())
        stat.add("rate [Hz]", f"{rate_hz:.1f}")
        stat.add("received", str(count.received))
        stat.add("lost", str(count.lost))
        stat.add("gaps", str(count.gaps))
        stat.add("longest gap [ms]", f"{count.longest_gap_s * 1e3:.1f}")
        stat.add("late or duplicate", str(count.late))
        stat.add("datagrams from other addresses", str(count.foreign))
        stat.add("malformed datagrams", str(wire.counters["malformed"]))
        stat.add("clock steps", str(count.clock_steps))
        if receiver.clock.offset_s is not None:
            stat.add("clock offset [s]", f"{receiver.clock.offset_s:.4f}")
        stat.add("receive buffer asked / granted [bytes]", f"{p.receive_buffer_bytes} / {receiver.granted_bytes}")
        stat.add("zero [sensor units]", f"{self.offset:.4f}")


class BlockMessage:
    """One reused ForceSamples message, filled in place."""

    def __init__(self, frame_id: str) -> None:
        self.count = 0
        self._message = ForceSamples(aline_bins=BINS)
        self._message.header.frame_id = frame_id
        self._arrays = {
            "stamps": array.array("q", bytes(8 * BLOCK)),
            "receive_stamps": array.array("q", bytes(8 * BLOCK)),
            "force": array.array("f", bytes(4 * BLOCK)),
            "force_raw": array.array("f", bytes(4 * BLOCK)),
            "alines": array.array("f", bytes(4 * BLOCK * BINS)),
        }
        self._alines = np.frombuffer(self._arrays["alines"], np.float32).reshape(BLOCK, BINS)

    def add(self, stamp_ns: int, receive_ns: int, force_n: float, raw: float, aline: np.ndarray) -> bool:
        """Append one sample; True when the block is full and must be taken."""
        i, arrays = self.count, self._arrays
        arrays["stamps"][i] = stamp_ns
        arrays["receive_stamps"][i] = receive_ns
        arrays["force"][i] = force_n
        arrays["force_raw"][i] = raw
        self._alines[i] = aline
        self.count = i + 1
        return self.count == BLOCK

    def take(self, received: int, lost: int) -> ForceSamples:
        """The message with the samples added so far; valid until the next ``add``."""
        message, n = self._message, self.count
        for name, values in self._arrays.items():
            full = n == BLOCK
            setattr(message, name, values if full else values[: n * BINS if name == "alines" else n])
        set_time(message.header.stamp, self._arrays["stamps"][n - 1])
        message.received, message.lost = received, lost
        self.count = 0
        return message


def refuse_tare(raw: np.ndarray, p: Parameters) -> str:
    """Why the raw samples (n,) [sensor units] of the last window cannot become zero; empty if they can."""
    expected = int(0.8 * p.rate_hz * p.tare.window_s)
    if len(raw) < expected:
        return (
            f"expected at least {expected} samples in the last {p.tare.window_s:g} s, got {len(raw)}; is the sensor on?"
        )
    mean, std = float(np.mean(raw, dtype=np.float64)), float(np.std(raw, dtype=np.float64))
    if not math.isfinite(mean):
        return "the sensor sends numbers that are not finite; check the sensor"
    if std > p.tare.max_std:
        return f"the signal is not at rest: standard deviation {std:.3f}, allowed {p.tare.max_std:g} sensor units; wait"
    if abs(mean - p.tare.baseline) > p.tare.tolerance:
        return (
            f"the sensor reads {mean:.3f}, free it reads {p.tare.baseline:g} +- {p.tare.tolerance:g} sensor units: "
            "it seems to be in contact; retract first, or correct 'tare.baseline' if the free sensor has changed"
        )
    return ""


def main() -> int:
    """Entry point of the executable ``force_sensor``."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    take_realtime_priority()
    return run(ForceSensorNode)


if __name__ == "__main__":
    raise SystemExit(main())
