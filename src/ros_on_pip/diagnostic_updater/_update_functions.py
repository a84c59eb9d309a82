"""Ready-made tasks: rate of an event, age of stamps, heartbeat."""

import threading
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType

from diagnostic_updater._diagnostic_status_wrapper import DiagnosticStatusWrapper
from diagnostic_updater._diagnostic_updater import DiagnosticTask


class FrequencyStatusParam:
    """Bounds of a FrequencyStatus.

    Args:
        freq_bound: {'min': Hz, 'max': Hz}; the dictionary is kept, so later changes of it count. 'max' may be missing.
        tolerance: Fraction by which the bounds may be exceeded.
        window_size: Number of updates over which the rate is taken.
    """

    def __init__(self, freq_bound: dict[str, float], tolerance: float = 0.1, window_size: int = 5) -> None:
        self.freq_bound = freq_bound
        self.tolerance = tolerance
        self.window_size = window_size


class FrequencyStatus(DiagnosticTask):
    """Rate of `tick()`: ERROR without any event in the window, WARN outside the bounds."""

    def __init__(self, params: FrequencyStatusParam, name: str = "FrequencyStatus") -> None:
        super().__init__(name)
        self.params = params
        self.lock = threading.Lock()
        self.clock = Clock(clock_type=ClockType.ROS_TIME)
        self.clear()

    def clear(self) -> None:
        """Forget all events."""
        with self.lock:
            self.count = 0
            # Ring of (time, count) at the last window_size updates.
            self.history = [(self.clock.now(), 0)] * self.params.window_size
            self.hist_indx = 0

    def tick(self) -> None:
        """Count one event."""
        with self.lock:
            self.count += 1

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        with self.lock:
            now, count = self.clock.now(), self.count
            since, count_then = self.history[self.hist_indx]
            self.history[self.hist_indx] = (now, count)
            self.hist_indx = (self.hist_indx + 1) % len(self.history)
        events = count - count_then
        window_s = (now - since).nanoseconds * 1e-9
        frequency = events / window_s if window_s > 0 else 0.0

        bound = self.params.freq_bound
        low = bound["min"] * (1 - self.params.tolerance)
        high = bound["max"] * (1 + self.params.tolerance) if "max" in bound else None
        if events == 0:
            stat.summary(DiagnosticStatus.ERROR, "No events recorded.")
        elif frequency < low:
            stat.summary(DiagnosticStatus.WARN, "Frequency too low.")
        elif high is not None and frequency > high:
            stat.summary(DiagnosticStatus.WARN, "Frequency too high.")
        else:
            stat.summary(DiagnosticStatus.OK, "Desired frequency met")

        stat.add("Events in window", f"{events}")
        stat.add("Events since startup", f"{count}")
        stat.add("Duration of window (s)", f"{window_s:f}")
        stat.add("Actual frequency (Hz)", f"{frequency:f}")
        if bound.get("max") == bound["min"]:
            stat.add("Target frequency (Hz)", f"{bound['min']:f}")
        if bound["min"] > 0:
            stat.add("Minimum acceptable frequency (Hz)", f"{low:f}")
        if high is not None:
            stat.add("Maximum acceptable frequency (Hz)", f"{high:f}")
        return stat


class TimeStampStatusParam:
    """Bounds of a TimeStampStatus: [s] acceptable age of stamps; negative is the future."""

    def __init__(self, min_acceptable: float = -1, max_acceptable: float = 5) -> None:
        self.min_acceptable = min_acceptable
        self.max_acceptable = max_acceptable


class TimeStampStatus(DiagnosticTask):
    """Age of the stamps given to `tick()` since the last update: ERROR too old, too new or zero, WARN without any."""

    def __init__(self, params: TimeStampStatusParam | None = None, name: str = "Timestamp Status") -> None:
        super().__init__(name)
        self.params = TimeStampStatusParam() if params is None else params
        self.lock = threading.Lock()
        self.clock = Clock(clock_type=ClockType.ROS_TIME)
        self.early_count = 0
        self.late_count = 0
        self.zero_count = 0
        self._forget()

    def _forget(self) -> None:
        self.zero_seen = False
        self.max_delta = 0.0
        self.min_delta = 0.0
        self.deltas_valid = False

    def tick(self, stamp: Any) -> None:
        """Take one stamp: seconds as a float, or an rclpy Time."""
        stamp_s = stamp if isinstance(stamp, (int, float)) else stamp.nanoseconds * 1e-9
        with self.lock:
            if stamp_s == 0:
                self.zero_seen = True
                return
            delta_s = self.clock.now().nanoseconds * 1e-9 - stamp_s
            self.max_delta = max(self.max_delta, delta_s) if self.deltas_valid else delta_s
            self.min_delta = min(self.min_delta, delta_s) if self.deltas_valid else delta_s
            self.deltas_valid = True

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        with self.lock:
            stat.summary(DiagnosticStatus.OK, "Timestamps are reasonable.")
            if not self.deltas_valid and not self.zero_seen:
                stat.summary(DiagnosticStatus.WARN, "No data since last update.")
            if self.deltas_valid and self.min_delta < self.params.min_acceptable:
                stat.summary(DiagnosticStatus.ERROR, "Timestamps too far in future seen.")
                self.early_count += 1
            if self.deltas_valid and self.max_delta > self.params.max_acceptable:
                stat.summary(DiagnosticStatus.ERROR, "Timestamps too far in past seen.")
                self.late_count += 1
            if self.zero_seen:
                stat.summary(DiagnosticStatus.ERROR, "Zero timestamp seen.")
                self.zero_count += 1
            stat.add("Earliest timestamp delay:", f"{self.min_delta:f}")
            stat.add("Latest timestamp delay:", f"{self.max_delta:f}")
            stat.add("Earliest acceptable timestamp delay:", f"{self.params.min_acceptable:f}")
            stat.add("Latest acceptable timestamp delay:", f"{self.params.max_acceptable:f}")
            stat.add("Late diagnostic update count:", f"{self.late_count}")
            stat.add("Early diagnostic update count:", f"{self.early_count}")
            stat.add("Zero seen diagnostic update count:", f"{self.zero_count}")
            self._forget()
        return stat


class Heartbeat(DiagnosticTask):
    """Says that the node is alive whenever it runs."""

    def __init__(self) -> None:
        super().__init__("Heartbeat")

    def run(self, stat: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        stat.summary(DiagnosticStatus.OK, "Alive")
        return stat
