import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from insertion_vla_core.clock import ClockOffset

SHORTEST_S = 0.0002


class Link:
    """A sender whose clock is wrong, a link with delays, and the local clock; both clocks can be stepped."""

    def __init__(self, rate_hz=650.0, offset_s=-37.0, drift=0.0, jitter_s=0.004, seed=0):
        self.true_s = 1.7e9
        self.rate_hz = rate_hz
        self.sender_step_s = offset_s
        self.local_step_s = 0.0
        self.drift = drift
        self.jitter_s = jitter_s
        self.rng = np.random.default_rng(seed)
        self.clock = ClockOffset()

    def sender(self, true_s):
        return true_s + self.sender_step_s + self.drift * (true_s - 1.7e9)

    def local(self, true_s):
        return true_s + self.local_step_s

    def run(self, seconds, delay_s=0.0):
        """Errors [s] of the converted stamps against the true acquisition time on the local clock."""
        errors = []
        for _ in range(round(seconds * self.rate_hz)):
            self.true_s += 1.0 / self.rate_hz
            delay = SHORTEST_S + delay_s + self.rng.exponential(self.jitter_s)
            sent = self.sender(self.true_s)
            self.clock.update(sent, self.local(self.true_s + delay))
            errors.append(self.clock.to_local_s(sent) - self.local(self.true_s))
        return np.array(errors)


def test_the_offset_is_the_smallest_difference_and_is_applied():
    link = Link()
    errors = link.run(10.0)
    assert np.abs(errors[650:]).max() < 0.001  # far below the 4 ms of jitter
    assert link.clock.offset_s == pytest.approx(37.0 + SHORTEST_S, abs=1e-4)
    assert link.clock.jumps == 0


@pytest.mark.parametrize("drift", [100e-6, -100e-6])
def test_drift_is_followed(drift):
    link = Link(drift=drift)
    link.run(10.0)
    errors = link.run(60.0)  # the clocks part by 6 ms
    assert np.abs(errors).max() < 0.0012
    assert link.clock.jumps == 0


@pytest.mark.parametrize("step_s", [5.0, -5.0])
@pytest.mark.parametrize("which", ["sender_step_s", "local_step_s"])
def test_a_step_of_either_clock_is_recognised_and_the_age_is_right_again(which, step_s):
    link = Link()
    link.run(5.0)
    setattr(link, which, getattr(link, which) + step_s)
    link.run(0.5)
    assert link.clock.jumps == 1
    assert np.abs(link.run(10.0)).max() < 0.005
    assert link.clock.jumps == 1


@pytest.mark.parametrize(("which", "step_s"), [("sender_step_s", 5.0), ("local_step_s", -5.0)])
def test_a_step_that_would_put_stamps_into_the_future_is_believed_at_once(which, step_s):
    link = Link()
    link.run(5.0)
    setattr(link, which, getattr(link, which) + step_s)
    assert link.run(0.02).max() < 0.05


def test_steps_are_recognised_at_the_rate_of_a_camera():
    link = Link(rate_hz=5.0, jitter_s=0.01)
    link.run(5.0)
    link.sender_step_s -= 5.0
    link.run(1.0)
    assert link.clock.jumps == 1
    assert np.abs(link.run(5.0)).max() < 0.05


def test_a_backlog_is_no_jump():
    link = Link()
    link.run(5.0)
    before = link.clock.offset_s
    stalled = [link.true_s + i / 650.0 for i in range(1300)]  # two seconds wait in a buffer
    link.true_s = stalled[-1]
    for number, true_s in enumerate(stalled):
        link.clock.update(link.sender(true_s), link.local(stalled[-1] + 1e-5 * number))
    assert link.clock.jumps == 0
    assert link.clock.offset_s == pytest.approx(before, abs=0.001)


@pytest.mark.parametrize("wrong_s", [-1e6, 1e6, 3.0, -3.0])
def test_a_single_wrong_time_harms_nothing(wrong_s):
    link = Link()
    link.run(5.0)
    link.clock.update(link.sender(link.true_s) + wrong_s, link.local(link.true_s))
    errors = link.run(2.0)
    assert np.abs(errors).max() < 0.001
    assert link.clock.jumps == 0


def test_several_wrong_times_that_disagree_are_no_jump():
    link = Link()
    link.run(5.0)
    for wrong_s in (100.0, 2000.0, 30.0, 7.0):
        link.clock.update(link.sender(link.true_s) + wrong_s, link.local(link.true_s))
    assert link.clock.jumps == 0
    assert np.abs(link.run(2.0)).max() < 0.001


def test_after_a_long_silence_the_old_offset_does_not_count():
    link = Link(drift=-100e-6, jitter_s=0.0)
    link.run(5.0)
    link.true_s += 600.0  # 60 ms of drift
    assert np.abs(link.run(1.0)).max() < 0.001


def test_conversion_before_the_first_message_is_refused():
    clock = ClockOffset()
    assert clock.offset_s is None
    with pytest.raises(ValueError, match="at least one message"):
        clock.to_local_s(1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_times_that_are_not_finite_are_refused(bad):
    clock = ClockOffset()
    clock.update(1.0, 2.0)
    with pytest.raises(ValueError, match="finite"):
        clock.update(bad, 3.0)
    assert clock.offset_s == 1.0


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=1, max_size=60))
def test_a_stamp_is_never_later_than_its_arrival(messages):
    clock = ClockOffset()
    for sent, received in messages:
        clock.update(sent, received)
        assert clock.to_local_s(sent) <= received + 1e-9
