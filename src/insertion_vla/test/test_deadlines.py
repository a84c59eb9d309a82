"""Deadlines stay absolute and never catch up in a burst."""

import threading

import pytest
from insertion_vla.deadlines import Deadlines, ticks


def test_ticks_stay_on_the_grid_whatever_the_work_costs():
    deadlines = Deadlines(0.1, 5.0)
    starts = []
    for work in (0.03, 0.09, 0.0, 0.05):
        starts.append(deadlines.current_s())
        deadlines.advance(deadlines.current_s() + work)
    assert starts == pytest.approx([5.0, 5.1, 5.2, 5.3])
    assert deadlines.missed == 0


def test_a_stall_skips_and_then_returns_to_the_grid():
    deadlines = Deadlines(0.1, 0.0)
    deadlines.advance(0.45)  # the work at 0.0 took 450 ms: 0.1 .. 0.4 are gone
    assert deadlines.current_s() == pytest.approx(0.5)
    assert deadlines.missed == 4
    deadlines.advance(0.51)
    assert deadlines.current_s() == pytest.approx(0.6)
    assert deadlines.missed == 4


def test_a_slight_overrun_does_not_cost_a_tick():
    deadlines = Deadlines(0.1, 0.0)
    deadlines.advance(0.105)
    assert deadlines.current_s() == pytest.approx(0.1)
    assert deadlines.missed == 0


def test_no_drift_after_a_million_ticks():
    deadlines = Deadlines(0.1, 0.0)
    for _ in range(1_000_000):
        deadlines.advance(deadlines.current_s())
    assert deadlines.current_s() == pytest.approx(100_000.0, abs=1e-6)


def test_stop_ends_the_loop_during_the_wait():
    stop = threading.Event()
    seen = 0
    for _ in ticks(3600.0, stop):
        seen += 1
        threading.Timer(0.01, stop.set).start()
    assert seen == 1
