"""Watches the axial force: how large, how fast, how long ago, and whether it can be true."""

from __future__ import annotations

import math
from collections import deque

from insertion_vla_core.limits import Limits

RATE_SPAN_S = 0.010  # rise of force is taken over this long: longer than noise and bursts of the network
SMOOTH_S = 0.010  # time constant of the force that decides about slowing down
MEAN_S = 1.0  # time constant of the force that decides about drift
STUCK_SAMPLES = 10  # at least so many equal samples, so that a slow sensor is not called stuck
LEAST_SPEED = 0.1  # part of the contact speed that is left just below the hard limit


class ForceWatch:
    """Judges force samples as they come.

    Attributes:
        limits: In force from the next sample on.
        near_contact: A lasting force is expected: contact is announced by the chunk that is followed.
        force_n: Newest finite sample [N], NaN before the first; positive when the tip is pushed.
        missing: Samples that were NaN and therefore counted as none.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.near_contact = False
        self.force_n = math.nan
        self.missing = 0
        self._last_s = -math.inf
        self._recent: deque[tuple[float, float]] = deque()  # time, magnitude; the oldest spans RATE_SPAN_S
        self._smooth_n = 0.0
        self._mean_n = 0.0
        self._same_since_s = 0.0
        self._same_count = 0

    def update(self, force_n: float, now_s: float) -> tuple[str, str]:
        """Take one sample [N].

        Returns:
            What is wrong at any time, and what is wrong only while the arm moves: sentences, empty where all is well.
        """
        if math.isnan(force_n):
            self.missing += 1
            return "", ""
        size = abs(force_n)
        if size >= self.limits.force_saturation:
            self._take(force_n, size, now_s)
            return f"the force sensor is saturated at {force_n:.2f} N (range {self.limits.force_saturation:g} N)", ""
        gap_s = now_s - self._last_s
        self._take(force_n, size, now_s)
        if size > self.limits.force_hard:
            return f"force {force_n:.2f} N is above the hard limit of {self.limits.force_hard:g} N", ""
        if stuck := self._stuck(now_s):
            return stuck, ""
        if self.limits.force_gap < gap_s < math.inf:
            return "", self._silent(gap_s)
        return "", self._rising(size, now_s)

    def problem(self, now_s: float, retracting: bool = False) -> str:
        """What speaks against moving now, as far as the force goes; empty if nothing does.

        Args:
            now_s: Steady time.
            retracting: A lasting pull is expected, and a large force is what the operator wants to get rid of.
        """
        if math.isnan(self.force_n):
            return "no force sample yet"
        if now_s - self._last_s > self.limits.force_gap:
            return self._silent(now_s - self._last_s)
        if stuck := self._stuck(now_s):
            return stuck
        if retracting:
            return ""
        if abs(self.force_n) > self.limits.force_hard:
            return f"force {self.force_n:.2f} N is above the hard limit of {self.limits.force_hard:g} N"
        drift = self.limits.force_drift
        if min(self._mean_n, self._smooth_n) > drift or max(self._mean_n, self._smooth_n) < -drift:
            return f"mean force {self._mean_n:.2f} N without contact: the sensor has drifted, tare it"
        return ""

    def age_s(self, now_s: float) -> float:
        """Time since the newest finite sample, NaN if none."""
        return math.nan if math.isnan(self.force_n) else now_s - self._last_s

    def tip_speeds(self) -> tuple[float, float, str]:
        """Largest tip speed [m/s] and turn rate [rad/s] now, and why.

        The free speeds until contact is announced or felt, the contact speeds then, and above the soft limit less and
        less, down to a tenth at the hard one.
        """
        limits, force_n = self.limits, abs(self._smooth_n)
        if force_n <= limits.force_contact and not self.near_contact:
            return limits.free_speed, limits.free_angular_speed, "slowed to the free speed"
        if force_n <= limits.force_soft:
            why = "slowed to the contact speed" if self.near_contact else f"slowed by a force of {self.force_n:.2f} N"
            return limits.contact_speed, limits.contact_angular_speed, why
        part = max(LEAST_SPEED, (limits.force_hard - force_n) / (limits.force_hard - limits.force_soft))
        why = f"slowed by a force of {self.force_n:.2f} N, above the soft limit of {limits.force_soft:g} N"
        return part * limits.contact_speed, part * limits.contact_angular_speed, why

    def _take(self, force_n: float, size: float, now_s: float) -> None:
        if not math.isfinite(size):  # saturated beyond any number: keep the averages usable
            force_n = math.copysign(self.limits.force_saturation, force_n)
            size = self.limits.force_saturation
        if math.isnan(self.force_n):
            self._smooth_n = self._mean_n = force_n
        else:
            step_s = max(0.0, now_s - self._last_s)
            self._smooth_n += (force_n - self._smooth_n) * min(1.0, step_s / SMOOTH_S)
            self._mean_n += (force_n - self._mean_n) * min(1.0, step_s / MEAN_S)
        if self.near_contact:
            self._mean_n = min(self._mean_n, 0.0)  # being pushed is expected here and says nothing about drift
        if force_n != self.force_n:
            self._same_since_s, self._same_count = now_s, 0
        self._same_count += 1
        self.force_n, self._last_s = force_n, now_s
        recent = self._recent
        recent.append((now_s, size))
        while len(recent) > 1 and recent[1][0] <= now_s - RATE_SPAN_S:
            recent.popleft()

    def _silent(self, gap_s: float) -> str:
        return f"no force sample for {gap_s * 1e3:.0f} ms (limit {self.limits.force_gap * 1e3:.0f} ms)"

    def _stuck(self, now_s: float) -> str:
        same_s = now_s - self._same_since_s
        if same_s <= self.limits.force_stuck or self._same_count < STUCK_SAMPLES:
            return ""
        return f"the force sensor is stuck: exactly {self.force_n:.4f} N for {same_s:.2f} s"

    def _rising(self, size: float, now_s: float) -> str:
        then_s, then_n = self._recent[0]
        span_s = max(now_s - then_s, RATE_SPAN_S)
        rate = (size - then_n) / span_s
        if rate <= self.limits.force_rate:
            return ""
        return f"force rises at {rate:.0f} N/s to {size:.2f} N (limit {self.limits.force_rate:g} N/s)"
